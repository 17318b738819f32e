"""The report of an import as a person reads it: what came in, what matched nothing, what was changed."""

from collections.abc import Iterator

from coder_core.review.cells import align, visible
from coder_core.texts.published.matching import Mismatch
from coder_core.texts.published.report import ImportReport
from coder_core.texts.published.rules import RULES, Action, Rule

__all__ = ["render_import_report"]

ROWS_SHOWN = 20
EXAMPLES_SHOWN = 2
EXAMPLE_WIDTH = 70
_REASONS = {
    Mismatch.UNKNOWN: "no such class",
    Mismatch.REPEATED: "more names than classes: not guessed at",
    Mismatch.OWN_RIVAL: "a class against itself",
}


def render_import_report(report: ImportReport) -> str:
    """Write an import report for a terminal."""
    lines = [
        f"{visible(report.place)}: {report.format} format, {len(report.class_names)} classes, source "
        f"{visible(report.source)}",
        *align([("", "found", "kept", "classes or pairs"), *(_texts(row) for row in report.counts)]),
        *_section("names that matched nothing (pass an alias where the nearest class is meant)", _unmatched(report)),
        *_section("names whose texts went to several classes", _shared(report)),
        *_section("classes without any text", _without(report)),
    ]
    for action in Action:
        lines += _rules(report, action)
    if report.ignored_keys:
        lines += _section("keys that were not read", [(key,) for key in report.ignored_keys])
    return "\n".join(lines) + "\n"


def _texts(row: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(map(str, row))


def _section(heading: str, rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    rest = [f"  and {len(rows) - ROWS_SHOWN} more"] if len(rows) > ROWS_SHOWN else []
    return ["", heading, *align(rows[:ROWS_SHOWN]), *rest]


def _unmatched(report: ImportReport) -> list[tuple[str, ...]]:
    return [
        (row.name, row.kind.value, str(row.phrases), _REASONS[row.reason], f"nearest: {row.nearest or 'none'}")
        for row in report.unmatched
    ]


def _shared(report: ImportReport) -> list[tuple[str, ...]]:
    return [(row.name, row.kind.value, f"ids {', '.join(map(str, row.class_ids))}") for row in report.shared]


def _without(report: ImportReport) -> list[tuple[str, ...]]:
    return [(report.class_names[class_id], f"id {class_id}") for class_id in report.without_texts]


def _rules(report: ImportReport, action: Action) -> list[str]:
    counts = report.rule_counts(action)
    table = align((rule.value, count, RULES[rule].explanation) for rule, count in counts.items())
    if not counts:
        return []
    lines = ["", f"phrases {action}"]
    for rule, line in zip(counts, table, strict=True):
        lines += [line, *_examples(report, rule)]
    return lines


def _examples(report: ImportReport, rule: Rule) -> Iterator[str]:
    """A few phrases that a rule applied to, and what became of them; blank ones show nothing."""
    notes = {note.before: note for note in report.notes if note.rule is rule and note.before.strip()}
    for note in list(notes.values())[:EXAMPLES_SHOWN]:
        before = visible(repr(note.before), EXAMPLE_WIDTH)
        is_changed = RULES[rule].action is Action.REPAIRED
        yield f"      {before} -> {visible(repr(note.after), EXAMPLE_WIDTH)}" if is_changed else f"      {before}"
