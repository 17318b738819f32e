"""The result of a run that is over, read back from its tables: what `coder-eval show` prints and `run` has printed."""

from typing import Any

from coder_core.errors import StoreError
from coder_core.pipeline.context import Context
from coder_core.pipeline.eval_result import EvalResult
from coder_core.pipeline.run_manifest import decode_run_manifest
from coder_core.recipes.published_runs import find_run
from coder_core.results.result_tables import ResultTables
from coder_core.results.schema import AblationRow, ComparisonRow, FewShotSummaryRow, GenerationRow, MetricRow, RunRow
from coder_core.steps.publish_run import notes_on_generation, notes_on_run, notes_on_texts


def read_result(context: Context, run: str) -> EvalResult:
    """Read what a published run found; what its version did not write yet is missing or 0.

    Args:
        context: On the store.
        run: The id of a run, the name of an evaluation (its latest run), or `latest`.

    Raises:
        QueryError: There is no such run; names the nearest one and the latest ones.
        StoreError: A table is not what was published.
    """
    store = context.artifacts.store
    run_id, tables = find_run(store, run), ResultTables(store)
    (row,) = tables.read_rows(RunRow, run_id)
    metrics = tables.read_rows(MetricRow, run_id)
    counts = {
        name: getattr(row, name) or 0 for name, field in EvalResult.model_fields.items() if field.annotation is int
    }
    return EvalResult(
        run_id=run_id,
        name=row.name,
        store=context.runtime.store,
        metrics=tuple(metrics),
        comparisons=tuple(tables.read_rows(ComparisonRow, run_id)),
        few_shot=tuple(tables.read_rows(FewShotSummaryRow, run_id)),
        has_ablation=bool(tables.read(AblationRow, run_id).num_rows),
        started_at=row.started_at,
        seconds=(row.finished_at - row.started_at).total_seconds() if row.finished_at else 0.0,
        records=(),
        notes=_notes(context, run_id, row, metrics),
        **counts,
    )


def _notes(context: Context, run_id: str, row: Any, metrics: list[MetricRow]) -> tuple[str, ...]:
    """What the run said about its numbers; without what only its class list and texts tell, where these are gone."""
    tables = ResultTables(context.artifacts.store)
    asked = tables.read_rows(GenerationRow, run_id)
    try:
        content = tables.read_manifest(run_id)
        return notes_on_run(context, decode_run_manifest(content, run_id=run_id), metrics, asked)
    except StoreError:  # a run of 0.1, or one whose artifacts `gc` has cleared
        return (*notes_on_texts(metrics, row.class_count or 0), *notes_on_generation(metrics, asked))
