"""Changes for people: what a look at a class list saw, two runs side by side, and what new classes did to old ones."""

from collections.abc import Iterator, Sequence

from coder_core.class_source.class_look import ClassLook
from coder_core.counted import counted
from coder_core.evaluation.class_shifts import AddedClass, ClassShift
from coder_core.evaluation.run_differences import MethodDifference
from coder_core.recipes.run_comparison import RunComparison, SettingChange, TextCount
from coder_core.results.query_result import QueryResult
from coder_core.results.render import printable, to_table
from coder_core.texts.bank import PICTURED

NAMES_SHOWN = 20
"""Names of each kind that a terminal is shown; the counts are whole."""
ROWS_SHOWN = 20
ROWS_ON_PAGE = 200
"""Old classes that a terminal, and a page, is shown; `coder-eval compare --json` gives all."""


def write_look(look: ClassLook) -> str:
    """Write what a look at the classes saw, one fact per line."""
    if look.unfinished is not None:
        return f"{printable(look.source)} is not finished, nothing was compared: {printable(look.unfinished)}"
    against = f"against run {look.evaluated_run}" if look.evaluated_run else f"{look.name} was never evaluated"
    return "\n".join([f"{printable(look.source)}: {counted(look.class_count, 'class')}, {against}", *_changes(look)])


def _changes(look: ClassLook) -> Iterator[str]:
    if not look.has_changed:
        yield "nothing changed"
    renamed = [f"{old} -> {new}" for old, new in look.renamed]
    for kind, names in (("added", look.added), ("removed", look.removed), ("renamed", renamed)):
        if names:
            yield f"{kind} ({len(names)}): {_shown(names)}"


def _shown(names: Sequence[str]) -> str:
    rest = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(printable(name) for name in names[:NAMES_SHOWN]) + rest


def write_comparison(comparison: RunComparison) -> str:
    """Write two runs side by side: settings, methods, then what new classes did to old ones."""
    lines = [describe_comparison(comparison), *_setting_lines(comparison.settings), *_text_lines(comparison.texts)]
    lines += _method_lines(comparison)
    lines += [f"{kind}: {_shown(names)}" for kind, names in _class_names(comparison) if names]
    if comparison.added:
        added = QueryResult(["added class", "n", "recall", "taken"], list(map(_added_row, comparison.added)))
        lines += ["", to_table(added)]
    moved = [shift for shift in comparison.shifts if shift.lost or shift.gained]
    if not moved:
        return "\n".join(
            [*lines, *(["", "no image of an old class is decided otherwise"] if comparison.images else [])]
        )
    shown = [tuple(row.values()) for row in map(_shift_row, moved[:ROWS_SHOWN])]
    lines += ["", f"by {comparison.method}, class by class:", to_table(QueryResult(list(_shift_row(moved[0])), shown))]
    if len(moved) > ROWS_SHOWN:
        lines.append(f"and {len(moved) - ROWS_SHOWN} more old classes that lost or gained fewer")
    return "\n".join(lines)


def describe_comparison(comparison: RunComparison) -> str:
    """Which runs, and how much changed, in one line."""
    change = comparison.change
    counts = (
        f"{counted(len(change.added), 'class')} added, {len(change.removed)} removed, {len(change.renamed)} renamed"
    )
    runs = f"{comparison.before} -> {comparison.after}"
    if comparison.method is None:
        return f"{runs}: {counts}; they have no method in common"
    lost = sum(shift.lost_to_added for shift in comparison.shifts)
    taken = f"of {counted(comparison.images, 'image')} in both runs, added classes took {lost} that were right"
    return f"{runs}, {comparison.method}: {counts}; {taken}"


def _setting_lines(settings: Sequence[SettingChange]) -> Iterator[str]:
    if not settings:
        yield "the same settings, and the same in everything that they name"
        return
    rows = [(change.key, change.before or "-", change.after or "-") for change in settings[:ROWS_SHOWN]]
    yield from ("", to_table(QueryResult(["setting", "before", "after"], rows)))
    if len(settings) > ROWS_SHOWN:
        yield f"and {len(settings) - ROWS_SHOWN} more settings (--json gives all)"


def _text_lines(texts: Sequence[TextCount]) -> Iterator[str]:
    """Texts per class in both runs, and whether each class has as many in both."""
    rows = [
        (
            text.kind,
            f"{text.before:.1f} ({_shown(text.sources_before) or '-'})",
            f"{text.after:.1f} ({_shown(text.sources_after) or '-'})",
            f"other numbers in {counted(text.unequal, 'class')}" if text.unequal else "as many in every class",
        )
        for text in texts
    ]
    if rows:
        yield from ("", to_table(QueryResult(["texts per class", "before", "after", "budget"], rows)))
    for run, sources in (("before", "sources_before"), ("after", "sources_after")):
        if any(source.endswith(PICTURED) for text in texts for source in getattr(text, sources)):
            yield f"{run}: texts were written from labelled images, so methods that read them have read labels"


def _method_lines(comparison: RunComparison) -> Iterator[str]:
    if not comparison.methods:
        yield "no image in both runs was classified by a method of both: nothing to compare image by image"
        return
    headings = ["method", "n", "before", "after", "difference", "gained", "lost", "p", "p (Holm)"]
    yield from ("", to_table(QueryResult(headings, list(map(_method_row, comparison.methods)))))


def _method_row(row: MethodDifference) -> tuple[object, ...]:
    difference = f"{row.difference:+.1%} [{row.ci_low:+.1%}, {row.ci_high:+.1%}]"
    p_values = (f"{row.p_value:.2g}", f"{row.p_holm:.2g}")
    return row.method, row.n, f"{row.before:.1%}", f"{row.after:.1%}", difference, row.gained, row.lost, *p_values


def _class_names(comparison: RunComparison) -> Iterator[tuple[str, Sequence[str]]]:
    change = comparison.change
    yield "classes added", change.added
    yield "classes removed", change.removed
    yield "classes renamed", [f"{old} -> {new}" for old, new in change.renamed]


def comparison_rows(comparison: RunComparison) -> list[dict[str, object]]:
    """Old classes that lost or gained an image, as rows of Prefect's page, which shows cells as text."""
    moved = [shift for shift in comparison.shifts if shift.lost or shift.gained]
    return [{key: _plain(value) for key, value in _shift_row(shift).items()} for shift in moved[:ROWS_ON_PAGE]]


def added_rows(comparison: RunComparison) -> list[dict[str, object]]:
    """Added classes, how they are recognised, and how many images they took, as rows of Prefect's page."""
    headings = ("added class", "n", "recall", "taken")
    return [
        {name: _plain(value) for name, value in zip(headings, _added_row(added), strict=True)}
        for added in comparison.added[:ROWS_ON_PAGE]
    ]


def _added_row(added: AddedClass) -> tuple[str, int, str, int]:
    return added.class_name, added.n, "not scored" if added.recall is None else f"{added.recall:.3f}", added.taken


def _shift_row(shift: ClassShift) -> dict[str, object]:
    return {
        "old class": shift.class_name,
        "n": shift.n,
        "recall before": round(shift.recall_before, 3),
        "recall after": round(shift.recall, 3),
        "gained": shift.gained,
        "lost": shift.lost,
        "lost to added": shift.lost_to_added,
        "to": ", ".join(f"{name} {images}" for name, images in shift.takers),
    }


def _plain(value: object) -> object:
    return printable(value) if isinstance(value, str) else value
