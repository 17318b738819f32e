"""Tasks: CODER's second stage. Which pairs matter, what is said about them, and the second look."""

from prefect import task
from prefect.logging import get_run_logger

from coder_core import steps
from coder_core.atg.generation_report import GenerationReport, merge_reports
from coder_core.interruption import time_limit
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.dataset import DatasetHandle
from coder_core.steps.encoding import EncoderHandle
from coder_core.steps.gate import Gate
from coder_core.steps.image_embeddings import Shard, ShardReport
from coder_core.steps.rerank import RerankInputs
from coder_core.steps.text_bank import ClassChunk
from coder_core.steps.workplace import Product
from coder_core.storage.manifest import Artifact
from coder_core.texts.kinds import TextKind
from tasks.logs import log_product
from tasks.policy import DOOR_POLICY, SHARD_POLICY, SHARD_SECONDS, STEP_POLICY


@task(task_run_name="count-confused-pairs", **STEP_POLICY)
def count_confused_pairs(stage1: Product, spec: EvalSpec, runtime: Runtime) -> Product:
    """Count the pairs of classes that uncertain images stand between."""
    product = steps.confused_pairs.count_confused_pairs(stage1.artifact, spec.rerank, runtime)
    summary = product.artifact.summary
    get_run_logger().info(
        "%d of %d images are uncertain, between %d pairs", summary["gated"], summary["images"], product.artifact.rows
    )
    return product


@task(task_run_name="plan-pair-generation", **STEP_POLICY)
def plan_pair_generation(
    confused: Product, dataset: DatasetHandle, spec: EvalSpec, runtime: Runtime
) -> list[ClassChunk]:
    """Choose the pairs to ask a language model about, most frequent first, and cut them into chunks."""
    pairs = steps.confused_pairs.select_confused_pairs(
        confused.artifact, dataset.classes, spec.texts, spec.rerank, runtime
    )
    return steps.text_bank.plan_pair_generation(pairs)


@task(task_run_name="check-pair-generation", **DOOR_POLICY)
def check_pair_generation(reports: list[GenerationReport]) -> None:
    """Say what was asked and answered; refuse to go on where it stopped early."""
    report = merge_reports(reports)
    get_run_logger().info("%s", report)
    steps.text_bank.check_generation(report)


@task(task_run_name="assemble-pair-bank", **STEP_POLICY)
def assemble_pair_bank(
    chunks: list[ClassChunk], dataset: DatasetHandle, spec: EvalSpec, encoder: EncoderHandle, runtime: Runtime
) -> Product:
    """Put the bank together again, with what was said about the pairs."""
    pairs = [pair for chunk in chunks for pair in chunk.pairs]
    return steps.text_bank.assemble_bank(dataset.classes, spec.texts, encoder, runtime, pairs=pairs)


@task(task_run_name="write-pair-texts-{spec.texts.domain}", **STEP_POLICY)
def write_pair_texts(dataset: DatasetHandle, bank: Product, spec: EvalSpec, runtime: Runtime) -> Product:
    """Dress what tells one class from another in the domain's sentences."""
    product = steps.texts.write_texts(
        dataset.classes, bank.artifact, spec.texts, (TextKind.ONE_TO_ONE,), runtime, step="write_pair_texts"
    )
    log_product(product)
    return product


@task(task_run_name="plan-rerank", **STEP_POLICY)
def plan_rerank(inputs: RerankInputs, runtime: Runtime) -> list[Shard]:
    """Cut the images into shards; none when they have been looked at again before."""
    return steps.rerank.plan_rerank(inputs, runtime)


@task(task_run_name="rerank-{shard.name}", **SHARD_POLICY)
def rerank_shard(shard: Shard, inputs: RerankInputs, runtime: Runtime) -> ShardReport:
    """Look again at the uncertain images of one shard."""
    with time_limit(SHARD_SECONDS):
        return steps.rerank.rerank_shard(shard, inputs, runtime)


@task(task_run_name="finish-rerank", **STEP_POLICY)
def finish_rerank(inputs: RerankInputs, reports: list[ShardReport], runtime: Runtime) -> Product:
    """Join the shards."""
    return steps.rerank.finish_rerank(inputs, reports, runtime)


@task(task_run_name="refuse-test-images", **STEP_POLICY)
def refuse_test_images(images: Artifact, validation_images: Artifact, runtime: Runtime) -> None:
    """Refuse validation images that are test images."""
    steps.gate.refuse_test_images(images, validation_images, runtime)


@task(task_run_name="choose-gate", **STEP_POLICY)
def choose_gate(stage1: Product, reranked: Product, validation: DatasetHandle, runtime: Runtime) -> Gate:
    """Choose the gate's threshold on the validation images."""
    return steps.gate.choose_gate(stage1.artifact, reranked.artifact, validation.labels, runtime)
