"""One evaluation: every field of it is part of the identity of some result."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from coder_core.spec_base import NAME_PATTERN, Spec
from coder_core.specs.dataset_specs import DatasetSpec, unnamed
from coder_core.specs.encoder_specs import EncoderSpec
from coder_core.specs.few_shot_spec import FewShotSpec
from coder_core.specs.groups_spec import GroupsSpec
from coder_core.specs.method_names import IMAGES_ALONE, NEEDS_BANK, RERANK, ControlName, MethodName, Protocol
from coder_core.specs.texts_spec import TextsSpec
from coder_core.specs.transduction_spec import TransductionSpec

CLASS_NAME_PATTERN = r"[^\s_]"

HAVE_COLUMNS = ("features", "manifest")
"""Kinds of data sets whose file may say which images belong together."""

ClassName = Annotated[str, Field(min_length=1, max_length=1000, pattern=CLASS_NAME_PATTERN)]
"""Not blank: white space and underscores alone name nothing."""


class MatrixSpec(Spec):
    """The explicit CODER matrix, images x texts."""

    write: bool = Field(
        default=False, strict=True, description="Write it as an artifact; classification does not need it."
    )


class RerankSpec(Spec):
    """CODER's second stage: one-to-one texts decide between the best classes of uncertain images."""

    candidates: int = Field(
        default=5, ge=2, le=5, strict=True, description="Best classes that compete (paper, one-to-one rerank: five)."
    )
    threshold: float = Field(
        default=0.1,
        ge=0,
        le=2,
        description="An image is looked at again where the probabilities of its two best classes are closer than this "
        "(0.1: median of the released code's nine hand-set values).",
    )
    choose_threshold: bool = Field(
        default=False, strict=True, description="Choose the threshold on the `validation` data set instead."
    )
    pair_budget: int = Field(
        default=1000, ge=0, strict=True, description="Pairs that `texts.pairs: confused` may ask about, at most."
    )


class AblationSpec(Spec):
    """Accuracy against the number and the kinds of texts, from embeddings at hand."""

    draws: int = Field(default=5, ge=1, le=100, strict=True, description="Random subsets of each number of texts.")
    texts_per_class: tuple[Annotated[int, Field(ge=0, strict=True)], ...] = Field(
        default=(1, 2, 4, 8), min_length=1, description="Descriptive texts per class to try, beside all of them."
    )

    @model_validator(mode="after")
    def _numbers_are_distinct(self) -> "AblationSpec":
        if len(set(self.texts_per_class)) != len(self.texts_per_class):
            raise ValueError("texts_per_class: each number once")
        return self


class EvalSpec(Spec):
    """One evaluation: a data set, an encoder, texts, and the methods to compare."""

    name: str = Field(
        min_length=1,
        max_length=100,
        pattern=NAME_PATTERN,
        description="Names the evaluation in tables and run ids: letters, digits, '.', '_', '-'.",
    )
    dataset: DatasetSpec = Field(description="What to classify.")
    class_names: dict[str, ClassName] = Field(
        default_factory=dict,
        description="What classes are called here: the data set's own name (or id) -> the name that texts say. Files, "
        "labels and order stay; `coder-eval doctor --fix` writes it.",
    )
    encoder: EncoderSpec = Field(description="What embeds images and texts.")
    texts: TextsSpec = Field(default=TextsSpec(), description="What is said about the classes.")
    methods: tuple[MethodName, ...] = Field(
        default=("clip", "clip_ensemble", "vcd", "coder"),
        description="What to compare, each once; none only where `few_shot` stands alone.",
    )
    baseline: MethodName = Field(
        default="clip", description="What all others are compared with, image by image, where it is among them."
    )
    controls: tuple[ControlName, ...] = Field(
        default=(), description="Score CODER also on texts without meaning: what would ensembling alone give?"
    )
    controls_of: tuple[MethodName, ...] = Field(
        default=("coder",),
        min_length=1,
        description="Methods that controls are scored for, by each the same way: a selection of texts, too, must do "
        "better than the same selection of texts that mean nothing.",
    )
    rerank: RerankSpec = Field(default=RerankSpec(), description="CODER's second stage, for `coder_rerank`.")
    validation: DatasetSpec | None = Field(
        default=None, description="Labelled images that choices are made on; never those of `dataset`."
    )
    calibrate: bool | Literal["validation", "batch"] = Field(
        default=False,
        description="`true` or `validation`: add every method once more with the temperature that makes `validation` "
        "most likely (zero-shot, `coder_support_selected`, transductions): the same decisions, probabilities that can "
        "be trusted. `batch`: zero-shot methods, by the images under test, without labels; a guess "
        "(docs/configuration.md). Few-shot methods always have the temperature of their pool's validation images; "
        "where a draw has none, `batch` is for them as well.",
    )
    transduction: TransductionSpec | None = Field(
        default=None,
        description="Add rows of methods that read all images under test at once, without labels; `{}` for the default "
        "ones.",
    )
    few_shot: FewShotSpec | None = Field(default=None, description="Few-shot classification beside zero-shot.")
    ablation: AblationSpec | None = Field(default=None, description="Text ablation; `{}` for the default one.")
    groups: GroupsSpec | None = Field(
        default=None, description="Which images belong together: intervals and p-values are over groups, then."
    )
    protocol: Protocol = Field(
        default="honest",
        description="`reference`: `coder_rerank` touches an image only where its TRUE label is among the candidates, "
        "as the released code does. For comparison only; marked in every row.",
    )
    draw_seed: int = Field(
        default=0, ge=0, strict=True, description="Decides the controls' words and the ablation's draws."
    )
    matrix: MatrixSpec = Field(default=MatrixSpec(), description="The explicit CODER matrix.")
    logit_scale: float = Field(default=100.0, gt=0, le=1000, description="Factor from similarity to logit.")

    @property
    def stage1_methods(self) -> tuple[MethodName, ...]:
        """The methods that need nothing but texts and images: all but the rerank."""
        return tuple(method for method in self.methods if method != RERANK)

    @model_validator(mode="before")
    @classmethod
    def _images_alone_need_no_word(cls, given: Any) -> Any:
        """Where neither the encoder nor anything else knows a text, defaults ask for none."""
        return _without_texts(given) if isinstance(given, Mapping) and _knows_no_text(given) else given

    @model_validator(mode="after")
    def _features_go_together(self) -> "EvalSpec":
        pool = self.few_shot.pool if self.few_shot else None
        for field, dataset in (("dataset", self.dataset), ("validation", self.validation), ("few_shot.pool", pool)):
            if dataset is not None and (dataset.kind == "features") != (self.encoder.kind == "precomputed"):
                raise ValueError(
                    f"{field}.kind {dataset.kind!r} and encoder.kind {self.encoder.kind!r} do not go together: "
                    "image features need the precomputed encoder, images need a model"
                )
        return self

    @model_validator(mode="after")
    def _images_can_be_shown(self) -> "EvalSpec":
        generator, pool = self.texts.generator, self.few_shot.pool if self.few_shot else None
        if generator is None or not generator.images_per_class:
            return self
        place = "texts.generator.images_per_class"
        if pool is None:
            raise ValueError(
                f"{place}: labelled images come from the training set of few_shot: name a few_shot.pool, or set it to 0"
            )
        if pool.kind == "features":
            raise ValueError(
                f"{place}: few_shot.pool has features and no pictures to show: name image files there, or set it to 0"
            )
        return self

    @model_validator(mode="after")
    def _groups_can_be_read(self) -> "EvalSpec":
        if self.groups is not None and self.groups.column is not None and self.dataset.kind not in HAVE_COLUMNS:
            raise ValueError("groups.column: only features files and manifests have columns; name a groups.pattern")
        return self

    @model_validator(mode="after")
    def _methods_have_texts(self) -> "EvalSpec":
        starved: list[str] = [method for method in self.methods if method in NEEDS_BANK]
        starved += [f"controls.{control}" for control in self.controls]
        fused = self.few_shot.zero_shot if self.few_shot is not None else "none"
        starved += ["few_shot.zero_shot"] if fused in NEEDS_BANK - {"vcd"} else []
        starved += ["few_shot.select_texts"] if self.few_shot is not None and self.few_shot.select_texts else []
        starved += ["ablation"] if self.ablation is not None else []
        if starved and self.texts.bank is None and self.texts.generator is None:
            raise ValueError(
                f"texts.bank or texts.generator is required by {', '.join(starved)}: name one or drop the method"
            )
        return self

    @model_validator(mode="after")
    def _something_is_compared(self) -> "EvalSpec":
        if not self.methods and (self.few_shot is None or self.controls):
            raise ValueError("methods: name at least one; only few_shot can stand alone")
        return self

    @model_validator(mode="after")
    def _controlled_methods_read_texts(self) -> "EvalSpec":
        for method in self.controls_of:
            if method not in NEEDS_BANK - {RERANK}:
                raise ValueError(f"controls_of: {method} is no stage-1 method that reads descriptions")
        return self

    @model_validator(mode="after")
    def _transductions_stand_on_methods(self) -> "EvalSpec":
        standing = (*self.stage1_methods, *(self.few_shot.methods if self.few_shot else ()))
        for method in self.transduction.stage1 if self.transduction else ():
            if method not in standing:
                known = ", ".join(standing) or "there is none"
                raise ValueError(f"transduction.stage1: {method!r} is none of the methods ({known}): list it, too")
        return self

    @model_validator(mode="after")
    def _names_are_distinct(self) -> "EvalSpec":
        for field, names in (("methods", self.methods), ("controls", self.controls)):
            if len(set(names)) != len(names):
                raise ValueError(f"{field}: each name once")
        return self

    @model_validator(mode="after")
    def _baseline_is_there(self) -> "EvalSpec":
        if self.baseline != "clip" and self.baseline not in self.methods:
            raise ValueError(f"baseline {self.baseline!r} is not among the methods: list it, too")
        return self

    @model_validator(mode="after")
    def _rerank_is_complete(self) -> "EvalSpec":
        if RERANK in self.methods and "coder" not in self.methods:
            raise ValueError(f"methods: {RERANK} looks again at what coder has said: list coder, too")
        if self.rerank.choose_threshold and self.validation is None:
            raise ValueError("rerank.choose_threshold needs images to choose on: name them under `validation`")
        if self.calibrate not in (False, "batch") and self.validation is None:
            raise ValueError("calibrate needs images to choose a temperature on: name them under `validation`")
        if self.few_shot is not None and self.few_shot.views and self.few_shot.pool.kind == "features":
            raise ValueError("few_shot.views: features cannot be cropped or flipped; augmented views need images")
        if self.few_shot is not None and unnamed(self.few_shot.pool) == unnamed(self.dataset):
            raise ValueError("few_shot.pool is the same data set as `dataset`: methods would learn from test images")
        if self.validation is not None and unnamed(self.validation) == unnamed(self.dataset):
            raise ValueError("validation is the same data set as `dataset`: choices would be made on test images")
        if self.texts.pairs == "confused" and self.texts.generator is None:
            raise ValueError("texts.pairs is `confused`: only a texts.generator can be asked about pairs")
        return self


def _knows_no_text(given: Mapping[str, Any]) -> bool:
    """Whether a config compares few-shot methods with an encoder that is given no text."""
    encoder, few_shot = given.get("encoder"), given.get("few_shot")
    if not isinstance(encoder, Mapping) or not isinstance(few_shot, Mapping):
        return False
    return encoder.get("kind") == "precomputed" and not encoder.get("texts")


def _without_texts(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same config with defaults that read no text: what it says itself stays as it is."""
    dataset, few_shot, encoder = given.get("dataset"), dict(given["few_shot"]), dict(given["encoder"])
    few_shot.setdefault("zero_shot", "none")
    if not few_shot.get("texts"):
        few_shot.setdefault("methods", IMAGES_ALONE)
    if isinstance(dataset, Mapping) and "path" in dataset:
        own = {name: dataset[name] for name in ("path", "features") if name in dataset}
        encoder.setdefault("images", own)
    return {"methods": (), **given, "few_shot": few_shot, "encoder": encoder}
