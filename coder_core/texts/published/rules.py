"""The rules by which a published phrase is dropped, repaired or flagged, each with the sentence that explains it.

A phrase is to stand in "{class} which has {attribute}" or "Because of {phrase}, {class} is different from {rival}", so
attributes and one-to-one phrases should be noun phrases. What can be brought to one mechanically is repaired, what
cannot is kept and flagged, what describes nothing (a chat model talking about its answer) is dropped.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

__all__ = ["RULES", "Action", "Rule", "RuleText"]


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
}
"""Every rule, in the order in which a report lists them."""
