"""What a model thought aloud before it answered: told apart from the answer by the marks that models write. Pure.

Reasoning models are asked for a list and send a draft, a doubt and then the list; servers without a parser for that
model pass all of it on. Thoughts come in channels (`channels`), between marks (`thought_marks`) or under headlines
(`thought_words`). What was opened and never closes means that the answer did not begin; and an answer that cannot be
told from thoughts is none: the question is asked again.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from coder_core.atg.channels import final_channel, last_role
from coder_core.atg.names import NameSet
from coder_core.atg.thought_marks import inside_answer_marks, outside_foreign_marks, outside_thought_marks
from coder_core.atg.thought_words import (
    THOUGHT,
    Announcement,
    Role,
    announcement,
    is_item,
    is_monologue,
    is_soliloquy,
    may_announce,
)
from coder_core.llm.faults import Fault, Problem

__all__ = ["without_reasoning"]

_FENCE = re.compile(
    rf"^[ \t]*(`{{3,}}|~{{3,}}|:{{3,}})[ \t]*\{{?\.?{THOUGHT}\b[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
_MAY_BE_MARKED = re.compile(
    r"[<◁`【]|~~~|:::|&lt;|[\[{(]\s?[/\\]|[\[{]/?[tria]|[\[{(*](?:end|stop|start|begin|done|finish|close)|analysis"
    r"|commentary|assistant|a n a l y s i s|c o m m e n t a r y",
    re.IGNORECASE,
)
_WITHIN_LINE = re.compile(
    r"(?<=[.!?:;,)\]\"'*]) +(?=here(?:'s| is| are) my (?:final )?(?:response|answer|thought process|reasoning)\s?:"
    r"|\**final (?:answer|response|output)\**\s?:|\*{1,3}(?:answers|responds|replies|speaks)\*{1,3})",
    re.IGNORECASE,
)
"""Where a new announcement begins on the line of an older one."""
_UNDERLINE = re.compile(r"\s*(?:={3,}|-{3,})\s*$")
_FEW_WORDS = 4
"""A line of more words under a bare "thinking" is no other item of a list without marks."""
_SENTENCE_END = re.compile(r"[.!?][\"')*_\]]*$")
_UNFINISHED = Problem(Fault.CUT_OFF, "the model was still thinking when its answer ended.")
_MIXED = Problem(Fault.UNUSABLE, "what is answer cannot be told from what is thought.")


def without_reasoning(answer: str, names: Sequence[str] = ()) -> str | Problem:
    """Take out what was thought and not answered.

    Args:
        answer: What the model sent.
        names: The classes that were asked about: a headline of one of these names is none of thoughts.

    Returns:
        The answer's own text; or a problem when the text ends before the thinking does, or when the two cannot be told
        apart.
    """
    text: str | None = answer
    if _MAY_BE_MARKED.search(answer):
        text = _outside_marks(answer)
    if text is None:
        return _UNFINISHED
    return _below_headlines(text, NameSet(names)) if may_announce(text) else text


def _outside_marks(answer: str) -> str | None:
    text = final_channel(_without_comments(answer.replace("\u2581", "_")))  # (DeepSeek's blank)
    if text is None or any(not fence[0].rstrip().endswith(fence[1]) for fence in _FENCE.finditer(text)):
        return None
    outside = outside_thought_marks(_FENCE.sub("", text))
    spoken = None if outside is None else last_role(inside_answer_marks(outside))
    return None if spoken is None else outside_foreign_marks(spoken)


def _without_comments(text: str) -> str:
    """Take HTML comments out; one that never closes is text."""
    start, *pieces = text.split("<!--")
    kept = [start]
    for piece in pieces:
        _, closing, rest = piece.partition("-->")
        kept.append(rest if closing else f"<!--{piece}")
    return "".join(kept)


class _Section(NamedTuple):
    """Lines under one announcement; None for what stands under no headline of thoughts or of the answer."""

    role: Role | None
    lines: list[str]

    @property
    def has_list(self) -> bool:
        return any(is_item(line) for line in self.lines)


def _below_headlines(text: str, names: NameSet) -> str | Problem:
    """What stands under the last "Answer:"; without one, what stands above the first headline of thoughts."""
    sections, is_beside_thoughts = _sections(_WITHIN_LINE.sub("\n", text.strip()).splitlines(), names)
    answers = [section for section in sections if section.role is Role.ANSWER and any(map(str.strip, section.lines))]
    roles = [section.role for section in sections]
    if answers:
        lines = answers[-1].lines
    elif Role.THOUGHT in roles:
        before = [section for section in sections[: roles.index(Role.THOUGHT)] if section.has_list]
        if not before:
            return _MIXED
        lines = before[-1].lines
    else:
        lines = [line for section in sections for line in section.lines]
        if is_beside_thoughts and not _is_clear_list(lines):
            return _MIXED
    return _MIXED if _talks_within_list(lines) else "\n".join(lines)


def _sections(lines: Sequence[str], names: NameSet) -> tuple[list[_Section], bool]:
    """Cut a text at its announcements; tells, too, whether a sentence of thoughts was left out."""
    sections = [_Section(None, [])]
    level, is_within_sentence, has_sentences = 0, False, False
    for at, line in enumerate(lines):
        found = announcement(line, is_alone=_is_alone(lines, at))
        if found is not None and (line in names or not (found.is_certain or has_sentences or len(sections) > 1)):
            found = None
        if found is None and sections[-1].role is Role.THOUGHT and _is_own_headline(line, level, names):
            found = Announcement(Role.ANSWER, line, is_certain=True)
        if found is not None and found.role is Role.THOUGHT and (found.is_item or _is_sentence(found)):
            is_within_sentence, has_sentences = not found.is_item, has_sentences or not found.is_item
        elif found is not None:
            sections.append(_Section(found.role, [found.rest] if found.rest else []))
            level, is_within_sentence = found.level, False
        elif not is_within_sentence or is_item(line) or not line.strip():
            is_within_sentence = False
            sections[-1].lines.append(line)
    return sections, has_sentences


def _is_alone(lines: Sequence[str], at: int) -> bool:
    """Whether a line is underlined, a paragraph of its own, or the first above lines that are no words as it is one."""
    above, below = "".join(lines[:at][-1:]), "".join(lines[at + 1 : at + 2])
    is_above_text = at == 0 and (is_item(below) or below.rstrip().endswith(":") or len(below.split()) > _FEW_WORDS)
    return is_above_text or bool(_UNDERLINE.match(below)) or not (above.strip() or below.strip())


def _is_sentence(found: Announcement) -> bool:
    """Whether thoughts begin and end on their line: "Thought: ponds are no feature."."""
    return bool(found.rest) and bool(_SENTENCE_END.search(found.rest))


def _is_own_headline(line: str, level: int, names: NameSet) -> bool:
    """Whether a Markdown headline of a class ends the section of thoughts that stands above it."""
    depth = len(line) - len(line.lstrip("#"))
    return 0 < depth <= level and bool(names.found_in(line))


def _is_clear_list(lines: Sequence[str]) -> bool:
    """Whether there is a list beside a sentence of thoughts, and nothing of the task in it."""
    items = [line for line in lines if is_item(line)]
    return bool(items) and not any(is_soliloquy(line.lstrip(" \t-*+\u2022\u2013")) for line in items)


def _talks_within_list(lines: Sequence[str]) -> bool:
    """Whether the model speaks to itself once a list has begun: then that was a draft, and the next may be one, too."""
    below: Iterator[str] = iter(lines)
    for line in below:
        if is_item(line):
            break
    return any(is_monologue(line) for line in below if not is_item(line))
