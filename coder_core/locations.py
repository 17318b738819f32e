"""Where an input lies: a path, an fsspec URL, or `demo:name` for what ships with the package."""

from importlib.resources import files
from pathlib import Path

from coder_core.errors import InputError

DEMO_PREFIX = "demo:"
_DEMO_INPUTS = {"flags": "flags.yaml", "flag-texts": "flag_texts.yaml", "micro-clip": "micro_clip"}


def is_url(location: str) -> bool:
    """Whether a location names a file system or the demonstration, so that it has no base folder."""
    return "://" in location or location.startswith(DEMO_PREFIX)


def resolve_location(location: str, base: str) -> str:
    """Make a location independent of the working directory.

    Args:
        location: A path, a URL or `demo:name`.
        base: Folder (path or URL) that a relative path starts from.

    Returns:
        URLs and names without a path separator (such as open_clip's tags) unchanged; an absolute path otherwise.
    """
    if is_url(location) or Path(location).is_absolute() or not _looks_like_path(location):
        return location
    if "://" in base:
        return f"{base.rstrip('/')}/{location}"
    return str(Path(base, location).resolve())


def _looks_like_path(location: str) -> bool:
    return "/" in location or "." in location


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
