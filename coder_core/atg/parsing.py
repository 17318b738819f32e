"""From an answer's raw text to phrases, or to the reason why it has none. Pure.

JSON is tried first, then the plain list. An answer is about the asked class when it says so (the schema and the
worked example make it repeat the name) or says nothing to the contrary; an answer that names another class in the
place of the asked one is refused. Everything is bounded before any pattern looks at it.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from coder_core.atg.answer_formats import Block, Line, read_json_blocks, read_lines
from coder_core.atg.names import NameSet, is_echo, is_same_name
from coder_core.atg.phrase_cleaning import NAME_KINDS, fit_phrases, visible_text
from coder_core.atg.reasoning import without_reasoning
from coder_core.llm.faults import Fault, Problem, bounded
from coder_core.texts.kinds import TextKind

__all__ = ["MAX_ANSWER_CHARACTERS", "NO_OTHERS", "Phrases", "Subject", "parse_answer"]

MAX_ANSWER_CHARACTERS = 20_000
"""A list of 30 phrases of 200 characters has 6,000; more is not an answer to this question."""
MAX_CHARACTERS = 400_000
"""With what was thought before: 32,768 tokens, the longest answer that can be asked for, have about 130,000."""

Phrases = tuple[tuple[str, ...], ...]
"""One list of phrases for each class that was asked about, in the order of the question."""

NO_OTHERS = NameSet(())

_REFUSAL = re.compile(
    r"^(?:I'?\s?a?m sorry|sorry\b|I (?:can ?not|can'?t|won'?t|am (?:not able|unable)|do not feel)|I apologi[sz]e"
    r"|as an ai\b|unfortunately\b)",
    re.IGNORECASE,
)
_CHATTER = re.compile(
    r"^(?:sure|certainly|of course|absolutely|great question|okay|ok|here (?:are|is)|here's|below|the following|note"
    r"|i hope|let me know|please|these|this|in (?:summary|conclusion)|overall|remember|keep in mind|feel free)\b",
    re.IGNORECASE,
)
_NO_SYNONYMS = re.compile(r"^(?:none|no (?:other|common|known|synonyms)|there (?:are|is) no|n/?a\b)", re.IGNORECASE)
_QUESTION = re.compile(r"(?:\?$|^q(?:uestion)?\s*:)", re.IGNORECASE)
_SEPARATORS = re.compile(r"[,;、]\s*(?:and\s+|or\s+)?|\s+and\s+|\s+or\s+")
_POSITIONS = (("first", "a", "1", "class a", "first class", "class 1"), ("second", "b", "2", "class b", "second class"))
_BROKEN = re.compile("[\ud800-\udfff\ufffd]")
"""Half characters, and the sign that stands for bytes that were none."""
_BROKEN_TEXT = Problem(Fault.UNUSABLE, "the answer is no valid UTF-8.")
_COMMENT_WORDS = 12
"""An unmarked line of more words that ends in a period is prose around a list, not an item of it."""


class Subject(NamedTuple):
    """What an answer should be about.

    Args:
        kind: The kind of text.
        names: The class; for one-to-one the two classes, in the order in which they were asked for.
    """

    kind: TextKind
    names: tuple[str, ...]


def parse_answer(answer: str, subject: Subject, *, others: NameSet = NO_OTHERS) -> Phrases | Problem:
    """Read the phrases of an answer.

    Args:
        answer: The model's text.
        subject: What it was asked.
        others: Names of the class list; a plain list under the name of another one is not taken.

    Returns:
        One tuple of phrases per asked class, none of them empty (a class may have no synonyms), or what is wrong.
    """
    if len(answer) > MAX_CHARACTERS:
        return Problem(Fault.TOO_LONG, f"{len(answer)} characters, at most {MAX_CHARACTERS} are looked at.")
    if not answer.isascii() and _BROKEN.search(answer):
        return _BROKEN_TEXT
    text = without_reasoning(visible_text(answer), subject.names)
    if isinstance(text, Problem):
        return text
    if len(text) > MAX_ANSWER_CHARACTERS:
        return Problem(Fault.TOO_LONG, f"{len(text)} characters, at most {MAX_ANSWER_CHARACTERS} are read.")
    found = read_json_blocks(text)
    blocks = _plain_blocks(list(read_lines(text)), subject.kind) if found is None else found
    if isinstance(blocks, Problem):
        return blocks
    if "\\u" in answer and any(_BROKEN.search(item) for block in blocks for item in block.items):
        return _BROKEN_TEXT
    chosen = _choose(blocks, subject, others)
    return chosen if isinstance(chosen, Problem) else _fit(chosen, subject, text)


def _fit(lists: tuple[tuple[str, ...], ...], subject: Subject, text: str) -> Phrases | Problem:
    phrases = tuple(fit_phrases(items, subject.kind, names=subject.names) for items in lists)
    if subject.kind is TextKind.SYNONYM or all(phrases):
        return phrases
    return Problem(Fault.UNUSABLE, f"no list is in the answer {bounded(text, 80)!r}.")


def _plain_blocks(lines: list[Line], kind: TextKind) -> tuple[Block, ...] | Problem:
    lines = [line for line in lines if not _QUESTION.search(line.text)]
    if any(line.is_bulleted for line in lines):
        return tuple(_group(lines))
    if lines and _REFUSAL.match(lines[0].text):
        return Problem(Fault.REFUSAL, bounded(lines[0].text))
    if kind is TextKind.SYNONYM and any(_NO_SYNONYMS.match(line.text) for line in lines):
        return (Block("", ()),)
    return tuple(block for block in _group(_unmarked_items(lines, kind)) if block.items)


def _unmarked_items(lines: list[Line], kind: TextKind) -> list[Line]:
    """Take the lines of a list without bullets for items, and one line of names for its names."""
    lines = [line for line in lines if line.is_heading or not _is_comment(line.text)]
    items = [line.text for line in lines if not line.is_heading]
    if len(items) == 1 and kind in NAME_KINDS:
        return [Line(name, is_bulleted=True, is_heading=False) for name in _split_names(items[0])]
    if len(items) == 1 and kind is not TextKind.ONE_TO_ONE:
        return []
    return [line._replace(is_bulleted=not line.is_heading) for line in lines]


def _split_names(line: str) -> list[str]:
    return _SEPARATORS.split(re.split(r":\s*", line)[-1])


def _is_comment(text: str) -> bool:
    return bool(_CHATTER.match(text)) or len(text.split()) > _COMMENT_WORDS


def _group(lines: list[Line]) -> Iterator[Block]:
    header, items = "", list[str]()
    for line in lines:
        if line.is_heading:
            yield Block(header, tuple(items))
            header, items = line.text, []
        elif line.is_bulleted:
            items.append(line.text)
    yield Block(header, tuple(items))


def _choose(blocks: tuple[Block, ...], subject: Subject, others: NameSet) -> tuple[tuple[str, ...], ...] | Problem:
    if not any(block.items for block in blocks):
        has_nothing = subject.kind is TextKind.SYNONYM and bool(blocks)
        return ((),) if has_nothing else Problem(Fault.UNUSABLE, "there is no list in the answer.")
    if len(subject.names) == 1:
        return _choose_one(blocks, subject.names[0], others)
    return _choose_two(blocks, subject.names)


def _choose_one(blocks: tuple[Block, ...], name: str, others: NameSet) -> tuple[tuple[str, ...], ...] | Problem:
    """Join the lists of the class; lists under the names of other classes are left out."""
    joined: list[str] = []
    foreign = ""
    is_own = True
    for block in blocks:
        if block.header:
            is_own = _is_about(block, name, others, is_own=is_own)
        if is_own:
            joined.extend(block.items)
        elif block.items:
            foreign = block.header
    if foreign and not joined:
        return Problem(Fault.WRONG_CLASS, f"asked about {name!r}, the answer is about {bounded(foreign, 80)!r}.")
    return (tuple(joined),)


def _is_about(block: Block, name: str, others: NameSet, *, is_own: bool) -> bool:
    if block.is_echo:
        return is_same_name(name, block.header) or (block.header not in others and is_echo(name, block.header))
    if NameSet((name,)).found_in(block.header):
        return True
    if [found for found in others.found_in(block.header) if found != NameSet.key(name)]:
        return False
    return is_own


def _choose_two(blocks: tuple[Block, ...], names: tuple[str, ...]) -> tuple[tuple[str, ...], ...] | Problem:
    lists: list[list[str]] = [[] for _ in names]
    current: int | None = None
    for block in blocks:
        if block.header:
            current = _position(block, names, current)
        if current is not None:
            lists[current].extend(block.items)
    if all(lists):
        return tuple(tuple(items) for items in lists)
    missing = " and ".join(repr(name) for name, items in zip(names, lists, strict=True) if not items)
    fault = Fault.UNUSABLE if any(lists) else Fault.WRONG_CLASS
    return Problem(fault, f"there is no list for {missing} in the answer.")


def _position(block: Block, names: tuple[str, ...], current: int | None) -> int | None:
    """Which of two classes a headline speaks of: the one it names first, or `first`, or `A`."""
    if block.is_echo:
        tests = (is_same_name, is_echo)
        matches = (place for test in tests for place, name in enumerate(names) if test(name, block.header))
        return next(matches, None)
    found = NameSet(names).found_in(block.header)
    keys = [NameSet.key(name) for name in names]
    if found:
        return keys.index(found[0])
    header = block.header.casefold().strip(" :")
    return next((position for position, words in enumerate(_POSITIONS) if header in words), current)
