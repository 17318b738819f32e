"""Before and after: an evaluation whose classes have changed, against its run with the old ones."""

import numpy as np

from coder_core.class_source.changes import ClassChange, compare_classes
from coder_core.errors import ConfigError
from coder_core.evaluation.class_changes import AddedClass, ClassShift, Sight, compare_sights, score_added
from coder_core.specs import Runtime
from coder_core.steps.past_runs import check_published, find_latest_run, read_run_classes
from coder_core.steps.workplace import Handle, open_store
from coder_core.storage.artifacts import ArtifactStore
from coder_core.storage.results import ResultTables

PREFERRED = "coder"


class RunComparison(Handle):
    """What changed between two runs, for one method.

    Attributes:
        before: The earlier run.
        after: The later run.
        method: Whose predictions.
        change: Classes that were added, removed and renamed.
        images: Images that both runs have.
        shifts: Old classes, those that lost most to added ones first.
        added: Added classes, in the order of the class list.
    """

    before: str
    after: str
    method: str
    change: ClassChange
    images: int
    shifts: tuple[ClassShift, ...]
    added: tuple[AddedClass, ...]


def compare_runs(before: str, after: str, runtime: Runtime, *, method: str | None = None) -> RunComparison:
    """Compare two published runs, class by class.

    Args:
        before: The earlier run's id.
        after: The later run's id.
        runtime: Where the store is.
        method: A method of both; default: `coder` where both have it, else the first that both have.

    Raises:
        QueryError: There is no such run; names the latest ones.
        ConfigError: The runs have not the method in common.
        StoreError: A class list or a table of a run is gone.
    """
    artifacts = open_store(runtime)
    check_published(artifacts, before, after)
    change = compare_classes(read_run_classes(artifacts, before), read_run_classes(artifacts, after))
    chosen = _choose_method(artifacts, before, after, method)
    sights = [_read_sight(artifacts, run_id, chosen) for run_id in (before, after)]
    shifts = compare_sights(sights[0], sights[1], change.added)
    return RunComparison(
        before=before,
        after=after,
        method=chosen,
        change=change,
        images=sum(shift.n for shift in shifts),
        shifts=tuple(shifts),
        added=tuple(score_added(sights[1], change.added, shifts)),
    )


def compare_with_previous(name: str, run_id: str, runtime: Runtime) -> RunComparison | None:
    """Compare a run with the one before it of the same evaluation; None where there is none, or no class changed."""
    artifacts = open_store(runtime)
    before = find_latest_run(artifacts, name, other_than=run_id)
    if before is None or not compare_classes(*(read_run_classes(artifacts, each) for each in (before, run_id))):
        return None
    if not _common_methods(artifacts, before, run_id):
        return None
    return compare_runs(before, run_id, runtime)


def _choose_method(artifacts: ArtifactStore, before: str, after: str, method: str | None) -> str:
    common = _common_methods(artifacts, before, after)
    if method is None and common:
        return PREFERRED if PREFERRED in common else common[0]
    if method is None or method not in common:
        known = ", ".join(common) or "none"
        problem = "they have no method in common." if method is None else f"{method!r} is not a method of both."
        raise ConfigError(problem, f"runs {before} and {after}", f"Methods of both: {known}.")
    return method


def _common_methods(artifacts: ArtifactStore, before: str, after: str) -> list[str]:
    tables = ResultTables(artifacts.store)
    known = tables.part_names("predictions", after)
    return [method for method in tables.part_names("predictions", before) if method in known]


def _read_sight(artifacts: ArtifactStore, run_id: str, method: str) -> Sight:
    table = ResultTables(artifacts.store).read("predictions", run_id, part=method)
    image_ids, labels, predicted = (
        table.column(name).to_pylist() for name in ("image_id", "label_name", "predicted_name")
    )
    return Sight(image_ids, labels, predicted, np.array(table.column("is_correct").to_pylist(), dtype=np.bool_))
