"""What can be wrong with a text: one row per finding, ready for a table and for a person."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from coder_core.texts.kinds import TextKind
from coder_core.texts.slots import TextSlot

__all__ = ["ISSUES", "IssueKind", "TextIssue", "issue_of"]


class IssueKind(StrEnum):
    """What is wrong."""

    EMPTY_CLASS = "empty_class"
    LEAK = "leak"
    TOO_LONG = "too_long"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    SHARED = "shared"


ISSUES: Mapping[IssueKind, str] = {
    IssueKind.EMPTY_CLASS: "no attribute and no analogous class: judged by its name alone",
    IssueKind.LEAK: "names another class of the list, and pulls its images over",
    IssueKind.TOO_LONG: "has more tokens than the encoder reads; the rest is cut off",
    IssueKind.DUPLICATE: "is there twice in one class, and counts twice",
    IssueKind.NEAR_DUPLICATE: "means the same as an earlier text, as the encoder sees it",
    IssueKind.SHARED: "describes several classes, and tells none of them from the others",
}
"""Every issue with its explanation, the gravest first: the order in which a summary lists them."""


class TextIssue(NamedTuple):
    """One finding.

    Args:
        issue: What is wrong.
        class_id: The class whose text it is.
        class_name: Its name.
        kind: The kind of the text; None for an empty class.
        rival_id: The class that the text tells it from (one-to-one only).
        rival_name: Its name.
        text: The phrase, or for `too_long` and `near_duplicate` the whole sentence; None for an empty class.
        other_class_id: The class that is named, or that has the earlier or the same text; None where there is none.
        other_class_name: Its name.
        other_text: The earlier text (`near_duplicate`), or the words that name the class (`leak`).
        value: `too_long`: tokens. `near_duplicate`: cosine. `shared`: classes that have it. `duplicate`: times.
    """

    issue: IssueKind
    class_id: int
    class_name: str
    kind: TextKind | None = None
    rival_id: int | None = None
    rival_name: str | None = None
    text: str | None = None
    other_class_id: int | None = None
    other_class_name: str | None = None
    other_text: str | None = None
    value: float | None = None


def issue_of(
    issue: IssueKind,
    slot: TextSlot,
    names: tuple[str, ...],
    *,
    text: str,
    other_class_id: int | None = None,
    other_text: str | None = None,
    value: float | None = None,
) -> TextIssue:
    """Make a row about a text of a slot; `names` are the class names in label order."""
    return TextIssue(
        issue=issue,
        class_id=slot.class_id,
        class_name=names[slot.class_id],
        kind=slot.kind,
        rival_id=slot.rival_id,
        rival_name=None if slot.rival_id is None else names[slot.rival_id],
        text=str(text),
        other_class_id=other_class_id,
        other_class_name=None if other_class_id is None else names[other_class_id],
        other_text=None if other_text is None else str(other_text),
        value=value,
    )
