"""What embeds images and texts."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from coder_core.locations import looks_like_path
from coder_core.spec_base import InputPath, Spec, resolve_from_config

HUB_PREFIX = "hf-hub:"
"""What open_clip puts before a model of the Hugging Face hub."""


def _resolved_path(location: str, info: ValidationInfo) -> str:
    is_path = looks_like_path(location) and not location.startswith(HUB_PREFIX)
    return resolve_from_config(location, info) if is_path else location


CheckpointName = Annotated[str, Field(min_length=1), AfterValidator(_resolved_path)]
"""Like `InputPath`, but a bare name (no folder, no suffix) is a tag of published weights and `hf-hub:org/name` a model
of the hub; `./name` is a folder."""


def _resolved_folder(location: str, info: ValidationInfo) -> str:
    is_path = location.startswith((".", "/", "~")) or "://" in location
    return resolve_from_config(location, info) if is_path else location


ModelName = Annotated[str, Field(min_length=1), AfterValidator(_resolved_folder)]
"""A folder (beginning with `.`, `/` or `~`), or `org/name` of the Hugging Face hub."""

Precision = Literal["float32", "autocast_bfloat16", "autocast_float16", "bfloat16", "float16"]

PRECISION_MEANING = (
    "In what numbers the towers think: `float32`; `autocast_...`: the products in half precision, the rest in float32; "
    "`bfloat16`, `float16`: weights, too. Part of the identity: other vectors."
)
DRAFT_MEANING = (
    "Let large JPEGs be decoded at 1/2, 1/4 or 1/8, at twice the encoder's input at least: several times faster on "
    "camera photographs. Part of the identity: slightly other vectors."
)


class Numerics(Spec):
    """How towers compute and how large images are read: what makes other vectors of the same weights."""

    precision: Precision = Field(default="float32", description=PRECISION_MEANING)
    jpeg_draft: bool = Field(default=False, strict=True, description=DRAFT_MEANING)


class PreprocessRecipe(Spec):
    """How an image becomes the input of the image tower, as open_clip names it."""

    mean: tuple[float, float, float] = Field(description="Of red, green and blue, 0..1.")
    std: tuple[float, float, float] = Field(description="Their standard deviations.")
    interpolation: Literal["bicubic", "bilinear"] = Field(description="How it is resized.")
    resize_mode: Literal["shortest", "longest", "squash"] = Field(
        description="`shortest`: the short side fits, the centre is cut out; `longest`: the long side fits, the rest "
        "is filled; `squash`: both sides fit."
    )
    fill_color: int = Field(default=0, ge=0, le=255, strict=True, description="What `longest` fills with.")


class OpenClipEncoder(Numerics):
    """A CLIP model of the open_clip family."""

    kind: Literal["open_clip"] = Field(description="`open_clip`.")
    architecture: str | None = Field(
        default=None, description="open_clip's name, e.g. ViT-B-32; not needed where the checkpoint says it."
    )
    checkpoint: CheckpointName = Field(
        description="A folder in open_clip's layout, a weights file, open_clip's tag of published weights, or "
        "`hf-hub:org/name`."
    )
    quick_gelu: bool | None = Field(
        default=None,
        strict=True,
        description="Of a bare weights file: whether it was trained with QuickGELU, as OpenAI's weights and what was "
        "tuned from them are.",
    )
    preprocess: Literal["openai", "imagenet", "siglip", "mobileclip"] | PreprocessRecipe | None = Field(
        default=None,
        description="Of a bare weights file: how its images were prepared. `openai` fits nearly all of open_clip's own "
        "trainings.",
    )


class TransformersEncoder(Numerics):
    """A model of Hugging Face transformers with a text and an image tower: CLIP, SigLIP, ALIGN, FLAVA and others."""

    kind: Literal["transformers"] = Field(description="`transformers`.")
    model: ModelName = Field(description="A folder that `save_pretrained` wrote (`./name`), or `org/name` of the hub.")
    revision: str | None = Field(
        default=None, min_length=1, description="Of the hub: a commit, tag or branch; default: the newest."
    )


class SentenceTransformersEncoder(Numerics):
    """A CLIP model of sentence-transformers."""

    kind: Literal["sentence_transformers"] = Field(description="`sentence_transformers`.")
    model: ModelName = Field(description="A folder that `save` wrote (`./name`), or `org/name` of the hub.")
    revision: str | None = Field(
        default=None, min_length=1, description="Of the hub: a commit, tag or branch; default: the newest."
    )


class CustomEncoder(Spec):
    """An encoder of your own, found by the entry point `coder_eval.encoders` of an installed package."""

    kind: Literal["custom"] = Field(description="`custom`.")
    name: str = Field(min_length=1, description="Name of the entry point.")
    settings: dict[str, Any] = Field(default={}, description="What the encoder is told; part of its identity.")


class TextFeaturesFile(Spec):
    """Text features that another tool computed."""

    path: InputPath = Field(
        description="An `.npz`, Parquet, `.safetensors` or `.pt` file, or a folder of a Hugging Face data set or of "
        "clip-retrieval."
    )
    texts: str = Field(default="texts", description="Array or column of the texts.")
    features: str = Field(default="features", description="Array or column of their features, (texts, dim).")


class ImageFeaturesFile(Spec):
    """Image features that another tool computed: here they only say how many dimensions there are."""

    path: InputPath = Field(description="The file.")
    features: str = Field(default="features", description="Array or column of image features, (images, dim).")


class PrecomputedEncoder(Spec):
    """No model at all: text features are looked up by the exact text, image features come with the data set."""

    kind: Literal["precomputed"] = Field(description="`precomputed`.")
    texts: tuple[TextFeaturesFile, ...] = Field(
        default=(),
        description="Files of text features; of a text in several files the first counts. None for few-shot by images "
        "alone.",
    )
    images: ImageFeaturesFile | None = Field(
        default=None, description="Where there are no texts: whose dimensions it has; default: the data set's."
    )


EncoderSpec = Annotated[
    OpenClipEncoder | TransformersEncoder | SentenceTransformersEncoder | CustomEncoder | PrecomputedEncoder,
    Field(discriminator="kind"),
]
