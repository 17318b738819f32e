"""A file that a person asked for by name, outside any store: written whole or not at all."""

from pathlib import Path

from coder_core.errors import InputError
from coder_core.storage.local_files import replace_file


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file, in the place of the one that may be there.

    Raises:
        InputError: It cannot be written there.
    """
    try:
        if not path.parent.is_dir():
            raise FileNotFoundError(2, "there is no such folder")
        replace_file(str(path), content.encode("utf-8") if isinstance(content, str) else content)
    except OSError as error:
        problem = f"the file cannot be written ({error.strerror})."
        raise InputError(problem, str(path), "Choose another place.") from error
