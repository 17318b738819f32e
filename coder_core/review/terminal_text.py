"""Text banks and imports as a person reads them in a terminal.

Every cell is hostile: names and phrases come from files and from language models. A terminal must not obey an escape
sequence inside one, and a reviewer must see what is hidden in it; so control and formatting characters are shown as
their escapes, and a cell is cut to its width.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from coder_core.classes import ClassList
from coder_core.counted import counted
from coder_core.errors import InputError
from coder_core.review.bank_review import ClassCounts, TextReview
from coder_core.review.issues import ISSUES, TextIssue
from coder_core.texts.bank import CLASS_FIELDS, PhraseKind, TextBank, TextSlot, phrases_by_slot, source_of
from coder_core.texts.bank_file import did_you_mean
from coder_core.texts.published.name_matching import Mismatch, NameIndex
from coder_core.texts.published.published_texts import ImportReport
from coder_core.texts.published.repair import RULES, Action, Rule

__all__ = ["align", "find_class_ids", "render_bank", "render_class", "render_import_report", "render_issue", "visible"]

CELL_WIDTH = 88
"""Columns of a terminal that one cell may take."""
ROWS_SHOWN = 20
CLASSES_SHOWN = 10
EXAMPLES_SHOWN = 2
EXAMPLE_WIDTH = 70
NAME_WIDTH = 30
ISSUE_WIDTH = 200
"""Columns that one finding may take: two lines of a terminal."""

_FIELDS = {**CLASS_FIELDS, PhraseKind.ONE_TO_ONE: "one_to_one"}
_HEADINGS = {name: name.replace("_", " ") for name in CLASS_FIELDS.values()} | {"one_to_one": "one-to-one phrases"}
_MISMATCHES = {
    Mismatch.UNKNOWN: "no such class",
    Mismatch.REPEATED: "more names than classes: not guessed at",
    Mismatch.OWN_RIVAL: "a class against itself",
}


def visible(text: object, width: int = CELL_WIDTH) -> str:
    """Show a text on one line: unprintable characters as escapes, cut to a width in terminal columns.

    A character may carry accents that take no column, but no more than one each on average.
    """
    start = str(text)[: 2 * width]  # an escape is longer than its character, so no more is needed
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in start)
    if len(str(text)) <= len(start) and _columns(shown) <= width and len(shown) <= 2 * width:
        return shown
    kept = shown[: 2 * width - 1]
    while _columns(kept) > width - 1:
        kept = kept[: min(len(kept) - 1, width)]
    return kept + "…"


def align(rows: Iterable[Sequence[object]], *, indent: str = "  ") -> list[str]:
    """Lay rows of equal length out in columns; numbers stand right, the last column is not padded."""
    cells = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(_columns, column)) for column in zip(*cells, strict=True)]
    return [indent + "  ".join(map(_padded, row, widths)).rstrip() for row in cells]


def _padded(cell: str, width: int) -> str:
    space = " " * (width - _columns(cell))
    return space + cell if cell.replace(".", "", 1).isdecimal() else cell + space


def _columns(text: str) -> int:
    return sum(
        2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text if not unicodedata.combining(char)
    )


def _section(heading: str, lines: Sequence[str], *, hidden: int = 0) -> list[str]:
    rest = [f"  and {hidden} more"] if hidden > 0 else []
    return ["", heading, *lines, *rest] if lines else []


def _table(heading: str, rows: Sequence[Sequence[object]]) -> list[str]:
    """A heading and the first rows; nothing where there are none."""
    return _section(heading, align(rows[:ROWS_SHOWN]), hidden=len(rows) - ROWS_SHOWN)


def find_class_ids(name: str, classes: ClassList) -> tuple[int, ...]:
    """Find the classes that a person means by a name: spelling in case, `_`, `-` and articles does not matter.

    Raises:
        InputError: There is no such class; names the nearest one.
    """
    if found := NameIndex(classes).find(name):
        return found
    remedy = did_you_mean(
        name, classes.names, otherwise=f"The list has {counted(len(classes), 'class')}, see the class list."
    )
    raise InputError(f"there is no class {name!r:.80}.", "class list", remedy)


def render_class(class_id: int, classes: ClassList, bank: TextBank, review: TextReview) -> str:
    """Write one class for a terminal: its phrases by kind with their sources, and the issues about it.

    Args:
        class_id: The class; `find_class_ids` finds it by name.
        classes: The class list.
        bank: The phrases.
        review: Made by `review_bank`.
    """
    lines = [f"{visible(classes.names[class_id])} (id {class_id})", f"  {_in_words(review.counts[class_id])}"]
    slots = [(slot, found) for slot, found in phrases_by_slot(bank).items() if slot.class_id == class_id]
    for slot, phrases in sorted(slots, key=lambda item: list(_FIELDS).index(item[0].kind)):
        rows = align((number, phrase, source_of(phrase)) for number, phrase in enumerate(phrases, 1))
        lines += _section(_slot_heading(slot, classes), rows)
    issues = [f"  {render_issue(issue, classes)}" for issue in review.of_class(class_id)]
    found = _section(f"{len(issues)} issues", issues[:ROWS_SHOWN], hidden=len(issues) - ROWS_SHOWN)
    return "\n".join([*lines, *(found or ["", "no issues"])]) + "\n"


def _in_words(counts: ClassCounts) -> str:
    parts = [f"{getattr(counts, name)} {heading}" for name, heading in _HEADINGS.items()]
    rivals = f" against {counts.rivals} rivals" if counts.rivals else ""
    return ", ".join(parts) + rivals + (f"; {counts.human} by a person" if counts.human else "")


def _slot_heading(slot: TextSlot, classes: ClassList) -> str:
    heading = _HEADINGS[_FIELDS[slot.kind]]
    return heading if slot.rival_id is None else f"{heading}, against {visible(classes.names[slot.rival_id])}"


def render_issue(issue: TextIssue, classes: ClassList) -> str:
    """Write one finding in one line."""
    kind = f"{issue.kind} " if issue.kind else ""
    rival = f" (against {classes.names[issue.rival_id]})" if issue.rival_id is not None else ""
    text = f"{issue.text!r}{rival}" if issue.text else f"{classes.names[issue.class_id]!r}"
    other = f" <- {classes.names[issue.other_class_id]!r}" if issue.other_class_id is not None else ""
    earlier = f": {issue.other_text!r}" if issue.other_text else ""
    value = f" [{issue.value:.4g}]" if issue.value is not None else ""
    return visible(f"{issue.issue}: {kind}{text}{other}{earlier}{value}", ISSUE_WIDTH)


def render_bank(classes: ClassList, bank: TextBank, review: TextReview) -> str:
    """Write a bank for a terminal: how much of what, from where, what is wrong, and which classes have least."""
    total = sum(getattr(row, name) for row in review.counts for name in _HEADINGS)
    human = sum(row.human for row in review.counts)
    sources = Counter(source_of(phrase) for phrases in phrases_by_slot(bank).values() for phrase in phrases)
    issues = Counter(issue.issue for issue in review.issues)
    fewest = sorted(review.counts, key=lambda row: (_descriptions(row), row.class_id))[:CLASSES_SHOWN]
    lines = [
        f"{counted(len(classes), 'class')}, {counted(total, 'phrase')}, of them {human} by a person",
        "",
        *align(_kind_rows(review.counts)),
        *_table("sources", sources.most_common() or [("none", 0)]),
        *_table("issues", [(kind, issues[kind], ISSUES[kind]) for kind in ISSUES if issues[kind]] or [("none", 0, "")]),
        *_table(
            "classes with the fewest descriptions",
            [(classes.names[row.class_id], _descriptions(row)) for row in fewest],
        ),
    ]
    return "\n".join(lines) + "\n"


def _descriptions(counts: ClassCounts) -> int:
    return counts.attributes + counts.sentences + counts.analogous_classes


def _kind_rows(counts: tuple[ClassCounts, ...]) -> Iterator[tuple[str, ...]]:
    yield "", "phrases", "per class: least", "median", "most"
    for name, heading in _HEADINGS.items():
        sizes = [getattr(row, name) for row in counts]
        yield heading, *(f"{number:g}" for number in (sum(sizes), min(sizes), median(sizes), max(sizes)))


def render_import_report(report: ImportReport) -> str:
    """Write for a terminal what an import brought, what matched nothing and what was changed."""
    unmatched = [
        (row.name, row.kind, row.phrases, _MISMATCHES[row.reason], f"nearest: {row.nearest or 'none'}")
        for row in report.unmatched
    ]
    shared = [(row.name, row.kind, f"ids {', '.join(map(str, row.class_ids))}") for row in report.shared]
    without = [(report.class_names[class_id], f"id {class_id}") for class_id in report.without_texts]
    lines = [
        f"{visible(report.place)}: {report.format} format, {counted(len(report.class_names), 'class')}, source "
        f"{visible(report.source)}",
        *align([("", "found", "kept", "classes or pairs"), *report.counts]),
        *_table("names that matched nothing (pass an alias where the nearest class is meant)", unmatched),
        *_table("names whose texts went to several classes", shared),
        *_table("classes without any text", without),
        *(line for action in Action for line in _rule_lines(report, action)),
        *_table("keys that were not read", [(key,) for key in report.ignored_keys]),
    ]
    return "\n".join(lines) + "\n"


def _rule_lines(report: ImportReport, action: Action) -> list[str]:
    counts = report.rule_counts(action)
    table = align((rule, count, RULES[rule].explanation) for rule, count in counts.items())
    lines = [line for rule, row in zip(counts, table, strict=True) for line in (row, *_examples(report, rule))]
    return _section(f"phrases {action}", lines)


def _examples(report: ImportReport, rule: Rule) -> Iterator[str]:
    """A few phrases that a rule applied to, each with its class and what became of it; blank ones show nothing."""
    notes = {note.before: note for note in report.notes if note.rule is rule and note.before.strip()}
    for note in list(notes.values())[:EXAMPLES_SHOWN]:
        name = visible(report.class_names[note.class_id], NAME_WIDTH)
        after = f" -> {visible(repr(note.after), EXAMPLE_WIDTH)}" if RULES[rule].action is Action.REPAIRED else ""
        yield f"      {name}: {visible(repr(note.before), EXAMPLE_WIDTH)}{after}"
