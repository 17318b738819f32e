"""`coder-eval`: parse, call one flow or one core function, print.

Nothing heavy is imported before it is needed: `--help`, `tables` and `query` load neither torch nor Prefect.
Results go to standard output, everything else to standard error; every expected error is one line and an exit status.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coder_core.errors import raise_all
from flows.cli_ablation import ablation
from flows.cli_check import check, look, tell
from flows.cli_classes import classes, compare, print_class_changes
from flows.cli_common import (
    engine_option,
    explain_errors,
    explain_errors_of_service,
    program_name,
    set_option,
    store_option,
)
from flows.cli_data import data
from flows.cli_doctor import doctor, look_before_paying
from flows.cli_explain import explain
from flows.cli_export import export
from flows.cli_import import import_group
from flows.cli_logging import note_line, warning_line
from flows.cli_metrics import metrics as metrics_command
from flows.cli_predict import predict
from flows.cli_prefect import prefect_ready
from flows.cli_query import query, tables, warehouse
from flows.cli_report import keep_report_of, write_kept_report
from flows.cli_report import report as report_command
from flows.cli_runs import runs, show
from flows.cli_sections import SectionedGroup
from flows.cli_serve import deploy, serve
from flows.cli_store import store as store_group
from flows.cli_sweep import sweep
from flows.cli_texts import texts
from flows.cli_try import init, try_folder
from service.loopback import bypass_proxies
from tasks.json_logs import log_environment

if TYPE_CHECKING:
    from coder_core.pipeline.eval_result import EvalResult
    from coder_core.specs import EvalSpec, Runtime
    from flows.engines import Engine, EngineName


@click.group(cls=SectionedGroup)
@click.version_option(package_name="coder-eval")
@explain_errors_of_service
def main() -> None:
    r"""Classify images by texts instead of labels, and measure it honestly.

    \b
    coder-eval try photos/                one folder per class: a first table
    coder-eval try new/ --classes a.txt   images that nobody has sorted
    coder-eval run                        the demonstration, which needs nothing
    """
    bypass_proxies(os.environ)
    if any(name.upper().startswith("CODER_") for name in os.environ):
        from coder_core.config import check_variables, unknown_variables

        for line in unknown_variables(os.environ):
            click.echo(warning_line(line), err=True)
        if "--help" not in sys.argv:
            log_environment(os.environ)
            check_variables(os.environ)


main.add_command(try_folder)
main.add_command(init)
main.add_command(check)
main.add_command(doctor)
main.add_command(data)
main.add_command(texts)
main.add_command(store_group)
main.add_command(explain)
main.add_command(sweep)
main.add_command(ablation)
main.add_command(classes)
main.add_command(compare)
main.add_command(predict)
main.add_command(export)
main.add_command(metrics_command)
main.add_command(import_group)
main.add_command(report_command)
main.add_command(query)
main.add_command(tables)
main.add_command(warehouse)
main.add_command(runs)
main.add_command(show)
main.add_command(serve)
main.add_command(deploy)


@main.command()
@click.argument("config", default="demo:flags")
@set_option
@store_option
@engine_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Also write the report to this file.")
@explain_errors
def run(
    config: str, overrides: tuple[str, ...], store: str, engine: "EngineName", as_json: bool, report: Path | None
) -> None:
    """Run the evaluation that CONFIG describes (default: the embedded demonstration)."""
    from coder_core.config import load_runtime, load_spec
    from coder_core.recipes.check import checked
    from flows.engines import choose_engine

    spec = load_spec(config, overrides)
    runtime = load_runtime(store=store, **({"report": True} if report else {}))
    looked = look(spec, runtime)  # what is wrong is told before anything is started
    tell(looked.warnings)
    raise_all(looked.problems)
    tell(look_before_paying(spec, runtime, looked.to_ask))
    chosen = choose_engine(engine, runtime)
    if chosen.note:
        click.echo(note_line(chosen.note), err=True)
    with checked(spec, looked):
        if chosen.name == "prefect":
            result = _run_flow(config, list(overrides), runtime, chosen)
        else:
            result = _run_inline(spec, runtime)
    if as_json:
        found: dict[str, object] = {"run_id": result.run_id}
        found["metrics"] = [asdict(metric) for metric in result.metrics]
        found["comparisons"] = [asdict(row) for row in result.comparisons]
        click.echo(json.dumps(found))
        if report is not None:
            write_kept_report(runtime, result.run_id, report, is_told=False)
        return
    from coder_core.report.summary import print_summary

    print_summary(result, sys.stdout, program=program_name())
    print_class_changes(result.name, result.run_id, store)
    if report is not None:
        write_kept_report(runtime, result.run_id, report)


def _run_flow(config: str, overrides: list[str], runtime: "Runtime", engine: "Engine") -> "EvalResult":
    from coder_core.sealing import seal, seal_text

    with prefect_ready(engine.server):  # Prefect keeps the parameters
        from flows.coder_eval import coder_eval

        return coder_eval(seal(config), [seal_text(override) for override in overrides], runtime)


def _run_inline(spec: "EvalSpec", runtime: "Runtime") -> "EvalResult":
    from coder_core.pipeline.runner import inline_runner
    from coder_core.recipes.evaluate import evaluate
    from flows.engines import logs_on_stderr
    from tasks.json_logs import name_run_in_logs

    with logs_on_stderr(), inline_runner(runtime) as runner:
        name_run_in_logs(None, runner.name_run(spec.name))
        result = evaluate(spec, runner)
    if runtime.report:
        keep_report_of(runtime, result.run_id)
    return result


if __name__ == "__main__":
    main()
