"""A sweep under Prefect: every cell is the ordinary flow `coder-eval`, as a sub-flow on the runner of the runtime."""

from typing import Any

from prefect import flow
from prefect.logging import get_run_logger

from coder_core.recipes.sweep import CellsFailedError, run_cells
from coder_core.recipes.sweep_cells import Cell
from coder_core.specs import Runtime
from flows.coder_eval import coder_eval
from tasks.ended_runs import ended_with
from tasks.logs import prepare_logs


@flow(name="sweep")
def sweep(cells: dict[str, dict[str, Any]], runtime: Runtime | None = None) -> dict[str, str]:
    """Evaluate cell after cell; one that fails does not stop the others, and fails the sweep at its end.

    Args:
        cells: The settings of an evaluation by its name.
        runtime: Where and how fast, for all; what is not given comes from CODER_* in the environment.

    Returns:
        The runs by cell.

    Raises:
        CellsFailedError: Some cells have no result; the others have.
    """
    prepare_logs()
    log = get_run_logger()
    outcomes = run_cells(
        [Cell(name, name, "", "") for name in cells],
        lambda cell: coder_eval(cells[cell.name], [], runtime).run_id,
        lambda line: log.info("%s", line),
    )
    if any(outcome.run_id is None for outcome in outcomes):
        raise CellsFailedError(outcomes)
    found = {outcome.cell.name: outcome.run_id or "" for outcome in outcomes}
    return ended_with(found, lambda runs: f"{len(runs)} of {len(cells)} cells have a result")
