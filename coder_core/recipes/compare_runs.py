"""Before and after: an evaluation whose classes have changed, against its run with the old ones."""

import numpy as np

from coder_core.class_source.changes import compare_classes
from coder_core.errors import ConfigError
from coder_core.evaluation.class_shifts import MethodPredictions, find_class_shifts, score_added
from coder_core.pipeline.context import Context
from coder_core.pipeline.run_manifest import RunManifest
from coder_core.recipes.published_runs import open_run
from coder_core.recipes.run_comparison import RunComparison
from coder_core.results.result_tables import ResultTables
from coder_core.steps.load_dataset import read_classes

PREFERRED = "coder"


def compare_runs(context: Context, before: str, after: str, *, method: str | None = None) -> RunComparison:
    """Compare two published runs, class by class.

    Args:
        context: The store.
        before: The earlier run: its id, or an evaluation's name, or `latest`.
        after: The later run.
        method: A method of both; default: `coder` where both have it, else the first that both have.

    Raises:
        QueryError: There is no such run; names the latest ones.
        ConfigError: The runs have not the method in common.
        StoreError: A class list or a table of a run is gone.
    """
    runs = [open_run(context.artifacts.store, run) for run in (before, after)]
    change = compare_classes(*(read_classes(context, run.dataset.classes) for run in runs))
    chosen = _choose_method(runs[0], runs[1], method)
    found = [_read_predictions(context, run.run_id, chosen) for run in runs]
    shifts = find_class_shifts(found[0], found[1], change.added)
    return RunComparison(
        before=runs[0].run_id,
        after=runs[1].run_id,
        method=chosen,
        change=change,
        images=sum(shift.n for shift in shifts),
        shifts=tuple(shifts),
        added=tuple(score_added(found[1], change.added, shifts)),
    )


def compare_with_previous(context: Context, name: str, run_id: str) -> RunComparison | None:
    """Compare a run with the one before it of the same evaluation; None where there is none, or no class changed."""
    store = context.artifacts.store
    before = ResultTables(store).latest(name, other_than=run_id)
    if before is None:
        return None
    runs = [open_run(store, run) for run in (before, run_id)]
    if not compare_classes(*(read_classes(context, run.dataset.classes) for run in runs)):
        return None
    return compare_runs(context, before, run_id) if _common_methods(*runs) else None


def _choose_method(before: RunManifest, after: RunManifest, method: str | None) -> str:
    common = _common_methods(before, after)
    if method is None and common:
        return PREFERRED if PREFERRED in common else common[0]
    if method is None or method not in common:
        known = ", ".join(common) or "none"
        problem = "they have no method in common." if method is None else f"{method!r} is not a method of both."
        raise ConfigError(problem, f"runs {before.run_id} and {after.run_id}", f"Methods of both: {known}.")
    return method


def _common_methods(before: RunManifest, after: RunManifest) -> list[str]:
    known = {record.method for record in after.methods}
    return sorted(record.method for record in before.methods if record.method in known)


def _read_predictions(context: Context, run_id: str, method: str) -> MethodPredictions:
    import pyarrow.compute as pc

    table = ResultTables(context.artifacts.store).read("predictions", run_id)
    table = table.filter(pc.equal(table.column("method"), method))
    image_ids, labels, predicted = (
        table.column(name).to_pylist() for name in ("image_id", "label_name", "predicted_name")
    )
    is_correct = np.array(table.column("is_correct").to_pylist(), dtype=np.bool_)
    return MethodPredictions(image_ids, labels, predicted, is_correct)
