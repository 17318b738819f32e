"""A sweep: cell after cell through the ordinary recipe; what is published is not run again, a failure stops no other.

Nothing is kept about a sweep but its runs: where it was stopped is what the store has.
"""

import importlib.metadata
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from coder_core.counted import counted
from coder_core.datasets.places import folders_of
from coder_core.errors import CoderError, StoreError
from coder_core.fingerprint import key_of
from coder_core.recipes.sweep_cells import Cell
from coder_core.redaction import redact_error
from coder_core.results.result_tables import ResultTables
from coder_core.results.schema import RunRow
from coder_core.specs import EvalSpec
from coder_core.storage.store import Store

logger = logging.getLogger(__name__)
CellState = Literal["done", "ran", "failed", "wrong", "left"]
"""`done`: published before; `ran`: now; `failed`: while it ran; `wrong`: by the check before anything ran; `left`: not
run, because the sweep was only to be looked at, or another cell is wrong."""


@dataclass(frozen=True)
class CellOutcome:
    """What became of a cell.

    Attributes:
        cell: The cell.
        state: What became of it.
        run_id: Its run, where one is published.
        problem: Why not, in one line; empty where there is a run.
        exit_code: Of the problem; 0 without one.
        seconds: That it took now.
    """

    cell: Cell
    state: CellState
    run_id: str | None = None
    problem: str = ""
    exit_code: int = 0
    seconds: float = 0.0


class CellsFailedError(CoderError):
    """Some cells of a sweep have no result.

    Attributes:
        outcomes: Of all its cells.
    """

    def __init__(self, outcomes: Sequence[CellOutcome]) -> None:
        self.outcomes = tuple(outcomes)
        missing = [outcome for outcome in outcomes if outcome.run_id is None]
        codes = {outcome.exit_code for outcome in missing if outcome.exit_code}
        self.exit_code = codes.pop() if len(codes) == 1 else CoderError.exit_code
        remedy = "The same command runs only these again."
        super().__init__(f"{len(missing)} of {counted(len(outcomes), 'cell')} have no result.", "sweep", remedy)


def published_run(spec: EvalSpec, store: Store) -> str | None:
    """The newest run of this very specification that this version of the package has published; None without one.

    A run that began before a file or folder of its inputs was written to does not count: it has read something else.
    """
    tables, version, key = ResultTables(store), importlib.metadata.version("coder-eval"), key_of(spec)
    for run_id in tables.newest(spec.name):
        try:
            (row,) = tables.read_rows(RunRow, run_id)
        except StoreError:  # damaged: it is run again
            continue
        if (row.spec_key, row.code_version) == (key, version):
            return None if inputs_changed_since(spec, row.started_at) else run_id
    return None


def inputs_changed_since(spec: EvalSpec, moment: datetime) -> bool:
    """Whether a local file that a specification names was written later; of a folder, what lies directly in it.

    Images are added to and removed from class folders, which shows in the times of these. Nothing is opened: a file
    that keeps an older time, or one on a server, is not noticed.

    Args:
        spec: The specification.
        moment: UTC.
    """
    settings = spec.model_dump(mode="json")
    places = (*_places(settings), *folders_of(settings))
    return any(_written(Path(place)) > moment.timestamp() for place in places)


def _places(value: Any) -> Iterator[str]:
    """Every absolute path in settings."""
    if isinstance(value, str):
        yield from [value] if value.startswith("/") else []
    elif isinstance(value, Mapping | list):
        for below in value.values() if isinstance(value, Mapping) else value:
            yield from _places(below)


def _written(place: Path) -> float:
    """When a file was last written to, or a folder or what lies directly in it; 0 where nothing is there."""
    try:
        below = [entry.stat().st_mtime for entry in os.scandir(place)] if place.is_dir() else []
        return max([place.stat().st_mtime, *below])
    except OSError:
        return 0.0


def run_cells(
    cells: Sequence[Cell], evaluate_cell: Callable[[Cell], str], tell: Callable[[str], None]
) -> list[CellOutcome]:
    """Evaluate cells in their order; one that fails is told, and the next one is run.

    Args:
        cells: Sound ones.
        evaluate_cell: Gives the id of the published run.
        tell: Is given one line when a cell begins and when it ends.
    """
    outcomes = []
    for number, cell in enumerate(cells, start=1):
        tell(f"cell {number} of {len(cells)}: {cell.name}")
        outcome = _attempt(cell, evaluate_cell)
        ended = f"run {outcome.run_id} in {outcome.seconds:.1f} s" if outcome.run_id else f"failed: {outcome.problem}"
        tell(f"{cell.name}: {ended}")
        outcomes.append(outcome)
    return outcomes


def _attempt(cell: Cell, evaluate_cell: Callable[[Cell], str]) -> CellOutcome:
    started = time.monotonic()
    try:
        run_id = evaluate_cell(cell)
    except CoderError as error:
        return CellOutcome(cell, "failed", problem=str(error), exit_code=error.exit_code)
    except Exception as error:  # a night of other cells must not be lost to a mistake in one
        redact_error(error)
        logger.exception("cell %s", cell.name)
        return CellOutcome(cell, "failed", problem=str(CoderError(f"{type(error).__name__}: {error}")), exit_code=1)
    return CellOutcome(cell, "ran", run_id, seconds=time.monotonic() - started)
