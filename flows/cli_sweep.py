"""`coder-eval sweep`: N models x M data sets x methods from one command, and one table at its end."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coder_core.errors import CoderError, ConfigError, raise_all
from flows.cli_check import look, tell
from flows.cli_common import engine_option, explain_errors, set_option, store_option
from flows.cli_doctor import look_before_paying
from flows.cli_logging import error_line, note_line
from flows.cli_prefect import prefect_ready
from flows.cli_report import keep_report_of
from flows.cli_try import quiet_logs

if TYPE_CHECKING:
    from coder_core.recipes.sweep import CellOutcome
    from coder_core.recipes.sweep_cells import Cell
    from coder_core.recipes.sweep_choice import ChosenCells, SweepChoice
    from coder_core.recipes.sweep_plan import PlannedCell
    from coder_core.recipes.sweep_results import SweepResult
    from coder_core.specs import Runtime
    from flows.engines import Engine, EngineName


def _words(text: str) -> tuple[str, ...]:
    """Words with commas between them; empty ones do not count."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


@click.command()
@click.argument("file", metavar="[SWEEP.YAML]", required=False)
@click.option("--datasets", default="", metavar="A,B", help="Configs or folders; of a file, some of its data sets.")
@click.option("--models", default="", metavar="A,B", help="As for `try --model`; of a file, some of its models.")
@click.option("--methods", default="", metavar="A,B", help="Zero-shot and few-shot methods.")
@click.option("--shots", default="", metavar="A,B", help="For data sets with images to learn from.")
@click.option("--name", help="Of a sweep without a file; its evaluations' names begin so.  [default: sweep]")
@click.option("--data-root", help="What ${DATA_ROOT} in the file stands for.  [default: CODER_DATA_ROOT]")
@set_option
@click.option("--dry-run", is_flag=True, help="Check every cell, say what it would cost, and run nothing.")
@click.option("--keep-going", is_flag=True, help="Where cells cannot work, run the others.")
@click.option("--again", is_flag=True, help="Run cells again that are published; what the store holds is found.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Also write the tables to this file.")
@store_option
@engine_option
@explain_errors
def sweep(
    file: str | None,
    datasets: str,
    models: str,
    methods: str,
    shots: str,
    name: str | None,
    data_root: str | None,
    overrides: tuple[str, ...],
    dry_run: bool,
    keep_going: bool,
    again: bool,
    as_json: bool,
    markdown: Path | None,
    store: str,
    engine: "EngineName",
) -> None:
    """Evaluate every data set with every model: from SWEEP.YAML, or --datasets a,b --models x,y.

    A cell that is published is not run again, so the same command goes on after a stop, and prints the table again.
    """
    from coder_core.config import load_runtime
    from coder_core.recipes.sweep_choice import SweepChoice
    from coder_core.recipes.sweep_plan import plan_lines, plan_sweep
    from coder_core.recipes.sweep_results import read_sweep
    from coder_core.storage.store import Store
    from flows.engines import choose_engine

    runtime = load_runtime(store=store)
    axes = _words(datasets), _words(models), _words(methods), _numbers(shots)
    title, cells, published = _chosen(file, SweepChoice(*axes, overrides, name, data_root))
    opened = Store(store)
    planned = plan_sweep(cells, opened, lambda spec: look(spec, runtime), is_again=again)
    for line in plan_lines(planned):
        click.echo(note_line(line), err=True)
    for cell in planned:
        tell([f"{cell.cell.name}: {warning}" for warning in cell.warnings])
        if cell.problem is not None:
            click.echo(error_line(_told(cell.cell.name, str(cell.problem))), err=True)
    wrong = [cell.problem for cell in planned if cell.problem is not None]
    if dry_run or (wrong and not keep_going):
        _end_unrun(planned, wrong, as_json=as_json, is_refused=not dry_run)
    chosen = choose_engine(engine, runtime)
    if chosen.note and any(cell.is_to_run for cell in planned):
        click.echo(note_line(chosen.note), err=True)
    outcomes = _run(planned, runtime, chosen)
    _show(read_sweep(title, outcomes, opened, published), as_json=as_json, markdown=markdown)


def _told(cell: str, problem: str) -> str:
    """A problem under the name of its cell, once: a config that is wrong is told under its name already."""
    return problem if problem.startswith(f"{cell}: ") else f"{cell}: {problem}"


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in _words(text))
    except ValueError:
        raise ConfigError(f"expected whole numbers, found {text!r:.80}.", "--shots", "As in 1,2,4.") from None


def _chosen(file: str | None, choice: "SweepChoice") -> "ChosenCells":
    from coder_core.recipes.sweep_choice import choose_cells

    if file is None and not choice.datasets:
        raise ConfigError("there is nothing to classify.", "sweep", "Name a SWEEP.YAML, or --datasets a,b.")
    return choose_cells(file, choice)


def _end_unrun(
    planned: "Sequence[PlannedCell]", wrong: Sequence[CoderError], *, as_json: bool, is_refused: bool
) -> None:
    """End where nothing is run: with 0, or with the status of what cannot work."""
    from coder_core.report.sweep_table import cell_record

    if as_json:
        click.echo(json.dumps({"cells": [cell_record(cell.left()) for cell in planned]}))
    if is_refused and any(cell.is_to_run for cell in planned):
        click.echo(note_line("nothing was run; --keep-going runs the others"), err=True)
    codes = {problem.exit_code for problem in wrong}
    sys.exit(0 if not wrong else codes.pop() if len(codes) == 1 else ConfigError.exit_code)


def _run(planned: "Sequence[PlannedCell]", runtime: "Runtime", engine: "Engine") -> "list[CellOutcome]":
    """Run what is to run; outcomes of all cells, in their order."""
    to_run = [cell for cell in planned if cell.is_to_run]
    run = _run_flow if engine.name == "prefect" else _run_inline
    found = {outcome.cell.name: outcome for outcome in (run(to_run, runtime, engine) if to_run else ())}
    return [
        replace(found[cell.cell.name], cell=cell.cell) if cell.cell.name in found else cell.left() for cell in planned
    ]


def _run_inline(planned: "Sequence[PlannedCell]", runtime: "Runtime", _: "Engine") -> "Sequence[CellOutcome]":
    from coder_core.pipeline.runner import inline_runner
    from coder_core.recipes.check import checked
    from coder_core.recipes.evaluate import evaluate
    from coder_core.recipes.sweep import run_cells
    from tasks.json_logs import name_run_in_logs

    def evaluate_cell(cell: "Cell") -> str:
        assert cell.spec is not None  # noqa: S101 - a cell to run has a spec
        looked = look(cell.spec, runtime)  # once more: the cells before it may have answered its questions
        raise_all(looked.problems)
        tell(look_before_paying(cell.spec, runtime, looked.to_ask))
        with checked(cell.spec, looked), inline_runner(runtime) as run:
            name_run_in_logs(None, run.name_run(cell.spec.name))
            run_id = evaluate(cell.spec, run).run_id
        if runtime.report:
            keep_report_of(runtime, run_id)
        return run_id

    with quiet_logs():
        return run_cells(
            [cell.cell for cell in planned], evaluate_cell, lambda line: click.echo(note_line(line), err=True)
        )


def _run_flow(planned: "Sequence[PlannedCell]", runtime: "Runtime", engine: "Engine") -> "Sequence[CellOutcome]":
    from coder_core.recipes.sweep import CellOutcome, CellsFailedError

    cells = [cell.cell for cell in planned]
    settings = {cell.name: cell.spec.model_dump(mode="json") for cell in cells if cell.spec is not None}
    with prefect_ready(engine.server):
        from flows.sweep import sweep as sweep_flow

        try:
            runs = sweep_flow(cells=settings, runtime=runtime)
        except CellsFailedError as error:
            return error.outcomes
    return [CellOutcome(cell, "ran", runs[cell.name]) for cell in cells]


def _show(result: "SweepResult", *, as_json: bool, markdown: Path | None) -> None:
    """Print the tables; end with a status that says whether every cell has a result."""
    from coder_core.recipes.sweep import CellsFailedError
    from coder_core.report.sweep_table import sweep_markdown, sweep_record, write_sweep
    from coder_core.storage.output_file import write_file

    click.echo(json.dumps(sweep_record(result)) if as_json else write_sweep(result))
    if markdown is not None:
        write_file(markdown, sweep_markdown(result))
        click.echo(note_line(f"tables: {markdown}"), err=True)
    for outcome in result.outcomes:
        if outcome.state == "failed":
            click.echo(error_line(_told(outcome.cell.name, outcome.problem)), err=True)
    if any(outcome.run_id is None for outcome in result.outcomes):
        raise CellsFailedError(result.outcomes)
