"""The main job, step by step: what a reader opens first.

Handles travel between tasks, never arrays; the store is the cache, so a second run finds what the first one made.
"""

from datetime import UTC, datetime
from typing import Any

from prefect import flow, unmapped
from prefect.runtime import flow_run

from coder_core.atg.generation_report import GenerationReport
from coder_core.config import DEMO_CONFIG, load_runtime, load_spec
from coder_core.specs import RERANK, EvalSpec, Runtime
from coder_core.steps.dataset import DatasetHandle
from coder_core.steps.encoding import EncoderHandle
from coder_core.steps.predictions import PredictionInputs
from coder_core.steps.results import EvalResult, Evidence
from coder_core.steps.workplace import Product
from flows.controls import score_controls
from flows.few_shot import compare_few_shot
from flows.rerank import rerank_uncertain
from flows.sharded import predict
from tasks.ablation import ablate_texts
from tasks.coder import finish_matrix, plan_matrix_shards, write_matrix_shard
from tasks.concurrency import join, task_slots
from tasks.dataset import check_store, load_dataset, open_encoder
from tasks.images import embed_image_shard, finish_image_embeddings, plan_image_shards
from tasks.logs import log_run, shorten_expected_errors
from tasks.results import publish_results
from tasks.texts import (
    assemble_bank,
    embed_texts,
    generate_texts,
    plan_generation,
    report_generation,
    write_texts,
)


@flow(name="coder-eval")
def coder_eval(
    config: str | dict[str, Any] = DEMO_CONFIG, overrides: list[str] | None = None, runtime: Runtime | None = None
) -> EvalResult:
    """Evaluate CODER and its baselines on one data set: texts, embeddings, CODER, predictions, metrics, results.

    Args:
        config: A path, a URL, the settings themselves, or `demo:flags`.
        overrides: `key.path=value` settings that win over the config.
        runtime: Where and how fast; what is not given comes from CODER_* in the environment of the worker.
    """
    shorten_expected_errors()
    started_at = datetime.now(UTC)
    spec = load_spec(config, overrides or ())
    runtime = runtime or load_runtime()
    run_id = name_run(spec)
    log_run(run_id)
    with task_slots(runtime) as runtime:
        check_store(runtime)
        dataset = load_dataset(spec.dataset, runtime)
        encoder = open_encoder(spec.encoder)
        bank, spent_usd = gather_texts(spec, dataset, encoder, runtime)
        texts = write_texts(dataset, bank, spec, runtime)

        embedding_texts = embed_texts.submit(texts, encoder, runtime)
        shards = plan_image_shards(dataset, encoder, runtime)
        embedding_images = embed_image_shard.map(shards, unmapped(dataset), unmapped(encoder), unmapped(runtime))
        text_embeddings, image_reports = join(embedding_texts, embedding_images)
        image_embeddings = finish_image_embeddings(dataset, encoder, image_reports, runtime)

        inputs = PredictionInputs(
            texts=texts.artifact,
            text_embeddings=text_embeddings.artifact,
            image_embeddings=image_embeddings.artifact,
            encoder=encoder,
            logit_scale=spec.logit_scale,
        )
        predictions = predict(inputs, spec.stage1_methods, runtime)
        reranked = None
        if RERANK in spec.methods:
            reranked = rerank_uncertain(spec, dataset, predictions["coder"], inputs, runtime, spent_usd=spent_usd)
            predictions[RERANK] = reranked.predictions
        controls = score_controls(spec, dataset, bank, inputs, runtime)
        few_shot = compare_few_shot(spec.few_shot, dataset, inputs, runtime) if spec.few_shot else ()
        ablation = ablate_texts(spec, dataset, inputs, reranked, runtime) if spec.ablation else None
        matrix = write_matrix(spec, image_embeddings, text_embeddings, encoder, runtime)

    evidence = Evidence(
        run_id=run_id,
        started_at=started_at,
        dataset=dataset,
        encoder=encoder,
        texts=texts,
        text_embeddings=text_embeddings,
        image_embeddings=image_embeddings,
        matrix=matrix,
        predictions=predictions,
        rerank=reranked,
        controls=controls,
        few_shot=few_shot,
        ablation=ablation,
    )
    return publish_results(spec, evidence, runtime)


def gather_texts(
    spec: EvalSpec, dataset: DatasetHandle, encoder: EncoderHandle, runtime: Runtime
) -> tuple[Product, float]:
    """Have missing texts generated, chunk of classes after chunk, and put the bank together; tells what they cost."""
    reports: list[GenerationReport] = []
    spent_usd = 0.0
    for chunk in plan_generation(dataset, spec, runtime):
        reports.append(generate_texts(chunk, dataset, spec, encoder, runtime, spent_usd))
        spent_usd += reports[-1].cost_usd
    if reports:
        report_generation(spec, reports)
    return assemble_bank(dataset, spec, encoder, runtime), spent_usd


def write_matrix(
    spec: EvalSpec, images: Product, texts: Product, encoder: EncoderHandle, runtime: Runtime
) -> Product | None:
    """Write the explicit CODER matrix where the spec asks for it; classification does not need it."""
    if not spec.matrix.write:
        return None
    shards = plan_matrix_shards(images, texts, runtime)
    written = write_matrix_shard.map(shards, *map(unmapped, (images, texts, encoder, runtime)))
    return finish_matrix(images, texts, written.result(), runtime)


def name_run(spec: EvalSpec) -> str:
    """Name a run by its evaluation and its flow run: a retry of the flow is the same run."""
    scheduled = flow_run.scheduled_start_time or datetime.now(UTC)
    return f"{spec.name}-{scheduled:%Y%m%dT%H%M%S}-{str(flow_run.id)[-8:]}"
