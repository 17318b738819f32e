"""Few-shot, step by step: the pool of labelled images goes the way of the test images, then every draw is fitted."""

from typing import NamedTuple

from coder_core.input_contract import InputContract
from coder_core.method_texts import kinds_of_method, with_pictured
from coder_core.pipeline.artifact_types import (
    Dataset,
    ImageEmbeddingsArtifact,
    TextBankArtifact,
    TextEmbeddingsArtifact,
)
from coder_core.pipeline.run_manifest import FewShotDraw, FewShotRecord
from coder_core.pipeline.runner import Runner
from coder_core.recipes.eval_inputs import Inputs
from coder_core.specs import IMAGES_ALONE, READS_VOCABULARY, EvalSpec, FewShotSpec
from coder_core.steps.embed_images import EmbedImages
from coder_core.steps.embed_texts import EmbedTexts
from coder_core.steps.fit_few_shot import METRIC_KINDS, FitFewShot, PredictFewShot, metric_input, plan_draws
from coder_core.steps.load_dataset import CheckSameClasses, LoadDataset
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
    predictions = run.each(PredictFewShot(fits=fit, images=inputs.images, encoder=inputs.encoder) for fit in fits)
    draws = tuple(FewShotDraw(fits=fit, predictions=found) for fit, found in zip(fits, predictions, strict=True))
    return FewShotRecord(pool=pool.dataset, pool_embeddings=pool.images, draws=draws)


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
