"""Every method once more with the temperature that fits validation images: the same decisions, other probabilities."""

from collections.abc import Mapping

from coder_core.pipeline.run_manifest import MethodRecord
from coder_core.pipeline.runner import Runner
from coder_core.recipes.eval_inputs import Inputs
from coder_core.steps.calibrate_method import CALIBRATED, BuildCalibrated, ChooseTemperature
from coder_core.steps.predict_images import Predict


def calibrate(
    methods: Mapping[str, MethodRecord], inputs: Inputs, validation: Inputs, run: Runner
) -> dict[str, MethodRecord]:
    """Calibrate methods of the first stage.

    Args:
        methods: By name.
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
        classifier = run(BuildCalibrated(classifier=record.for_any_image, temperature=chosen.temperature))
        called = f"{name}{CALIBRATED}"
        predict = Predict(classifier=classifier, images=inputs.images, encoder=inputs.encoder, label=called)
        contract = record.contract.also(labels="validation") if record.contract is not None else None
        changed = {"method": called, "classifier": classifier, "predictions": run(predict), "contract": contract}
        found[called] = record.model_copy(update=changed)
    return found
