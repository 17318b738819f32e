"""What an encoder is: something that gives texts and images places in one space."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float
from PIL import Image


class EncoderIdentity(NamedTuple):
    """What decides an encoder's vectors, known before the model is loaded.

    Attributes:
        key: sha256 of architecture, weights and preprocessing; partitions the embedding ledgers.
        dim: Length of every vector.
        label: A short name for people.
    """

    key: str
    dim: int
    label: str


class Encoder(Protocol):
    """A loaded encoder. Rows that come out are L2-normalised float32, in the order that went in."""

    @property
    def dim(self) -> int:
        """Length of every vector."""
        ...

    @property
    def context_length(self) -> int:
        """Tokens that the text tower reads; what is longer is cut."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Length of texts in tokens, uncut, start and end tokens included."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Float[np.ndarray, "texts dim"]:
        """Embed texts."""
        ...

    def prepare_image(self, image: Image.Image) -> Any:
        """Bring one decoded RGB image to the form that `encode_images` takes; safe in several threads."""
        ...

    def encode_images(self, prepared: Sequence[Any]) -> Float[np.ndarray, "images dim"]:
        """Embed prepared images."""
        ...
