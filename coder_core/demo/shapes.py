"""Where each shape lies on the cloth: one small function per shape, from coordinates to coverage.

A painter takes the layer and two equally shaped arrays of cloth coordinates and gives, for every point, the index of
the layer's colour to paint there, or -1 to leave what lies beneath. Distances are in units of the cloth's height.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from coder_core.demo.patterns import Layer

ASPECT = 4 / 3
"""Width of the cloth in units of its height (national ratios differ; one is enough for the demonstration)."""

Plane = NDArray[np.float32]
Painted = NDArray[np.int64]
Painter = Callable[[Layer, Plane, Plane], Painted]


def _where(mask: NDArray[np.bool_]) -> Painted:
    return np.where(mask, 0, -1)


def _bounds(layer: Layer) -> Plane:
    weights = np.array(layer.weights or (1.0,) * len(layer.colours), dtype=np.float32)
    bounds: Plane = (np.cumsum(weights) / weights.sum())[:-1].astype(np.float32)
    return bounds


def paint_horizontal_stripes(layer: Layer, _: Plane, v: Plane) -> Painted:
    """Stripes from top to bottom."""
    return np.searchsorted(_bounds(layer), v.ravel(), side="right").reshape(v.shape)


def paint_vertical_stripes(layer: Layer, u: Plane, _: Plane) -> Painted:
    """Stripes from hoist to fly."""
    return np.searchsorted(_bounds(layer), u.ravel(), side="right").reshape(u.shape)


def paint_field(_layer: Layer, u: Plane, _: Plane) -> Painted:
    """The whole cloth."""
    return np.zeros(u.shape, dtype=np.int64)


def paint_cross(layer: Layer, u: Plane, v: Plane) -> Painted:
    """Two bars over the whole cloth that meet at the layer's place; `size` is half their width."""
    (centre_u, centre_v), half = layer.places[0], layer.size
    return _where((np.abs(u - centre_u) * ASPECT < half) | (np.abs(v - centre_v) < half))


def paint_saltire(layer: Layer, u: Plane, v: Plane) -> Painted:
    """Two diagonals from corner to corner; `size` is half their width."""
    slope = ASPECT / np.hypot(1.0, ASPECT)
    distance = np.minimum(np.abs(u - v), np.abs(u + v - 1.0)) * slope
    return _where(distance < layer.size)


def paint_rising_band(layer: Layer, u: Plane, v: Plane) -> Painted:
    """A diagonal band from the lower hoist to the upper fly; `size` is half its width."""
    return _where(np.abs(u + v - 1.0) * ASPECT / np.hypot(1.0, ASPECT) < layer.size)


def paint_falling_band(layer: Layer, u: Plane, v: Plane) -> Painted:
    """A diagonal band from the upper hoist to the lower fly; `size` is half its width."""
    return _where(np.abs(u - v) * ASPECT / np.hypot(1.0, ASPECT) < layer.size)


def paint_short_cross(layer: Layer, u: Plane, v: Plane) -> Painted:
    """A cross whose arms end before the edge (Switzerland); `size` is an arm's length, a third of it the half width."""
    mask = np.zeros(u.shape, dtype=bool)
    for centre_u, centre_v in layer.places:
        across, down = np.abs(u - centre_u) * ASPECT, np.abs(v - centre_v)
        bar = layer.size * 0.32
        mask |= ((across < layer.size) & (down < bar)) | ((down < layer.size) & (across < bar))
    return _where(mask)


def paint_disc(layer: Layer, u: Plane, v: Plane) -> Painted:
    """Discs of radius `size`."""
    mask = np.zeros(u.shape, dtype=bool)
    for centre_u, centre_v in layer.places:
        mask |= np.hypot((u - centre_u) * ASPECT, v - centre_v) < layer.size
    return _where(mask)


def paint_star(layer: Layer, u: Plane, v: Plane) -> Painted:
    """Five-pointed stars, one point up; `size` is the outer radius."""
    mask = np.zeros(u.shape, dtype=bool)
    for centre_u, centre_v in layer.places:
        mask |= _in_star((u - centre_u) * ASPECT, v - centre_v, layer.size)
    return _where(mask)


def _in_star(across: Plane, down: Plane, radius: float) -> NDArray[np.bool_]:
    """Inside a pentagram: on the inner side of at least four of its five lines."""
    angles = np.deg2rad(-90 + 72 * np.arange(5))  # `down` grows downwards: the level line lies above the centre
    inner = radius * np.cos(np.deg2rad(72))
    sides = sum((across * np.cos(angle) + down * np.sin(angle) < inner).astype(np.int8) for angle in angles)
    return np.asarray(sides) >= 4


def paint_crescent(layer: Layer, u: Plane, v: Plane) -> Painted:
    """A crescent that opens towards the fly: a disc of radius `size` less a smaller one shifted to the fly."""
    centre_u, centre_v = layer.places[0]
    across, down = (u - centre_u) * ASPECT, v - centre_v
    outer = np.hypot(across, down) < layer.size
    return _where(outer & (np.hypot(across - layer.size * 0.3, down) >= layer.size * 0.8))


def paint_canton(layer: Layer, u: Plane, v: Plane) -> Painted:
    """A rectangle in the upper hoist corner; `size` is its share of the width, its height is half the cloth."""
    return _where((u < layer.size) & (v < 0.5))


def paint_hoist_triangle(layer: Layer, u: Plane, v: Plane) -> Painted:
    """A triangle that stands on the hoist; `size` is how far it reaches, as a share of the width."""
    return _where(u < layer.size * (1.0 - 2.0 * np.abs(v - 0.5)))


def paint_fly_triangle(layer: Layer, u: Plane, v: Plane) -> Painted:
    """A triangle that stands on the fly; `size` is how far it reaches, as a share of the width."""
    return _where(1.0 - u < layer.size * (1.0 - 2.0 * np.abs(v - 0.5)))


def paint_hoist_band(layer: Layer, u: Plane, _: Plane) -> Painted:
    """A vertical band at the hoist; `size` is its share of the width."""
    return _where(u < layer.size)


def paint_diamond(layer: Layer, u: Plane, v: Plane) -> Painted:
    """A rhombus in the centre; `size` is its half height."""
    return _where(np.abs(u - 0.5) / (layer.size * 0.92) + np.abs(v - 0.5) / layer.size < 1.0)


def paint_rectangle(layer: Layer, u: Plane, v: Plane) -> Painted:
    """A rectangle in the centre that leaves a border of `size` (as a share of the height) all around."""
    inset_u = layer.size / ASPECT
    return _where((np.abs(u - 0.5) < 0.5 - inset_u) & (np.abs(v - 0.5) < 0.5 - layer.size))


PAINTERS: Mapping[str, Painter] = {
    "field": paint_field,
    "horizontal_stripes": paint_horizontal_stripes,
    "vertical_stripes": paint_vertical_stripes,
    "cross": paint_cross,
    "saltire": paint_saltire,
    "rising_band": paint_rising_band,
    "falling_band": paint_falling_band,
    "short_cross": paint_short_cross,
    "disc": paint_disc,
    "star": paint_star,
    "crescent": paint_crescent,
    "canton": paint_canton,
    "hoist_triangle": paint_hoist_triangle,
    "fly_triangle": paint_fly_triangle,
    "hoist_band": paint_hoist_band,
    "diamond": paint_diamond,
    "rectangle": paint_rectangle,
}
