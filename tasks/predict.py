"""Tasks: a published run's method on new images."""

from prefect import task
from prefect.logging import get_run_logger

from coder_core import steps
from coder_core.specs import Runtime
from coder_core.steps.answers import Answers
from coder_core.steps.dataset import ImagesHandle
from coder_core.steps.past_classifiers import PastClassifier
from coder_core.steps.workplace import Product
from coder_core.storage.exports import check_export
from tasks.logs import log_product
from tasks.policy import DOOR_POLICY, STEP_POLICY


@task(task_run_name="check-out", **DOOR_POLICY)
def check_out(out: str | None) -> None:
    """Fail now rather than after the work when no table can be written there."""
    if out is not None:
        check_export(out)


@task(task_run_name="recall-{method}-of-{run}", **STEP_POLICY)
def recall_classifier(run: str, method: str, runtime: Runtime) -> PastClassifier:
    """Find classes, texts and encoder of a published run."""
    return steps.past_classifiers.recall_classifier(run, method, runtime)


@task(task_run_name="list-new-images", **STEP_POLICY)
def list_new_images(locations: list[str], runtime: Runtime) -> ImagesHandle:
    """List the files to classify."""
    handle = steps.new_images.list_new_images(locations, runtime)
    log_product(handle.images)
    return handle


@task(task_run_name="write-answers-of-{past.method}", **STEP_POLICY)
def write_answers(
    past: PastClassifier, image_embeddings: Product, predictions: Product, out: str | None, runtime: Runtime
) -> Answers:
    """Put names to predictions and say where the table is."""
    answers = steps.answers.write_answers(past, image_embeddings.artifact, predictions, out, runtime)
    get_run_logger().info("%d images classified, %d left out: %s", answers.images, answers.broken, answers.location)
    return answers
