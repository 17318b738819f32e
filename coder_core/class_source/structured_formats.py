"""Class lists as JSON, JSON Lines and YAML, in the shapes in which data sets come.

* a list of names, or of objects with a name and, optionally, an id;
* a mapping of ids to names (`id2label`, COCO's and YOLO's `names`), of ids to lists that begin with an id and a name
  (`imagenet_class_index.json`), or of names to whole numbers (`class_to_idx`);
* any of these under one key of a larger document (`names`, `classes`, `categories`, ...).

Whatever else it is, is refused: a bracket must not become a class. In YAML every name is the text that stands there:
`no`, `007` and `2024-01-01` are names.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from coder_core.class_source.entries import ID_COLUMN, NAME_COLUMN, ClassEntry
from coder_core.errors import InputError, UnfinishedInputError
from coder_core.storage.bounded_json import UnfinishedJsonError, parse_json, read_json
from coder_core.storage.input_text import decode_text
from coder_core.storage.yaml_text import read_yaml_text

__all__ = ["parse_json_classes", "parse_jsonl_classes", "parse_yaml_classes"]

NAME_FIELDS = (NAME_COLUMN, "name", "label", "class")
"""What the name of a class is called in an object, the first that is there counts."""
ID_FIELDS = (ID_COLUMN, "id")
LIST_KEYS = ("class_names", "classes", "names", "categories", "labels", "id2label")
"""Keys under which larger documents keep their class list."""

SHAPES = "Write a list of names, a list of objects with `name` (and `id`), or a mapping of ids to names."


def parse_json_classes(content: bytes, place: str) -> list[ClassEntry]:
    """Read a JSON file.

    Raises:
        UnfinishedInputError: It ends in the middle.
        InputError: It is no JSON, or no class list.
    """
    document = read_json(content, place, unfinished_class=UnfinishedInputError)
    return list(_entries(_unwrap(document), place))


def parse_jsonl_classes(content: bytes, place: str) -> list[ClassEntry]:
    """Read a JSON Lines file: a name, or an object with one, per line.

    Raises:
        UnfinishedInputError: The last line ends in the middle.
        InputError: A line is no JSON, or names no class.
    """
    lines = decode_text(content, place).split("\n")
    entries = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{place}, line {number}"
            entries.append(_entry(_parse_line(line, where, is_last=number == len(lines)), f"line {number}", where))
    return entries


def parse_yaml_classes(content: bytes, place: str) -> list[ClassEntry]:
    """Read a YAML file; every name and id is the text that stands there.

    Raises:
        UnfinishedInputError: The last line has no line end.
        InputError: It is no YAML, or no class list.
    """
    text = decode_text(content, place)
    if text and not text.endswith(("\n", "\r", "]", "}")):
        raise UnfinishedInputError(
            "the last line has no line end: it may be half written.", place, "End its last line with a line end."
        )
    document = read_yaml_text(text, place)
    return [] if document is None else list(_entries(_unwrap(document), place))


def _parse_line(line: str, where: str, *, is_last: bool) -> Any:
    try:
        return parse_json(line)
    except ValueError as error:
        is_cut = is_last and isinstance(error, UnfinishedJsonError)
        error_class = UnfinishedInputError if is_cut else InputError
        raise error_class(
            f"the line is not JSON ({error}).", where, "Write one JSON text or object per line."
        ) from error


def _unwrap(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    lists = [key for key in LIST_KEYS if isinstance(document.get(key), list | dict)]
    return document[lists[0]] if len(lists) == 1 else document


def _entries(found: Any, place: str) -> Iterator[ClassEntry]:
    if isinstance(found, list):
        return (_entry(item, f"item {number}", f"{place}, item {number}") for number, item in enumerate(found))
    if isinstance(found, dict):
        return _mapped_entries(found, place)
    raise InputError(f"this is no class list but {found!r:.80}.", place, SHAPES)


def _entry(item: object, short_place: str, where: str) -> ClassEntry:
    if isinstance(item, str):
        return ClassEntry(item.strip(), None, short_place)
    if isinstance(item, dict):
        name = next((item[field] for field in NAME_FIELDS if field in item), None)
        stable_id = next((item[field] for field in ID_FIELDS if item.get(field) is not None), None)
        if isinstance(name, str):
            return ClassEntry(name.strip(), _as_id(stable_id, where), short_place)
    raise InputError(f"{_shown(item)} names no class.", where, SHAPES)


def _mapped_entries(found: Mapping[str, Any], place: str) -> Iterator[ClassEntry]:
    """Ids to names, or names to numbers; keys that are numbers count in the order of numbers."""
    items = list(found.items())
    are_integers = all(isinstance(number, int) and not isinstance(number, bool) for _, number in items)
    if are_integers or (_are_numbers(found.values()) and not _are_numbers(found)):  # in YAML everything is text
        items = [(str(number), name) for name, number in items]
    if _are_numbers([key for key, _ in items]):
        items.sort(key=lambda item: int(item[0]))
    return (_mapped_entry(key, value, place) for key, value in items)


def _mapped_entry(key: str, value: object, place: str) -> ClassEntry:
    match value:
        case str(name):
            return ClassEntry(name.strip(), key.strip() or None, f"key {key!r}")
        case [str(stable_id), str(name)]:
            return ClassEntry(name.strip(), stable_id.strip() or None, f"key {key!r}")
        case _:
            raise InputError(f"the key {key!r:.80} leads to {_shown(value)}, which names no class.", place, SHAPES)


def _are_numbers(values: Any) -> bool:
    return all(isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19 for value in values)


def _as_id(value: object, where: str) -> str | None:
    if value is None or (isinstance(value, str | int) and not isinstance(value, bool)):
        return None if value is None else str(value).strip() or None
    raise InputError(f"the id {_shown(value)} is no text or whole number.", where, "Write it as text.")


def _shown(value: object) -> str:
    if isinstance(value, Sequence | Mapping) and not isinstance(value, str) and len(value) > 10:
        return f"a {'mapping' if isinstance(value, Mapping) else 'list'} of {len(value)}"
    return f"{value!r:.80}"
