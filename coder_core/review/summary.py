"""A text bank as a person reads it: one class with every phrase and what is wrong with it, or the bank in brief."""

from collections import Counter
from collections.abc import Iterator
from statistics import median

from coder_core.classes import ClassList, nearest_name
from coder_core.errors import InputError
from coder_core.review.cells import align, visible
from coder_core.review.checks import TextReview
from coder_core.review.counts import ClassCounts
from coder_core.review.issues import ISSUES, TextIssue
from coder_core.texts.bank import TextBank
from coder_core.texts.kinds import TextKind
from coder_core.texts.phrases import source_of
from coder_core.texts.published.matching import NameIndex
from coder_core.texts.slots import CLASS_SLOT_KINDS, TextSlot, phrases_by_slot

__all__ = ["find_class_ids", "render_bank", "render_class", "render_issue"]

ISSUES_SHOWN = 20
CLASSES_SHOWN = 10
ISSUE_WIDTH = 200
"""Columns that one finding may take: two lines of a terminal."""

_HEADINGS = {
    "attributes": "attributes",
    "analogous_classes": "analogous classes",
    "synonyms": "synonyms",
    "one_to_one": "one-to-one phrases",
}


def find_class_ids(name: str, classes: ClassList) -> tuple[int, ...]:
    """Find the classes that a person means by a name: spelling in case, `_`, `-` and articles does not matter.

    Raises:
        InputError: There is no such class; names the nearest one.
    """
    if found := NameIndex(classes).find(name):
        return found
    nearest = nearest_name(name, classes.names)
    advice = f"Did you mean {nearest!r}?" if nearest else f"The list has {len(classes)} classes, see the class list."
    raise InputError(f"there is no class {name!r}.", "class list", advice)


def render_class(class_id: int, classes: ClassList, bank: TextBank, review: TextReview) -> str:
    """Write one class for a terminal: its phrases by kind with their sources, and the issues about it.

    Args:
        class_id: The class; `find_class_ids` finds it by name.
        classes: The class list.
        bank: The phrases.
        review: Made by `review_bank`.
    """
    lines = [f"{visible(classes.names[class_id])} (id {class_id})", f"  {_in_words(review.counts[class_id])}"]
    slots = {slot: phrases for slot, phrases in phrases_by_slot(bank).items() if slot.class_id == class_id}
    for kind, heading in (*CLASS_SLOT_KINDS.items(), (TextKind.ONE_TO_ONE, "one_to_one")):
        for slot in (slot for slot in slots if slot.kind is kind):
            lines += ["", _slot_heading(_HEADINGS[heading], slot, classes)]
            lines += align((number, phrase, source_of(phrase)) for number, phrase in enumerate(slots[slot], 1))
    return "\n".join([*lines, *_issue_lines(review.of_class(class_id))]) + "\n"


def render_bank(classes: ClassList, bank: TextBank, review: TextReview) -> str:
    """Write a bank for a terminal: how much of what, from where, what is wrong, and which classes have least."""
    total = sum(sum(row[2:6]) for row in review.counts)
    lines = [
        f"{len(classes)} classes, {total} phrases, of them {sum(row.human for row in review.counts)} by a person",
        "",
    ]
    lines += align(_kind_rows(review.counts))
    lines += ["", "sources", *align(_source_rows(bank))]
    lines += ["", "issues", *align(_issue_rows(review))]
    fewest = sorted(review.counts, key=lambda row: (row.attributes + row.analogous_classes, row.class_id))
    lines += ["", "classes with the fewest attributes and analogous classes"]
    lines += align((row.class_name, row.attributes + row.analogous_classes) for row in fewest[:CLASSES_SHOWN])
    return "\n".join(lines) + "\n"


def render_issue(issue: TextIssue) -> str:
    """Write one finding in one line."""
    kind = f"{issue.kind} " if issue.kind else ""
    rival = f" (against {issue.rival_name})" if issue.rival_name else ""
    text = f"{issue.text!r}{rival}" if issue.text else f"{issue.class_name!r}"
    other = f" <- {issue.other_class_name!r}" if issue.other_class_name else ""
    earlier = f": {issue.other_text!r}" if issue.other_text else ""
    value = f" [{issue.value:.4g}]" if issue.value is not None else ""
    return visible(f"{issue.issue}: {kind}{text}{other}{earlier}{value}", ISSUE_WIDTH)


def _in_words(counts: ClassCounts) -> str:
    parts = [f"{getattr(counts, field)} {heading}" for field, heading in _HEADINGS.items()]
    rivals = f" against {counts.rivals} rivals" if counts.rivals else ""
    return ", ".join(parts) + rivals + (f"; {counts.human} by a person" if counts.human else "")


def _slot_heading(heading: str, slot: TextSlot, classes: ClassList) -> str:
    return heading if slot.rival_id is None else f"{heading}, against {visible(classes.names[slot.rival_id])}"


def _issue_lines(issues: tuple[TextIssue, ...]) -> list[str]:
    if not issues:
        return ["", "no issues"]
    hidden = len(issues) - ISSUES_SHOWN
    rest = [f"  and {hidden} more"] if hidden > 0 else []
    return ["", f"{len(issues)} issues", *(f"  {render_issue(issue)}" for issue in issues[:ISSUES_SHOWN]), *rest]


def _kind_rows(counts: tuple[ClassCounts, ...]) -> Iterator[tuple[str, ...]]:
    yield "", "phrases", "per class: least", "median", "most"
    for field, heading in _HEADINGS.items():
        sizes = [getattr(row, field) for row in counts]
        yield heading, *(f"{number:g}" for number in (sum(sizes), min(sizes), median(sizes), max(sizes)))


def _source_rows(bank: TextBank) -> list[tuple[str, int]]:
    counts = Counter(source_of(phrase) for phrases in phrases_by_slot(bank).values() for phrase in phrases)
    return sorted(counts.items(), key=lambda row: (-row[1], row[0])) or [("none", 0)]


def _issue_rows(review: TextReview) -> list[tuple[str, int, str]]:
    counts = Counter(issue.issue for issue in review.issues)
    rows = [(kind.value, counts[kind], explanation) for kind, explanation in ISSUES.items() if counts[kind]]
    return rows or [("none", 0, "")]
