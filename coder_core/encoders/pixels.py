"""Pixels on their way to an image tower: bytes until they are on its device, numbers there.

A resized image travels as one byte per value, a quarter of what float32 takes between threads and over the bus. The
arithmetic on the device is that of torchvision's `ToTensor` and `Normalize`, value by value, so that results are the
same to the last bit.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

DRAFT_FACTOR = 2
"""A draft has at least this many times the encoder's input on each side: resizing has something to average over."""


class PixelNormaliser:
    """Turns bytes into numbers: `(byte / 255 - mean) / std`.

    Args:
        mean: Of red, green and blue, 0..1.
        std: What the difference is divided by.
        device: Where the pixels will be. The numbers lie there from the beginning: whatever a compiled pass had to keep
            or to copy would have it compiled twice, and would stand in the way of CUDA graphs.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: torch.device) -> None:
        numbers = torch.tensor([list(mean), list(std)], dtype=torch.float32, device=device)
        self._mean, self._std = (row.view(1, -1, 1, 1) for row in numbers)

    def __call__(
        self, pixels: UInt8[Tensor, "images height width channels"], dtype: torch.dtype
    ) -> Float[Tensor, "images channels height width"]:
        """Normalise a batch, on its own device."""
        images = pixels.permute(0, 3, 1, 2)
        if pixels.device.type != "cuda":  # where convolutions like channels to lie together, as they do now
            images = images.contiguous()
        return images.to(torch.float32).div_(255).sub_(self._mean).div_(self._std).to(dtype)


def pixels_of(image: Image.Image) -> UInt8[Tensor, "height width channels"]:
    """The bytes of a resized image."""
    return torch.from_numpy(np.array(image.convert("RGB"), dtype=np.uint8))


def draft_side(image_size: int | Sequence[int]) -> int:
    """The least width and height of a draft for an encoder of some input size (height and width, where it is two)."""
    return DRAFT_FACTOR * int(image_size if isinstance(image_size, int) else max(image_size))
