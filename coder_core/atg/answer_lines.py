"""The lines of a plain answer, freed from numbering, bullets, Markdown and quotes. Pure.

A language model's list comes as `1. **Long tail**`, as `• "long tail"` or as `- long_tail,`. Here every line
becomes its bare text and two facts about how it was written; what the line means is decided in `parsing`.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Line", "bare_text", "read_lines"]

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
_ANSWER_LABEL = re.compile(r"^(?:A|Answer)\s*:\s+", re.IGNORECASE)
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
_MAX_MARKERS = 3
"""A line such as `- 1. (a) text` carries three."""


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
    plain = _EMPHASIS.sub("", _LINK.sub(r"\1", text)) if _MARKUP.search(text) else text
    return " ".join(plain.replace("_", " ").split())


def _unquoted(text: str) -> str:
    stripped = text.strip(" \t").rstrip(_TRAILING)
    if len(stripped) < 2 or stripped[-1] != _QUOTES.get(stripped[0]):
        return stripped
    inner = stripped[1:-1]
    return stripped if stripped[0] in inner or stripped[-1] in inner else inner.strip().rstrip(_TRAILING)
