"""Let new images, all together and without labels, move a classifier of a published run before it answers them.

Stage 1 is the run's classifier; a few-shot one brings its support along, as images whose class is known. Nothing of the
run's own images enters. Where the new images say too little, stage 1 itself answers.
"""

from typing import NamedTuple

from coder_core.errors import ConfigError
from coder_core.method_texts import METHOD_KINDS
from coder_core.pipeline.artifact_types import (
    BatchFound,
    ClassifierArtifact,
    FewShotFitsArtifact,
    ImageEmbeddingsArtifact,
)
from coder_core.pipeline.output import ONE_PART
from coder_core.pipeline.run_manifest import MethodRecord, RunManifest
from coder_core.pipeline.runner import Runner
from coder_core.recipes.compare_few_shot import FewShotPool, FewShotTask, transduce_draw
from coder_core.recipes.eval_inputs import Inputs
from coder_core.recipes.transduce import classifier_of
from coder_core.specs import RERANK, EvalSpec, TransductionName, row_name
from coder_core.steps.calibrate_method import CALIBRATED
from coder_core.steps.few_shot_draw import metric_input
from coder_core.steps.fit_transduction import FitTransduction
from coder_core.steps.transduce_few_shot import TransduceFewShot

ADAPTS: TransductionName = "batch_discriminant"


class Chosen(NamedTuple):
    """A classifier of a run."""

    artifact: ClassifierArtifact | FewShotFitsArtifact
    part: str = ONE_PART


class Adapted(NamedTuple):
    """A classifier, and what it took a batch for; None where nothing adapted."""

    chosen: Chosen
    found: BatchFound | None = None


def check_adaptable(manifest: RunManifest, method: str) -> None:
    """Refuse a method that new images cannot move.

    Raises:
        ConfigError: It makes no logits, is a control, or has learnt from a batch already; names what it stands on.
    """
    stands_on = {found.method: found.stage1 for found in manifest.transductions}
    for draw in manifest.few_shot.draws if manifest.few_shot else ():
        stands_on |= {name: found.stage1 for name, found in draw.fits.found.items()}
    stands_on |= {RERANK: "coder"}
    stands_on |= {record.method: record.controls for record in manifest.methods if record.controls}
    if method not in stands_on:
        return
    why = "the run's own images have moved it already"
    if method == RERANK:
        why = "it makes an order and no logits"
    elif any(record.method == method and record.controls for record in manifest.methods):
        why = "it is a control"
    raise ConfigError(f"{method} cannot adapt: {why}.", f"run {manifest.run_id}", f"Adapt {stands_on[method]} instead.")


def adapt_classifier(
    manifest: RunManifest, method: str, chosen: Chosen, images: ImageEmbeddingsArtifact, run: Runner
) -> Adapted:
    """Fit the batch discriminant to some images, on top of a classifier of a run.

    Args:
        manifest: The run.
        method: One that `check_adaptable` lets pass.
        chosen: Its classifier.
        images: Embeddings of all that are asked about.
        run: The runner.
    """
    spec = EvalSpec.model_validate(manifest.spec)
    if isinstance(chosen.artifact, FewShotFitsArtifact):
        step = _fit_draw(spec, manifest, chosen.artifact, chosen.part, images)
        fitted, name = run(step), row_name(ADAPTS, chosen.part)
        return Adapted(Chosen(fitted, name), fitted.found[name])
    found = run(_fit(spec, manifest, manifest.method(method), images))
    return Adapted(Chosen(classifier_of(found)), _account(found))


def _fit(
    spec: EvalSpec, manifest: RunManifest, record: MethodRecord, images: ImageEmbeddingsArtifact
) -> FitTransduction:
    return FitTransduction(
        method=ADAPTS,
        stage1=record.for_any_image,
        class_kinds=METHOD_KINDS[record.method.removesuffix(CALIBRATED)],
        texts=record.texts,
        text_embeddings=record.text_embeddings,
        metric_texts=metric_input(spec.transduction.texts) if spec.transduction else None,
        images=images,
        encoder=manifest.encoder,
    )


def _fit_draw(
    spec: EvalSpec, manifest: RunManifest, fit: FewShotFitsArtifact, stage1: str, images: ImageEmbeddingsArtifact
) -> TransduceFewShot:
    record = manifest.few_shot
    assert record is not None  # noqa: S101 - the draw is one of it
    task = FewShotTask(spec, inputs_of(manifest), FewShotPool(record.pool, record.pool_embeddings))
    return transduce_draw(task, fit, methods=(ADAPTS,), stage1=(stage1,), images=images)


def inputs_of(manifest: RunManifest) -> Inputs:
    """What a published run started from."""
    return Inputs(
        dataset=manifest.dataset,
        encoder=manifest.encoder,
        bank=manifest.bank,
        generation=(),
        texts=manifest.texts,
        text_embeddings=manifest.text_embeddings,
        images=manifest.images,
        class_names=EvalSpec.model_validate(manifest.spec).class_names,
    )


def _account(found: BatchFound) -> BatchFound:
    """What the batch was taken for, without the classifier."""
    return BatchFound.model_validate(found.model_dump(include=set(BatchFound.model_fields)))
