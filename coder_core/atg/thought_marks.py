"""Marks around thoughts and around answers: paired signs in a text, whatever brackets and words they are made of. Pure.

`<think>` (DeepSeek, Qwen), `<seed:think>`, `[THINK]` (Mistral), `◁think▷` (Kimi), `<|START_THINKING|>` (Cohere),
`<?thinking?>`, `[end of thoughts]`, `<unused94>` (Gemma): known by their shape, a word for thinking in brackets. Of an
opening mark that chat templates put into the prompt only the closing one arrives: then all before it was thought.
Models also have marks of their own making, in any language (`<strategy>...</strategy>`): what such a pair encloses is
no answer when a list stands outside of it; where nothing else is there, it encloses the answer. Marks of HTML and of
Markdown only dress it.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from coder_core.atg.thought_words import THOUGHT

__all__ = ["inside_answer_marks", "outside_foreign_marks", "outside_thought_marks"]

_ANSWER = r"(?:(?:final[_ -]?)?(?:answer|response|output|solution|result|reply)|final)"
_EDGE = r"(?:[_ -](?:start|begin|end(?:s|ed)?|over|done|complete|finished))?"
_SIDE = r"(?:[/\\]|(?:begin|start|end|stop|done|finish(?:ed)?|close)[_ ](?:of[_ ])?(?:the[_ ]|my[_ ])?)?"
_SIGNS = r"[|?!%$~@#=:]{0,2}"


def _marks(word: str) -> str:
    """The shapes of a mark around a word."""
    inside = rf"\s{{0,3}}{_SIDE}\s{{0,3}}{_SIGNS}\s{{0,3}}(?:[a-z]\w{{0,20}}:)?{word}{_EDGE}"
    return rf"(?:(?:<|&lt;){_SIGNS}{inside}(?:\s[^<>]{{0,200}})?/?{_SIGNS}(?:>|&gt;)|◁{inside}\s{{0,3}}▷)"


_BRACKETED = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|(?:inner|internal)[ _-]\w{1,20})"
_ENDED = r"(?:ends?|stops?|done|finish(?:es|ed)?|close)[_ ](?:of[_ ])?(?:the[_ ]|my[_ ])?"
_THOUGHT_MARK = re.compile(
    rf"{_marks(THOUGHT)}|(?:\\(?:begin|end))?[\[{{【]{{1,2}}{_SIDE}{_BRACKETED}{_EDGE}[\]}}】]{{1,2}}"
    rf"|[(*]{{1,3}}{_ENDED}{_BRACKETED}[)*]{{1,3}}|</?details(?:\s[^<>]{{0,200}})?>"
    r"|<\|inner_(?:prefix|suffix)\|>|<unused9[45]>|<\|channel>\s{0,3}(?:thought|analysis)\b|<channel\|>",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"^(?:&lt;|\W){0,7}(?:[/\\](?!begin)|end|stop|done|finish|close)"
    r"|[_ -](?:end(?:s|ed)?|over|done|complete|finished)\W*$"
    r"|suffix|unused95|^<channel\|>",
    re.IGNORECASE,
)
_EMPTY = re.compile(r"/\|?(?:>|&gt;)$")
_INSTRUCTION = re.compile(rf"<\?\s{{0,3}}{THOUGHT}\s[^<>?]*\?>", re.IGNORECASE)
"""Thoughts inside of a mark: `<?thinking I should not mention its habitat ?>`."""
_ANSWER_MARK = re.compile(_marks(_ANSWER), re.IGNORECASE)

_DRESS = frozenset(
    (
        *("a", "abbr", "b", "big", "blockquote", "body", "br", "center", "cite", "code", "dd"),
        *("del", "dfn", "div", "dl", "dt", "em", "font", "h1", "h2", "h3", "h4"),
        *("h5", "h6", "head", "hr", "html", "i", "img", "ins", "kbd", "li", "main"),
        *("mark", "ol", "p", "pre", "q", "s", "samp", "section", "small", "span", "strike"),
        *("strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "tt", "u"),
        *("ul", "var"),
    )
)
_FOREIGN_NAME = r"(?P<name>[^\W\d_][\w .:-]{0,40}?)"
_FOREIGN_OPENING = re.compile(
    rf"[<\[{{【(]{{1,3}}\s{{0,2}}{_FOREIGN_NAME}(?:\s[^<>\[\]{{}}]{{0,100}}=[^<>\[\]{{}}]{{0,100}})?\s{{0,2}}[>\]}}】)]{{1,3}}"
)
_FOREIGN_CLOSING = re.compile(rf"[<\[{{【(]{{1,3}}\s{{0,2}}[/\\]\s{{0,2}}{_FOREIGN_NAME}\s{{0,2}}[>\]}}】)]{{1,3}}")
_LONE_OPENING = re.compile(rf"^\s*[<【]{_FOREIGN_NAME}[>】]\s*\n")
_LISTS = re.compile(
    r"(?:\w+[ _-])?(?:list|items?|(?:class|other)?[ _-]?names?|class(?:es)?|attributes?|features?|descriptions?"
    r"|phrases?|synonyms?|analog\w*|similar\w*|result\w*|json)$",
    re.IGNORECASE,
)
"""Names of marks that enclose an answer, also where a server cut the closing one off."""
_ITEM = re.compile(r"^\s{0,8}(?:[-*\u2022\u2013+]\s|\d{1,2}[.)]\s|[{\[]\s{0,8}[\"{\[])", re.MULTILINE)
_FEWEST_LINES = 2
"""Lines without a mark of a list that are taken for one."""


class _Mark(NamedTuple):
    """An opening or closing mark; only one of the same name closes what one has opened."""

    start: int
    end: int
    name: str
    is_closing: bool


def outside_thought_marks(text: str) -> str | None:
    """The text outside of all marks of thoughts; None when the last one never closes."""
    bare = _THOUGHT_MARK.sub(lambda mark: "" if _EMPTY.search(mark[0]) else mark[0], _INSTRUCTION.sub("", text))
    found = _THOUGHT_MARK.finditer(bare)
    return _outside(bare, [_Mark(*mark.span(), "", bool(_CLOSING.search(mark[0]))) for mark in found])


def outside_foreign_marks(text: str) -> str | None:
    """The text outside of pairs of unknown marks, where an answer stands there; None when a lone one never closes."""
    closings = [mark for mark in _FOREIGN_CLOSING.finditer(text) if _is_foreign(mark["name"])]
    if not closings:
        opening = _LONE_OPENING.match(text)
        return None if opening and _is_foreign(opening["name"]) else text
    last = {mark["name"]: mark.start() for mark in closings}
    openings = [mark for mark in _FOREIGN_OPENING.finditer(text) if mark.end() <= last.get(mark["name"], -1)]
    marks = [_Mark(*mark.span(), mark["name"], is_closing=False) for mark in openings]
    marks += [_Mark(*mark.span(), mark["name"], is_closing=True) for mark in closings]
    outside = _outside(text, sorted(marks)) or ""
    lines = [line for line in outside.splitlines() if line.strip()]
    return outside if _ITEM.search(outside) or len(lines) >= _FEWEST_LINES else text


def inside_answer_marks(text: str) -> str:
    """What stands between the marks of an answer, where there are any."""
    marks = list(_ANSWER_MARK.finditer(text))
    starts = [mark.end() for mark in marks if not _CLOSING.search(mark[0])]
    if not starts:
        return _ANSWER_MARK.sub("", text)
    ends = [mark.start() for mark in marks if _CLOSING.search(mark[0])] + [len(text)]
    return "\n".join(_ANSWER_MARK.sub("", text[start : min(end for end in ends if end >= start)]) for start in starts)


def _outside(text: str, marks: Sequence[_Mark]) -> str | None:
    """The text outside of all pairs; None when the last opening mark has no closing one."""
    kept: list[str] = []
    position, opened = 0, None
    for mark in marks:
        if not mark.is_closing:
            if opened is None:
                kept.append(text[position : mark.start])
                opened = mark
            continue
        if opened is not None and opened.name != mark.name:
            continue
        if opened is None:  # its opening mark was part of the prompt: all before it was thought
            kept = []
        kept.append("\n" if "\n" in text[0 if opened is None else opened.start : mark.start] else " ")
        position, opened = mark.end, None
    return None if opened is not None else "".join([*kept, text[position:]])


def _is_foreign(name: str) -> bool:
    return name.lower() not in _DRESS and not _LISTS.match(name)
