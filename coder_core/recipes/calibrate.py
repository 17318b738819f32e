"""Every method once more with the temperature that fits validation images, or that the batch suggests."""

from collections.abc import Mapping

from coder_core.input_contract import InputContract
from coder_core.pipeline.artifact_types import TransducedArtifact
from coder_core.pipeline.run_manifest import MethodRecord
from coder_core.pipeline.runner import Runner
from coder_core.recipes.eval_inputs import Inputs
from coder_core.recipes.transduce import classifier_of, fit_transduction
from coder_core.specs import TransductionSpec
from coder_core.steps.calibrate_method import CALIBRATED, BuildCalibrated, ChooseBatchTemperature, ChooseTemperature
from coder_core.steps.predict_images import Predict


def calibrate_by_batch(methods: Mapping[str, MethodRecord], inputs: Inputs, run: Runner) -> dict[str, MethodRecord]:
    """Calibrate methods of the first stage by the images under test, without labels.

    Args:
        methods: By name.
        inputs: The images under test.
        run: The runner.
    """
    found: dict[str, MethodRecord] = {}
    for name, record in methods.items():
        taught = run(fit_transduction(TransductionSpec(), "batch_discriminant", record, inputs))
        assert isinstance(taught, TransducedArtifact)  # noqa: S101 - a discriminant makes a classifier
        chosen = run(
            ChooseBatchTemperature(
                classifier=record.for_any_image,
                taught=classifier_of(taught),
                batch=taught.batch,
                images=inputs.images,
                encoder=inputs.encoder,
            )
        )
        contract = record.contract.also(unlabelled_images=True) if record.contract is not None else None
        note = f"{name}{CALIBRATED}: temperature {chosen.temperature:.2f}, by the batch ({chosen.batch})"
        note += _on_bound(chosen.temperature)
        found |= _with_temperature(record, chosen.temperature, contract, inputs, run, note=note)
    return found


def calibrate(
    methods: Mapping[str, MethodRecord], inputs: Inputs, validation: Inputs, run: Runner
) -> dict[str, MethodRecord]:
    """Calibrate methods by labelled images.

    Args:
        methods: By name; any whose classifier makes logits.
        inputs: The images under test.
        validation: The images that temperatures are chosen on.
        run: The runner.
    """
    found: dict[str, MethodRecord] = {}
    for name, record in methods.items():
        chosen = run(
            ChooseTemperature(
                classifier=record.for_any_image,
                images=validation.images,
                labels=validation.dataset.labels,
                encoder=validation.encoder,
            )
        )
        contract = record.contract.also(labels="validation") if record.contract is not None else None
        note = (
            f"{name}{CALIBRATED}: temperature {chosen.temperature:.2f}, chosen on {chosen.n} validation images"
            f"{_on_bound(chosen.temperature, chosen.loss)}"
        )
        found |= _with_temperature(record, chosen.temperature, contract, inputs, run, note=note)
    return found


def _on_bound(temperature: float, loss: float | None = None) -> str:
    from coder_core.evaluation.temperature import note_on_bound  # torch

    note = note_on_bound(temperature, loss)
    return f"; {note}" if note else ""


def _with_temperature(
    record: MethodRecord,
    temperature: float,
    contract: InputContract | None,
    inputs: Inputs,
    run: Runner,
    *,
    note: str,
) -> dict[str, MethodRecord]:
    """The same method under another name and temperature."""
    classifier = run(BuildCalibrated(classifier=record.for_any_image, temperature=temperature))
    called = f"{record.method}{CALIBRATED}"
    predict = Predict(classifier=classifier, images=inputs.images, encoder=inputs.encoder, label=called)
    changed = {"method": called, "classifier": classifier, "predictions": run(predict), "contract": contract}
    return {called: record.model_copy(update={**changed, "note": note})}
