"""Transduction, step by step: what the images under test teach a stage-1 classifier, then what it says of each."""

from collections.abc import Mapping
from typing import NamedTuple

from coder_core.input_contract import InputContract
from coder_core.method_texts import kinds_of_method
from coder_core.pipeline.artifact_types import ClassifierArtifact, TransducedArtifact
from coder_core.pipeline.run_manifest import MethodRecord
from coder_core.pipeline.runner import Runner
from coder_core.recipes.eval_inputs import Inputs
from coder_core.specs import TransductionName, TransductionSpec
from coder_core.steps.fit_few_shot import metric_input
from coder_core.steps.fit_transduction import FitTransduction
from coder_core.steps.predict_images import Predict


class Transductions(NamedTuple):
    """The methods of a transduction, and what each took the batch for."""

    methods: tuple[MethodRecord, ...] = ()
    found: tuple[TransducedArtifact, ...] = ()


def transduce(
    spec: TransductionSpec | None, stage1: Mapping[str, MethodRecord], inputs: Inputs, run: Runner
) -> Transductions:
    """Let the images under test, without labels, move methods that look at every image on its own.

    Args:
        spec: What to do; None for nothing.
        stage1: The methods of this run by name.
        inputs: Texts and images.
        run: The runner.
    """
    if spec is None:
        return Transductions()
    found = run.each(fit_transduction(spec, method, stage1[name], inputs) for method, name in spec.row_names.values())
    predictions = run.in_one_pass(
        [
            Predict(classifier=classifier_of(fit), images=inputs.images, encoder=inputs.encoder, label=name)
            for name, fit in zip(spec.row_names, found, strict=True)
        ]
    )
    records = tuple(
        MethodRecord(
            method=name,
            texts=stage1[below].texts,
            text_embeddings=stage1[below].text_embeddings,
            classifier=classifier_of(fit),
            predictions=predicted,
            contract=_contract(method, stage1[below].contract),
        )
        for (name, (method, below)), fit, predicted in zip(spec.row_names.items(), found, predictions, strict=True)
    )
    return Transductions(records, tuple(found))


def fit_transduction(
    spec: TransductionSpec, method: TransductionName, stage1: MethodRecord, inputs: Inputs
) -> FitTransduction:
    """What a batch teaches one stage-1 method."""
    return FitTransduction(
        method=method,
        stage1=stage1.classifier,
        class_kinds=kinds_of_method(stage1.method),
        texts=stage1.texts,
        text_embeddings=stage1.text_embeddings,
        metric_texts=metric_input(spec.texts) if method == "batch_discriminant" else None,
        images=inputs.images,
        encoder=inputs.encoder,
    )


def classifier_of(found: TransducedArtifact) -> ClassifierArtifact:
    """The classifier alone, without the account of how it came about."""
    return ClassifierArtifact(key=found.key, rows=found.rows, method=found.method)


def _contract(method: TransductionName, stage1: InputContract | None) -> InputContract:
    return (stage1 or InputContract()).also(unlabelled_images=True, balance=method == "sinkhorn")
