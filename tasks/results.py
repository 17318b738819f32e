"""Tasks: metrics, result tables, and what Prefect's page shows of a run."""

from prefect import task
from prefect.artifacts import create_table_artifact

from coder_core import steps
from coder_core.report.summary import metric_rows
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.results import EvalResult, Evidence
from tasks.policy import STEP_POLICY


@task(task_run_name="publish-results", **STEP_POLICY)
def publish_results(spec: EvalSpec, evidence: Evidence, runtime: Runtime) -> EvalResult:
    """Measure every method, write the result tables, make the run visible."""
    result = steps.results.publish_results(spec, evidence, runtime)
    create_table_artifact(
        key="metrics",
        table=metric_rows(result),
        description=f"{result.name}: {result.image_count} images, {result.class_count} classes; run {result.run_id}",
    )
    return result
