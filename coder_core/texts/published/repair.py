"""Repair one published phrase, or say why it is dropped: pure string work, one small function per rule.

Every pattern below was written for something found in published files: "It is a seabird." (VCD's CUB), "which has It
...", "A Birman is a long-haired cat" (CuPL), "Generally darker in colorationFor matted:", "Samoyeds are visually
similar to:", "I'm sorry, but I'm not familiar with the term". Repairs only ever cut at the ends; no word is added.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from coder_core.classes import display_name
from coder_core.texts.kinds import TextKind
from coder_core.texts.published.matching import loose_key
from coder_core.texts.published.rules import Rule

__all__ = ["Repaired", "clean_text", "repair_phrase"]

NOUN_PHRASE_KINDS = frozenset({TextKind.ATTRIBUTE, TextKind.ONE_TO_ONE})
NAME_KINDS = frozenset({TextKind.SYNONYM, TextKind.ANALOGOUS_CLASS})
MAX_NAME_WORDS = 12
"""A name of more words is a sentence: the longest class name of the 13 published files has 9."""

_ADVERB = (
    r"(?:usually|often|typically|generally|sometimes|commonly|normally|mostly|also|may|can|might|could|will|should)"
)
_HAS = r"(?:has|have|having|features?)"
_IS = r"(?:is|are|be|looks?\s+like)"
_VERB = rf"(?:{_ADVERB}\s+)*(?:(?P<has>{_HAS})|(?P<is>{_IS}))\s+"
_PRONOUN = re.compile(rf"(?:which|that|it|they|this|these|there|he|she)\s+{_VERB}", re.IGNORECASE)
_BARE_HAS = re.compile(rf"(?:(?:{_ADVERB}\s+)*(?:has|have|having)|with)\s+", re.IGNORECASE)
_BEFORE_NAME = re.compile(r"(?:(?:an?|the|this|these|most|many|some|typical|adult|pet)\s+){0,3}['\"]?", re.IGNORECASE)
_CATEGORY = r"(?:aircraft|birds?|breeds?|cats?|dogs?|fish|flowers?|planes?|plants?|surfaces?|textures?)"
_AFTER_NAME = re.compile(rf"(?:e?s)?['\"]?\s+(?:{_CATEGORY}\s+)?{_VERB}", re.IGNORECASE)
_ARTICLE = re.compile(r"(?:an?|the|one|two|three|four)\s", re.IGNORECASE)

_LIST_MARKER = re.compile(r"(?:[-*•·–]|\d{1,2}[.)])\s+")  # noqa: RUF001 - the dash that language models write
_GLUED_OPENER = re.compile(r"(?<=[a-z0-9.)\]])(?:For|Overall|These|Please|Note|However|Q:)(?=[ :,]).*$", re.DOTALL)
_GLUED_HEADING = re.compile(r"(?<=[a-z.)])[A-Z][\w ,'-]{0,60}:$")
_RAGGED_END = re.compile(r"[\s,;:\-–]+$")  # noqa: RUF001

_CHAT = re.compile(
    r"\bI'?m sorry\b|\bI apologi[sz]e\b|\bas an AI\b|\blanguage model\b|\bcould you (?:please )?(?:provide|clarify)\b"
    r"|\bplease (?:note|provide|clarify)\b|\bhere(?:'s| are| is) (?:some|a|an|another|the|two|six|more)\b"
    r"|\balready been mentioned\b|\bchallenging to (?:find|provide)\b|\ba photo (?:can|could|may|would) |\bQ:"
    r"|\bvisual features (?:that|for|of|may|include|could)\b"
    r"|\b(?:useful|some|following|several|these|certain|key) visual features\b",
    re.IGNORECASE,
)
_NO_NOUN_PHRASE = re.compile(
    rf"(?i:(?:which|that|it|they|there|he|she)\s+(?:{_ADVERB}\s+)*[a-z]+\s)"
    rf"|(?i:(?:{_ADVERB}|{_IS})\s)"
    r"|(?i:(?:its|their)\s+(?:[\w-]+\s+){1,2}(?:is|are|has|have)\s)"
    r"|[A-Z].*\b(?:is|are|has|have)\b.*\.$",
    re.DOTALL,
)
"""In this order: a subject without "has" or "is", a verb or adverb in front, "their wings have", a whole sentence."""


class Repaired(NamedTuple):
    """What became of a phrase.

    Args:
        phrase: The phrase to keep; None when it is dropped.
        rules: Every rule that applied, in order; a dropped phrase's last one says why.
    """

    phrase: str | None
    rules: tuple[Rule, ...] = ()


def clean_text(text: str, kind: TextKind) -> str:
    """Strip the ends, make runs of white space one blank, and in names make underscores blanks."""
    return display_name(text) if kind in NAME_KINDS else " ".join(text.split())


def repair_phrase(text: str, kind: TextKind, class_name: str) -> Repaired:
    """Bring a published phrase into the form that the sentences expect.

    Args:
        text: The phrase as found.
        kind: What kind of phrase it is to be.
        class_name: The class it is about.

    Returns:
        The phrase and the rules that applied; a phrase that needed nothing has none.
    """
    phrase, rules = clean_text(text, kind), list[Rule]()
    for rule, repair in _REPAIRS:
        repaired = repair(phrase)
        if repaired != phrase:
            phrase = clean_text(repaired, kind)
            rules.append(rule)
    if reason := _reason_to_drop(phrase, kind, class_name):
        return Repaired(None, (*rules, reason))
    if (trimmed := _RAGGED_END.sub("", phrase)) != phrase:
        phrase = trimmed
        rules.append(Rule.RAGGED_END)
    if kind in NOUN_PHRASE_KINDS:
        phrase, found = _as_noun_phrase(phrase, display_name(class_name))
        rules.extend(found)
    return Repaired(phrase, tuple(rules))


def _without_unprintable(phrase: str) -> str:
    if phrase.isprintable():
        return phrase
    return "".join(" " if unicodedata.category(char) in {"Cc", "Cs"} else char for char in phrase)


def _without_marker(phrase: str) -> str:
    return _LIST_MARKER.sub("", phrase, count=1) if _LIST_MARKER.match(phrase) else phrase


def _without_glued_comment(phrase: str) -> str:
    return _GLUED_HEADING.sub("", _GLUED_OPENER.sub("", phrase))


_REPAIRS: tuple[tuple[Rule, Callable[[str], str]], ...] = (
    (Rule.UNPRINTABLE, _without_unprintable),
    (Rule.LIST_MARKER, _without_marker),
    (Rule.GLUED_COMMENT, _without_glued_comment),
)


def _reason_to_drop(phrase: str, kind: TextKind, class_name: str) -> Rule | None:
    if not any(map(str.isalnum, phrase)):
        return Rule.BLANK
    if _CHAT.search(phrase):
        return Rule.CHAT
    if phrase.endswith(":"):
        return Rule.LEAD_IN
    if kind not in NAME_KINDS:
        return None
    if loose_key(phrase) == loose_key(class_name):
        return Rule.OWN_NAME
    return Rule.CHAT if len(phrase.split()) > MAX_NAME_WORDS else None


def _as_noun_phrase(phrase: str, class_name: str) -> tuple[str, tuple[Rule, ...]]:
    """Cut "it has" and its like off the front ("which has It is" in two steps); flag what still is no noun phrase."""
    rest, is_adjective = phrase, False
    while (subject := _find_subject(rest, class_name)) is not None:
        rest = rest[subject.end() :]
        is_adjective = bool(subject.groupdict().get("is")) and not _ARTICLE.match(rest)
    cuts = (Rule.SUBJECT_AND_VERB,) if rest != phrase else ()
    flags = (Rule.NOT_A_NOUN_PHRASE,) if is_adjective or _NO_NOUN_PHRASE.match(rest) else ()
    return rest, (*cuts, *flags)


def _find_subject(phrase: str, class_name: str) -> re.Match[str] | None:
    """The match that ends where a subject and its verb end; None where nothing would be left after it."""
    match = _PRONOUN.match(phrase) or _BARE_HAS.match(phrase)
    if match is None:
        name = re.search(re.escape(class_name), phrase, re.IGNORECASE)
        if name and _BEFORE_NAME.fullmatch(phrase, 0, name.start()):
            match = _AFTER_NAME.match(phrase, name.end())
    return match if match and phrase[match.end() :].strip(" .") else None
