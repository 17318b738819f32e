"""Random flag-like patterns: the micro-CLIP's training distribution.

The shapes and colours are those of the table of real designs; which are put together is random. A pattern whose
signature (shapes, colours, counts) equals a real flag's is rejected, so that the demonstration stays zero-shot: the
model meets every real flag for the first time in the evaluation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from coder_core.demo.patterns import COLOUR_WORDS, Layer, Pattern, flag_designs

COLOUR_ANCHORS: Mapping[str, Sequence[tuple[int, int, int]]] = {
    "white": [(248, 248, 248)],
    "black": [(8, 8, 8)],
    "red": [(206, 17, 38), (237, 41, 57), (222, 36, 16), (185, 14, 44)],
    "orange": [(250, 130, 40), (240, 165, 0), (228, 90, 10)],
    "yellow": [(252, 209, 22), (254, 222, 0), (250, 235, 70)],
    "green": [(0, 135, 60), (0, 105, 65), (30, 175, 70), (5, 70, 35), (80, 150, 50)],
    "light blue": [(75, 150, 220), (75, 175, 215), (20, 175, 225)],
    "blue": [(0, 50, 150), (5, 95, 190), (20, 30, 90), (0, 40, 110), (50, 110, 195)],
    "maroon": [(140, 30, 50), (115, 15, 45), (158, 48, 57)],
}
"""Screen values that each colour word covers; a random palette takes one of them and moves it a little."""

Signature = tuple[tuple[str, tuple[str, ...], int], ...]

WORDS = tuple(COLOUR_WORDS)
_FREQUENCY = np.array([0.19, 0.11, 0.18, 0.07, 0.14, 0.14, 0.05, 0.09, 0.03])


def draw_pattern(rng: np.random.Generator) -> Pattern:
    """Draw a random pattern that is no real flag."""
    while True:
        makers, odds = zip(*_FAMILIES, strict=True)
        maker = makers[int(rng.choice(len(makers), p=np.array(odds) / sum(odds)))]
        pattern = Pattern(tuple(maker(rng)), draw_palette(rng))
        if is_acceptable(pattern):
            return pattern


def draw_variant(pattern: Pattern, rng: np.random.Generator) -> Pattern:
    """A hard negative: the same shapes with two colours exchanged or one colour replaced."""
    for _ in range(20):
        present = pattern.colours()
        old, new = str(rng.choice(present)), str(rng.choice(WORDS))
        if len(present) > 1 and rng.random() < 0.5:
            new = str(rng.choice(present))
        variant = _recolour(pattern, {old: new, new: old})
        if variant != pattern and is_acceptable(variant):
            return Pattern(variant.layers, draw_palette(rng))
    return draw_pattern(rng)


def is_acceptable(pattern: Pattern) -> bool:
    """Whether a pattern may be trained on.

    It is no real flag, no two neighbouring stripes have one colour, and nothing has the colour of what it lies on.
    """
    if signature(pattern) in _real_signatures():
        return False
    for layer in pattern.layers:
        if any(left == right for left, right in zip(layer.colours, layer.colours[1:], strict=False)):
            return False
    pairs = zip(pattern.layers, pattern.layers[1:], strict=False)
    return not any(_is_invisible(over, under) for under, over in pairs)


def _is_invisible(over: Layer, under: Layer) -> bool:
    return len(under.colours) == 1 and under.colours == over.colours and not _beside(under, over)


def _beside(under: Layer, over: Layer) -> bool:
    """Two layers that do not lie upon each other may share a colour."""
    beside = {"crescent", "star", "hoist_band", "hoist_triangle", "fly_triangle"}
    return under.shape in beside and over.shape in beside


def signature(pattern: Pattern) -> Signature:
    """Shapes, colours and numbers of copies, without sizes: what makes two designs the same to a describer."""
    return tuple((layer.shape, layer.colours, len(layer.places)) for layer in pattern.layers)


def _recolour(pattern: Pattern, new_word: Mapping[str, str]) -> Pattern:
    recoloured = (
        replace(layer, colours=tuple(new_word.get(word, word) for word in layer.colours)) for layer in pattern.layers
    )
    return replace(pattern, layers=tuple(recoloured))


@cache
def _real_signatures() -> frozenset[Signature]:
    return frozenset(map(signature, flag_designs().values()))


def draw_palette(rng: np.random.Generator) -> dict[str, tuple[int, int, int]]:
    """An exact colour for each colour word."""
    return {word: _draw_colour(word, rng) for word in WORDS}


def _draw_colour(word: str, rng: np.random.Generator) -> tuple[int, int, int]:
    anchors = COLOUR_ANCHORS[word]
    red, green, blue = np.array(anchors[int(rng.integers(len(anchors)))]) + rng.normal(0, 9, size=3)
    return int(np.clip(red, 0, 255)), int(np.clip(green, 0, 255)), int(np.clip(blue, 0, 255))


def _colours(rng: np.random.Generator, count: int) -> tuple[str, ...]:
    return tuple(str(word) for word in rng.choice(WORDS, size=count, replace=False, p=_FREQUENCY / _FREQUENCY.sum()))


def _colour(rng: np.random.Generator) -> str:
    return _colours(rng, 1)[0]


def _draw_stripes(rng: np.random.Generator) -> Layer:
    shape = "horizontal_stripes" if rng.random() < 0.58 else "vertical_stripes"
    count = int(rng.choice([2, 3, 4, 5], p=[0.2, 0.64, 0.1, 0.06]))
    colours = list(_colours(rng, min(count, 4)))
    if count == 5 or (count == 3 and rng.random() < 0.2):
        colours = [*colours[: (count + 1) // 2], *reversed(colours[: count // 2])]
    weights: tuple[float, ...] = ()
    if count in (3, 5) and rng.random() < 0.25:
        wide = int(rng.choice([0, count // 2, count - 1]))
        weights = tuple(2.0 if index == wide else 1.0 for index in range(count))
        weights = weights if rng.random() < 0.7 else tuple(1.0 if w == 2.0 else 2.0 for w in weights)
    return Layer(shape, tuple(colours), weights=weights)


def _ground(rng: np.random.Generator, *, plain: float) -> Layer:
    return Layer("field", (_colour(rng),)) if rng.random() < plain else _draw_stripes(rng)


def _place(rng: np.random.Generator) -> tuple[float, float]:
    centre = (0.5, 0.5) if rng.random() < 0.7 else (0.34, 0.5) if rng.random() < 0.6 else (0.18, 0.25)
    return centre[0] + float(rng.uniform(-0.03, 0.03)), centre[1] + float(rng.uniform(-0.03, 0.03))


def _draw_charge(rng: np.random.Generator) -> list[Layer]:
    shape = str(rng.choice(["disc", "star", "short_cross", "crescent"], p=[0.34, 0.36, 0.12, 0.18]))
    place, colour = _place(rng), _colour(rng)
    corner = place[1] < 0.35
    size = float(rng.uniform(0.12, 0.17) if corner else rng.uniform(0.13, 0.34))
    layers = [Layer(shape, (colour,), (place,), size)]
    if shape == "crescent" and rng.random() < 0.75:
        beside = (place[0] + size * float(rng.uniform(0.6, 0.85)), place[1] - size * float(rng.uniform(0.0, 0.4)))
        layers.append(Layer("star", (colour,), (beside,), size * float(rng.uniform(0.4, 0.5))))
    if shape == "star" and corner and rng.random() < 0.4:
        ring = ((0.34, 0.1), (0.40, 0.2), (0.40, 0.35), (0.34, 0.45))[: int(rng.integers(2, 5))]
        layers.append(Layer("star", (colour,), ring, 0.06))
    return layers


def plain_stripes(rng: np.random.Generator) -> list[Layer]:
    """Stripes and nothing else."""
    return [_draw_stripes(rng)]


def charged(rng: np.random.Generator) -> list[Layer]:
    """A charge on a field or on stripes."""
    return [_ground(rng, plain=0.5), *_draw_charge(rng)]


def crossed(rng: np.random.Generator) -> list[Layer]:
    """A cross or saltire, some edged, some on stripes."""
    upright = rng.random() < 0.72
    shape = "cross" if upright else "saltire"
    places: tuple[tuple[float, float], ...] = ()
    if upright:
        places = (((0.5 if rng.random() < 0.35 else float(rng.uniform(0.34, 0.4))), 0.5),)
    half = float(rng.uniform(0.07, 0.13))
    layers = [Layer("field", (_colour(rng),)), Layer(shape, (_colour(rng),), places, half)]
    if not upright and rng.random() < 0.4:
        side = _colour(rng)
        layers[1:1] = [Layer("hoist_triangle", (side,), size=0.5), Layer("fly_triangle", (side,), size=0.5)]
    elif rng.random() < 0.4:
        layers.append(Layer(shape, (_colour(rng),), places, half * 0.52))
    return layers


def at_the_hoist(rng: np.random.Generator) -> list[Layer]:
    """A triangle or band at the hoist, some with a charge."""
    shape = "hoist_triangle" if rng.random() < 0.55 else "hoist_band"
    size = float(rng.uniform(0.33, 0.52) if shape == "hoist_triangle" else rng.uniform(0.23, 0.42))
    ground = _ground(rng, plain=0.2)
    if ground.shape == "vertical_stripes":
        ground = Layer("horizontal_stripes", ground.colours, weights=ground.weights)
    layers = [ground, Layer(shape, (_colour(rng),), size=size)]
    return layers + _draw_charge(rng) if rng.random() < 0.25 else layers


def cantoned(rng: np.random.Generator) -> list[Layer]:
    """A canton with or without a charge, on a field, stripes or many thin stripes."""
    ground = _ground(rng, plain=0.4)
    if rng.random() < 0.3:
        first, second = _colours(rng, 2)
        count = int(rng.choice([9, 11, 13]))
        ground = Layer("horizontal_stripes", tuple(first if index % 2 == 0 else second for index in range(count)))
    width = float(rng.uniform(0.34, 0.46))
    layers = [ground, Layer("canton", (_colour(rng),), size=width)]
    if rng.random() < 0.75:
        shape = str(rng.choice(["star", "short_cross", "disc"]))
        layers.append(Layer(shape, (_colour(rng),), ((width / 2, 0.25),), float(rng.uniform(0.12, 0.19))))
    return layers


def banded(rng: np.random.Generator) -> list[Layer]:
    """A diagonal band, some edged."""
    shape = "rising_band" if rng.random() < 0.5 else "falling_band"
    half = float(rng.uniform(0.08, 0.18))
    layers = [_ground(rng, plain=0.8), Layer(shape, (_colour(rng),), size=half)]
    if rng.random() < 0.5:
        layers.append(Layer(shape, (_colour(rng),), size=half * float(rng.uniform(0.6, 0.7))))
    return layers


def centred(rng: np.random.Generator) -> list[Layer]:
    """A diamond or rectangle in the centre, some with a charge upon it."""
    diamond = rng.random() < 0.5
    size = float(rng.uniform(0.36, 0.46) if diamond else rng.uniform(0.16, 0.27))
    layers = [Layer("field", (_colour(rng),)), Layer("diamond" if diamond else "rectangle", (_colour(rng),), size=size)]
    if rng.random() < 0.65:
        shape = str(rng.choice(["disc", "star", "crescent"]))
        layers.append(Layer(shape, (_colour(rng),), ((0.5, 0.5),), float(rng.uniform(0.14, 0.22))))
    return layers


_FAMILIES: Sequence[tuple[Callable[[np.random.Generator], list[Layer]], float]] = (
    (plain_stripes, 0.30),
    (charged, 0.26),
    (crossed, 0.14),
    (at_the_hoist, 0.12),
    (cantoned, 0.08),
    (banded, 0.05),
    (centred, 0.05),
)
