"""The demonstration's data set: photographs of flags. A pattern is waved, rotated, lit, set before a background, noisy.

Everything follows from the pattern and the generator that is passed in, so that one seed gives the same pixels.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coder_core import packaged
from coder_core.demo.patterns import DESIGNS_FILE, Pattern, flag_designs
from coder_core.demo.shapes import ASPECT, PAINTERS, Plane

RENDERER_VERSION = 2
"""Raised whenever the same seed would give other pixels; part of the key of every rendered data set."""

IMAGE_SIZE = 96
"""Pixels along each side of a rendered image."""


class RenderedImage(NamedTuple):
    """One photograph.

    Args:
        image_id: `<flag>/<number>.png`, unique within the data set.
        label_id: Position of the flag in the table.
        content: PNG bytes.
    """

    image_id: str
    label_id: int
    content: bytes


def flag_designs_hash() -> str:
    """sha256 of the table of designs."""
    return packaged.packaged_hash(DESIGNS_FILE)


def flag_names() -> tuple[str, ...]:
    """Country names in the order of the table."""
    return tuple(flag_designs())


def render_flags(images_per_class: int, seed: int) -> Iterator[RenderedImage]:
    """Render `images_per_class` photographs of each flag, flag by flag.

    Each image has a generator of its own, from (seed, flag, number): a longer table leaves earlier images as they are.
    """
    patterns = list(flag_designs().values())
    for image_id, label_id, number in list_flags(images_per_class):
        rng = np.random.default_rng([seed, label_id, number])
        buffer = io.BytesIO()
        Image.fromarray(render_pattern(patterns[label_id], rng)).save(buffer, format="PNG")
        yield RenderedImage(image_id, label_id, buffer.getvalue())


def list_flags(images_per_class: int) -> Iterator[tuple[str, int, int]]:
    """Name the photographs without rendering them: id, label id and number within the flag, in order."""
    for label_id, name in enumerate(flag_designs()):
        for number in range(images_per_class):
            yield f"{name}/{number:04d}.png", label_id, number


@dataclass(frozen=True)
class Pose:
    """How one cloth hangs and how it is lit. Angles in radians, lengths as shares of the cloth's height."""

    angle: float
    scale: float
    shift: tuple[float, float]
    wave_height: float
    wave_count: float
    wave_phase: float
    light: float
    shade: float
    tint: NDArray[np.float32]
    noise: float


def draw_pose(rng: np.random.Generator) -> Pose:
    """A random pose: up to 12 degrees of rotation, 0.6 to 1.6 waves along the cloth, brightness 0.75 to 1.15."""
    return Pose(
        angle=float(rng.uniform(-0.21, 0.21)),
        scale=float(rng.uniform(0.60, 0.74)),
        shift=(float(rng.uniform(-0.07, 0.07)), float(rng.uniform(-0.07, 0.07))),
        wave_height=float(rng.uniform(0.0, 0.06)),
        wave_count=float(rng.uniform(0.6, 1.6)),
        wave_phase=float(rng.uniform(0.0, 2 * np.pi)),
        light=float(rng.uniform(0.75, 1.15)),
        shade=float(rng.uniform(0.0, 0.25)),
        tint=rng.uniform(0.94, 1.06, size=3).astype(np.float32),
        noise=float(rng.uniform(4.0, 16.0)),
    )


def render_pattern(pattern: Pattern, rng: np.random.Generator, *, size: int = IMAGE_SIZE) -> NDArray[np.uint8]:
    """Render one photograph of a pattern.

    Args:
        pattern: The design.
        rng: Source of pose, light, background and noise; the same state gives the same pixels.
        size: Pixels along each side.

    Returns:
        An RGB image of shape `(size, size, 3)`.
    """
    pose = draw_pose(rng)
    u, v, slope = _cloth_coordinates(pose, size)
    pixels = _background(rng, size)
    on_cloth = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    lit = paint(pattern, u, v) * (pose.light * (1.0 + pose.shade * slope))[..., None] * pose.tint
    pixels[on_cloth] = lit[on_cloth]
    pixels += rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(pose.noise)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def paint(pattern: Pattern, u: Plane, v: Plane) -> NDArray[np.float32]:
    """Colour of the flat cloth at each point, `(..., 3)` in 0..255; later layers cover earlier ones."""
    image = np.zeros((*u.shape, 3), dtype=np.float32)
    for layer in pattern.layers:
        painted = PAINTERS[layer.shape](layer, u, v)
        colours = np.array([pattern.palette[word] for word in layer.colours], dtype=np.float32)
        covered = painted >= 0
        image[covered] = colours[painted[covered]]
    return image


def _cloth_coordinates(pose: Pose, size: int) -> tuple[Plane, Plane, Plane]:
    """For every pixel its place on the cloth, and the slope of the wave there (-1..1)."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    x, y = np.meshgrid(axis - pose.shift[0], axis - pose.shift[1])
    cos, sin = np.cos(pose.angle), np.sin(pose.angle)
    across = (x * cos + y * sin) / (pose.scale * ASPECT) + 0.5
    phase = 2 * np.pi * pose.wave_count * across + pose.wave_phase
    down = (-x * sin + y * cos) / pose.scale + 0.5 + pose.wave_height * np.sin(phase)
    return across.astype(np.float32), down.astype(np.float32), np.cos(phase).astype(np.float32)


def _background(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """A vertical gradient between two greyish colours."""
    top, bottom = (rng.uniform(70, 210, size=(2, 1, 1, 1)) + rng.uniform(-18, 18, size=(2, 1, 1, 3))).astype(np.float32)
    share = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    return np.repeat(top * (1 - share) + bottom * share, size, axis=1)
