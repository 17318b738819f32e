"""A file that a person asked for by name, outside any store: written whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coder_core.errors import InputError
from coder_core.storage.local_files import TEMPORARY_SUFFIX, move_unless_there, replace_file


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


@contextmanager
def built_file(path: Path, *, is_forced: bool = False) -> Iterator[Path]:
    """Let a file be built in a hidden folder beside its place, and move it there when it is whole.

    Args:
        path: Where it shall be; yields where to build it.
        is_forced: Replace the file that may be there.

    Raises:
        InputError: It cannot be written there, or is there already.
    """
    with _explained(path):
        if not path.parent.is_dir():
            raise FileNotFoundError(2, "there is no such folder")
        if path.is_dir() or (path.exists() and not is_forced):
            raise FileExistsError(str(path))
        folder = Path(tempfile.mkdtemp(prefix=".", suffix=TEMPORARY_SUFFIX, dir=path.parent))
    try:
        built = folder / path.name
        yield built
        with _explained(path):
            with built.open("rb") as file:
                os.fsync(file.fileno())
            if is_forced:
                built.replace(path)
            else:
                move_unless_there(built, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        problem, remedy = "it is there already.", "Name another file, or replace it with --force."
        if path.is_dir():
            problem, remedy = "it is a folder.", "Name a file in it."
        raise InputError(problem, str(path), remedy) from error
    except OSError as error:
        problem = f"the file cannot be written ({error.strerror})."
        raise InputError(problem, str(path), "Choose another place.") from error
