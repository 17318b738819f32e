"""What to compute, and where and how fast: two kinds of settings that must not be mixed.

`EvalSpec` decides the numbers: every field of it is part of the identity of some result. `Runtime` decides where they
are computed and how fast: no field of it ever enters a key, so the same evaluation on another machine finds the same
artifacts.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, ValidationInfo, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from coder_core.atg.settings import GeneratorSpec, LlmRuntime
from coder_core.class_source.settings import ClassSource
from coder_core.locations import looks_like_path
from coder_core.spec_base import InputPath, Spec, resolve_from_config

DEFAULT_STORE = "./store"
MethodName = Literal[
    "clip",
    "clip_ensemble",
    "vcd",
    "coder",
    "coder_top_m",
    "coder_softmax",
    "coder_euclidean",
    "coder_mahalanobis",
    "coder_shrunk",
    "coder_second_round",
    "coder_rerank",
]
"""Keys of `methods.METHODS` and `methods.VARIANTS`, and the rerank: named here so that a config is checked without
loading torch."""

RERANK: MethodName = "coder_rerank"
"""CODER*: the one method that looks again at what another, `coder`, has said."""

ControlName = Literal["waffle", "shuffled", "repeated_names", "nameless"]
"""Keys of `baselines.controls.CONTROLS`."""

Protocol = Literal["honest", "reference"]
FewShotMethodName = Literal[
    "nearest_mean",
    "nearest_mean_coder",
    "tip_adapter",
    "coder_adapter",
    "coder_adapter_min_max",
    "lda",
    "gda",
    "metric_cache",
    "text_discriminant",
]
"""Keys of `few_shot.registry.FEW_SHOT_METHODS`."""

NEEDS_BANK = frozenset(get_args(MethodName)) - {"clip", "clip_ensemble"}
"""Methods that read descriptive texts; without a bank they would silently be CLIP."""


def _resolved_path(location: str, info: ValidationInfo) -> str:
    return resolve_from_config(location, info) if looks_like_path(location) else location


CLASSES_MEANING = (
    "A list of classes kept outside the data set (kind `file`, `folder` or `query`): these compete, in this order; "
    "images of others are an error (see `ignore_other_folders`), and a class without images may be there."
)

DatasetName = Annotated[str | None, Field(min_length=1, max_length=200)]
NAME_MEANING = "What the data set is called in tables; default: named after its folder or file."

CheckpointName = Annotated[str, Field(min_length=1), AfterValidator(_resolved_path)]
"""Like `InputPath`, but a bare name (no folder, no suffix) is a tag of published weights; `./name` is a folder."""


class FlagsDataset(Spec):
    """The embedded demonstration: photographs of national flags, rendered by this project."""

    kind: Literal["flags"] = Field(description="`flags`.")
    images_per_class: int = Field(default=30, ge=1, le=1000, strict=True, description="Photographs of each flag.")
    seed: int = Field(default=1, ge=0, strict=True, description="Decides pose, light, background and noise.")
    name: DatasetName = Field(default=None, description=NAME_MEANING)


class FolderDataset(Spec):
    """A folder of class folders of image files."""

    kind: Literal["folder"] = Field(description="`folder`.")
    path: InputPath = Field(description="Root folder: one folder per class, images inside (any depth).")
    class_names: tuple[str, ...] | None = Field(
        default=None, description="Folder names in label order; default: all folders, sorted."
    )
    classes: ClassSource | None = Field(default=None, description=CLASSES_MEANING)
    ignore_other_folders: bool = Field(
        default=False,
        strict=True,
        description="Leave out, and name, folders that no class is called like, and images that lie in no folder; "
        "false: they are an error.",
    )
    name: DatasetName = Field(default=None, description=NAME_MEANING)

    @model_validator(mode="after")
    def _has_one_class_list(self) -> "FolderDataset":
        if self.classes is not None and self.class_names is not None:
            raise ValueError("class_names and classes both name the classes: drop one of them")
        return self


class SplitDataset(Spec):
    """Image files and a published few-shot split of them (`split_zhou_<DataSet>.json`)."""

    kind: Literal["split"] = Field(description="`split`.")
    path: InputPath = Field(description="The folder that the split's paths start from.")
    split_file: InputPath = Field(description="The JSON file: lists `train`, `val` and `test` of [path, label, name].")
    split: Literal["train", "val", "test"] = Field(description="Which of its lists.")
    name: DatasetName = Field(default=None, description=NAME_MEANING)


class FeaturesDataset(Spec):
    """Image features that another tool computed, in an `.npz` or Parquet file."""

    kind: Literal["features"] = Field(description="`features`.")
    path: InputPath = Field(description="The file.")
    features: str = Field(default="features", description="Array or column of image features, (images, dim).")
    labels: str = Field(default="labels", description="Array or column of label ids, (images,).")
    image_ids: str | None = Field(default=None, description="Array or column of image ids; default: row numbers.")
    class_names: str | tuple[str, ...] = Field(
        default="class_names", description="Array in an .npz file, or the names themselves in label order."
    )
    classes: ClassSource | None = Field(default=None, description=CLASSES_MEANING)
    ignore_other_folders: bool = Field(
        default=False,
        strict=True,
        description="Leave out, and name, images of classes that `classes` does not list; false: they are an error.",
    )
    name: DatasetName = Field(default=None, description=NAME_MEANING)


DatasetSpec = Annotated[FlagsDataset | FolderDataset | SplitDataset | FeaturesDataset, Field(discriminator="kind")]


def _unnamed(dataset: DatasetSpec) -> DatasetSpec:
    """The data set under no name: what it is called makes no other images of it."""
    return dataset.model_copy(update={"name": None})


class OpenClipEncoder(Spec):
    """A CLIP model of the open_clip family."""

    kind: Literal["open_clip"] = Field(description="`open_clip`.")
    architecture: str | None = Field(
        default=None, description="open_clip's name, e.g. ViT-B-32; not needed where the checkpoint folder says it."
    )
    checkpoint: CheckpointName = Field(
        description="A folder in open_clip's layout, a weights file, or open_clip's tag of published weights."
    )


class TextFeaturesFile(Spec):
    """Text features that another tool computed, in an `.npz` or Parquet file."""

    path: InputPath = Field(description="The file.")
    texts: str = Field(default="texts", description="Array or column of the texts.")
    features: str = Field(default="features", description="Array or column of their features, (texts, dim).")


class PrecomputedEncoder(Spec):
    """No model at all: text features are looked up by the exact text, image features come with the data set."""

    kind: Literal["precomputed"] = Field(description="`precomputed`.")
    texts: tuple[TextFeaturesFile, ...] = Field(
        min_length=1, description="Files of text features; of a text in several files the first counts."
    )


EncoderSpec = Annotated[OpenClipEncoder | PrecomputedEncoder, Field(discriminator="kind")]


class TextsSpec(Spec):
    """Which texts describe the classes."""

    bank: InputPath | None = Field(default=None, description="Text-bank file; default: class names only.")
    generator: GeneratorSpec | None = Field(default=None, description="A language model that writes texts.")
    pairs: Literal["none", "all", "confused"] = Field(
        default="none",
        description="Pairs of classes that one_to_one questions are asked about; `confused` asks, after stage 1, about "
        "those that uncertain images really stand between (`rerank.pair_budget`).",
    )
    wordnet: str | None = Field(
        default=None, min_length=1, description="Take synonyms from this installed lexicon of `wn`, e.g. oewn:2024."
    )
    edits: InputPath | None = Field(default=None, description="A person's additions and deletions; they always win.")
    domain: str = Field(default="general", description="Whose sentences the phrases are dressed in.")
    domains: dict[str, dict[str, str | tuple[str, ...]]] = Field(
        default_factory=dict, description="Your own domains or sentences, merged over the shipped ones."
    )


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


class FewShotSpec(Spec):
    """Few-shot classification: a few labelled images per class, several draws, all methods."""

    pool: DatasetSpec = Field(description="Labelled images to draw support and validation from; never test images.")
    shots: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = Field(
        default=(1, 2, 4, 8, 16), min_length=1, description="Support images per class, one experiment each."
    )
    draws: int = Field(default=3, ge=1, le=1000, strict=True, description="Random supports of each size.")
    seed: int = Field(default=1, ge=0, strict=True, description="Of the first draw; the next ones count on.")
    methods: tuple[FewShotMethodName, ...] = Field(
        default=get_args(FewShotMethodName), min_length=1, description="What to compare."
    )
    zero_shot: Literal["none", "clip", "clip_ensemble", "vcd"] = Field(
        default="clip", description="Whose zero-shot logits every method is fused with; `none`: images alone."
    )
    texts: TextFeaturesFile | None = Field(
        default=None,
        description="Texts that make the metric; default: the evaluation's own names, attributes and analogues.",
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


class EvalSpec(Spec):
    """One evaluation: a data set, an encoder, texts, and the methods to compare."""

    name: str = Field(
        min_length=1,
        max_length=100,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Names the evaluation in tables and run ids: letters, digits, '.', '_', '-'.",
    )
    dataset: DatasetSpec = Field(description="What to classify.")
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
    rerank: RerankSpec = Field(default=RerankSpec(), description="CODER's second stage, for `coder_rerank`.")
    validation: DatasetSpec | None = Field(
        default=None, description="Labelled images that choices are made on; never those of `dataset`."
    )
    few_shot: FewShotSpec | None = Field(default=None, description="Few-shot classification beside zero-shot.")
    ablation: AblationSpec | None = Field(default=None, description="Text ablation; `{}` for the default one.")
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
    def _methods_have_texts(self) -> "EvalSpec":
        starved: list[str] = [method for method in self.methods if method in NEEDS_BANK]
        starved += [f"controls.{control}" for control in self.controls]
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
        if self.few_shot is not None and self.few_shot.views and self.few_shot.pool.kind == "features":
            raise ValueError("few_shot.views: features cannot be cropped or flipped; augmented views need images")
        if self.few_shot is not None and _unnamed(self.few_shot.pool) == _unnamed(self.dataset):
            raise ValueError("few_shot.pool is the same data set as `dataset`: methods would learn from test images")
        if self.validation is not None and _unnamed(self.validation) == _unnamed(self.dataset):
            raise ValueError("validation is the same data set as `dataset`: choices would be made on test images")
        if self.texts.pairs == "confused" and self.texts.generator is None:
            raise ValueError("texts.pairs is `confused`: only a texts.generator can be asked about pairs")
        return self


def _leave_open(schema: dict[str, Any]) -> None:
    """Take the defaults out of Prefect's form: it would send them, and so overrule the environment of the worker."""
    for field in schema["properties"].values():
        field.pop("default", None)


class Runtime(BaseSettings):
    """Where and how fast. Never hashed. Every field can come from the environment as CODER_<FIELD>."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="CODER_", json_schema_extra=_leave_open)

    store: str = Field(default=DEFAULT_STORE, min_length=1, description="Root of the store: a path or fsspec URL.")
    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$", description="auto: CUDA when present, else CPU."
    )
    batch_size: int = Field(default=256, ge=1, le=65_536, description="Images or texts per forward pass.")
    shard_images: int = Field(default=16_384, ge=1, description="Images per task.")
    workers: int = Field(default=2, ge=1, le=256, description="Tasks, and image readers within one, at a time.")
    task_runner: Literal["threads", "dask", "ray"] = Field(
        default="threads", description="What tasks run on: threads of the run, or processes of a Dask or Ray cluster."
    )
    task_runner_address: str | None = Field(
        default=None,
        min_length=1,
        description="A cluster of your own, tcp://host:8786 (Dask) or host:6379 (Ray); default: `workers` processes on "
        "this machine, for this run alone.",
    )
    gpu_slots: int = Field(
        default=1, ge=1, le=256, description="Tasks of one process that use an accelerator at a time."
    )
    classes_per_task: int = Field(default=200, ge=1, description="Classes whose texts one task has generated.")
    llm: LlmRuntime = Field(default_factory=LlmRuntime, description="The language model's server; CODER_LLM_<FIELD>.")
    settle_seconds: float = Field(
        default=2.0, ge=0, le=3600, description="How long a class source must not change before it counts as finished."
    )
    matrix_part_mb: int = Field(default=64, ge=1, le=4096, description="Largest piece of the CODER matrix in memory.")

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
