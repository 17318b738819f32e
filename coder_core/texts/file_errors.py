"""Explain what is wrong with the shape of a file: pydantic's findings as one sentence with place, value and remedy."""

import difflib
import reprlib

from pydantic import BaseModel, ValidationError

from coder_core.errors import TextBankError

__all__ = ["HIDDEN", "describe", "explain_invalid"]

HIDDEN = "\0"
"""What a tag of a union starts with: pydantic puts tags into an error's path, though the user wrote no such key."""


def explain_invalid(
    error: ValidationError, place: str, *, format_name: str, records: tuple[type[BaseModel], ...]
) -> TextBankError:
    """Say the first thing wrong: where in the file, what was found, what to do.

    Args:
        error: What pydantic found.
        place: The file's name.
        format_name: The format that the file should have.
        records: The models that the file is made of, for the keys they know.
    """
    problems = error.errors(include_url=False, include_context=True)
    first = problems[0]
    is_key = first["type"] == "extra_forbidden"
    location = _as_written(first["loc"][:-1]) + (first["loc"][-1:] if is_key else _as_written(first["loc"][-1:]))
    rest = f" ({len(problems) - 1} more after this one.)" if len(problems) > 1 else ""
    problem, remedy = _explain(first["type"], str(location[-1]), first["input"], first["msg"], format_name)
    if is_key:
        remedy = _nearest_key(str(location[-1]), records)
    return TextBankError(problem, f"{place}: {_path(location)}", remedy + rest)


def describe(value: object) -> str:
    """Name the type of a value and quote it, shortened."""
    return f"{type(value).__name__} {reprlib.repr(value)}"


def _explain(kind: str, key: str, found: object, message: str, format_name: str) -> tuple[str, str]:
    match kind:
        case "extra_forbidden":
            return f"unknown key {key!r}.", ""
        case "missing":
            return f"the key {key!r} is missing.", "Add it."
        case "string_type":
            problem = f"expected text, found {describe(found)}."
            return problem, "Put it in quotes: YAML reads `no` and `12` as other types."
        case "string_too_short":
            return f"the text {found!r} is blank.", "Write or remove it."
        case "too_short":
            return "the list is empty.", "Write at least one entry, or leave the key out where it is optional."
        case "literal_error":
            return f"{describe(found)} is not a known format.", f"Write `format: {format_name}`."
    return f"{message}, found {describe(found)}.", f"See the example of {format_name} in the documentation."


def _nearest_key(key: str, records: tuple[type[BaseModel], ...]) -> str:
    known = sorted({field.alias or name for record in records for name, field in record.model_fields.items()})
    close = difflib.get_close_matches(key, known, n=1)
    return f"Did you mean {close[0]!r}?" if close and close[0] != key else f"Keys are: {', '.join(known)}."


def _as_written(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    return tuple(part for part in location if not str(part).startswith(HIDDEN))


def _path(location: tuple[int | str, ...]) -> str:
    """Write `("classes", 12, "attributes")` as `classes[12].attributes`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")
