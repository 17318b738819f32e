"""All steps in order, without a workflow engine, in a store of their own."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from coder_core import steps
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.predictions import PredictionInputs
from coder_core.steps.results import EvalResult, Evidence


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
    shards = steps.predictions.plan_predictions(inputs, spec.methods, runtime)
    predicted = [steps.predictions.predict_shard(shard, inputs, spec.methods, runtime) for shard in shards]
    evidence = Evidence(
        run_id=run_id,
        started_at=datetime.now(UTC),
        dataset=dataset,
        encoder=encoder,
        texts=texts,
        text_embeddings=text_embeddings,
        image_embeddings=embedded,
        matrix=matrix,
        predictions=steps.predictions.finish_predictions(inputs, spec.methods, predicted, runtime),
    )
    return Outcome(evidence, steps.results.publish_results(spec, evidence, runtime))


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    """A store of its own."""
    return Runtime(store=str(tmp_path / "store"), device="cpu")
