"""The main job, step by step: what a reader opens first.

Handles travel between tasks, never arrays; the store is the cache, so a second run finds what the first one made.
"""

from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from prefect import Task, flow, unmapped
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from coder_core.config import DEMO_CONFIG, load_spec
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.image_embeddings import Shard
from coder_core.steps.predictions import PredictionInputs
from coder_core.steps.results import EvalResult, Evidence
from coder_core.steps.text_embeddings import EncoderHandle
from coder_core.steps.workplace import Product
from tasks.coder import (
    finish_matrix,
    finish_predictions,
    plan_matrix_shards,
    plan_prediction_shards,
    predict_shard,
    write_matrix_shard,
)
from tasks.dataset import check_store, load_dataset, open_encoder
from tasks.images import embed_image_shard, finish_image_embeddings, plan_image_shards
from tasks.policy import shorten_expected_errors
from tasks.results import publish_results
from tasks.texts import embed_texts, write_texts

Report = TypeVar("Report")
_RUNNER = cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=Runtime().workers + 1))
"""Prefect declares its runners invariant in their kind of future, so its own thread pool needs a cast."""


@flow(name="coder-eval", task_runner=_RUNNER)
def coder_eval(
    config: str | dict[str, Any] = DEMO_CONFIG, overrides: list[str] | None = None, runtime: Runtime | None = None
) -> EvalResult:
    """Evaluate CODER and its baselines on one data set: texts, embeddings, CODER, predictions, metrics, results.

    Args:
        config: A path, a URL, the settings themselves, or `demo:flags`.
        overrides: `key.path=value` settings that win over the config.
        runtime: Where and how fast; what is not given comes from CODER_* in the environment.
    """
    shorten_expected_errors()
    runtime = runtime or Runtime()
    spec = load_spec(config, overrides or ())
    started_at = datetime.now(UTC)

    check_store(runtime)
    dataset = load_dataset(spec.dataset, runtime)
    encoder = open_encoder(spec.encoder)
    texts = write_texts(dataset, spec, runtime)

    text_embeddings_ahead = embed_texts.submit(texts, encoder, runtime)
    image_shards = plan_image_shards(dataset, encoder, runtime)
    embedded = map_shards(embed_image_shard, image_shards, dataset, encoder, runtime)
    image_embeddings = finish_image_embeddings(dataset, encoder, embedded, runtime)
    text_embeddings = text_embeddings_ahead.result()

    matrix = write_matrix(spec, image_embeddings, text_embeddings, encoder, runtime)
    inputs = PredictionInputs(
        texts=texts.artifact,
        text_embeddings=text_embeddings.artifact,
        image_embeddings=image_embeddings.artifact,
        encoder=encoder,
        logit_scale=spec.logit_scale,
    )
    predicted = map_shards(predict_shard, plan_prediction_shards(inputs, spec, runtime), inputs, spec, runtime)
    predictions = finish_predictions(inputs, spec, predicted, runtime)

    evidence = Evidence(
        run_id=name_run(spec),
        started_at=started_at,
        dataset=dataset,
        encoder=encoder,
        texts=texts,
        text_embeddings=text_embeddings,
        image_embeddings=image_embeddings,
        matrix=matrix,
        predictions=predictions,
    )
    return publish_results(spec, evidence, runtime)


def write_matrix(
    spec: EvalSpec, images: Product, texts: Product, encoder: EncoderHandle, runtime: Runtime
) -> Product | None:
    """Write the explicit CODER matrix where the spec asks for it; classification does not need it."""
    if not spec.matrix.write:
        return None
    shards = plan_matrix_shards(images, texts, runtime)
    written = map_shards(write_matrix_shard, shards, images, texts, encoder, runtime)
    return finish_matrix(images, texts, written, runtime)


def map_shards(shard_task: Task[..., Report], shards: list[Shard], *constants: Any) -> list[Report]:
    """Run a task for every shard, as many at a time as the task runner allows; nothing to do is no task."""
    if not shards:
        return []
    return shard_task.map(shards, *map(unmapped, constants)).result()


def name_run(spec: EvalSpec) -> str:
    """Name a run by its evaluation and its flow run: a retry of the flow is the same run."""
    scheduled = flow_run.scheduled_start_time or datetime.now(UTC)
    return f"{spec.name}-{scheduled:%Y%m%dT%H%M%S}-{str(flow_run.id)[:8]}"
