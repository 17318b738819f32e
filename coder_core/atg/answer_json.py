"""Structured answers: the schema that is asked for, and what comes back instead. Pure.

Asked for is one object per subject, which repeats the subject's name: so an answer about another class is seen for what
it is. Servers without schema support still often send JSON, in a code fence or after a greeting, so lists under other
keys and bare lists are read, too.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["Block", "answer_schema", "read_json_blocks", "write_json_answer"]


class Block(NamedTuple):
    """One list of an answer and the words that stand above it.

    Args:
        header: The subject as the answer names it, or a headline; empty when there is none.
        items: The list, as found.
        is_echo: Whether the header must be the subject's name, because the schema says so.
    """

    header: str
    items: tuple[str, ...]
    is_echo: bool = False


def answer_schema(subject_count: int) -> dict[str, Any]:
    """Return the JSON schema of an answer about one class or about two, for `response_format`.

    It keeps to what every server's grammar knows: objects, arrays and strings, no lengths and no patterns.
    """
    subject = _object({"class": {"type": "string"}, "items": {"type": "array", "items": {"type": "string"}}})
    schema = subject if subject_count == 1 else _object({"answers": {"type": "array", "items": subject}})
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


def write_json_answer(blocks: tuple[Block, ...]) -> str:
    """Write an answer as the schema wants it: the worked example of a structured question."""
    subjects = [{"class": block.header, "items": list(block.items)} for block in blocks]
    return json.dumps(subjects[0] if len(subjects) == 1 else {"answers": subjects}, ensure_ascii=False)


def read_json_blocks(answer: str) -> tuple[Block, ...] | None:
    """Find the lists of a JSON answer.

    Returns:
        The lists; none when there is JSON of another shape; None when the answer is no JSON at all.
    """
    for piece in _json_pieces(answer):
        try:
            value = json.loads(piece)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, str):
            return None
        return tuple(_blocks(value)) if isinstance(value, dict | list) else ()
    return None


def _json_pieces(answer: str) -> Iterator[str]:
    """What may be the JSON of an answer: all of it, then what stands between its outermost brackets."""
    stripped = answer.strip()
    yield stripped
    for opening, closing in (("{", "}"), ("[", "]")):
        start, end = stripped.find(opening), stripped.rfind(closing)
        if 0 <= start < end and stripped[start + 1 : end].strip()[:1] in {'"', "{", "[", "}", "]", ""}:
            yield stripped[start : end + 1]


def _blocks(value: dict[str, Any] | list[Any]) -> Iterator[Block]:
    subjects = value.get("answers", value) if isinstance(value, dict) else value
    if isinstance(subjects, dict):
        yield from _subject(subjects)
    elif isinstance(subjects, list) and subjects and all(isinstance(item, dict) for item in subjects):
        for subject in subjects:
            yield from _subject(subject)
    else:
        yield from _block("", subjects)


def _subject(value: dict[str, Any]) -> Iterator[Block]:
    name = value.get("class")
    lists = [items for items in value.values() if isinstance(items, list)]
    if isinstance(name, str) and len(lists) == 1:
        yield from _block(name, lists[0], is_echo=True)
        return
    for key, items in value.items():
        yield from _block(key, items)


def _block(header: str, items: Any, *, is_echo: bool = False) -> Iterator[Block]:
    if isinstance(items, list) and all(isinstance(item, str) for item in items):
        yield Block(header, tuple(items), is_echo=is_echo and bool(header))


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
