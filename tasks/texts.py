"""Tasks: what is said about the classes, and where that lies in the encoder's space."""

from prefect import task

from coder_core import steps
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.dataset import DatasetHandle
from coder_core.steps.text_embeddings import EncoderHandle
from coder_core.steps.workplace import Product
from tasks.logs import log_product
from tasks.policy import STEP_POLICY


@task(task_run_name="write-texts-{spec.texts.domain}", **STEP_POLICY)
def write_texts(dataset: DatasetHandle, spec: EvalSpec, runtime: Runtime) -> Product:
    """Dress the bank's phrases in the domain's sentences."""
    product = steps.texts.write_texts(dataset.classes, spec.texts, steps.texts.kinds_needed(spec), runtime)
    log_product(product)
    return product


@task(task_run_name="embed-texts-{encoder.identity.label}", **STEP_POLICY)
def embed_texts(texts: Product, encoder: EncoderHandle, runtime: Runtime) -> Product:
    """Embed the texts that the ledger does not hold yet."""
    product = steps.text_embeddings.embed_texts(texts.artifact, encoder, runtime)
    log_product(product)
    return product
