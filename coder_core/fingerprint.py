"""Fingerprints: one canonical text per value, one sha256 per text.

The store is the cache, so a key must change exactly when the value changes, on every machine and in every process.
Everything without one obvious text is therefore refused (sets have no order, callables and default reprs hold an
address, NaN is not equal to itself, bytes have no JSON form), and the refusal names the path inside the value. A key
alone cannot explain a miss; `differences` compares the hashed values themselves and names the fields.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias, cast

from pydantic import BaseModel
from pydantic_settings import BaseSettings

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


@dataclass(frozen=True)
class NotIdentity:
    """Leaves a field of a pydantic model out of every key: `Annotated[str, NotIdentity("why")]`.

    Args:
        reason: Why two models that differ in this field alone are the same.
    """

    reason: str

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise TypeError("NotIdentity needs a reason.")


class HasIdentity(Protocol):
    """Something that counts by another value than its fields, e.g. a file by its content."""

    def identity(self) -> Json:
        """What it counts by."""
        ...


SHOWN_CHARACTERS = 80
"""Longest piece of a value that an explanation quotes: one line of a terminal."""
SHOWN_CONTEXT = 20
"""Characters quoted before the place where two long values part."""
PIECE_ROWS = 65_536
"""Values of a long column that are written at a time."""
_ABSENT = object()


def canonical_json(value: object) -> str:
    """Write a value as the one JSON text that stands for it.

    Keys are sorted, there is no white space, everything is ASCII; `1` and `1.0` and `true` stay three different texts,
    a tuple equals a list, an Enum stands for its value, a pydantic model for its fields but those marked `NotIdentity`
    (its class name is no part of it: give variants a literal `kind` field), and what has an `identity()` for that.

    Args:
        value: None, bool, int, finite float, str, list, tuple, dict with string keys, Enum or pydantic model.

    Raises:
        TypeError: When something inside the value has no canonical text; the message names the path to it.
    """
    return json.dumps(plain_json(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_hash(content: bytes) -> str:
    """Return the sha256 of bytes as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def key_of(value: object) -> str:
    """Return the sha256 of a value's canonical JSON: its identity in the store."""
    return content_hash(canonical_json(value).encode("ascii"))


def key_of_columns(*columns: object) -> str:
    """As `key_of(columns)`, of columns that may be long: written and hashed piece by piece.

    Args:
        columns: What `key_of` takes; also sequences of texts and arrays of whole numbers, which count as lists do.
    """
    digest = hashlib.sha256(b"[")
    for number, column in enumerate(columns):
        if number:
            digest.update(b",")
        for piece in _pieces(column):
            digest.update(piece.encode("ascii"))
    digest.update(b"]")
    return digest.hexdigest()


def _pieces(column: Any) -> Iterator[str]:
    """The canonical text of a column, in pieces."""
    if isinstance(column, str) or not hasattr(column, "__len__") or isinstance(column, Mapping):
        yield canonical_json(column)
        return
    yield "["
    for start in range(0, len(column), PIECE_ROWS):
        yield f"{',' if start else ''}{_items(column[start : start + PIECE_ROWS])}"
    yield "]"


def _items(block: Any) -> str:
    """The canonical text of a list, without its brackets; what can write itself is not made a list of texts first."""
    if hasattr(block, "quoted"):
        return str(block.quoted())
    values = block.tolist() if hasattr(block, "tolist") else list(block)
    return (json.dumps(values, separators=(",", ":")) if _is_plain(values) else canonical_json(values))[1:-1]


def _is_plain(values: list[Any]) -> bool:
    """Whether all values are texts, or all are whole numbers: nothing of those has to be looked at one by one."""
    return len({*map(type, values)}) == 1 and type(values[0]) in (str, int)


def differences(old: object, new: object) -> list[str]:
    """Name every field in which two values differ, as `path: was ..., now ...`, in the order of sorted keys.

    The list is empty exactly when both values have the same key.
    """
    return list(_differences(plain_json(old), plain_json(new), ""))


def plain_json(value: object, path: str = "value") -> Json:
    """Reduce a value to None, bool, int, float, str, list and dict, or refuse it.

    Args:
        value: What `canonical_json` takes.
        path: Where the value stands, for the message of a refusal.

    Raises:
        TypeError: It holds something without a canonical text; names its place and type.
    """
    if value is None or isinstance(value, bool):
        return value
    if hasattr(type(value), "identity"):  # an isinstance of a protocol is six times as slow: every manifest is hashed
        return plain_json(cast(HasIdentity, value).identity(), path)
    for kind, reduce in _REDUCERS.items():
        if isinstance(value, kind):
            return reduce(value, path)
    raise TypeError(f"{path}: a {type(value).__name__} has no canonical text. {_remedy(value)}")


def _plain_model(model: BaseModel, path: str) -> Json:
    if isinstance(model, BaseSettings):
        raise TypeError(f"{path}: {type(model).__name__} comes from the environment and is no part of an identity.")
    fields = ((name, field) for name, field in type(model).model_fields.items() if not _is_left_out(field.metadata))
    return {name: plain_json(getattr(model, name), f"{path}.{name}") for name, _ in fields}


def _is_left_out(metadata: list[Any]) -> bool:
    return any(isinstance(item, NotIdentity) for item in metadata)


def _plain_float(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise TypeError(f"{path}: {value} is not a finite number. {_remedy(value)}")
    return float(value)


def _plain_mapping(mapping: Mapping[Any, object], path: str) -> Json:
    for key in mapping:
        if not isinstance(key, str):
            raise TypeError(f"{path}: the key {key!r} is a {type(key).__name__}. Use strings as keys.")
    return {str.__str__(key): plain_json(item, f"{path}.{str.__str__(key)}") for key, item in mapping.items()}


def _plain_sequence(items: list[object] | tuple[object, ...], path: str) -> Json:
    return [plain_json(item, f"{path}[{position}]") for position, item in enumerate(items)]


_REDUCERS: dict[type, Callable[[Any, str], Json]] = {
    Enum: lambda value, path: plain_json(value.value, path),  # first: a StrEnum is a str, too
    str: lambda value, _path: str.__str__(value),
    int: lambda value, _path: int(value),
    float: _plain_float,
    BaseModel: _plain_model,
    dict: _plain_mapping,
    list: _plain_sequence,
    tuple: _plain_sequence,
}


def _remedy(value: object) -> str:
    if isinstance(value, set | frozenset):
        return "Use a sorted list."
    if isinstance(value, bytes | bytearray):
        return "Use content_hash(...) of the bytes."
    if isinstance(value, float):
        return "Use None for a missing number."
    return "Use None, bool, int, float, str, list, dict or a pydantic model."


def _differences(old: Json | object, new: Json | object, path: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key, _ABSENT), new.get(key, _ABSENT), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list):
        for position in range(max(len(old), len(new))):
            yield from _differences(_item(old, position), _item(new, position), f"{path}[{position}]")
    elif _text(old) != _text(new):
        was, now = _shown(_text(old), _text(new))
        yield f"{path or 'value'}: was {was}, now {now}"


def _item(items: list[Json], position: int) -> object:
    return items[position] if position < len(items) else _ABSENT


def _text(value: object) -> str:
    return "absent" if value is _ABSENT else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _shown(old: str, new: str) -> tuple[str, str]:
    """Cut two texts to the part in which they differ, so that a long prompt does not hide its one changed word."""
    if max(len(old), len(new)) <= SHOWN_CHARACTERS:
        return old, new
    parting = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = max(0, parting - SHOWN_CONTEXT)
    return _window(old, start), _window(new, start)


def _window(text: str, start: int) -> str:
    end = start + SHOWN_CHARACTERS
    return f"{'...' if start else ''}{text[start:end]}{'...' if end < len(text) else ''}"
