"""Steps that are cut into shards, as one call each: plan, map over the shards, join. Every stage uses them."""

from collections.abc import Sequence

from prefect import unmapped

from coder_core.specs import Runtime
from coder_core.steps.dataset import ImagesHandle
from coder_core.steps.encoding import EncoderHandle
from coder_core.steps.predictions import PredictionInputs
from coder_core.steps.rerank import RerankInputs
from coder_core.steps.workplace import Product
from tasks.coder import finish_predictions, plan_prediction_shards, predict_shard
from tasks.images import embed_image_shard, finish_image_embeddings, plan_image_shards
from tasks.rerank import finish_rerank, plan_rerank, rerank_shard


def embed_images(dataset: ImagesHandle, encoder: EncoderHandle, runtime: Runtime) -> Product:
    """Embed images."""
    shards = plan_image_shards(dataset, encoder, runtime)
    embedding = embed_image_shard.map(shards, unmapped(dataset), unmapped(encoder), unmapped(runtime))
    return finish_image_embeddings(dataset, encoder, embedding.result(), runtime)


def predict(inputs: PredictionInputs, methods: Sequence[str], runtime: Runtime) -> dict[str, Product]:
    """Classify the images by several methods."""
    shards = plan_prediction_shards(inputs, methods, runtime)
    predicting = predict_shard.map(shards, unmapped(inputs), unmapped(methods), unmapped(runtime))
    return finish_predictions(inputs, methods, predicting.result(), runtime)


def rerank(inputs: RerankInputs, runtime: Runtime) -> Product:
    """Look again at the images that CODER is uncertain about."""
    shards = plan_rerank(inputs, runtime)
    looking = rerank_shard.map(shards, unmapped(inputs), unmapped(runtime))
    return finish_rerank(inputs, looking.result(), runtime)
