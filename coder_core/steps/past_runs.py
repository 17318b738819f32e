"""A run that is over, as the store remembers it: its spec, and the artifacts it made or found."""

import json
from typing import NamedTuple

from coder_core.classes import ClassList
from coder_core.errors import QueryError, StoreError
from coder_core.specs import EvalSpec
from coder_core.steps.dataset import read_classes
from coder_core.storage.artifacts import Artifact, ArtifactStore
from coder_core.storage.results import ResultTables
from coder_core.storage.warehouse import Warehouse

RUNS_SHOWN = 3


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
        name: The evaluation, as its config names it.
        other_than: A run that does not count.
    """
    quoted, excluded = (text.replace("'", "''") for text in (name, other_than))
    sql = f"SELECT run_id FROM runs WHERE name = '{quoted}' AND run_id <> '{excluded}' "  # noqa: S608 (quoted)
    rows = Warehouse(artifacts.store).query(sql + "ORDER BY started_at DESC, run_id DESC LIMIT 1").rows
    return str(rows[0][0]) if rows else None


def read_past_run(artifacts: ArtifactStore, run_id: str) -> PastRun:
    """Read what a published run was and made.

    Raises:
        QueryError: There is no such run; names the latest ones.
        StoreError: An artifact of it is gone.
    """
    tables = ResultTables(artifacts.store)
    published = tables.published()
    if run_id not in published:
        latest = ", ".join(published[-RUNS_SHOWN:]) or "none yet"
        raise QueryError(f"there is no run {run_id!r}.", artifacts.store.url(""), f"Published runs: {latest}.")
    (row,) = tables.read("runs", run_id).to_pylist()
    made = tables.read("artifacts", run_id).to_pylist()
    handles = ((entry["step"], artifacts.open(entry["kind"], entry["key"])) for entry in made)
    return PastRun(run_id, EvalSpec.model_validate(json.loads(row["spec_json"])), tuple(handles))
