"""Where an input lies: a path, an fsspec URL, or `demo:name` for what ships with the package."""

import posixpath
from importlib.resources import files
from pathlib import Path

from coder_core.errors import InputError

DEMO_PREFIX = "demo:"
_DEMO_INPUTS = {"flags": "flags.yaml", "flag-texts": "flag_texts.yaml", "micro-clip": "micro_clip"}


def is_url(location: str) -> bool:
    """Whether a location names a file system or the demonstration, so that it has no base folder."""
    return "://" in location or location.startswith(DEMO_PREFIX)


def looks_like_path(location: str) -> bool:
    """Whether a text that may also be a bare name is a path: it has a folder or a suffix."""
    return "/" in location or "." in location


def folder_of(location: str) -> str:
    """The folder that relative paths inside a file start from.

    Args:
        location: Path or URL of the file; what ships with the package has no folder that a user could mean.

    Returns:
        A path or URL; the working directory for `demo:name`.
    """
    if location.startswith(DEMO_PREFIX):
        return str(Path.cwd())
    protocol, separator, path = location.partition("://")
    if separator:
        return f"{protocol}://{posixpath.dirname(path.partition('?')[0])}"
    return str(Path(location).parent)


def resolve_location(location: str, base: str) -> str:
    """Make a location independent of the working directory.

    Args:
        location: A path, a URL or `demo:name`; `~` is the home folder.
        base: Folder (path or URL) that a relative path starts from.

    Returns:
        URLs unchanged, everything else as an absolute path, or as a URL below a base that is one.
    """
    expanded = _expand_home(location)
    if is_url(location) or expanded.is_absolute():
        return location if is_url(location) else str(expanded)
    protocol, separator, folder = base.partition("://")
    if separator:
        return f"{protocol}://{posixpath.normpath(posixpath.join(folder, location))}"
    return str((_expand_home(base) / expanded).resolve())


def _expand_home(path: str) -> Path:
    return Path(path).expanduser() if path == "~" or path.startswith("~/") else Path(path)


def open_location(location: str) -> str:
    """The path or URL to read: `demo:name` becomes the file that ships with the package.

    Raises:
        InputError: `demo:` with a name that does not ship.
    """
    if not location.startswith(DEMO_PREFIX):
        return location
    name = location.removeprefix(DEMO_PREFIX)
    if name not in _DEMO_INPUTS:
        raise InputError("no such part of the demonstration.", location, f"There are: {', '.join(_DEMO_INPUTS)}.")
    return str(files("coder_core.demo").joinpath(_DEMO_INPUTS[name]))
