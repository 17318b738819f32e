"""A run that is over, as the store remembers it: its spec, and the artifacts it made or found."""

import json
import re
from typing import NamedTuple

from coder_core.classes import ClassList
from coder_core.errors import QueryError, StoreError
from coder_core.specs import EvalSpec
from coder_core.steps.dataset import read_classes
from coder_core.storage.artifacts import Artifact, ArtifactStore
from coder_core.storage.columns import RUNS
from coder_core.storage.results import ResultTables

RUNS_SHOWN = 3
_TIME = re.compile(r"-(\d{8}T\d{6})-[^-]+$")
"""When a run was started, as the flow writes it into the run's id."""


class PastRun(NamedTuple):
    """A published run.

    Args:
        run_id: Its id.
        spec: What it computed.
        made: Step and artifact, in the order of table `artifacts`.
    """

    run_id: str
    spec: EvalSpec
    made: tuple[tuple[str, Artifact], ...]

    def one(self, kind: str, step: str) -> Artifact:
        """The artifact of a kind that a step made.

        Raises:
            StoreError: The run made none.
        """
        found = [artifact for name, artifact in self.made if (name, artifact.kind) == (step, kind)]
        if not found:
            raise StoreError(f"it has no {kind} of the step {step}.", f"run {self.run_id}", "Run the evaluation again.")
        return found[0]

    def classes(self, artifacts: ArtifactStore) -> ClassList:
        """Its class list."""
        return read_classes(artifacts, self.one("classes", "list_classes"))


def find_latest_run(artifacts: ArtifactStore, name: str, *, other_than: str = "") -> str | None:
    """The id of the published run of an evaluation that was started last; None where there is none.

    Args:
        artifacts: The store.
        name: The evaluation, as its config names it; the ids of its runs begin with it.
        other_than: A run that does not count.
    """
    tables = ResultTables(artifacts.store)
    candidates = [run_id for run_id in tables.published() if run_id.startswith(name) and run_id != other_than]
    for run_id in sorted(candidates, key=_started, reverse=True):  # "photos" and "photos-2" begin alike
        (row,) = tables.read(RUNS, run_id).to_pylist()
        if row["name"] == name:
            return run_id
    return None


def check_published(artifacts: ArtifactStore, *run_ids: str) -> None:
    """Refuse a run that is not published.

    Raises:
        QueryError: Names it and the latest ones.
    """
    published = ResultTables(artifacts.store).published()
    for run_id in run_ids:
        if run_id not in published:
            latest = ", ".join(published[-RUNS_SHOWN:]) or "none yet"
            raise QueryError(f"there is no run {run_id!r}.", artifacts.store.url(""), f"Published runs: {latest}.")


def read_run_classes(artifacts: ArtifactStore, run_id: str) -> ClassList:
    """The class list of a published run; nothing else of it need be in the store any more.

    Raises:
        StoreError: The list is gone.
    """
    made = ResultTables(artifacts.store).read("artifacts", run_id).to_pylist()
    key = next(row["key"] for row in made if row["kind"] == "classes" and row["step"] == "list_classes")
    return read_classes(artifacts, artifacts.open("classes", key))


def read_past_run(artifacts: ArtifactStore, run_id: str) -> PastRun:
    """Read what a published run was and made.

    Raises:
        QueryError: There is no such run; names the latest ones.
        StoreError: An artifact of it is gone.
    """
    check_published(artifacts, run_id)
    tables = ResultTables(artifacts.store)
    (row,) = tables.read("runs", run_id).to_pylist()
    made = tables.read("artifacts", run_id).to_pylist()
    handles = ((entry["step"], artifacts.open(entry["kind"], entry["key"])) for entry in made)
    return PastRun(run_id, EvalSpec.model_validate(json.loads(row["spec_json"])), tuple(handles))


def _started(run_id: str) -> tuple[str, str]:
    match = _TIME.search(run_id)
    return match[1] if match else "", run_id
