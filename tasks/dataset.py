"""Tasks: what there is to classify."""

from prefect import task

from coder_core import steps
from coder_core.specs import DatasetSpec, EncoderSpec, Runtime
from coder_core.steps.dataset import DatasetHandle
from coder_core.steps.text_embeddings import EncoderHandle
from tasks.policy import STEP_POLICY


@task(**STEP_POLICY)
def check_store(runtime: Runtime) -> None:
    """Fail now rather than after the work when the store cannot be written."""
    steps.workplace.open_store(runtime).store.check_writable()


@task(**STEP_POLICY)
def load_dataset(dataset: DatasetSpec, runtime: Runtime) -> DatasetHandle:
    """List classes, images and labels."""
    return steps.dataset.load_dataset(dataset, runtime)


@task(**STEP_POLICY)
def open_encoder(encoder: EncoderSpec) -> EncoderHandle:
    """Identify the encoder by its weights and configuration."""
    return steps.text_embeddings.open_encoder(encoder)
