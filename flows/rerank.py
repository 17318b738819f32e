"""CODER's second stage, step by step: from CODER's predictions to CODER*.

Which pairs of classes do uncertain images stand between? What tells those apart? Then the best few classes of every
uncertain image are compared pair by pair. Source: Yi et al., CVPR 2024, one-to-one rerank; pairs on demand are ours.
"""

from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.dataset import DatasetHandle
from coder_core.steps.gate import GATE_ALL, Gate
from coder_core.steps.predictions import PredictionInputs
from coder_core.steps.rerank import RerankInputs
from coder_core.steps.rerank_tables import RerankEvidence
from coder_core.steps.workplace import Product
from flows.sharded import embed_images, predict, rerank
from tasks.dataset import check_classes, load_dataset
from tasks.rerank import (
    assemble_pair_bank,
    check_pair_generation,
    choose_gate,
    count_confused_pairs,
    plan_pair_generation,
    refuse_test_images,
    write_pair_texts,
)
from tasks.texts import embed_texts, generate_texts


def rerank_uncertain(
    spec: EvalSpec,
    dataset: DatasetHandle,
    stage1: Product,
    seen: PredictionInputs,
    runtime: Runtime,
    *,
    spent_usd: float,
) -> RerankEvidence:
    """Let one-to-one texts decide between the best classes of uncertain images.

    Args:
        spec: The evaluation.
        dataset: What is classified.
        stage1: CODER's predictions.
        seen: What they were made from.
        runtime: Where and how fast.
        spent_usd: What texts have cost so far in this run.
    """
    confused = count_confused_pairs(stage1, spec, runtime)
    bank = gather_pair_texts(spec, dataset, confused, seen, runtime, spent_usd=spent_usd)
    texts = write_pair_texts(dataset, bank, spec, runtime)
    text_embeddings = embed_texts(texts, seen.encoder, runtime, step="embed_pair_texts")
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
    gate = find_gate(spec, dataset, inputs, seen, runtime)
    predictions = rerank(inputs.model_copy(update={"threshold": gate.threshold}), runtime)
    return RerankEvidence(
        confused=confused, texts=texts, text_embeddings=text_embeddings, gate=gate, predictions=predictions
    )


def gather_pair_texts(
    spec: EvalSpec,
    dataset: DatasetHandle,
    confused: Product,
    seen: PredictionInputs,
    runtime: Runtime,
    *,
    spent_usd: float,
) -> Product:
    """Have texts generated about the pairs that matter, and put the bank together with them."""
    chunks = plan_pair_generation(confused, dataset, spec, runtime)
    reports = []
    for chunk in chunks:
        reports.append(generate_texts(chunk, dataset, spec, seen.encoder, runtime, spent_usd))
        spent_usd += reports[-1].cost_usd
    if reports:
        check_pair_generation(reports)
    return assemble_pair_bank(chunks, dataset, spec, seen.encoder, runtime)


def find_gate(
    spec: EvalSpec, dataset: DatasetHandle, inputs: RerankInputs, seen: PredictionInputs, runtime: Runtime
) -> Gate:
    """Take the stated threshold, or choose one on the validation data set: all its images are looked at again."""
    if not spec.rerank.choose_threshold or spec.validation is None:
        return Gate(threshold=spec.rerank.threshold, source="constant")
    validation = load_dataset(spec.validation, runtime)
    check_classes(dataset, validation, runtime, what="validation")
    images = embed_images(validation, seen.encoder, runtime)
    refuse_test_images(seen.image_embeddings, images.artifact, runtime)
    stage1 = predict(seen.model_copy(update={"image_embeddings": images.artifact}), ("coder",), runtime)["coder"]
    everything = {
        "stage1": stage1.artifact,
        "image_embeddings": images.artifact,
        "threshold": GATE_ALL,
        "labels": None,
    }
    reranked = rerank(inputs.model_copy(update=everything), runtime)
    return choose_gate(stage1, reranked, validation, runtime)
