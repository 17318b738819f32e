"""Classify new images with a published run: its classes, its texts, its encoder; nothing is generated or learnt.

The images go the way of a data set's images, in shards through the ledgers; labels do not exist here.
"""

from prefect import flow

from coder_core.config import load_runtime
from coder_core.specs import Runtime
from coder_core.steps.answers import Answers
from coder_core.steps.past_classifiers import PastClassifier
from coder_core.steps.predictions import PredictionInputs
from coder_core.steps.rerank import RerankInputs
from coder_core.steps.workplace import Product
from flows import sharded
from tasks.concurrency import task_slots
from tasks.dataset import check_store
from tasks.logs import log_run, shorten_expected_errors
from tasks.predict import check_out, list_new_images, recall_classifier, write_answers
from tasks.texts import embed_texts


@flow(name="predict")
def predict(
    run: str, images: list[str], method: str = "coder", out: str | None = None, runtime: Runtime | None = None
) -> Answers:
    """Say what new images show: the five best classes of each, with probabilities.

    Args:
        run: The id of a published run, or the name of an evaluation: its latest run.
        images: Files, folders and patterns, as paths or fsspec URLs.
        method: A method of that run.
        out: A `.parquet` file to write beside the store's own table, path or fsspec URL.
        runtime: Where and how fast; what is not given comes from CODER_* in the environment of the worker.
    """
    shorten_expected_errors()
    runtime = runtime or load_runtime()
    with task_slots(runtime) as runtime:
        check_store(runtime)
        check_out(out)
        past = recall_classifier(run, method, runtime)
        log_run(past.run_id)
        listed = list_new_images(images, runtime)
        embeddings = sharded.embed_images(listed, past.encoder, runtime)
        predictions = classify(past, embeddings, runtime)
        return write_answers(past, embeddings, predictions, out, runtime)


def classify(past: PastClassifier, images: Product, runtime: Runtime) -> Product:
    """Classify embedded images by the method, through its second stage where it has one."""
    text_embeddings = embed_texts(past.texts, past.encoder, runtime)
    inputs = PredictionInputs(
        texts=past.texts.artifact,
        text_embeddings=text_embeddings.artifact,
        image_embeddings=images.artifact,
        encoder=past.encoder,
        logit_scale=past.logit_scale,
    )
    stage1 = sharded.predict(inputs, (past.stage1,), runtime)[past.stage1]
    if past.rerank is None:
        return stage1
    pair_embeddings = embed_texts(past.rerank.texts, past.encoder, runtime, step="embed_pair_texts")
    looked_again = RerankInputs(
        stage1=stage1.artifact,
        image_embeddings=images.artifact,
        texts=past.rerank.texts.artifact,
        text_embeddings=pair_embeddings.artifact,
        encoder=past.encoder,
        threshold=past.rerank.threshold,
        candidates=past.rerank.candidates,
    )
    return sharded.rerank(looked_again, runtime)
