"""What a batch of unlabelled images may add to methods that look at every image on its own."""

from typing import Literal, get_args

from pydantic import Field, model_validator

from coder_core.spec_base import Spec
from coder_core.specs.encoder_specs import TextFeaturesFile
from coder_core.specs.method_names import FewShotMethodName, MethodName

TransductionName = Literal["batch_discriminant", "class_prior", "sinkhorn", "transclip", "stata"]
"""What can be done with a batch, by name."""

BATCH_ONLY: tuple[TransductionName, ...] = ("transclip", "stata")
"""Those that say what each image of the batch is and make no classifier: nothing answers a further image."""


class TransductionSpec(Spec):
    """Transduction: the images under test, without labels, say where classes lie and which of them are there.

    Its rows are called `<method>_on_<stage 1>` and say that they read unlabelled images.
    """

    methods: tuple[TransductionName, ...] = Field(
        default=("batch_discriminant",),
        min_length=1,
        description="`batch_discriminant`: ours, for any batch. Baselines: `class_prior` (re-estimated shares of the "
        "classes), `sinkhorn` (equal shares, assumed), `transclip` and `stata` (published; they answer this "
        "batch only, hold it in memory as a whole, and stand on zero-shot methods).",
    )
    stage1: tuple[MethodName | FewShotMethodName, ...] = Field(
        default=("clip",),
        min_length=1,
        description="What each stands upon: methods of this evaluation, but for the rerank, which makes no logits; or "
        "of its `few_shot`: then the support of every draw enters as images whose class is known.",
    )
    texts: TextFeaturesFile | None = Field(
        default=None,
        description="Texts that make the metric; default: the evaluation's own, where they are twice as many as the "
        "encoder has dimensions, else none.",
    )

    @property
    def on_zero_shot(self) -> tuple[MethodName, ...]:
        """Methods of stage 1 that it stands upon."""
        return tuple(name for name in get_args(MethodName) if name in self.stage1)

    @property
    def on_few_shot(self) -> tuple[FewShotMethodName, ...]:
        """Few-shot methods that it stands upon."""
        return tuple(name for name in get_args(FewShotMethodName) if name in self.stage1)

    @property
    def row_names(self) -> dict[str, tuple[TransductionName, MethodName]]:
        """What every row on a zero-shot method is called, and what it is: a method, and what it stands upon."""
        standing = [name for name in self.stage1 if name in self.on_zero_shot]
        return {row_name(method, stage1): (method, stage1) for stage1 in standing for method in self.methods}

    @model_validator(mode="after")
    def _names_are_distinct(self) -> "TransductionSpec":
        for field, names in (("methods", self.methods), ("stage1", self.stage1)):
            if len(set(names)) != len(names):
                raise ValueError(f"{field}: each name once")
        return self

    @property
    def with_support(self) -> tuple[TransductionName, ...]:
        """Methods that stand on few-shot methods, too."""
        return tuple(name for name in self.methods if name not in BATCH_ONLY)

    @model_validator(mode="after")
    def _every_method_stands_on_something(self) -> "TransductionSpec":
        few_shot = ", ".join(self.on_few_shot)
        for name in self.methods if not self.on_zero_shot else ():
            if name in BATCH_ONLY:
                raise ValueError(f"methods: {name} takes no support images: it cannot stand on {few_shot}")
        if few_shot and not self.with_support:
            raise ValueError(f"stage1: nothing that is listed takes support images: take {few_shot} out")
        return self


def row_name(method: str, stage1: str) -> str:
    """What a row is called."""
    return f"{method}_on_{stage1}"
