"""What an encoder is: something that gives texts and images places in one space.

A family (`open_clip`, `precomputed`, ...) knows how its models are identified and loaded; a loaded encoder prepares
inputs and makes ONE forward pass per call. Which inputs go into a pass, who holds the device meanwhile and where the
vectors are kept is the affair of `coder_core.embedding`.
"""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int
from PIL import Image
from pydantic import BaseModel, ConfigDict

from coder_core.fingerprint import NotIdentity
from coder_core.specs import EncoderSpec


class EncoderIdentity(NamedTuple):
    """What decides an encoder's vectors, known before the model is loaded.

    Attributes:
        key: sha256 of architecture, weights, preprocessing and numerics; partitions the embedding ledgers.
        dim: Length of every vector.
        label: A short name for people.
        logit_scale: Factor from cosine to logit that the model has learnt; None where it has none.
        logit_bias: What it adds to that: a model with a bias was trained with the sigmoid of every single pair.
    """

    key: str
    dim: int
    label: str
    logit_scale: float | None = None
    logit_bias: float | None = None


class IdentifiedEncoder(BaseModel):
    """An encoder as it travels between steps: what it is, and where to find it.

    Attributes:
        key: As in `EncoderIdentity`.
        dim: Length of every vector.
        label: For people.
        spec: How it is named in the config.
        logit_scale: As in `EncoderIdentity`.
        logit_bias: As in `EncoderIdentity`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    dim: int
    label: Annotated[str, NotIdentity("a folder may be renamed: `key` says what is in it")]
    spec: Annotated[EncoderSpec, NotIdentity("says where the weights are: `key` says which they are")]
    logit_scale: Annotated[float | None, NotIdentity("one of the weights")] = None
    logit_bias: Annotated[float | None, NotIdentity("one of the weights")] = None


class Encoder(Protocol):
    """A loaded encoder. Rows that come out are L2-normalised float32, in the order that went in."""

    @property
    def context_length(self) -> int:
        """Tokens that the text tower reads; what is longer is cut."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Length of texts in tokens, uncut, start and end tokens included."""
        ...

    def tokenize(self, texts: Sequence[str]) -> Any:
        """Bring texts to the form that `encode_texts` takes: something that rows can be picked from."""
        ...

    def text_lengths(self, tokens: Any) -> Int[np.ndarray, " texts"]:
        """What a pass over each text costs: texts of similar length share a pass."""
        ...

    def encode_texts(self, tokens: Any, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows dim"]:
        """Embed some of the tokenised texts in one forward pass."""
        ...

    def prepare_image(self, image: Image.Image) -> Any:
        """Bring one decoded RGB image to the form that `encode_images` takes; safe in several threads."""
        ...

    def encode_images(self, prepared: Sequence[Any]) -> Float[np.ndarray, "images dim"]:
        """Embed prepared images in one forward pass."""
        ...


class EncoderFamily(Protocol):
    """A kind of encoder: the class behind one `encoder.kind`."""

    needs_device: bool
    """Whether it runs a model at all."""

    embeds_images: bool
    """Whether it can embed an image; else image vectors come with the data set."""

    def identify(self, spec: Any) -> EncoderIdentity:
        """Say what decides the encoder's vectors, without loading a model."""
        ...

    def load(self, spec: Any, *, device: str) -> Encoder:
        """Load the encoder."""
        ...
