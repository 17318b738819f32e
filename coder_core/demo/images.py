"""The demonstration's data set: photographs of every flag of the table, as PNG bytes."""

import io
from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from PIL import Image

from coder_core.demo.patterns import flag_designs
from coder_core.demo.render import render_pattern
from coder_core.fingerprint import content_hash


class RenderedImage(NamedTuple):
    """One photograph."""

    image_id: str
    label_id: int
    content: bytes


def flag_designs_hash() -> str:
    """sha256 of the table of designs."""
    return content_hash(files("coder_core.demo").joinpath("designs.yaml").read_bytes())


def flag_names() -> tuple[str, ...]:
    """Country names in the order of the table."""
    return tuple(flag_designs())


def render_flags(images_per_class: int, seed: int) -> Iterator[RenderedImage]:
    """Render `images_per_class` photographs of each flag, flag by flag.

    Each image has a generator of its own, from (seed, flag, number): a longer table leaves earlier images as they are.
    """
    for label_id, (name, pattern) in enumerate(flag_designs().items()):
        for number in range(images_per_class):
            rng = np.random.default_rng([seed, label_id, number])
            pixels = Image.fromarray(render_pattern(pattern, rng))
            buffer = io.BytesIO()
            pixels.save(buffer, format="PNG")
            yield RenderedImage(f"{name}/{number:04d}.png", label_id, buffer.getvalue())
