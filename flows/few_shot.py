"""Few-shot, step by step: the pool of labelled images goes the way of the test images, then every cell is one task."""

from prefect import unmapped

from coder_core.specs import FewShotSpec, Runtime
from coder_core.steps.dataset import DatasetHandle
from coder_core.steps.few_shot import FewShotInputs, plan_cells
from coder_core.steps.predictions import PredictionInputs
from coder_core.steps.workplace import Product
from flows.sharded import embed_images
from tasks.dataset import check_classes, load_dataset
from tasks.few_shot import predict_few_shot


def compare_few_shot(
    spec: FewShotSpec, dataset: DatasetHandle, seen: PredictionInputs, runtime: Runtime
) -> tuple[Product, ...]:
    """Classify the test images by few-shot methods, for every number of shots and every draw."""
    pool = load_dataset(spec.pool, runtime)
    check_classes(dataset, pool, runtime, what="few_shot.pool")
    embeddings = embed_images(pool, seen.encoder, runtime)
    inputs = FewShotInputs(
        seen=seen,
        pool=embeddings.artifact,
        pool_images=pool.images.artifact,
        pool_labels=pool.labels,
        class_count=int(seen.texts.summary["class_count"]),
    )
    predicting = predict_few_shot.map(plan_cells(spec), unmapped(inputs), unmapped(spec), unmapped(runtime))
    return tuple(predicting.result())
