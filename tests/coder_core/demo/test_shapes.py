"""Shapes against geometry: areas, symmetries, and what covers what."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.demo.flag_images import paint
from coder_core.demo.patterns import COLOUR_WORDS, Layer, Pattern, flag_designs
from coder_core.demo.shapes import ASPECT, PAINTERS

CENTRE = ((0.5, 0.5),)
CHARGES = ("disc", "star", "crescent", "short_cross")
EDGE = 400


@cache
def cloth():
    axis = (np.arange(EDGE, dtype=np.float32) + 0.5) / EDGE
    u, v = np.meshgrid(axis, axis)
    return u, v


def painted(shape, colours=("red",), **settings_of_layer):
    return PAINTERS[shape](Layer(shape, colours, **settings_of_layer), *cloth())


def share(mask):
    """Covered share of the cloth."""
    return float(np.mean(mask))


def area(mask):
    """Covered area in squares of the cloth's height."""
    return share(mask) * ASPECT


@pytest.mark.parametrize(
    ("shape", "layer", "expected"),
    [
        ("field", {}, ASPECT),
        ("disc", {"places": CENTRE, "size": 0.3}, np.pi * 0.09),
        ("disc", {"places": ((0.25, 0.5), (0.75, 0.5)), "size": 0.1}, 2 * np.pi * 0.01),
        ("star", {"places": CENTRE, "size": 0.4}, 1.12257 * 0.16),
        ("diamond", {"size": 0.4}, 2 * (0.4 * 0.92 * ASPECT) * 0.4),
        ("rectangle", {"size": 0.2}, (ASPECT - 0.4) * 0.6),
        ("canton", {"size": 0.4}, 0.4 * ASPECT * 0.5),
        ("hoist_band", {"size": 0.25}, 0.25 * ASPECT),
        ("hoist_triangle", {"size": 0.5}, 0.5 * ASPECT / 2),
        ("fly_triangle", {"size": 0.5}, 0.5 * ASPECT / 2),
        ("cross", {"places": CENTRE, "size": 0.1}, 0.2 + 0.2 * ASPECT - 0.04),
        ("short_cross", {"places": CENTRE, "size": 0.3}, 2 * 0.6 * 0.192 - 0.192**2),
    ],
)
def test_areas_are_those_of_geometry(shape, layer, expected):
    assert area(painted(shape, **layer) >= 0) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("shape", ["disc", "star", "short_cross", "diamond", "rectangle", "saltire", "cross"])
def test_shapes_in_the_centre_are_the_same_on_both_sides(shape):
    mask = painted(shape, places=CENTRE, size=0.2) >= 0
    assert share(mask != mask[:, ::-1]) < 1e-3


def test_a_star_has_one_point_up():
    mask = painted("star", places=CENTRE, size=0.4) >= 0
    rows = np.flatnonzero(mask.any(axis=1)) / EDGE
    assert rows.min() == pytest.approx(0.1, abs=0.01)
    assert rows.max() == pytest.approx(0.5 + 0.4 * np.cos(np.pi / 5), abs=0.01)


def test_a_crescent_opens_towards_the_fly():
    mask = painted("crescent", places=CENTRE, size=0.3) >= 0
    assert cloth()[0][mask].mean() < 0.45
    assert not mask[EDGE // 2, EDGE // 2]


def test_diagonals_rise_and_fall():
    rising, falling = (painted(f"{way}_band", size=0.1) >= 0 for way in ("rising", "falling"))
    assert (rising[-1, 0], rising[0, -1], falling[0, 0], falling[-1, -1]) == (True,) * 4
    assert (rising[0, 0], falling[0, -1]) == (False, False)
    assert share(rising != falling[::-1]) < 1e-3
    assert share((rising | falling) != (painted("saltire", size=0.1) >= 0)) < 1e-3


@pytest.mark.parametrize("shape", ["horizontal_stripes", "vertical_stripes"])
@settings(max_examples=25)
@given(weights=st.lists(st.integers(1, 5), min_size=2, max_size=6))
def test_stripes_are_as_wide_as_their_weights(shape, weights):
    colours = tuple(list(COLOUR_WORDS)[: len(weights)])
    found = painted(shape, colours=colours, weights=tuple(map(float, weights)))
    shares = [share(found == index) for index in range(len(weights))]
    assert np.allclose(shares, np.array(weights) / sum(weights), atol=0.01)
    along = found[:, 0] if shape == "horizontal_stripes" else found[0]
    assert (np.diff(along) >= 0).all()


def test_stripes_without_weights_are_equal():
    found = painted("vertical_stripes", colours=("red", "white", "blue"))
    assert [share(found == index) for index in range(3)] == pytest.approx([1 / 3] * 3, abs=0.01)


@settings(max_examples=40)
@given(shape=st.sampled_from(sorted(PAINTERS)), size=st.floats(0.05, 0.5), u=st.floats(0, 1), v=st.floats(0, 1))
def test_painters_give_an_index_of_their_colours_or_nothing(shape, size, u, v):
    count = 3 if shape.endswith("stripes") else 1
    found = painted(shape, colours=tuple(COLOUR_WORDS)[:count], places=((u, v),), size=size)
    assert found.shape == (EDGE, EDGE)
    assert set(np.unique(found)) <= set(range(-1, count))


@settings(max_examples=40)
@given(shape=st.sampled_from(CHARGES), size=st.floats(0.05, 0.2))
def test_a_charge_lies_within_its_radius(shape, size):
    u, v = cloth()
    reach = np.hypot((u - 0.5) * ASPECT, v - 0.5)[painted(shape, places=CENTRE, size=size) >= 0].max()
    assert reach <= size * 1.06


def test_later_layers_cover_earlier_ones():
    layers = (Layer("field", ("white",)), Layer("disc", ("red",), CENTRE, 0.3), Layer("disc", ("blue",), CENTRE, 0.1))
    image = paint(Pattern(layers), *cloth())
    assert tuple(image[EDGE // 2, EDGE // 2]) == COLOUR_WORDS["blue"]
    assert tuple(image[EDGE // 2, int(EDGE * (0.5 + 0.2 / ASPECT))]) == COLOUR_WORDS["red"]
    assert tuple(image[0, 0]) == COLOUR_WORDS["white"]


@pytest.mark.parametrize("name", sorted(flag_designs()))
def test_every_flag_shows_every_one_of_its_colours(name):
    design = flag_designs()[name]
    image = paint(design, *cloth()).reshape(-1, 3)[::7]
    for word in design.colours():
        assert share((image == design.palette[word]).all(axis=1)) > 0.004
