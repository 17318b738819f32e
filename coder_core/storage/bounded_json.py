"""JSON that a user gave, read within bounds: bytes, depth, digits; a file that was made to hurt is one error.

Python's parser is recursive and its integers have no limit, and of a key given twice it keeps the last without a word.
"""

import json
import math
import re
from collections import Counter
from typing import Any

from coder_core.errors import InputError
from coder_core.limits import limit, nesting_limit
from coder_core.storage.input_text import decode_text

MAX_JSON_BYTES = limit("CODER_MAX_JSON_BYTES", 256 * 2**20)
"""A published split of ImageNet's 1.3 million images has 110 MB."""

MAX_JSON_DEPTH = nesting_limit()
"""Far more levels than any of our formats has; the parser itself gives up at about 1,000."""

MAX_DIGITS = 19
"""What a 64-bit integer has."""

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]++")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class UnfinishedJsonError(ValueError):
    """The text ends in the middle of a value."""


def read_json(
    content: bytes,
    place: str,
    *,
    error_class: type[InputError] = InputError,
    unfinished_class: type[InputError] | None = None,
    max_bytes: int = MAX_JSON_BYTES,
    max_depth: int = MAX_JSON_DEPTH,
) -> Any:
    """Read a JSON document.

    Args:
        content: UTF-8, with or without a byte-order mark.
        place: The file's name, for the message.
        error_class: What to raise.
        unfinished_class: What to raise where the text only ends too early, as that of a writer at work does; default:
            `error_class`.
        max_bytes: A larger file is not parsed.
        max_depth: Levels of lists and objects.

    Returns:
        Objects, lists, texts, numbers (finite), booleans and None.

    Raises:
        InputError: As `error_class`: too large, too deep, no JSON, a key given twice, an integer of more than
            `MAX_DIGITS` digits, a number that is not finite, or half of a surrogate pair.
    """
    if len(content) > max_bytes:
        raise error_class(f"it has {len(content)} bytes, more than {max_bytes}.", place, "Split it.")
    text = decode_text(content, place, error_class)
    try:
        return parse_json(text, max_depth=max_depth)
    except UnfinishedJsonError as error:
        chosen = unfinished_class or error_class
        raise chosen(
            f"this is not JSON, or half of it ({error}).", place, "Wait for its writer, or mend it."
        ) from error
    except ValueError as error:
        raise error_class(f"this is not JSON ({error}).", place, "Correct it there.") from error


def parse_json(text: str, *, max_depth: int = MAX_JSON_DEPTH) -> Any:
    """Parse JSON text within the bounds of `read_json`.

    Raises:
        UnfinishedJsonError: The text ends in the middle of a value.
        ValueError: It is no JSON, or past a bound.
    """
    _refuse_depth(text, max_depth)
    try:
        found = json.loads(
            text,
            object_pairs_hook=_refuse_repeated_keys,
            parse_int=_bounded_integer,
            parse_float=_finite_float,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        if _ends_too_early(text, error.pos):
            raise UnfinishedJsonError(str(error)) from error
        raise
    if _SURROGATE_ESCAPE.search(text):
        _refuse_half_pairs(found)
    return found


def _ends_too_early(text: str, position: int) -> bool:
    """Whether the parser stopped at the end of the text, or in its last string, which nothing closes."""
    if position >= len(text.rstrip()):
        return True
    closed = 0
    for string in _STRING.finditer(text):
        closed = string.end()
    opened = text.find('"', closed)
    return 0 <= opened <= position


def _refuse_depth(text: str, max_depth: int) -> None:
    """Look at the brackets outside of strings only, and take the innermost pairs away, a level at a time."""
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text))
    for _ in range(max_depth):
        brackets = brackets.replace("[]", "").replace("{}", "")
        if not brackets:
            return
    is_deep = "[]" in brackets or "{}" in brackets
    if is_deep or brackets.count("[") + brackets.count("{") > max_depth:  # what is merely unclosed is the parser's
        raise ValueError(f"nested deeper than {max_depth} levels")


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        repeated, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {repeated!r:.80} is there twice")
    return mapping


def _bounded_integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits, more than {MAX_DIGITS}")
    return int(digits)


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits:.40} is not finite")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _refuse_half_pairs(found: Any) -> None:
    try:
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"a text holds half of a surrogate pair ({error.object[error.start]!a})") from error
