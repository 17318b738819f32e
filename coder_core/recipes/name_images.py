"""Images without labels under the classes of a config: each gets a name, and nothing is measured.

The way of an evaluation up to its predictions; the same steps, so what one has embedded the other finds.
"""

from coder_core.pipeline.runner import Runner
from coder_core.recipes.classify import classify
from coder_core.recipes.evaluate import embed_inputs
from coder_core.recipes.predict import Predicted
from coder_core.specs import EvalSpec
from coder_core.steps.name_predictions import NamePredictions

PREFERRED = ("coder", "clip_ensemble", "clip")
"""Whose names are given, where an evaluation has several methods."""


def name_images(spec: EvalSpec, run: Runner) -> Predicted:
    """Say what every image of an `unlabelled` data set shows.

    Args:
        spec: The evaluation; of its methods the first of `PREFERRED` answers, or the first at all.
        run: The runner.
    """
    method = next((name for name in PREFERRED if name in spec.methods), spec.stage1_methods[0])
    inputs = embed_inputs(spec.model_copy(update={"methods": (method,)}), run)
    record = classify({method: method}, inputs, spec.logit_scale, run)[method]
    classes = inputs.dataset.classes
    table = run(NamePredictions(predictions=record.predictions, images=inputs.images, classes=classes))
    return Predicted(
        run_id=run.name_run(spec.name),
        method=method,
        table=table,
        images=inputs.images.usable,
        broken=inputs.images.quarantined,
        ignored=inputs.dataset.ignored,
        location=f"{run.runtime.store} (artifact {table.kind} {table.key[:12]})",
    )
