"""Tasks: what there is to classify, and whether the store takes what will be found."""

from prefect import task

from coder_core import steps
from coder_core.specs import DatasetSpec, EncoderSpec, Runtime
from coder_core.steps.dataset import DatasetHandle
from coder_core.steps.encoding import EncoderHandle
from tasks.logs import log_product
from tasks.policy import DOOR_POLICY, STEP_POLICY


@task(task_run_name="check-store", **DOOR_POLICY)
def check_store(runtime: Runtime) -> None:
    """Fail now rather than after the work when the store cannot be written."""
    steps.workplace.open_store(runtime).store.check_writable()


@task(task_run_name="load-dataset-{dataset.kind}", **STEP_POLICY)
def load_dataset(dataset: DatasetSpec, runtime: Runtime) -> DatasetHandle:
    """List classes, images and labels."""
    handle = steps.dataset.load_dataset(dataset, runtime)
    log_product(handle.images)
    return handle


@task(task_run_name="check-classes-of-{what}", **STEP_POLICY)
def check_classes(dataset: DatasetHandle, other: DatasetHandle, runtime: Runtime, what: str) -> None:
    """Refuse a further data set of other classes."""
    steps.dataset.check_same_classes(dataset.classes, other.classes, runtime, what=what)


@task(task_run_name="open-encoder", **STEP_POLICY)
def open_encoder(encoder: EncoderSpec) -> EncoderHandle:
    """Identify the encoder by its weights and configuration."""
    return steps.encoding.open_encoder(encoder)
