"""Transduction, step by step: what the images under test teach a stage-1 classifier, then what it says of each."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from coder_core.input_contract import InputContract
from coder_core.method_texts import kinds_of_method
from coder_core.pipeline.artifact_types import (
    BatchAnswersArtifact,
    ClassifierArtifact,
    PredictionsArtifact,
    TransducedArtifact,
)
from coder_core.pipeline.run_manifest import MethodRecord
from coder_core.pipeline.runner import Runner
from coder_core.pipeline.step import Step
from coder_core.recipes.eval_inputs import Inputs
from coder_core.recipes.gather_texts import kinds_needed
from coder_core.specs import BATCH_ONLY, EvalSpec, TextFeaturesFile, TransductionName, TransductionSpec
from coder_core.steps.classify_batch import AnswersToPredictions, ClassifyBatch, check_batch_fits
from coder_core.steps.few_shot_draw import metric_input
from coder_core.steps.fit_transduction import FitTransduction, makes_metric
from coder_core.steps.predict_images import Predict

Found = TransducedArtifact | BatchAnswersArtifact


class Transductions(NamedTuple):
    """The methods of a transduction, and what each took the batch for."""

    methods: tuple[MethodRecord, ...] = ()
    found: tuple[Found, ...] = ()


def transduce(spec: EvalSpec, stage1: Mapping[str, MethodRecord], inputs: Inputs, run: Runner) -> Transductions:
    """Let the images under test, without labels, move methods that look at every image on its own.

    Args:
        spec: Its `transduction` says what to do; None for nothing.
        stage1: The methods of this run by name.
        inputs: Texts and images.
        run: The runner.
    """
    asked = spec.transduction
    if asked is None:
        return Transductions()
    rows = asked.row_names
    found = run.each(fit_transduction(asked, method, stage1[name], inputs) for method, name in rows.values())
    predictions = _predict(dict(zip(rows, found, strict=True)), inputs, run)
    records = tuple(
        MethodRecord(
            method=name,
            texts=stage1[below].texts,
            text_embeddings=stage1[below].text_embeddings,
            classifier=fit if isinstance(fit, BatchAnswersArtifact) else classifier_of(fit),
            predictions=predictions[name],
            contract=transduced_contract(spec, method, stage1[below].contract, inputs),
        )
        for (name, (method, below)), fit in zip(rows.items(), found, strict=True)
    )
    return Transductions(records, tuple(found))


def fit_transduction(
    spec: TransductionSpec, method: TransductionName, stage1: MethodRecord, inputs: Inputs
) -> Step[Found]:
    """What a batch teaches one stage-1 method."""
    kinds = kinds_of_method(stage1.method)
    if method in BATCH_ONLY:
        return ClassifyBatch(
            method=method,
            stage1=stage1.for_any_image,
            class_kinds=kinds,
            texts=stage1.texts,
            text_embeddings=stage1.text_embeddings,
            images=inputs.images,
            encoder=inputs.encoder,
        )
    return FitTransduction(
        method=method,
        stage1=stage1.for_any_image,
        class_kinds=kinds,
        texts=stage1.texts,
        text_embeddings=stage1.text_embeddings,
        metric_texts=metric_input(spec.texts) if method == "batch_discriminant" else None,
        images=inputs.images,
        encoder=inputs.encoder,
    )


def classifier_of(found: TransducedArtifact) -> ClassifierArtifact:
    """The classifier alone, without the account of how it came about."""
    return ClassifierArtifact(key=found.key, rows=found.rows, method=found.method)


def require_room(spec: EvalSpec, images: int, classes: int, dim: int) -> None:
    """Refuse a batch that a method holds in memory as a whole, and that is too large for it, before any work.

    Raises:
        ConfigError: It is.
    """
    for method in spec.transduction.methods if spec.transduction else ():
        if method in BATCH_ONLY:
            check_batch_fits(method, images=images, classes=classes, dim=dim)


def transduced_contract(
    spec: EvalSpec, method: TransductionName, stage1: InputContract | None, inputs: Inputs
) -> InputContract:
    """What a transduction reads beside its stage 1: the batch, and the texts that make the metric."""
    own = spec.transduction.texts if spec.transduction else None
    texts = metric_kinds(spec, own, texts=inputs.text_embeddings.rows, dim=inputs.encoder.dim)
    return with_batch(stage1 or InputContract(), method, texts)


def with_batch(stage1: InputContract, method: TransductionName, texts: Iterable[str]) -> InputContract:
    """The contract of a stage-1 method after a transduction whose metric is made of some texts."""
    read = texts if method == "batch_discriminant" else ()
    return stage1.also(unlabelled_images=True, balance=method == "sinkhorn", texts=read)


def metric_kinds(spec: EvalSpec, file: TextFeaturesFile | None, *, texts: int, dim: int) -> tuple[str, ...]:
    """The texts that make the metric: those of a file, or the evaluation's own, where they are enough."""
    if file is not None:
        return ("metric_texts",)
    return tuple(map(str, kinds_needed(spec))) if makes_metric(texts, dim) else ()


def _predict(found: Mapping[str, Found], inputs: Inputs, run: Runner) -> dict[str, PredictionsArtifact]:
    """What every one of them says about the batch; classifiers share a pass over the images."""
    classifiers = {name: classifier_of(fit) for name, fit in found.items() if isinstance(fit, TransducedArtifact)}
    said = run.in_one_pass(
        [
            Predict(classifier=classifier, images=inputs.images, encoder=inputs.encoder, label=name)
            for name, classifier in classifiers.items()
        ]
    )
    answers = {name: fit for name, fit in found.items() if isinstance(fit, BatchAnswersArtifact)}
    told = run.each(AnswersToPredictions(answers=fit, images=inputs.images) for fit in answers.values())
    return {**dict(zip(classifiers, said, strict=True)), **dict(zip(answers, told, strict=True))}
