"""Tasks: what is said about the classes, and where that lies in the encoder's space."""

from prefect import task
from prefect.logging import get_run_logger

from coder_core import steps
from coder_core.atg.generation_report import GenerationReport, merge_reports
from coder_core.interruption import time_limit
from coder_core.report.summary import generation_rows
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.dataset import DatasetHandle
from coder_core.steps.encoding import EncoderHandle
from coder_core.steps.text_bank import ClassChunk
from coder_core.steps.workplace import Product
from tasks.artifacts import show_named_rows
from tasks.gpu import gpu_slot
from tasks.logs import log_product
from tasks.policy import ASK_POLICY, DOOR_POLICY, SHARD_POLICY, SHARD_SECONDS, STEP_POLICY


@task(task_run_name="plan-generation", **STEP_POLICY)
def plan_generation(dataset: DatasetHandle, spec: EvalSpec, runtime: Runtime) -> list[ClassChunk]:
    """Cut the class list into chunks; none where no language model is asked."""
    return steps.text_bank.plan_generation(dataset.classes, spec.texts, runtime)


@task(task_run_name="generate-texts-{chunk.name}", **ASK_POLICY)
def generate_texts(
    chunk: ClassChunk,
    dataset: DatasetHandle,
    spec: EvalSpec,
    encoder: EncoderHandle,
    runtime: Runtime,
    spent_usd: float,
) -> GenerationReport:
    """Buy the texts of a chunk of classes that the completions ledger lacks."""
    report = steps.text_bank.generate_chunk(chunk, dataset.classes, spec.texts, encoder, runtime, spent_usd)
    get_run_logger().info("%s", report)
    return report


@task(task_run_name="report-generation", **DOOR_POLICY)
def report_generation(spec: EvalSpec, reports: list[GenerationReport]) -> None:
    """Show on Prefect's page what was generated, reused and failed; refuse to go on with half a bank."""
    report = merge_reports(reports)
    show_named_rows(spec.name, "texts", generation_rows(report), str(report).splitlines()[0])
    steps.text_bank.check_generation(report)


@task(task_run_name="assemble-bank", **STEP_POLICY)
def assemble_bank(dataset: DatasetHandle, spec: EvalSpec, encoder: EncoderHandle, runtime: Runtime) -> Product:
    """Put the text bank together from file, language model, WordNet and a person's edits."""
    return steps.text_bank.assemble_bank(dataset.classes, spec.texts, encoder, runtime)


@task(task_run_name="write-texts-{spec.texts.domain}", **STEP_POLICY)
def write_texts(dataset: DatasetHandle, bank: Product, spec: EvalSpec, runtime: Runtime) -> Product:
    """Dress the bank's phrases in the domain's sentences."""
    kinds = steps.texts.kinds_needed(spec)
    product = steps.texts.write_texts(dataset.classes, bank.artifact, spec.texts, kinds, runtime)
    log_product(product)
    return product


@task(task_run_name="embed-texts-{encoder.identity.label}", **SHARD_POLICY)
def embed_texts(texts: Product, encoder: EncoderHandle, runtime: Runtime, step: str = "embed_texts") -> Product:
    """Embed the texts that the ledger does not hold yet; `step` is what that is called among the timings."""
    with gpu_slot(runtime), time_limit(SHARD_SECONDS):
        product = steps.text_embeddings.embed_texts(texts.artifact, encoder, runtime, step=step)
    log_product(product)
    return product
