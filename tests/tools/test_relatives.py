"""Relatives: hard negatives in another arrangement, and never a real flag."""

from collections import Counter

import numpy as np
import pytest

from coder_core.demo.flag_images import render_pattern
from coder_core.demo.patterns import Layer, Pattern, flag_designs
from tools.micro_clip.relatives import draw_relative
from tools.micro_clip.sampling import draw_pattern, is_acceptable

pytestmark = pytest.mark.slow

DRAWS = 2000


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    drawn = [draw_pattern(rng) for _ in range(DRAWS)]
    return [(pattern, draw_relative(pattern, rng)) for pattern in drawn]


def look(pattern):
    return tuple((layer.shape, layer.colours, len(layer.places)) for layer in pattern.layers)


def test_no_relative_is_a_real_flag(pairs):
    assert {look(design) for design in flag_designs().values()}.isdisjoint(look(relative) for _, relative in pairs)
    assert all(is_acceptable(relative) for _, relative in pairs)


def test_a_relative_is_another_arrangement(pairs):
    """Of the same ground: taken away, put on, moved or of another shape; other colours are the rare way out."""
    ways = Counter(way_of(pattern, relative) for pattern, relative in pairs)
    assert ways["same"] == 0
    assert ways["colours"] < DRAWS / 10
    assert min(ways[way] for way in ("fewer", "more", "moved", "reshaped")) > DRAWS / 20


def way_of(pattern, relative):
    if pattern.layers == relative.layers:
        return "same"
    if len(pattern.layers) != len(relative.layers):
        return "fewer" if len(relative.layers) < len(pattern.layers) else "more"
    if [layer.shape for layer in pattern.layers] != [layer.shape for layer in relative.layers]:
        return "reshaped"
    return "colours" if look(pattern) != look(relative) else "moved"


def test_neighbours_of_real_flags_can_be_rendered_but_are_not_those_flags():
    rng = np.random.default_rng(0)
    for design in flag_designs().values():
        relative = draw_relative(Pattern(design.layers), rng)
        assert look(relative) not in {look(real) for real in flag_designs().values()}
        assert render_pattern(relative, rng).std() > 0


def test_a_move_leaves_what_lies_on_a_canton_where_it_is():
    """Off its canton a red cross would lie on the red field, and be invisible."""
    field, canton = Layer("field", ("red",)), Layer("canton", ("white",), size=0.4)
    tonga_like = Pattern((field, canton, Layer("short_cross", ("red",), ((0.2, 0.25),), 0.15)))
    rng = np.random.default_rng(0)
    for _ in range(50):
        relative = draw_relative(tonga_like, rng)
        tops = [layer for layer in relative.layers if layer.places and layer.colours == ("red",)]
        assert all(layer.places == ((0.2, 0.25),) for layer in tops)
