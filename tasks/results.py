"""Tasks: metrics, result tables, and what Prefect's page shows of a run."""

from prefect import task
from prefect.logging import get_run_logger

from coder_core import steps
from coder_core.errors import CoderError
from coder_core.report.class_changes import comparison_rows, describe_comparison
from coder_core.report.summary import metric_rows
from coder_core.report.timeline import list_step_times
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.results import EvalResult, Evidence, list_products
from tasks.artifacts import show_named_rows, show_plots, show_table
from tasks.policy import STEP_POLICY


@task(task_run_name="publish-results", **STEP_POLICY)
def publish_results(spec: EvalSpec, evidence: Evidence, runtime: Runtime) -> EvalResult:
    """Measure every method, write the result tables, make the run visible."""
    result = steps.results.publish_results(spec, evidence, runtime)
    show_run(result, evidence, runtime)
    show_class_changes(result, runtime)
    return result


def show_run(result: EvalResult, evidence: Evidence, runtime: Runtime) -> None:
    """Show metrics, the time of each step, and both as pictures."""
    steps_taken = list_step_times(list_products(evidence))
    told = f"{result.name}: {result.image_count} images, {result.class_count} classes; run {result.run_id}"
    show_table(result.name, "metrics", metric_rows(result), told)
    timings = [step._asdict() for step in steps_taken]
    show_table(result.name, "timings", timings, f"{told}, {result.seconds:.1f} s in all")
    ablation = steps.ablation.read_ablation_of(result.run_id, runtime) if result.has_ablation else []
    show_plots(result, steps_taken, ablation, told)


def show_class_changes(result: EvalResult, runtime: Runtime) -> None:
    """Show what new classes did to old ones, where the run before this one had other classes."""
    try:
        comparison = steps.class_changes.compare_with_previous(result.name, result.run_id, runtime)
    except CoderError as error:  # the run itself is finished and published
        get_run_logger().warning("not compared with the run before: %s", error)
        return
    if comparison is not None:
        show_named_rows(result.name, "class-changes", comparison_rows(comparison), describe_comparison(comparison))
