"""The one table of a sweep: for a terminal, as Markdown, and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from coder_core.counted import counted
from coder_core.recipes.sweep import CellOutcome
from coder_core.recipes.sweep_results import SweepResult
from coder_core.recipes.sweep_rows import GainRow, Score, SweepGroup, SweepRow
from coder_core.report.markdown import escape_markdown, markdown_table
from coder_core.report.published_table import published_record, published_rows, source_notes
from coder_core.results.query_result import QueryResult
from coder_core.results.render import printable, to_table

STATES = {
    "done": "published before",
    "ran": "ran now",
    "failed": "failed",
    "wrong": "cannot work",
    "left": "not run",
}
NO_SCORE = "-"


def write_sweep(result: SweepResult) -> str:
    """The tables as aligned text."""
    parts = [f"{title}\n{_text(headings, rows)}" for title, headings, rows in _tables(result)]
    return "\n\n".join([*parts, *map(printable, _notes(result))])


def sweep_markdown(result: SweepResult) -> str:
    """The tables and what became of every cell, as a page of Markdown."""
    parts = [f"# {escape_markdown(result.name)}"]
    parts += [f"## {escape_markdown(title)}\n\n{markdown_table(head, rows)}" for title, head, rows in _tables(result)]
    parts += [escape_markdown(note) for note in _notes(result)]
    cells = [
        (outcome.cell.name, STATES[outcome.state], outcome.run_id or outcome.problem) for outcome in result.outcomes
    ]
    parts.append(f"## Cells\n\n{markdown_table(('cell', 'state', 'run or problem'), cells)}")
    return "\n\n".join(parts) + "\n"


def sweep_record(result: SweepResult) -> dict[str, Any]:
    """The same as values that JSON can hold: numbers unrounded, accuracies 0..1."""
    return {
        "sweep": result.name,
        "cells": [cell_record(outcome) for outcome in result.outcomes],
        "groups": [_group_record(group) for group in result.groups],
        "coder_over_clip": [_scores_record(asdict(row), row.by_dataset, row.mean) for row in result.gains],
        "published": [published_record(comparison) for comparison in result.published],
    }


def cell_record(outcome: CellOutcome) -> dict[str, Any]:
    """What became of a cell, as values that JSON can hold."""
    cell = outcome.cell
    where = {"cell": cell.name, "dataset": cell.dataset, "model": cell.model or None, "texts": cell.texts or None}
    problem = {"problem": outcome.problem or None, "seconds": round(outcome.seconds, 3)}
    return {**where, "state": outcome.state, "run_id": outcome.run_id, **problem}


def _group_record(group: SweepGroup) -> dict[str, Any]:
    rows = [_scores_record(asdict(row), row.by_dataset, row.mean) for row in group.rows]
    return {"shots": group.shots, "datasets": group.datasets, "missing": group.missing, "rows": rows}


def _scores_record(row: dict[str, Any], scores: Mapping[str, Score], mean: Score | None) -> dict[str, Any]:
    by_dataset = {dataset: score._asdict() for dataset, score in scores.items()}
    return {**row, "by_dataset": by_dataset, "mean": mean._asdict() if mean else None}


_Titled = tuple[str, Sequence[str], list[tuple[str | int | None, ...]]]


def _tables(result: SweepResult) -> Iterator[_Titled]:
    """Title, headings and rows of every table."""
    for group in result.groups:
        what = "zero-shot" if group.shots is None else counted(group.shots, "shot")
        axes = _axes(group.rows)
        headings = ["tier", *axes, "method", *group.datasets, _mean_heading(group.datasets, group.missing)]
        rows = [_row(row, group, axes) for row in group.rows]
        yield f"{result.name}: {what}, top-1 %", headings, rows
        beside = published_rows(result, group)
        if beside is not None:
            yield f"{result.name}: {what}, beside published figures, top-1 %", *beside
    if result.gains:
        axes = _axes(result.gains)
        datasets = [name for name in dict.fromkeys(cell.cell.dataset for cell in result.outcomes) if _has(result, name)]
        headings = [*axes, *datasets, _mean_heading(datasets, result.without_gain), "better", "worse"]
        rows = [_gain(row, datasets, axes) for row in result.gains]
        yield (
            f"{result.name}: what CODER gains over CLIP by name, points of top-1 (* interval without 0)",
            headings,
            rows,
        )


def _mean_heading(datasets: Sequence[str], missing: Sequence[str]) -> str:
    """A mean that lacks a data set of the sweep says so where it is read."""
    of = f" of {len(datasets)} of {len(datasets) + len(missing)} data sets" if missing else ""
    return f"mean{of} [95 % interval]"


def _axes(rows: Sequence[SweepRow | GainRow]) -> list[str]:
    return [axis for axis in ("model", "texts") if any(getattr(row, axis) for row in rows)]


def _has(result: SweepResult, dataset: str) -> bool:
    return any(dataset in row.by_dataset for row in result.gains)


def _row(row: SweepRow, group: SweepGroup, axes: Sequence[str]) -> tuple[str | int | None, ...]:
    found = (row.by_dataset.get(dataset) for dataset in group.datasets)
    cells = [f"{100 * score.value:.1f}" if score else NO_SCORE for score in found]
    tier = NO_SCORE if row.tier is None else str(row.tier)
    return (tier, *(getattr(row, axis) for axis in axes), row.method, *cells, _with_interval(row.mean, ""))


def _gain(row: GainRow, datasets: Sequence[str], axes: Sequence[str]) -> tuple[str | int | None, ...]:
    found = [row.by_dataset.get(dataset) for dataset in datasets]
    cells = [f"{100 * score.value:+.1f}{_star(score)}" if score else NO_SCORE for score in found]
    return (*(getattr(row, axis) for axis in axes), *cells, _with_interval(row.mean, "+"), row.better, row.worse)


def _star(score: Score) -> str:
    return "*" if (score.low is not None and score.low > 0) or (score.high is not None and score.high < 0) else ""


def _with_interval(score: Score | None, sign: str) -> str:
    if score is None:
        return NO_SCORE
    value = f"{100 * score.value:{sign}.1f}"
    if score.low is None or score.high is None:
        return value
    return f"{value} [{100 * score.low:{sign}.1f}, {100 * score.high:{sign}.1f}]"


def _notes(result: SweepResult) -> Iterator[str]:
    if missing := dict.fromkeys(name for group in result.groups for name in group.missing):
        yield f"no cell of {', '.join(missing)} has a result: means are those of the other data sets."
    means = [*(row.mean for row in result.gains), *(row.mean for group in result.groups for row in group.rows)]
    if None in means:
        yield f"{NO_SCORE}: not measured there; a row that lacks a data set has no mean and no tier."
    if any(group.rows for group in result.groups):
        yield "tier: rows of one tier have means whose intervals overlap with that of the best among them."
    yield from source_notes(result)


def _text(headings: Sequence[str], rows: Sequence[tuple[str | int | None, ...]]) -> str:
    written = to_table(QueryResult(list(headings), list(rows)))
    return "\n".join(line.rstrip() for line in written.splitlines() if not line.startswith("("))
