"""A sweep under Prefect: every cell is the ordinary flow `coder-eval`, as a sub-flow on the runner of the runtime."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from prefect import flow
from prefect.logging import get_run_logger

from coder_core.counted import counted
from coder_core.errors import ConfigError
from coder_core.recipes.check import check_evaluation
from coder_core.recipes.sweep import CellOutcome, CellsFailedError, run_cells
from coder_core.recipes.sweep_cells import Cell
from coder_core.recipes.sweep_choice import ChosenCells, SweepChoice
from coder_core.recipes.sweep_plan import PlannedCell, plan_lines, plan_sweep
from coder_core.recipes.sweep_results import read_sweep
from coder_core.report.sweep_table import sweep_markdown
from coder_core.specs import Runtime
from coder_core.storage.store import Store
from flows.coder_eval import coder_eval
from tasks.ended_runs import ended_with
from tasks.logs import prepare_logs
from tasks.prefect_runner import call_flow_run
from tasks.served_runs import load_flow_sweep, served_runtime
from tasks.step_pages import show_markdown
from tasks.task_runner_choice import check_task_runner


@flow(name="sweep")
def sweep(
    config: str | dict[str, Any] | None = None,
    datasets: list[str] | None = None,
    models: list[str] | None = None,
    methods: list[str] | None = None,
    shots: list[int] | None = None,
    overrides: list[str] | None = None,
    data_root: str | None = None,
    keeps_going: bool = False,
    is_again: bool = False,
    runtime: Runtime | None = None,
    cells: dict[str, dict[str, Any]] | None = None,
) -> dict[str, str]:
    """Evaluate cell after cell; one that fails does not stop the others, and fails the sweep at its end.

    Args:
        config: The sweep: a path, a URL, or the settings themselves.
        datasets: Some of its data sets; default: all.
        models: Some of its models; default: all.
        methods: Instead of its own.
        shots: Instead of its own.
        overrides: `key.path=value` settings that win in every cell.
        data_root: What `${DATA_ROOT}` stands for; default: CODER_DATA_ROOT in the environment of the worker.
        keeps_going: Where cells cannot work, run the others; default: run nothing.
        is_again: Run cells again that are published.
        runtime: Where and how fast, for all; what is not given comes from CODER_* in the environment of the worker.
        cells: Instead of all above: evaluations by name. The command line hands them on, which has looked at them.

    Returns:
        The runs by cell.

    Raises:
        CellsFailedError: Some cells have no result; the others have.
        ConfigError: The sweep is wrong, or cells cannot work and nothing was run.
    """
    prepare_logs()
    runtime = served_runtime(runtime)
    if (config is None) == (cells is None):
        raise ConfigError("expected either `config` or `cells`.", "sweep", "Name a sweep: config=sweep.yaml.")
    if cells is not None:
        outcomes: Sequence[CellOutcome] = _run(cells, runtime)
    else:
        choice = SweepChoice(
            tuple(datasets or ()),
            tuple(models or ()),
            tuple(methods or ()),
            tuple(shots or ()),
            tuple(overrides or ()),
            data_root=data_root,
        )
        outcomes = _sweep(load_flow_sweep(config or "", choice), runtime, keeps_going=keeps_going, is_again=is_again)
    if any(outcome.run_id is None for outcome in outcomes):
        raise CellsFailedError(outcomes)
    found = {outcome.cell.name: outcome.run_id or "" for outcome in outcomes}
    return ended_with(found, lambda runs: f"{len(runs)} of {counted(len(outcomes), 'cell')} have a result")


def _sweep(chosen: ChosenCells, runtime: Runtime, *, keeps_going: bool, is_again: bool) -> list[CellOutcome]:
    """Look at all cells, run what is to run, and show the table on Prefect's page."""
    call_flow_run(f"sweep-{chosen.name}")
    check_task_runner(runtime)
    store = Store(runtime.store)
    planned = plan_sweep(chosen.cells, store, lambda spec: check_evaluation(spec, runtime), is_again=is_again)
    _tell(planned, keeps_going=keeps_going)
    to_run = {cell.cell.name: cell.cell.spec for cell in planned if cell.is_to_run and cell.cell.spec}
    ran = _run({name: spec.model_dump(mode="json") for name, spec in to_run.items()}, runtime)
    found = {outcome.cell.name: outcome for outcome in ran}
    outcomes = [
        replace(found[cell.cell.name], cell=cell.cell) if cell.cell.name in found else cell.left() for cell in planned
    ]
    page = sweep_markdown(read_sweep(chosen.name, outcomes, store, chosen.published))
    show_markdown(chosen.name, "sweep", page, f"{chosen.name}: {counted(len(outcomes), 'cell')}")
    return outcomes


def _tell(planned: Sequence[PlannedCell], *, keeps_going: bool) -> None:
    """Log what will be done and cost; raise where nothing is run because a cell cannot work."""
    log = get_run_logger()
    for line in plan_lines(planned):
        log.info("%s", line)
    for cell in planned:
        for warning in cell.warnings:
            log.warning("%s: %s", cell.cell.name, warning)
    wrong = [cell for cell in planned if cell.problem is not None]
    for cell in wrong:
        log.error("%s: %s", cell.cell.name, cell.problem)
    if wrong and not keeps_going:
        first = f"{wrong[0].cell.name}: {wrong[0].problem}"
        problem = f"{len(wrong)} of {counted(len(planned), 'cell')} cannot work, and nothing was run: {first}"
        raise ConfigError(problem, "sweep", "keeps_going=true runs the others.")


def _run(cells: Mapping[str, dict[str, Any]], runtime: Runtime) -> list[CellOutcome]:
    """Every cell as a sub-flow."""
    log = get_run_logger()
    return run_cells(
        [Cell(name, name, "", "") for name in cells],
        lambda cell: coder_eval(cells[cell.name], [], runtime).run_id,
        lambda line: log.info("%s", line),
    )
