"""Few-shot, step by step: the pool of labelled images goes the way of the test images, then every draw is fitted."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from coder_core.input_contract import InputContract
from coder_core.method_texts import kinds_of_method, with_pictured
from coder_core.pipeline.artifact_types import (
    Dataset,
    FewShotFitsArtifact,
    ImageEmbeddingsArtifact,
    TextBankArtifact,
    TextEmbeddingsArtifact,
)
from coder_core.pipeline.run_manifest import FewShotDraw, FewShotRecord, RunManifest
from coder_core.pipeline.runner import Runner
from coder_core.recipes.eval_inputs import Inputs
from coder_core.recipes.transduce import metric_kinds, with_batch
from coder_core.specs import IMAGES_ALONE, READS_VOCABULARY, EvalSpec, FewShotSpec, TransductionName, row_name
from coder_core.steps.calibrate_few_shot import TEACHER, CalibrateFewShotByBatch, StandardiseFewShot
from coder_core.steps.embed_images import EmbedImages
from coder_core.steps.embed_texts import EmbedTexts
from coder_core.steps.few_shot_draw import metric_input
from coder_core.steps.fit_few_shot import METRIC_KINDS, FitFewShot, plan_draws
from coder_core.steps.load_dataset import CheckSameClasses, LoadDataset
from coder_core.steps.predict_few_shot import PredictFewShot
from coder_core.steps.transduce_few_shot import TransduceFewShot
from coder_core.steps.write_texts import WriteVocabulary
from coder_core.texts.kinds import TextKind


class FewShotPool(NamedTuple):
    """Labelled images that support and validation are drawn from, and where they lie."""

    dataset: Dataset
    images: ImageEmbeddingsArtifact


class FewShotTask(NamedTuple):
    """What all draws of an evaluation have in common.

    Args:
        evaluation: One with `few_shot`.
        inputs: Its texts, and the images under test.
        pool: Its labelled images.
    """

    evaluation: EvalSpec
    inputs: Inputs
    pool: FewShotPool

    @property
    def spec(self) -> FewShotSpec:
        """How draws are made, and by which methods they are judged."""
        spec = self.evaluation.few_shot
        assert spec is not None  # noqa: S101 - there is a pool
        return spec

    def fields(self) -> dict[str, Any]:
        """The fields of `OfDraw` that no draw has of its own: equal ones make all its steps read the same support."""
        spec, inputs, pool = self.spec, self.inputs, self.pool
        return {
            "zero_shot": spec.zero_shot,
            "views": spec.views,
            "validation_per_class": spec.validation_per_class,
            "allow_fewer": spec.allow_fewer,
            "drop_shared": spec.drop_shared,
            "texts": inputs.texts,
            "text_embeddings": inputs.text_embeddings,
            "test_images": inputs.images,
            "pool_images": pool.dataset.images,
            "pool": pool.images,
            "pool_labels": pool.dataset.labels,
            "encoder": inputs.encoder,
            "logit_scale": self.evaluation.logit_scale,
        }


def embed_pool(evaluation: EvalSpec, inputs: Inputs, run: Runner) -> FewShotPool | None:
    """Let the labelled images go the way of the test images; None where an evaluation has none."""
    if evaluation.few_shot is None:
        return None
    pool = run(LoadDataset(source=evaluation.few_shot.pool, class_names=evaluation.class_names))
    run(CheckSameClasses(classes=inputs.dataset.classes, others=pool.classes, what="few_shot.pool"))
    return FewShotPool(pool, run(EmbedImages(images=pool.images, encoder=inputs.encoder)))


def compare_few_shot(evaluation: EvalSpec, inputs: Inputs, pool: FewShotPool, run: Runner) -> FewShotRecord:
    """Classify the test images by few-shot methods, for every number of shots and every draw."""
    task = FewShotTask(evaluation, inputs, pool)
    fits = fit_draws(task, run)
    transduced = transduce_draws(task, fits, run)
    fits = [*calibrate_draws(task, fits, run), *transduced]
    predictions = run.each(PredictFewShot(fits=fit, images=inputs.images, encoder=inputs.encoder) for fit in fits)
    draws = tuple(FewShotDraw(fits=fit, predictions=found) for fit, found in zip(fits, predictions, strict=True))
    return FewShotRecord(pool=pool.dataset, pool_embeddings=pool.images, draws=draws)


def fit_draws(task: FewShotTask, run: Runner) -> list[FewShotFitsArtifact]:
    """Fit every few-shot method on every draw."""
    spec = task.spec
    vocabulary = embed_vocabulary(task, run) if spec.vocabulary != "none" else None
    return run.each(
        FitFewShot(
            **task.fields(),
            shots=shots,
            seed=seed,
            metric_texts=metric_input(spec.texts),
            methods=spec.methods,
            vocabulary=vocabulary,
        )
        for shots, seed in plan_draws(spec)
    )


def calibrate_draws(task: FewShotTask, fits: Sequence[FewShotFitsArtifact], run: Runner) -> list[FewShotFitsArtifact]:
    """Give draws without validation images temperatures by the images under test, where the spec asks for it."""
    if task.evaluation.calibrate != "batch":
        return list(fits)
    images, encoder = task.inputs.images, task.inputs.encoder
    without = [fit for fit in fits if not any(choice.is_calibrated for choice in fit.choices.values())]
    standardised = run.each(StandardiseFewShot(fits=fit, images=images, encoder=encoder) for fit in without)
    taught = run.each(
        transduce_draw(task, fit, methods=(TEACHER,), stage1=tuple(fit.choices), images=images) for fit in standardised
    )
    calibrated = run.each(
        CalibrateFewShotByBatch(fits=fit, taught=found, images=images, encoder=encoder)
        for fit, found in zip(standardised, taught, strict=True)
    )
    by_key = dict(zip((fit.key for fit in without), calibrated, strict=True))
    return [by_key.get(fit.key, fit) for fit in fits]


def transduce_draws(task: FewShotTask, fits: Sequence[FewShotFitsArtifact], run: Runner) -> list[FewShotFitsArtifact]:
    """Let the images under test, without labels, move the classifiers of every draw, where the spec asks for it."""
    spec = task.evaluation.transduction
    if spec is None or not spec.on_few_shot:
        return []
    return run.each(
        transduce_draw(task, fit, methods=spec.with_support, stage1=spec.on_few_shot, images=task.inputs.images)
        for fit in fits
    )


def transduce_draw(
    task: FewShotTask,
    fit: FewShotFitsArtifact,
    *,
    methods: tuple[TransductionName, ...],
    stage1: tuple[str, ...],
    images: ImageEmbeddingsArtifact,
) -> TransduceFewShot:
    """What unlabelled images teach the classifiers of one draw, beside its support.

    Args:
        task: What the draw has in common with others.
        fit: The classifiers of the draw.
        methods: Transductions.
        stage1: Few-shot methods, one by one beneath each of them.
        images: The batch: those under test, or new ones.
    """
    transduction = task.evaluation.transduction
    own = transduction.texts if transduction is not None else None
    return TransduceFewShot(
        **task.fields(),
        shots=fit.shots,
        seed=fit.seed,
        metric_texts=metric_input(own or task.spec.texts),
        fits=fit,
        methods=methods,
        stage1=stage1,
        images=images,
    )


def embed_vocabulary(task: FewShotTask, run: Runner) -> TextEmbeddingsArtifact:
    """Give the shipped words their places in the encoder's space."""
    inputs, texts = task.inputs, task.evaluation.texts
    purged = inputs.dataset.classes if task.spec.vocabulary == "purged" else None
    words = run(WriteVocabulary(domain=texts.domain, domains=texts.domains, purged=purged))
    return run(EmbedTexts(texts=words, encoder=inputs.encoder, label="embed_vocabulary"))


def few_shot_contracts(spec: FewShotSpec, bank: TextBankArtifact) -> dict[str, InputContract]:
    """What every few-shot method reads: support labels, and texts. Whether it chose on validation, its draw knows.

    Texts that were written from labelled images are named: they may be others than the draw's, and more than its shots.
    """
    fused = () if spec.zero_shot == "none" else kinds_of_method(spec.zero_shot)
    metric = ("metric_texts",) if spec.texts is not None else METRIC_KINDS
    words = ("vocabulary",) if spec.vocabulary != "none" else ()
    own = {method: () if method in IMAGES_ALONE else metric for method in spec.methods}
    found: dict[str, InputContract] = {}
    for method, texts in own.items():
        read = (*fused, *texts, *(words if method in READS_VOCABULARY else ()))
        contract = InputContract(reads_labels="support").also(texts=read)
        kinds = (kind for kind in read if isinstance(kind, TextKind))
        found[method] = with_pictured(contract, kinds, bank.pictured_kinds)
    return found


def draw_contracts(evaluation: EvalSpec, manifest: RunManifest) -> dict[str, InputContract]:
    """What every few-shot method of a run reads, and what transductions of them read beside."""
    few_shot, spec = evaluation.few_shot, evaluation.transduction
    if few_shot is None:
        return {}
    found = few_shot_contracts(few_shot, manifest.bank)
    if spec is None:
        return found
    size = {"texts": manifest.text_embeddings.rows, "dim": manifest.encoder.dim}
    texts = metric_kinds(evaluation, spec.texts or few_shot.texts, **size)
    rows = [(method, stage1) for stage1 in spec.on_few_shot for method in spec.with_support]
    return found | {row_name(method, stage1): with_batch(found[stage1], method, texts) for method, stage1 in rows}
