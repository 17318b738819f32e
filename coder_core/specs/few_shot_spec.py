"""A few labelled images per class."""

from typing import Annotated, Literal

from pydantic import Field

from coder_core.spec_base import Spec
from coder_core.specs.dataset_specs import DatasetSpec
from coder_core.specs.encoder_specs import TextFeaturesFile
from coder_core.specs.method_names import COMPARED_FEW_SHOT, FewShotMethodName, FusedWith


class FewShotSpec(Spec):
    """Few-shot classification: a few labelled images per class, several draws, all methods."""

    pool: DatasetSpec = Field(description="Labelled images to draw support and validation from; never test images.")
    shots: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = Field(
        default=(1, 2, 4, 8, 16), min_length=1, description="Support images per class, one experiment each."
    )
    draws: int = Field(default=3, ge=1, le=1000, strict=True, description="Random supports of each size.")
    seed: int = Field(default=1, ge=0, strict=True, description="Of the first draw; the next ones count on.")
    methods: tuple[FewShotMethodName, ...] = Field(
        default=COMPARED_FEW_SHOT,
        min_length=1,
        description="What to compare; where nothing says a word about the classes, methods of images alone.",
    )
    zero_shot: FusedWith = Field(
        default="clip",
        description="Whose zero-shot logits every method is fused with; `none`: images alone, the default where "
        "the encoder knows no text.",
    )
    texts: TextFeaturesFile | None = Field(
        default=None,
        description="Texts that make the metric; default: the evaluation's own names, attributes and analogues.",
    )
    vocabulary: Literal["none", "shipped", "purged"] = Field(
        default="none",
        description="`shipped`: about 7,600 common words are embedded, too, and methods that look for the task's own "
        "words (`task_discriminant`, `text_bayes`, `neighbour_distribution`, `text_pool`) find them there as well. "
        "`purged`: without those that are, or hold, a class name of the data set.",
    )
    select_texts: bool = Field(
        default=False,
        strict=True,
        description="Add `coder_support_selected`: CODER on the descriptions that the support images of the first draw "
        "with most shots tell from those of other classes; every control, too, under the same selection. Their rows "
        "stand among the zero-shot methods and say that they have read support labels.",
    )
    views: int = Field(
        default=0,
        ge=0,
        le=100,
        strict=True,
        description="Augmented views (crops and flips) of each support image, whose mean stands for it; Tip-Adapter "
        "takes 10. 0: the image itself. Needs images.",
    )
    validation_per_class: int | None = Field(
        default=None, ge=0, description="Validation images per class; default: all that are not support. 0: none."
    )
    allow_fewer: bool = Field(
        default=False, strict=True, description="Where a class has too few images take all but one, and say so."
    )
    drop_shared: bool = Field(
        default=False, strict=True, description="Leave pool images out that are test images as well, and say so."
    )
