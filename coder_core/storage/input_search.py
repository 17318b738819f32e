"""Finding files by what a user typed: a file, a folder, a pattern; names may hold `*`, `?` and `[` themselves.

What is there under exactly this name is meant literally, part by part: in `photos [2024]/*.jpg` the folder `photos
[2024]` is a folder and only the rest is a pattern.
"""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from coder_core.errors import InputError
from coder_core.storage.addresses import Address, format_url, parse_address, redact
from coder_core.storage.input_files import InputFile, object_token
from coder_core.storage.input_walk import object_url, walk_input
from coder_core.storage.read_rounds import read_in_rounds
from coder_core.storage.refusals import explained

PATTERN_CHARACTERS = frozenset("*?[")


class Search(NamedTuple):
    """What a path, URL or pattern stands for.

    Args:
        root: The folder that names are relative to, or the file.
        files: Everything found, as `walk_input` yields it.
        is_file: Whether one file was named: it is meant, whatever its name.
        shows_hidden: Whether the pattern itself asks for names that begin with a dot.
    """

    root: str
    files: Iterator[InputFile]
    is_file: bool = False
    shows_hidden: bool = False


def find_inputs(url: str) -> Search:
    """Find files by a path or URL: one file whatever its suffix, all of a folder, or those that match a pattern.

    Args:
        url: A file, a folder, or a pattern: `*` and `?` stand for characters of one name, `[...]` for one of some
            characters, `**` for any folders.

    Raises:
        InputError: There is no such file or folder, or nothing matches.
    """
    address = parse_address(url)
    with explained(url, InputError):
        info = _info(address)
    if info and info["type"] != "directory" and not address.is_local:
        return Search(url, iter([_object(address, info)]), is_file=True)
    if info or not PATTERN_CHARACTERS & set(address.path) or address.protocol in {"http", "https"}:
        return Search(url, walk_input(url), is_file=info is not None and info["type"] != "directory")
    root, pattern = _split_pattern(address)
    place = format_url(root)
    with explained(place, InputError):
        if not root.open_filesystem().isdir(root.path):
            raise InputError("this is no folder.", redact(place), "Check the part before the pattern.")
    shows_hidden = any(part.startswith(".") for part in pattern)
    return Search(place, _matching(place, pattern, url), shows_hidden=shows_hidden)


def _info(address: Address) -> dict[str, Any] | None:
    filesystem = address.open_filesystem()
    try:
        found: dict[str, Any] = read_in_rounds(lambda: filesystem.info(address.path))
    except FileNotFoundError:
        return None
    return found


def _object(address: Address, info: dict[str, Any]) -> InputFile:
    name = address.path.rpartition("/")[2]
    return InputFile(object_url(address, address.path), name, int(info.get("size") or 0), object_token(info))


def _split_pattern(address: Address) -> tuple[Address, Sequence[str]]:
    """Split at the longest part that is there under exactly this name."""
    parts = address.path.split("/")
    first = next(number for number, part in enumerate(parts) if PATTERN_CHARACTERS & set(part))
    filesystem = address.open_filesystem()
    for length in range(len(parts) - 1, first, -1):
        root = address._replace(path="/".join(parts[:length]))
        with explained(format_url(root), InputError):
            if filesystem.isdir(root.path):
                return root, parts[length:]
    return address._replace(path="/".join(parts[:first]) or "/"), parts[first:]


def _matching(root: str, pattern: Sequence[str], url: str) -> Iterator[InputFile]:
    count = 0
    for file in walk_input(root):
        if matches_pattern(file.name.split("/"), pattern):
            count += 1
            yield file
    if not count:
        raise InputError("no file matches.", redact(url), "Check the pattern.")


def matches_pattern(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path match those of a pattern; `**` stands for any number of parts."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(matches_pattern(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and matches_pattern(parts[1:], pattern[1:])
