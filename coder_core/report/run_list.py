"""The runs of a store as a person wants them listed: what was evaluated, when and with what, the result, the cost."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from coder_core.errors import QueryError
from coder_core.near_names import suggest_name
from coder_core.results.query_result import QueryResult
from coder_core.results.render import to_table
from coder_core.results.result_tables import ResultTables
from coder_core.results.warehouse import Warehouse

_SQL = """\
SELECT run_id, runs.name, runs.started_at, runs.dataset, runs.encoder, runs.best_method, runs.best_top1, costs.seconds,
  CASE WHEN any_value(runs.engine) IS NULL OR bool_or(costs.calls > 0 AND costs.cost_usd IS NULL) THEN NULL
    ELSE coalesce(sum(costs.cost_usd), 0) END AS cost_usd
FROM costs JOIN runs USING (run_id) WHERE {among} GROUP BY ALL ORDER BY runs.started_at DESC, run_id DESC"""
"""What `run_costs` says, from the files of the listed runs alone: the view must know which runs are the latest."""


class ListedRun(NamedTuple):
    """A run.

    Args:
        run_id: The run.
        name: Its evaluation.
        started_at: UTC.
        dataset: Name of the data set.
        encoder: Architecture and weights.
        best_method: By top-1 accuracy, controls left out; a few-shot method with its shots where there is no other;
            None without labels.
        best_top1: Its accuracy, 0..1.
        seconds: From start to publication; None where 0.1 did not say it.
        cost_usd: What language models took; None where a price is unknown.
    """

    run_id: str
    name: str
    started_at: datetime
    dataset: str
    encoder: str | None
    best_method: str | None
    best_top1: float | None
    seconds: float | None
    cost_usd: float | None


def list_runs(warehouse: Warehouse, *, name: str | None = None, limit: int) -> list[ListedRun]:
    """List runs, those first that were started last.

    Args:
        warehouse: Of the store.
        name: An evaluation; None for all.
        limit: At most so many.

    Raises:
        QueryError: There is no run of that evaluation; names the nearest one.
    """
    run_ids = ResultTables(warehouse.store).newest(name)[:limit]
    if not run_ids:
        if name is not None:
            raise _unknown(warehouse, name)
        return []
    runs = [ListedRun(*row) for row in warehouse.query(_SQL.format(among=_among(run_ids))).rows]
    unknown = [run.run_id for run in runs if run.best_method is None]
    best = _find_best(warehouse, unknown) if unknown else {}
    return [run if run.run_id not in best else run._replace(**best[run.run_id]._asdict()) for run in runs]


def history_rows(runs: Sequence[ListedRun]) -> list[dict[str, object]]:
    """Runs of one evaluation as rows of Prefect's page: what came out, and how far that is from the run before.

    Args:
        runs: Those first that were started last.
    """
    earlier = [*runs[1:], None]
    return [_history_row(run, before) for run, before in zip(runs, earlier, strict=True)]


def _history_row(run: ListedRun, before: ListedRun | None) -> dict[str, object]:
    change: object = ""
    if before is not None and run.best_top1 is not None and before.best_top1 is not None:
        change = f"{100 * (run.best_top1 - before.best_top1):+.1f}"
    return {
        "when (UTC)": f"{run.started_at:%Y-%m-%d %H:%M}",
        "best method": run.best_method or "",
        "top-1 %": "" if run.best_top1 is None else round(100 * run.best_top1, 1),
        "points since the run before": change,
        "seconds": "" if run.seconds is None else round(run.seconds, 1),
        "cost": _dollars(run.cost_usd),
        "run": run.run_id,
    }


def write_runs(runs: Sequence[ListedRun]) -> str:
    """Write runs as a table for a terminal."""
    headings = ["name", "when (UTC)", "data set", "model", "best method", "top-1 %", "seconds", "cost", "run"]
    return to_table(QueryResult(headings, list(map(_cells, runs))))


def _cells(run: ListedRun) -> tuple[object, ...]:
    top1 = None if run.best_top1 is None else round(100 * run.best_top1, 1)
    seconds = None if run.seconds is None else round(run.seconds, 1)
    when = f"{run.started_at:%Y-%m-%d %H:%M}"
    return run.name, when, run.dataset, run.encoder, run.best_method, top1, seconds, _dollars(run.cost_usd), run.run_id


class _Best(NamedTuple):
    best_method: str
    best_top1: float


def _find_best(warehouse: Warehouse, run_ids: Sequence[str]) -> dict[str, _Best]:
    """Look the best method up in the rows of runs that do not name it: those of 0.1, and few-shot alone."""
    wanted = _among(run_ids)
    rows = warehouse.query(
        "SELECT run_id, arg_max(method, value), max(value) FROM metrics "  # noqa: S608 (quoted)
        f"WHERE {wanted} AND metric = 'top1' AND NOT starts_with(method, 'control_') GROUP BY run_id "
        "UNION ALL SELECT run_id, arg_max(method || '@' || shots, top1), max(top1) FROM few_shot_summary "
        f"WHERE {wanted} AND run_id NOT IN (SELECT run_id FROM metrics WHERE {wanted}) GROUP BY run_id"
    ).rows
    return {run_id: _Best(method, top1) for run_id, method, top1 in rows}


def _unknown(warehouse: Warehouse, name: str) -> QueryError:
    known = [known for (known,) in warehouse.query("SELECT DISTINCT name FROM runs ORDER BY name").rows]
    hint = suggest_name(name, known)
    listed = ", ".join(known[:10]) or "none yet"
    return QueryError(f"there is no run of an evaluation {name!r}.", "runs", f"{hint}Evaluations: {listed}.")


def _dollars(cost_usd: float | None) -> str:
    return "unknown" if cost_usd is None else f"${cost_usd:,.2f}"


def _among(run_ids: Sequence[str]) -> str:
    return f"run_id IN ({', '.join(map(_quoted, run_ids))})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
