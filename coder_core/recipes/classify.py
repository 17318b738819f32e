"""Classify images by zero-shot methods: a classifier from texts alone, then one pass over the images for all."""

from collections.abc import Mapping

from coder_core.input_contract import InputContract
from coder_core.method_texts import contract_of_method, kinds_of_method, with_pictured
from coder_core.pipeline.run_manifest import MethodRecord
from coder_core.pipeline.runner import Runner
from coder_core.recipes.eval_inputs import Inputs
from coder_core.steps.build_classifier import BuildClassifier
from coder_core.steps.predict_images import Predict


def classify(methods: Mapping[str, str], inputs: Inputs, logit_scale: float, run: Runner) -> dict[str, MethodRecord]:
    """Classify images by several methods that read the same texts.

    Args:
        methods: What each is called in this run, and which method it is.
        inputs: Texts and images.
        logit_scale: Factor from similarity to logit.
        run: The runner.

    Returns:
        By name, in the order of `methods`.
    """
    classifiers = run.each(
        BuildClassifier(
            method=method,
            texts=inputs.texts,
            text_embeddings=inputs.text_embeddings,
            encoder=inputs.encoder,
            logit_scale=logit_scale,
        )
        for method in methods.values()
    )
    predictions = run.in_one_pass(
        [
            Predict(classifier=classifier, images=inputs.images, encoder=inputs.encoder, label=name)
            for name, classifier in zip(methods, classifiers, strict=True)
        ]
    )
    return {
        name: MethodRecord(
            method=name,
            texts=inputs.texts,
            text_embeddings=inputs.text_embeddings,
            classifier=classifier,
            predictions=predicted,
            contract=_contract(methods[name], inputs),
        )
        for name, classifier, predicted in zip(methods, classifiers, predictions, strict=True)
    }


def _contract(method: str, inputs: Inputs) -> InputContract:
    """What a method reads, and what whoever wrote its texts has read."""
    return with_pictured(contract_of_method(method), kinds_of_method(method), inputs.bank.pictured_kinds)
