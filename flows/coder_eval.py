"""The main job under Prefect: its parameters, and the recipe (`coder_core/recipes/evaluate.py`) that it runs."""

from typing import Any

from prefect import flow

from coder_core.config import DEMO_CONFIG
from coder_core.pipeline.eval_result import EvalResult
from coder_core.recipes.check import checked, require_sound
from coder_core.recipes.evaluate import evaluate
from coder_core.report.summary import headline
from coder_core.specs import Runtime
from tasks.ended_runs import ended_with
from tasks.logs import prepare_logs
from tasks.prefect_runner import call_flow_run, name_run, prefect_runner
from tasks.report_page import show_report
from tasks.served_runs import load_flow_spec, served_runtime


@flow(name="coder-eval")
def coder_eval(
    config: str | dict[str, Any] = DEMO_CONFIG, overrides: list[str] | None = None, runtime: Runtime | None = None
) -> EvalResult:
    """Evaluate CODER and its baselines on one data set: texts, embeddings, CODER, predictions, metrics, results.

    Args:
        config: A path, a URL, the settings themselves, or `demo:flags`.
        overrides: `key.path=value` settings that win over the config.
        runtime: Where and how fast; what is not given comes from CODER_* in the environment of the worker.
    """
    prepare_logs()
    spec, runtime = load_flow_spec(config, overrides or ()), served_runtime(runtime)
    call_flow_run(name_run(spec.name))  # before the check, which may take a while
    with checked(spec, require_sound(spec, runtime)), prefect_runner(runtime, name=spec.name) as run:
        result = evaluate(spec, run)
    if runtime.report:
        show_report(runtime, result)
    return ended_with(result, headline)
