"""What embeds images and texts."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from coder_core.locations import looks_like_path
from coder_core.spec_base import InputPath, Spec, resolve_from_config


def _resolved_path(location: str, info: ValidationInfo) -> str:
    return resolve_from_config(location, info) if looks_like_path(location) else location


CheckpointName = Annotated[str, Field(min_length=1), AfterValidator(_resolved_path)]
"""Like `InputPath`, but a bare name (no folder, no suffix) is a tag of published weights; `./name` is a folder."""


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


EncoderSpec = Annotated[OpenClipEncoder | PrecomputedEncoder, Field(discriminator="kind")]
