"""All steps in order, without a workflow engine, in a store of their own."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from coder_core.steps.controls import ControlEvidence
from coder_core.steps.gate import Gate
from coder_core.steps.rerank import RerankInputs
from coder_core.steps.rerank_tables import RerankEvidence
from coder_core.steps.results import EvalResult, Evidence
from coder_core.steps.workplace import Product

from coder_core import steps
from coder_core.specs import RERANK, EvalSpec, Runtime
from coder_core.steps.dataset import DatasetHandle
from coder_core.steps.predictions import PredictionInputs
from coder_core.storage.artifacts import Artifact
from coder_core.texts.kinds import TextKind


class Outcome(NamedTuple):
    """What the steps made, in order."""

    evidence: Evidence
    result: EvalResult


def run_steps(spec: EvalSpec, runtime: Runtime, run_id: str = "run-1") -> Outcome:
    """All steps in order, in this process and without a workflow engine."""
    dataset = steps.dataset.load_dataset(spec.dataset, runtime)
    encoder = steps.encoding.open_encoder(spec.encoder)
    bank = steps.text_bank.assemble_bank(dataset.classes, spec.texts, encoder, runtime).artifact
    texts = steps.texts.write_texts(dataset.classes, bank, spec.texts, steps.texts.kinds_needed(spec), runtime)
    text_embeddings = steps.text_embeddings.embed_texts(texts.artifact, encoder, runtime)
    images = dataset.images.artifact
    shards = steps.image_embeddings.plan_embedding(images, encoder, runtime)
    reports = [steps.image_embeddings.embed_image_shard(shard, images, encoder, runtime) for shard in shards]
    embedded = steps.image_embeddings.finish_image_embeddings(images, encoder, reports, runtime)
    matrix = None
    if spec.matrix.write:
        pair = (embedded.artifact, text_embeddings.artifact)
        shards = steps.coder_matrix.plan_matrix(*pair, runtime)
        written = [steps.coder_matrix.write_matrix_shard(shard, *pair, encoder, runtime) for shard in shards]
        matrix = steps.coder_matrix.finish_matrix(*pair, written, runtime)
    inputs = PredictionInputs(
        texts=texts.artifact,
        text_embeddings=text_embeddings.artifact,
        image_embeddings=embedded.artifact,
        encoder=encoder,
        logit_scale=spec.logit_scale,
    )
    predictions = run_predictions(inputs, spec.stage1_methods, runtime)
    rerank = None
    if RERANK in spec.methods:
        rerank = run_rerank(spec, dataset, predictions["coder"], inputs, runtime)
        predictions[RERANK] = rerank.predictions
    evidence = Evidence(
        run_id=run_id,
        started_at=datetime.now(UTC),
        dataset=dataset,
        encoder=encoder,
        texts=texts,
        text_embeddings=text_embeddings,
        image_embeddings=embedded,
        matrix=matrix,
        predictions=predictions,
        rerank=rerank,
        controls=run_controls(spec, dataset, bank, inputs, runtime),
        ablation=run_ablation(spec, dataset, inputs, rerank, runtime),
        few_shot=run_few_shot(spec, dataset, inputs, runtime),
    )
    return Outcome(evidence, steps.results.publish_results(spec, evidence, runtime))


def run_predictions(inputs: PredictionInputs, methods: tuple[str, ...], runtime: Runtime) -> dict[str, Product]:
    """Classify the images."""
    shards = steps.predictions.plan_predictions(inputs, methods, runtime)
    predicted = [steps.predictions.predict_shard(shard, inputs, methods, runtime) for shard in shards]
    return steps.predictions.finish_predictions(inputs, methods, predicted, runtime)


def run_few_shot(
    spec: EvalSpec, dataset: DatasetHandle, seen: PredictionInputs, runtime: Runtime
) -> tuple[Product, ...]:
    """Fit, select and ask the few-shot methods, cell by cell."""
    if spec.few_shot is None:
        return ()
    pool = steps.dataset.load_dataset(spec.few_shot.pool, runtime)
    steps.dataset.check_same_classes(dataset.classes, pool.classes, runtime, what="few_shot.pool")
    images = pool.images.artifact
    shards = steps.image_embeddings.plan_embedding(images, seen.encoder, runtime)
    reports = [steps.image_embeddings.embed_image_shard(shard, images, seen.encoder, runtime) for shard in shards]
    embedded = steps.image_embeddings.finish_image_embeddings(images, seen.encoder, reports, runtime)
    inputs = steps.few_shot.FewShotInputs(
        seen=seen,
        pool=embedded.artifact,
        pool_images=images,
        pool_labels=pool.labels,
        class_count=int(seen.texts.summary["class_count"]),
    )
    cells = steps.few_shot.plan_cells(spec.few_shot)
    return tuple(steps.few_shot.predict_cell(cell, inputs, spec.few_shot, runtime) for cell in cells)


def run_ablation(
    spec: EvalSpec, dataset: DatasetHandle, seen: PredictionInputs, rerank: RerankEvidence | None, runtime: Runtime
) -> Product | None:
    """Score subsets of the texts."""
    if spec.ablation is None:
        return None
    return steps.ablation.ablate_texts(spec, seen, rerank, dataset.labels, runtime)


def run_controls(
    spec: EvalSpec, dataset: DatasetHandle, bank: Artifact, seen: PredictionInputs, runtime: Runtime
) -> dict[str, ControlEvidence]:
    """Score the controls."""
    found = {}
    for control in spec.controls:
        settings = (dataset.classes, bank, spec.texts, spec.draw_seed)
        texts = steps.controls.write_control_texts(control, *settings, runtime)
        vectors = steps.text_embeddings.embed_texts(texts.artifact, seen.encoder, runtime)
        inputs = seen.model_copy(update={"texts": texts.artifact, "text_embeddings": vectors.artifact})
        predictions = run_predictions(inputs, ("coder",), runtime)["coder"]
        found[f"control_{control}"] = ControlEvidence(texts=texts, text_embeddings=vectors, predictions=predictions)
    return found


def run_rerank(
    spec: EvalSpec, dataset: DatasetHandle, stage1: Product, seen: PredictionInputs, runtime: Runtime
) -> RerankEvidence:
    """Look at uncertain images again, with the pairs that the bank holds."""
    confused = steps.confused_pairs.count_confused_pairs(stage1.artifact, spec.rerank, runtime)
    bank = steps.text_bank.assemble_bank(dataset.classes, spec.texts, seen.encoder, runtime).artifact
    kinds = (TextKind.ONE_TO_ONE,)
    texts = steps.texts.write_texts(dataset.classes, bank, spec.texts, kinds, runtime, step="write_pair_texts")
    text_embeddings = steps.text_embeddings.embed_texts(texts.artifact, seen.encoder, runtime, step="embed_pair_texts")
    inputs = RerankInputs(
        stage1=stage1.artifact,
        image_embeddings=seen.image_embeddings,
        texts=texts.artifact,
        text_embeddings=text_embeddings.artifact,
        encoder=seen.encoder,
        threshold=spec.rerank.threshold,
        candidates=spec.rerank.candidates,
        labels=dataset.labels if spec.protocol == "reference" else None,
    )
    shards = steps.rerank.plan_rerank(inputs, runtime)
    reports = [steps.rerank.rerank_shard(shard, inputs, runtime) for shard in shards]
    return RerankEvidence(
        confused=confused,
        texts=texts,
        text_embeddings=text_embeddings,
        gate=Gate(threshold=spec.rerank.threshold, source="constant"),
        predictions=steps.rerank.finish_rerank(inputs, reports, runtime),
    )


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    """A store of its own."""
    return Runtime(store=str(tmp_path / "store"), device="cpu")
