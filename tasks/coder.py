"""Tasks: predictions of every method, and the explicit CODER matrix where it is asked for."""

from collections.abc import Sequence

from prefect import task

from coder_core import steps
from coder_core.interruption import time_limit
from coder_core.specs import Runtime
from coder_core.steps.encoding import EncoderHandle
from coder_core.steps.image_embeddings import Shard, ShardReport
from coder_core.steps.predictions import PredictionInputs
from coder_core.steps.workplace import Product
from tasks.logs import log_product
from tasks.policy import SHARD_POLICY, SHARD_SECONDS, STEP_POLICY


@task(task_run_name="plan-prediction-shards", **STEP_POLICY)
def plan_prediction_shards(inputs: PredictionInputs, methods: Sequence[str], runtime: Runtime) -> list[Shard]:
    """Cut the images into shards; none when every method's predictions are in the store."""
    return steps.predictions.plan_predictions(inputs, methods, runtime)


@task(task_run_name="predict-{shard.name}", **SHARD_POLICY)
def predict_shard(
    shard: Shard, inputs: PredictionInputs, methods: Sequence[str], runtime: Runtime
) -> dict[str, ShardReport]:
    """Classify one shard by every method whose predictions are missing."""
    with time_limit(SHARD_SECONDS):
        return steps.predictions.predict_shard(shard, inputs, methods, runtime)


@task(task_run_name="finish-predictions", **STEP_POLICY)
def finish_predictions(
    inputs: PredictionInputs, methods: Sequence[str], reports: list[dict[str, ShardReport]], runtime: Runtime
) -> dict[str, Product]:
    """Join the shards of every method."""
    return steps.predictions.finish_predictions(inputs, methods, reports, runtime)


@task(task_run_name="plan-matrix-shards", **STEP_POLICY)
def plan_matrix_shards(images: Product, texts: Product, runtime: Runtime) -> list[Shard]:
    """Cut the images into shards; none when the matrix is in the store."""
    return steps.coder_matrix.plan_matrix(images.artifact, texts.artifact, runtime)


@task(task_run_name="coder-matrix-{shard.name}", **SHARD_POLICY)
def write_matrix_shard(
    shard: Shard, images: Product, texts: Product, encoder: EncoderHandle, runtime: Runtime
) -> ShardReport:
    """Write one shard of the matrix, in pieces of bounded size."""
    with time_limit(SHARD_SECONDS):
        return steps.coder_matrix.write_matrix_shard(shard, images.artifact, texts.artifact, encoder, runtime)


@task(task_run_name="finish-matrix", **STEP_POLICY)
def finish_matrix(images: Product, texts: Product, reports: list[ShardReport], runtime: Runtime) -> Product:
    """Join the shards."""
    product = steps.coder_matrix.finish_matrix(images.artifact, texts.artifact, reports, runtime)
    log_product(product)
    return product
