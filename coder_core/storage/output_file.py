"""A file that a person asked for by name, outside any store: written whole or not at all."""

from pathlib import Path

from coder_core.errors import InputError
from coder_core.storage.local_files import replace_file


def write_file(path: Path, content: str | bytes, *, replaces_other: bool = True) -> None:
    """Write a file, in the place of the one that may be there.

    Args:
        path: Where.
        content: All of it.
        replaces_other: False refuses a place where a file with other content is: a person may have edited it.

    Raises:
        InputError: It cannot be written there, or holds something else.
    """
    encoded = content.encode("utf-8") if isinstance(content, str) else content
    try:
        if not path.parent.is_dir():
            raise FileNotFoundError(2, "there is no such folder")
        if not replaces_other and path.exists() and path.read_bytes() != encoded:
            problem = "there is a file already, and it holds something else: edits, perhaps."
            raise InputError(problem, str(path), "Name another file, or replace it with --force.")
        replace_file(str(path), encoded)
    except OSError as error:
        problem = f"the file cannot be written ({error.strerror})."
        raise InputError(problem, str(path), "Choose another place.") from error
