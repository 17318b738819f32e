"""Tasks: images into the encoder's space, shard by shard."""

from prefect import task
from prefect.logging import get_run_logger

from coder_core import steps
from coder_core.interruption import time_limit
from coder_core.specs import Runtime
from coder_core.steps.dataset import ImagesHandle
from coder_core.steps.encoding import EncoderHandle
from coder_core.steps.image_embeddings import Shard, ShardReport
from coder_core.steps.workplace import Product
from tasks.gpu import gpu_slot
from tasks.logs import log_product
from tasks.policy import SHARD_POLICY, SHARD_SECONDS, STEP_POLICY


@task(task_run_name="plan-image-shards", **STEP_POLICY)
def plan_image_shards(dataset: ImagesHandle, encoder: EncoderHandle, runtime: Runtime) -> list[Shard]:
    """Cut the images into shards; none when an earlier run has embedded this very listing."""
    return steps.image_embeddings.plan_embedding(dataset.images.artifact, encoder, runtime)


@task(task_run_name="embed-images-{shard.name}", **SHARD_POLICY)
def embed_image_shard(shard: Shard, dataset: ImagesHandle, encoder: EncoderHandle, runtime: Runtime) -> ShardReport:
    """Embed the images of one shard that the ledger does not hold yet."""
    with gpu_slot(runtime), time_limit(SHARD_SECONDS):
        return steps.image_embeddings.embed_image_shard(shard, dataset.images.artifact, encoder, runtime)


@task(task_run_name="finish-image-embeddings", **STEP_POLICY)
def finish_image_embeddings(
    dataset: ImagesHandle, encoder: EncoderHandle, reports: list[ShardReport], runtime: Runtime
) -> Product:
    """Join the shards and say how many images had to be left out."""
    product = steps.image_embeddings.finish_image_embeddings(dataset.images.artifact, encoder, reports, runtime)
    log_product(product)
    if quarantined := product.artifact.summary["quarantined"]:
        get_run_logger().warning("%s images cannot be read and are left out: see table `quarantine`.", quarantined)
    return product
