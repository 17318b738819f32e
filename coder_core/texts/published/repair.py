"""Repair one published phrase, or tell why it is dropped: pure string work, one small function per rule.

A phrase is to stand in "{class} which has {attribute}" or "Because of {phrase}, {class} is different from {rival}", so
attributes and one-to-one phrases should be noun phrases. What can be brought to one mechanically is repaired, what
cannot is kept and flagged, what describes nothing (a chat model talking about its answer) is dropped. Whole sentences
stay as they are.

Every pattern below was written for something found in published files: "It is a seabird." (VCD's CUB), "which has It
...", "A Birman is a long-haired cat" (CuPL), "Generally darker in colorationFor matted:", "Samoyeds are visually
similar to:", "I'm sorry, but I'm not familiar with the term". Repairs only ever cut at the ends; no word is added. Each
takes time in proportion to the phrase, however it was made up.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

from coder_core.classes import display_name
from coder_core.texts.bank import PhraseKind
from coder_core.texts.mentions import is_named
from coder_core.texts.published.name_matching import loose_key

__all__ = ["RULES", "Action", "Repaired", "Rule", "RuleText", "clean_text", "repair_phrase"]


class Action(StrEnum):
    """What was done with a phrase."""

    DROPPED = "dropped"
    REPAIRED = "repaired"
    FLAGGED = "flagged"


class Rule(StrEnum):
    """Why it was done."""

    BLANK = "blank"
    NOT_TEXT = "not_text"
    DUPLICATE = "duplicate"
    CHAT = "chat"
    LEAD_IN = "lead_in"
    OWN_NAME = "own_name"
    UNPRINTABLE = "unprintable"
    LIST_MARKER = "list_marker"
    GLUED_COMMENT = "glued_comment"
    SUBJECT_AND_VERB = "subject_and_verb"
    RAGGED_END = "ragged_end"
    NOT_A_NOUN_PHRASE = "not_a_noun_phrase"
    UNNAMED = "unnamed"


class RuleText(NamedTuple):
    """What a rule does, and its explanation for a person."""

    action: Action
    explanation: str


RULES: Mapping[Rule, RuleText] = {
    Rule.BLANK: RuleText(Action.DROPPED, "no letter and no digit"),
    Rule.NOT_TEXT: RuleText(Action.DROPPED, "not a text but a number, a list or nothing"),
    Rule.DUPLICATE: RuleText(Action.DROPPED, "the same phrase was there already, up to case"),
    Rule.CHAT: RuleText(Action.DROPPED, "a language model talking about its answer, not a description"),
    Rule.LEAD_IN: RuleText(Action.DROPPED, "a heading or an announcement that ends in a colon"),
    Rule.OWN_NAME: RuleText(Action.DROPPED, "the class named as its own synonym or analogue"),
    Rule.UNPRINTABLE: RuleText(Action.REPAIRED, "control characters and broken Unicode removed"),
    Rule.LIST_MARKER: RuleText(Action.REPAIRED, "a bullet or number in front removed"),
    Rule.GLUED_COMMENT: RuleText(Action.REPAIRED, "a comment or heading glued to the end removed"),
    Rule.SUBJECT_AND_VERB: RuleText(Action.REPAIRED, "'it has', 'they are', '{class} has' in front removed"),
    Rule.RAGGED_END: RuleText(Action.REPAIRED, "a comma, semicolon, colon or dash at the end removed"),
    Rule.NOT_A_NOUN_PHRASE: RuleText(Action.FLAGGED, "kept, but reads badly after '{class} which has'"),
    Rule.UNNAMED: RuleText(Action.FLAGGED, "kept, but a whole sentence that does not name its class"),
}
"""Every rule, in the order in which a report lists them."""

_NOUN_PHRASE_KINDS = frozenset({PhraseKind.ATTRIBUTE, PhraseKind.ONE_TO_ONE})
_NAME_KINDS = frozenset({PhraseKind.SYNONYM, PhraseKind.ANALOGOUS_CLASS})
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
_LONGEST_BEFORE_NAME = len("typical typical typical '")

_LIST_MARKER = re.compile(r"(?:[-*•·–]|\d{1,2}[.)])\s+")  # noqa: RUF001 - the dash that language models write
_GLUED_OPENER = re.compile(r"(?<=[a-z0-9.)\]])(?:For|Overall|These|Please|Note|However|Q:)(?=[ :,]).*$", re.DOTALL)
_GLUED_HEADING = re.compile(r"(?<=[a-z.)])[A-Z][\w ,'-]{0,60}:$")
_RAGGED_END = " ,;:-\N{EN DASH}"

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
    r"|(?i:(?:its|their)\s+(?:[\w-]+\s+){1,2}(?:is|are|has|have)\s)",
)
"""In this order: a subject without "has" or "is", a verb or adverb in front, "their wings have"."""
_SENTENCE_VERB = re.compile(r"\b(?:is|are|has|have)\b")


class Repaired(NamedTuple):
    """What became of a phrase.

    Args:
        phrase: The phrase to keep; None when it is dropped.
        rules: Every rule that applied, in order; a dropped phrase's last one says why.
    """

    phrase: str | None
    rules: tuple[Rule, ...] = ()


def clean_text(text: str, kind: PhraseKind) -> str:
    """Strip the ends, make runs of white space one blank, and in names make underscores blanks."""
    return display_name(text) if kind in _NAME_KINDS else " ".join(text.split())


def repair_phrase(text: str, kind: PhraseKind, class_name: str) -> Repaired:
    """Bring a published phrase into the form that the sentences expect.

    Args:
        text: The phrase as found.
        kind: What kind of phrase it is to be.
        class_name: The class it is about.

    Returns:
        The phrase and the rules that applied; a phrase that needed nothing has none.
    """
    if kind is PhraseKind.SENTENCE:
        return _keep_sentence(text, class_name)
    phrase, rules = clean_text(text, kind), list[Rule]()
    for rule, repair in _REPAIRS:
        repaired = repair(phrase)
        if repaired != phrase:
            phrase = clean_text(repaired, kind)
            rules.append(rule)
    if reason := _reason_to_drop(phrase, kind, class_name):
        return Repaired(None, (*rules, reason))
    if (trimmed := phrase.rstrip(_RAGGED_END)) != phrase:
        phrase = trimmed
        rules.append(Rule.RAGGED_END)
    if kind in _NOUN_PHRASE_KINDS:
        phrase, found = _as_noun_phrase(phrase, display_name(class_name))
        rules.extend(found)
    return Repaired(phrase, tuple(rules))


def _keep_sentence(text: str, class_name: str) -> Repaired:
    sentence = " ".join(_without_unprintable(" ".join(text.split())).split())
    if not any(map(str.isalnum, sentence)):
        return Repaired(None, (Rule.BLANK,))
    repairs = (Rule.UNPRINTABLE,) if sentence != " ".join(text.split()) else ()
    flags = () if is_named((display_name(class_name),), sentence) else (Rule.UNNAMED,)
    return Repaired(sentence, (*repairs, *flags))


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


def _reason_to_drop(phrase: str, kind: PhraseKind, class_name: str) -> Rule | None:
    if not any(map(str.isalnum, phrase)):
        return Rule.BLANK
    if _CHAT.search(phrase):
        return Rule.CHAT
    if phrase.endswith(":"):
        return Rule.LEAD_IN
    if kind not in _NAME_KINDS:
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
    is_other = is_adjective or _NO_NOUN_PHRASE.match(rest) or _is_sentence(rest)
    flags = (Rule.NOT_A_NOUN_PHRASE,) if is_other else ()
    return rest, (*cuts, *flags)


def _is_sentence(phrase: str) -> bool:
    return "A" <= phrase[:1] <= "Z" and phrase.endswith(".") and _SENTENCE_VERB.search(phrase, 1) is not None


def _find_subject(phrase: str, class_name: str) -> re.Match[str] | None:
    """The match that ends where a subject and its verb end; None where nothing would be left after it."""
    match = _PRONOUN.match(phrase) or _BARE_HAS.match(phrase)
    if match is None:
        pattern = re.compile(re.escape(class_name), re.IGNORECASE)
        name = pattern.search(phrase, 0, _LONGEST_BEFORE_NAME + len(class_name))
        if name and _BEFORE_NAME.fullmatch(phrase, 0, name.start()):
            match = _AFTER_NAME.match(phrase, name.end())
    return match if match and phrase[match.end() :].strip(" .") else None
