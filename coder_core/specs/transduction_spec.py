"""What a batch of unlabelled images may add to methods that look at every image on its own."""

from typing import Literal

from pydantic import Field

from coder_core.spec_base import Spec
from coder_core.specs.encoder_specs import TextFeaturesFile
from coder_core.specs.method_names import MethodName

TransductionName = Literal["batch_discriminant", "class_prior", "sinkhorn"]
"""Keys of `steps.fit_transduction.TRANSDUCTIONS`."""


class TransductionSpec(Spec):
    """Transduction: the images under test, without labels, say where classes lie and which of them are there.

    Its rows are called `<method>_on_<stage 1>` and say that they read unlabelled images.
    """

    methods: tuple[TransductionName, ...] = Field(
        default=("batch_discriminant",),
        min_length=1,
        description="`batch_discriminant`: ours, for any batch. Baselines: `class_prior` (re-estimated shares of the "
        "classes), `sinkhorn` (equal shares, assumed).",
    )
    stage1: tuple[MethodName, ...] = Field(
        default=("clip",),
        min_length=1,
        description="What each stands upon: methods of this evaluation, but for the rerank, which makes no logits.",
    )
    texts: TextFeaturesFile | None = Field(
        default=None,
        description="Texts that make the metric; default: the evaluation's own, where they are twice as many as the "
        "encoder has dimensions, else none.",
    )

    @property
    def row_names(self) -> dict[str, tuple[TransductionName, MethodName]]:
        """What every row is called, and what it is: a method, and what it stands upon."""
        return {f"{method}_on_{stage1}": (method, stage1) for stage1 in self.stage1 for method in self.methods}
