"""Relatives of a random pattern: its colours in another arrangement.

`sampling.draw_variant` changes colours and keeps shapes. Flags are confused the other way round too: a star in the
corner or in the centre, a band or a triangle at the hoist, stripes upright or lying. A relative changes the topmost
layer only, so that nothing that lay on it ends up on a ground of its own colour. Real flags are rejected as everywhere.

Not chosen blindly: these exchanges were written after the confusions of earlier weights had been seen on the
demonstration's own labelled images, band against triangle among them (docs/micro-clip.md says what that is worth).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from coder_core.demo.patterns import Layer, Pattern
from tools.micro_clip.sampling import draw_palette, draw_variant, is_acceptable

__all__ = ["draw_relative"]

_CHARGES = ("disc", "star", "short_cross", "crescent")
_STRIPES = ("horizontal_stripes", "vertical_stripes")
_AT_THE_HOIST = ("hoist_triangle", "hoist_band", "canton")
_CENTRAL = ("diamond", "rectangle")
_DIAGONAL = ("rising_band", "falling_band")
_EXCHANGEABLE: Sequence[Sequence[str]] = (_CHARGES, _STRIPES, _AT_THE_HOIST, _DIAGONAL, _CENTRAL)
_SIZES: Mapping[str, tuple[float, float]] = {
    "hoist_triangle": (0.33, 0.52),
    "hoist_band": (0.23, 0.42),
    "canton": (0.34, 0.46),
    "diamond": (0.36, 0.46),
    "rectangle": (0.16, 0.27),
}
"""The ranges of `sampling`, for shapes whose sizes do not mean the same."""

_SPOTS = ((0.5, 0.5), (0.34, 0.5), (0.18, 0.25))
_CORNER_SIZES = (0.12, 0.17)
_ATTEMPTS = 20


def draw_relative(pattern: Pattern, rng: np.random.Generator) -> Pattern:
    """Draw a hard negative of another arrangement: one layer reshaped, moved, taken away or put on.

    Where chance finds none that is acceptable, a variant in other colours takes its place.
    """
    for _ in range(_ATTEMPTS):
        change = _CHANGES[int(rng.integers(len(_CHANGES)))]
        layers = change(pattern.layers, rng)
        relative = Pattern(layers, draw_palette(rng))
        if layers != pattern.layers and is_acceptable(relative):
            return relative
    return draw_variant(pattern, rng)


def _reshape(layers: tuple[Layer, ...], rng: np.random.Generator) -> tuple[Layer, ...]:
    *rest, top = layers
    family = next((shapes for shapes in _EXCHANGEABLE if top.shape in shapes), None)
    if family is None or len(top.colours) > 5 or len(top.places) > 1:
        return layers
    shape = str(rng.choice([other for other in family if other != top.shape]))
    size = float(rng.uniform(*_SIZES[shape])) if shape in _SIZES else top.size
    return (*rest, replace(top, shape=shape, size=size))


def _move(layers: tuple[Layer, ...], rng: np.random.Generator) -> tuple[Layer, ...]:
    """Move a charge that lies on the ground itself."""
    *rest, top = layers
    if len(rest) != 1 or top.shape not in _CHARGES:
        return layers
    u, v = _SPOTS[int(rng.integers(len(_SPOTS)))]
    if abs(u - top.places[0][0]) + abs(v - top.places[0][1]) < 0.1:
        return layers
    size = float(rng.uniform(*_CORNER_SIZES)) if v < 0.35 else top.size
    return (*rest, replace(top, places=((u, v),), size=size))


def _remove(layers: tuple[Layer, ...], _: np.random.Generator) -> tuple[Layer, ...]:
    return layers[:-1] if len(layers) > 2 or (len(layers) == 2 and len(layers[0].colours) > 1) else layers


def _put_on(layers: tuple[Layer, ...], rng: np.random.Generator) -> tuple[Layer, ...]:
    if len(layers) > 1:
        return layers
    colours = sorted({*layers[0].colours, "white", "black", "yellow", "red"})
    place = _SPOTS[int(rng.integers(2))]
    charge = Layer(str(rng.choice(_CHARGES)), (str(rng.choice(colours)),), (place,), float(rng.uniform(0.14, 0.26)))
    return (*layers, charge)


_CHANGES: Sequence[Callable[[tuple[Layer, ...], np.random.Generator], tuple[Layer, ...]]] = (
    _reshape,
    _move,
    _remove,
    _put_on,
)
