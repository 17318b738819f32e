"""How an answer is written: as the JSON that is asked for, or as the lines of a plain list. Pure.

Asked for is one object per subject, which repeats the subject's name: so an answer about another class is recognised as
what it is. Servers without schema support still often send JSON, in a code fence or after a greeting, so lists under
other keys and bare lists are read, too. A plain list comes as `1. **Long tail**`, as `• "long tail"` or as
`- long_tail,`: every line becomes its bare text and two facts about how it was written; what the line means is decided
in `parsing`.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from coder_core.atg.thought_words import is_reasoning_name

__all__ = ["Block", "Line", "answer_schema", "bare_text", "read_json_blocks", "read_lines", "write_json_answer"]

_MARKERS = re.compile(
    r"""^(?:
      [-\u2010-\u2015•‣\u2043◦▪▫■□●○◆◇·・∙]\s*   # bullets that may touch their text
    | [*+]\s+                          # Markdown's others need a blank: *emphasis*
    | \(?[0-9]{1,3}\)\s*               # 1) and (1)
    | [0-9]{1,3}(?:[.:](?=\s)|[.](?=[^\W\d])|、)\s*   # "1. ", "1: ", "1.text", but not 1.5
    | [0-9]{1,3}\s+[-\u2013\u2014]\s+(?=\D)      # 1 - text, but not 5 - 10 cm
    | \[[ xX]?\]\s+                    # check boxes
    | [①-⑳]\s*
    | \(?[A-Za-z]\)\s+                 # a) and (a)
    )""",
    re.VERBOSE,
)
_HEADING = re.compile(r"^#{1,6}\s+")
_FENCE = re.compile(r"^(?:```|~~~)")
_RULE = re.compile(r"^[-*_=|:\s]{3,}$")
_MARKUP = re.compile(r"[*_`\[]")
_EMPHASIS = re.compile(r"\*\*|__|\*|`")
_LINK = re.compile(r"!?\[([^\[\]]{0,200})\]\([^()]{0,500}\)")
"""Bounded, and without its own brackets inside, so that a line of brackets costs linear time."""
_HTML = re.compile(
    r"</?(?:a|b|br|code|div|em|i|li|mark|ol|p|small|span|strong|sub|sup|u|ul)(?:\s[^<>]{0,200})?/?>", re.IGNORECASE
)
_ANSWER_LABEL = re.compile(r"^(?:A|(?:Final )?(?:Answer|Response|Output))\s*:\s+", re.IGNORECASE)
_QUOTES = {
    "'": "'",
    '"': '"',
    "\u2018": "\u2019",
    "\u201c": "\u201d",
    "\u201e": "\u201c",
    "\u00ab": "\u00bb",
    "\u300c": "\u300d",
    "\u300e": "\u300f",
}
"""Opening sign -> closing sign, in the writing of English, German, French, Russian, Chinese and Japanese."""
_TRAILING = " \t.;,、。"
_WRAPPERS = ("answers", "answer", "final_answer", "final", "response", "output", "result")
"""Keys under which a model puts its answer, beside its thoughts."""
_MAX_MARKERS = 3
"""A line such as `- 1. (a) text` carries three."""


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
    subjects = next((found for key in _WRAPPERS if (found := _nested(value, key)) is not None), value)
    if isinstance(subjects, dict):
        yield from _subject(subjects)
    elif isinstance(subjects, list) and subjects and all(isinstance(item, dict) for item in subjects):
        for subject in subjects:
            yield from _subject(subject)
    else:
        yield from _block("", subjects)


def _nested(value: dict[str, Any] | list[Any], key: str) -> dict[str, Any] | list[Any] | None:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict | list) else None


def _subject(value: dict[str, Any]) -> Iterator[Block]:
    name = value.get("class")
    value = {key: items for key, items in value.items() if not is_reasoning_name(key)}
    lists = (
        [value["items"]]
        if isinstance(value.get("items"), list)
        else [item for item in value.values() if isinstance(item, list)]
    )
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


class Line(NamedTuple):
    """One line of an answer.

    Args:
        text: Without marker, Markdown and quotes, on one line; a headline keeps its colon.
        is_bulleted: Whether it carried a bullet or a number.
        is_heading: Whether it stands above others: a Markdown heading, or it ends in a colon.
    """

    text: str
    is_bulleted: bool
    is_heading: bool


def read_lines(answer: str) -> Iterator[Line]:
    """Split an answer into bare lines; blank lines, rules and code fences are left out."""
    for raw in answer.splitlines():
        stripped = raw.strip().lstrip(">").strip()
        if not stripped or _FENCE.match(stripped) or _RULE.match(stripped):
            continue
        line = _read_line(stripped)
        if line.text:
            yield line


def bare_text(text: str) -> str:
    """Free a text from markers, Markdown, underscores, paired quotes and closing punctuation."""
    return _unquoted(_without_markdown(_without_markers(text.strip())[0]))


def _read_line(stripped: str) -> Line:
    heading = _HEADING.match(stripped)
    text, is_bulleted = _without_markers(stripped[heading.end() :] if heading else stripped)
    plain = _ANSWER_LABEL.sub("", _without_markdown(text))
    is_heading = bool(heading) or plain.endswith(":")
    return Line(plain if is_heading else _unquoted(plain), is_bulleted and not is_heading, is_heading)


def _without_markers(text: str) -> tuple[str, bool]:
    bare = text
    for _ in range(_MAX_MARKERS):
        marker = _MARKERS.match(bare)
        if not marker:
            break
        bare = bare[marker.end() :]
    return bare, len(bare) < len(text)


def _without_markdown(text: str) -> str:
    text = _HTML.sub(" ", text) if "<" in text else text
    plain = _EMPHASIS.sub("", _LINK.sub(r"\1", text)) if _MARKUP.search(text) else text
    return " ".join(plain.replace("_", " ").split())


def _unquoted(text: str) -> str:
    stripped = text.strip(" \t").rstrip(_TRAILING)
    if len(stripped) < 2 or stripped[-1] != _QUOTES.get(stripped[0]):
        return stripped
    inner = stripped[1:-1]
    return stripped if stripped[0] in inner or stripped[-1] in inner else inner.strip().rstrip(_TRAILING)
