"""Marks that are in no list of ours, judged by how they stand: `<strategy>...</strategy>` before the list. Pure.

Models are trained with marks of their own making, in any language, and servers let tokens of chat templates through.
Whatever a pair of marks encloses is no answer when a list stands outside of it; where nothing else is there, the marks
enclose the answer. Marks of HTML and of Markdown only dress it.
"""

import re

__all__ = ["without_foreign_marks"]

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
_NAME = r"(?P<name>[^\W\d_][\w .:-]{0,40}?)"
_OPENING = re.compile(
    rf"[<\[{{【(]{{1,3}}\s{{0,2}}{_NAME}(?:\s[^<>\[\]{{}}]{{0,100}}=[^<>\[\]{{}}]{{0,100}})?\s{{0,2}}[>\]}}】)]{{1,3}}"
)
_CLOSING = re.compile(rf"[<\[{{【(]{{1,3}}\s{{0,2}}[/\\]\s{{0,2}}{_NAME}\s{{0,2}}[>\]}}】)]{{1,3}}")
_LONE_OPENING = re.compile(rf"^\s*[<【]{_NAME}[>】]\s*\n")
_LISTS = re.compile(
    r"(?:\w+[ _-])?(?:list|items?|(?:class|other)?[ _-]?names?|class(?:es)?|attributes?|features?|descriptions?"
    r"|phrases?|synonyms?|analog\w*|similar\w*|result\w*|json)$",
    re.IGNORECASE,
)
"""Names of marks that enclose an answer, also where a server cut the closing one off."""
_TOKEN = re.compile(r"<\|/?[\w ./:-]{1,40}\|>")
"""A sign of a chat template, where a server writes it out: `<|im_start|>think`, `<|end_of_role|>`."""
_ROLE = re.compile(r"^\s{0,3}(?:assistant|answer|final|response|output|bot|model)\s*(?:\n|$)", re.IGNORECASE)
_ITEM = re.compile(r"^\s{0,8}(?:[-*\u2022\u2013+]\s|\d{1,2}[.)]\s|[{\[]\s{0,8}[\"{\[])", re.MULTILINE)
_FEWEST_LINES = 2
"""Lines without a mark of a list that are taken for one."""


def without_foreign_marks(text: str, *, is_thought: "re.Pattern[str]") -> str | None:
    """Leave out what unknown marks enclose, where an answer stands outside of them.

    Args:
        text: An answer without the marks that are known.
        is_thought: Matches the first word of a part of a chat template that is no answer.

    Returns:
        The rest; None when what was opened never closes.
    """
    spoken = _last_part(text, is_thought)
    return None if spoken is None else _outside_pairs(spoken)


def _last_part(text: str, is_thought: "re.Pattern[str]") -> str | None:
    """What stands behind the last token of a chat template that anything stands behind."""
    parts = [part for part in _TOKEN.split(text) if part.strip()]
    if len(parts) == 1 and not _TOKEN.search(text):
        return text
    last = parts[-1] if parts else ""
    return None if is_thought.match(last.strip()) else _ROLE.sub("", last)


def _outside_pairs(text: str) -> str | None:
    closings = [mark for mark in _CLOSING.finditer(text) if _is_foreign(mark["name"])]
    if not closings:
        opening = _LONE_OPENING.match(text)
        return None if opening and _is_foreign(opening["name"]) else text
    kept, position = "", 0
    for closing in closings:
        before = text[position : closing.start()]
        opening = next((mark for mark in _OPENING.finditer(before) if mark["name"] == closing["name"]), None)
        kept += before[: opening.start()] if opening else ""  # (its opening mark may have stayed in the prompt)
        position = closing.end()
    after = text[position:]
    lines = [line for line in after.splitlines() if line.strip()]
    return kept + after if _ITEM.search(kept + after) or len(lines) >= _FEWEST_LINES else text


def _is_foreign(name: str) -> bool:
    return name.lower() not in _DRESS and not _LISTS.match(name)
