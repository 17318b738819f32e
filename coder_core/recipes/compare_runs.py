"""Two runs, compared: what was configured otherwise, what every method gains and loses, and what new classes did."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from coder_core.class_source.changes import compare_classes
from coder_core.counted import counted
from coder_core.errors import ConfigError
from coder_core.evaluation.class_shifts import MethodPredictions, find_class_shifts, score_added
from coder_core.evaluation.run_differences import MethodDifference, compare_methods
from coder_core.pipeline.context import Context
from coder_core.pipeline.run_manifest import RunManifest
from coder_core.recipes.compare_texts import count_texts
from coder_core.recipes.published_runs import open_run
from coder_core.recipes.run_comparison import RunComparison, SettingChange
from coder_core.results.result_tables import ResultTables
from coder_core.steps.load_dataset import read_classes

if TYPE_CHECKING:
    import pyarrow as pa

PREFERRED = "coder"
_TRIAL = ("method", "shots", "seed")
_NAMED = ("image_id", "label_name", "predicted_name")
DIGITS = 12
"""Of a key, for people."""


def compare_runs(context: Context, before: str, after: str, *, method: str | None = None) -> RunComparison:
    """Compare any two published runs: settings, methods, classes.

    Args:
        context: The store.
        before: The earlier run: its id, or an evaluation's name, or `latest`.
        after: The later run.
        method: A method of both, to compare classes by; default: `coder` where both have it, else the first that both
            have.

    Raises:
        QueryError: There is no such run; names the latest ones.
        ConfigError: The runs have not the method in common.
        StoreError: A class list or a table of a run is gone.
    """
    one, other = (open_run(context.artifacts.store, run) for run in (before, after))
    change = compare_classes(*(read_classes(context, run.dataset.classes) for run in (one, other)))
    chosen = _choose_method(one, other, method)
    old, new = (_read_predictions(context, run.run_id, _common_methods(one, other)) for run in (one, other))
    shifts = find_class_shifts(old[chosen], new[chosen], change.added) if chosen else []
    return RunComparison(
        before=one.run_id,
        after=other.run_id,
        settings=tuple(compare_settings(one, other)),
        texts=count_texts(context, one, other),
        methods=(*compare_methods(old, new), *_few_shot_differences(context, one, other)),
        method=chosen,
        change=change,
        images=sum(shift.n for shift in shifts),
        shifts=tuple(shifts),
        added=tuple(score_added(new[chosen], change.added, shifts)) if chosen else (),
    )


def compare_settings(before: RunManifest, after: RunManifest) -> Iterator[SettingChange]:
    """Yield the settings that differ, in alphabetical order, then what differs in content only."""
    old, new = dict(_flat(before.spec)), dict(_flat(after.spec))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield SettingChange(key, old.get(key), new.get(key))
    contents = {
        "images": (before.dataset.images.key, after.dataset.images.key),
        "labels": (before.dataset.labels.key, after.dataset.labels.key),
        "encoder": (before.encoder.key, after.encoder.key),
        "texts": (before.texts.key, after.texts.key),
    }
    for what, (one, other) in contents.items():
        if one != other:
            yield SettingChange(f"(content of the {what})", one[:DIGITS], other[:DIGITS])


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every setting by its path; a list is one setting, and nothing set is none."""
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from _flat(below, f"{key}.{name}" if key else str(name))
    elif value is not None:
        yield key, json.dumps(value, ensure_ascii=False)


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


def _choose_method(before: RunManifest, after: RunManifest, method: str | None) -> str | None:
    common = _common_methods(before, after)
    if method is None:
        return PREFERRED if PREFERRED in common else next(iter(common), None)
    if method not in common:
        place, known = f"runs {before.run_id} and {after.run_id}", ", ".join(common) or "none"
        raise ConfigError(f"{method!r} is not a method of both.", place, f"Methods of both: {known}.")
    return method


def _common_methods(before: RunManifest, after: RunManifest) -> list[str]:
    known = {record.method for record in after.methods}
    return [record.method for record in before.methods if record.method in known]


def _few_shot_differences(context: Context, before: RunManifest, after: RunManifest) -> list[MethodDifference]:
    """Compare few-shot methods with as many shots, by the first draw that both runs have; a family of their own."""
    if before.few_shot is None or after.few_shot is None:
        return []
    tables = [ResultTables(context.artifacts.store).read("few_shot_predictions", run.run_id) for run in (before, after)]
    held = [{tuple(row[name] for name in _TRIAL) for row in _trials(table)} for table in tables]
    first = {trial[:2]: trial for trial in sorted(held[0] & held[1], reverse=True)}
    trials = [first[key] for key in sorted(first)]
    found: list[dict[str, MethodPredictions]] = [{}, {}]
    for trial in context.each(trials, "reading few-shot predictions", total=len(trials), unit="methods"):
        for predictions, table in zip(found, tables, strict=True):
            predictions[f"{trial[0]}, {counted(trial[1], 'shot')}"] = _few_shot_predictions(table, trial)
    return compare_methods(*found)


def _trials(table: "pa.Table") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table.group_by(list(_TRIAL)).aggregate([]).to_pylist()
    return found


def _few_shot_predictions(table: "pa.Table", trial: tuple[Any, ...]) -> MethodPredictions:
    """What a method said in one draw; images without a label are left out."""
    import pyarrow.compute as pc

    wanted = pc.is_valid(table.column("is_correct"))
    for name, value in zip(_TRIAL, trial, strict=True):
        wanted = pc.and_(wanted, pc.equal(table.column(name), value))
    own = table.filter(wanted)
    image_ids, labels, predicted = (own.column(name).to_pylist() for name in _NAMED)
    return MethodPredictions(
        image_ids, labels, predicted, np.array(own.column("is_correct").to_pylist(), dtype=np.bool_)
    )


def _read_predictions(context: Context, run_id: str, methods: list[str]) -> dict[str, MethodPredictions]:
    import pyarrow.compute as pc

    if not methods:
        return {}
    whole = ResultTables(context.artifacts.store).read("predictions", run_id)
    found = {}
    for method in context.each(methods, "reading predictions", total=len(methods), unit="methods"):
        table = whole.filter(pc.equal(whole.column("method"), method))
        image_ids, labels, predicted = (table.column(name).to_pylist() for name in _NAMED)
        is_correct = np.array(table.column("is_correct").to_pylist(), dtype=np.bool_)
        found[method] = MethodPredictions(image_ids, labels, predicted, is_correct)
    return found
