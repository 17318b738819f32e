"""Few-shot, step by step: the pool of labelled images goes the way of the test images, then every draw is fitted."""

from collections.abc import Sequence
from typing import NamedTuple

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
from coder_core.steps.fit_few_shot import METRIC_KINDS, FitFewShot, PredictFewShot, metric_input, plan_draws
from coder_core.steps.load_dataset import CheckSameClasses, LoadDataset
from coder_core.steps.transduce_few_shot import TransduceFewShot
from coder_core.steps.write_texts import WriteVocabulary
from coder_core.texts.kinds import TextKind


class FewShotPool(NamedTuple):
    """Labelled images that support and validation are drawn from, and where they lie."""

    dataset: Dataset
    images: ImageEmbeddingsArtifact


def embed_pool(evaluation: EvalSpec, inputs: Inputs, run: Runner) -> FewShotPool | None:
    """Let the labelled images go the way of the test images; None where an evaluation has none."""
    if evaluation.few_shot is None:
        return None
    pool = run(LoadDataset(source=evaluation.few_shot.pool, class_names=evaluation.class_names))
    run(CheckSameClasses(classes=inputs.dataset.classes, others=pool.classes, what="few_shot.pool"))
    return FewShotPool(pool, run(EmbedImages(images=pool.images, encoder=inputs.encoder)))


def compare_few_shot(
    evaluation: EvalSpec, spec: FewShotSpec, inputs: Inputs, pool: FewShotPool, run: Runner
) -> FewShotRecord:
    """Classify the test images by few-shot methods, for every number of shots and every draw."""
    vocabulary = embed_vocabulary(evaluation, spec, inputs, run) if spec.vocabulary != "none" else None
    fits = run.each(
        FitFewShot(
            shots=shots,
            seed=seed,
            methods=spec.methods,
            zero_shot=spec.zero_shot,
            views=spec.views,
            validation_per_class=spec.validation_per_class,
            allow_fewer=spec.allow_fewer,
            drop_shared=spec.drop_shared,
            metric_texts=metric_input(spec.texts),
            vocabulary=vocabulary,
            texts=inputs.texts,
            text_embeddings=inputs.text_embeddings,
            test_images=inputs.images,
            pool_images=pool.dataset.images,
            pool=pool.images,
            pool_labels=pool.dataset.labels,
            encoder=inputs.encoder,
            logit_scale=evaluation.logit_scale,
        )
        for shots, seed in plan_draws(spec)
    )
    transduced = transduce_draws(evaluation, pool, inputs, fits, run)
    fits = [*calibrate_draws(evaluation, pool, inputs, fits, run), *transduced]
    predictions = run.each(PredictFewShot(fits=fit, images=inputs.images, encoder=inputs.encoder) for fit in fits)
    draws = tuple(FewShotDraw(fits=fit, predictions=found) for fit, found in zip(fits, predictions, strict=True))
    return FewShotRecord(pool=pool.dataset, pool_embeddings=pool.images, draws=draws)


def calibrate_draws(
    evaluation: EvalSpec,
    pool: FewShotPool,
    inputs: Inputs,
    fits: Sequence[FewShotFitsArtifact],
    run: Runner,
) -> list[FewShotFitsArtifact]:
    """Give draws without validation images temperatures by the images under test, where the spec asks for it."""
    if evaluation.calibrate != "batch":
        return list(fits)
    without = [fit for fit in fits if not any(choice.is_calibrated for choice in fit.choices.values())]
    standardised = run.each(
        StandardiseFewShot(fits=fit, images=inputs.images, encoder=inputs.encoder) for fit in without
    )
    taught = run.each(
        transduce_draw(
            evaluation,
            fit,
            methods=(TEACHER,),
            stage1=tuple(fit.choices),
            images=inputs.images,
            pool=pool.dataset,
            pool_embeddings=pool.images,
            inputs=inputs,
        )
        for fit in standardised
    )
    calibrated = run.each(
        CalibrateFewShotByBatch(fits=fit, taught=found, images=inputs.images, encoder=inputs.encoder)
        for fit, found in zip(standardised, taught, strict=True)
    )
    by_key = dict(zip((fit.key for fit in without), calibrated, strict=True))
    return [by_key.get(fit.key, fit) for fit in fits]


def transduce_draws(
    evaluation: EvalSpec,
    pool: FewShotPool,
    inputs: Inputs,
    fits: Sequence[FewShotFitsArtifact],
    run: Runner,
) -> list[FewShotFitsArtifact]:
    """Let the images under test, without labels, move the classifiers of every draw, where the spec asks for it."""
    spec = evaluation.transduction
    if spec is None or not spec.on_few_shot:
        return []
    return run.each(
        transduce_draw(
            evaluation,
            fit,
            methods=spec.with_support,
            stage1=spec.on_few_shot,
            images=inputs.images,
            pool=pool.dataset,
            pool_embeddings=pool.images,
            inputs=inputs,
        )
        for fit in fits
    )


def transduce_draw(
    evaluation: EvalSpec,
    fit: FewShotFitsArtifact,
    *,
    methods: tuple[TransductionName, ...],
    stage1: tuple[str, ...],
    images: ImageEmbeddingsArtifact,
    pool: Dataset,
    pool_embeddings: ImageEmbeddingsArtifact,
    inputs: Inputs,
) -> TransduceFewShot:
    """What unlabelled images teach the classifiers of one draw, beside its support.

    Args:
        evaluation: Whose few-shot methods they are.
        fit: The classifiers of the draw.
        methods: Transductions.
        stage1: Few-shot methods, one by one beneath each of them.
        images: The batch: those under test, or new ones.
        pool: The labelled images.
        pool_embeddings: Where these lie.
        inputs: Texts and images under test of the evaluation.
    """
    few_shot, transduction = evaluation.few_shot, evaluation.transduction
    assert few_shot is not None  # noqa: S101 - there is a draw
    own = transduction.texts if transduction is not None else None
    return TransduceFewShot(
        shots=fit.shots,
        seed=fit.seed,
        zero_shot=few_shot.zero_shot,
        views=few_shot.views,
        validation_per_class=few_shot.validation_per_class,
        allow_fewer=few_shot.allow_fewer,
        drop_shared=few_shot.drop_shared,
        metric_texts=metric_input(own or few_shot.texts),
        texts=inputs.texts,
        text_embeddings=inputs.text_embeddings,
        test_images=inputs.images,
        pool_images=pool.images,
        pool=pool_embeddings,
        pool_labels=pool.labels,
        encoder=inputs.encoder,
        logit_scale=evaluation.logit_scale,
        fits=fit,
        methods=methods,
        stage1=stage1,
        images=images,
    )


def embed_vocabulary(evaluation: EvalSpec, spec: FewShotSpec, inputs: Inputs, run: Runner) -> TextEmbeddingsArtifact:
    """Give the shipped words their places in the encoder's space."""
    purged = inputs.dataset.classes if spec.vocabulary == "purged" else None
    texts = evaluation.texts
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
