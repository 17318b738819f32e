"""Runs that are over, as the store remembers them: found by id, by an evaluation's name, or as `latest`."""

from typing import TYPE_CHECKING

from coder_core.care.store_format import check_is_store
from coder_core.errors import ConfigError, QueryError
from coder_core.near_names import suggest_name
from coder_core.pipeline.run_manifest import RunManifest, decode_run_manifest
from coder_core.results.result_paths import TABLES_FOLDER, is_run_id
from coder_core.results.result_tables import ResultTables
from coder_core.results.schema import TABLES
from coder_core.storage.addresses import redact
from coder_core.storage.store import Store

if TYPE_CHECKING:
    from coder_core.results.schema import AblationRow

LATEST = "latest"
RUNS_SHOWN = 3


def open_run(store: Store, run: str) -> RunManifest:
    """The manifest of a published run.

    Args:
        store: The store.
        run: The id of a run, the name of an evaluation (its latest run), or `latest`.

    Raises:
        QueryError: There is no such run; names the latest ones.
        StoreError: Its manifest is gone or damaged, or it was published by a version that wrote none.
    """
    run_id = find_run(store, run)
    return decode_run_manifest(ResultTables(store).read_manifest(run_id), run_id=run_id)


def find_run(store: Store, run: str) -> str:
    """The id of a run that is named by id, by an evaluation's name, or as `latest`.

    Raises:
        QueryError: There is no such run; names the nearest one and the latest ones.
        StoreError: The place is no store.
    """
    tables = ResultTables(store)
    if tables.is_published(run):
        return run
    found = tables.latest(run) or (tables.latest() if run == LATEST else None)
    if found is None:
        check_is_store(store)
        newest = tables.newest()
        known = dict.fromkeys([*map(_evaluation, newest), *newest])
        hint = suggest_name(run, known)
        latest = ", ".join(newest[:RUNS_SHOWN]) or "none yet"
        problem = f"there is no run {run!r}."
        if _is_unfinished(store, run):
            problem = f"the run {run!r} is not published: it has not ended, or failed before its end."
        raise QueryError(problem, redact(store.url("")), f"{hint}Latest runs: {latest}.")
    return found


def _is_unfinished(store: Store, run: str) -> bool:
    """Whether rows of a run are there that were never published."""
    return is_run_id(run) and any(store.list_beginning(f"{TABLES_FOLDER}/{table}", f"{run}.") for table in TABLES)


def _evaluation(run_id: str) -> str:
    """The evaluation in a run id that a runner has made: its name stands before the time and the random number."""
    return run_id.rsplit("-", 2)[0]


def read_run_ablation(store: str, run: str) -> "list[AblationRow]":
    """The text ablation of a published run.

    Raises:
        QueryError: There is no such run.
        ConfigError: It has no ablation.
    """
    from coder_core.config import load_runtime
    from coder_core.pipeline.context import Context
    from coder_core.steps.ablate_texts import read_ablation

    context = Context.open(load_runtime(store=store))
    manifest = open_run(context.artifacts.store, run)
    if manifest.ablation is None:
        raise ConfigError("it has no text ablation.", f"run {manifest.run_id}", "Add `ablation: {}` to the config.")
    return read_ablation(context, manifest.ablation)
