"""Augmented views: random crops of an image, flipped at random, as few-shot caches average them.

As Tip-Adapter and CODER-Adapter make them (Zhang et al., ECCV 2022: random resized crop with at least half of the area,
horizontal flip, ten views). A flip changes what some things are: do not augment what is told apart by left and right.
"""

import math

import numpy as np
from PIL import Image

__all__ = ["augment"]

LEAST_AREA = 0.5
"""Share of the area that a crop keeps at least (released code of Tip-Adapter)."""

ASPECT_RATIOS = (3 / 4, 4 / 3)
"""Range of width / height of a crop relative to the image's own (torchvision's default for random resized crops)."""


def augment(image: Image.Image, *, seed: int) -> Image.Image:
    """Make one view of an image: a crop of a random place, size and aspect ratio, flipped every other time.

    Args:
        image: RGB.
        seed: Same seed, same view.

    Returns:
        The crop, at least one pixel; the encoder's own preprocessing brings it to its size.
    """
    rng = np.random.default_rng(seed)
    low, high = map(math.log, ASPECT_RATIOS)
    share, ratio = rng.uniform(LEAST_AREA, 1.0), math.exp(rng.uniform(low, high))
    width = min(image.width, max(1, round(image.width * math.sqrt(share * ratio))))
    height = min(image.height, max(1, round(image.height * math.sqrt(share / ratio))))
    left, top = (int(rng.integers(0, free + 1)) for free in (image.width - width, image.height - height))
    crop = image.crop((left, top, left + width, top + height))
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop
