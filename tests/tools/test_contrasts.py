"""One-to-one phrases: true of the pattern, not of its rival, in plain words."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.demo.patterns import Layer, Pattern, flag_designs
from tests.tools.words import colours_in, names_in, shapes_in
from tools.micro_clip.captions import describe
from tools.micro_clip.contrasts import contrast_phrases
from tools.micro_clip.relatives import draw_relative
from tools.micro_clip.sampling import draw_pattern, draw_variant

pytestmark = pytest.mark.slow

SEEDS = st.integers(0, 2**32 - 1)


def parts(phrase):
    """What the pattern has, and what the rival has instead (empty where the phrase does not say)."""
    own, _, other = phrase.partition(" instead of ")
    return own, other


def tell(one, other):
    return contrast_phrases(flag_designs()[one], flag_designs()[other])


@pytest.mark.parametrize(
    ("one", "other", "phrases"),
    [
        (
            "Italy",
            "Ireland",
            [
                "a red stripe on the right instead of an orange one",
                "vertical stripes of green, white and red",
                "the colours green, white and red",
            ],
        ),
        (
            "Ireland",
            "Ivory Coast",
            [
                "a green stripe on the left instead of an orange one",
                "an orange stripe on the right instead of a green one",
                "vertical stripes of green, white and orange",
            ],
        ),
        (
            "China",
            "Vietnam",
            ["a yellow star in the upper left corner instead of in the centre", "four small yellow stars"],
        ),
        ("Vietnam", "China", ["a yellow star in the centre instead of in the upper left corner"]),
        ("Mali", "Senegal", ["plain stripes without any other shape"]),
        # The rival has red and white too, and a white short cross is a white cross.
        ("Denmark", "Norway", ["only two colours"]),
        ("Denmark", "Switzerland", ["a white cross shifted to the left"]),
        ("Scotland", "Somalia", ["a white diagonal cross on a blue field", "the colours blue and white"]),
    ],
)
def test_real_flags_are_told_apart(one, other, phrases):
    assert tell(one, other) == phrases


def test_every_flag_is_told_from_every_other():
    assert all(tell(one, other) for one, other in permutations(flag_designs(), 2))


def test_nothing_tells_a_pattern_from_itself():
    assert [contrast_phrases(design, design) for design in flag_designs().values()] == [[]] * len(flag_designs())


def neighbours(seed):
    rng = np.random.default_rng(seed)
    pattern = draw_pattern(rng)
    return pattern, (draw_variant, draw_relative)[seed % 2](pattern, rng), rng


@given(seed=SEEDS)
def test_phrases_are_true_of_the_pattern_and_not_said_of_the_rival(seed):
    pattern, rival, _ = neighbours(seed)
    own, theirs = describe(pattern), describe(rival)
    for phrase in contrast_phrases(pattern, rival):
        ours, other = parts(phrase)
        assert ours in own
        assert ours not in theirs
        if other.endswith(" one"):
            colour = other.removesuffix(" one").removeprefix("an ").removeprefix("a ")
            assert colour in rival.colours()
            assert colour not in colours_in(ours)
        elif other:
            assert any(said.endswith(other) and said not in own for said in theirs)


@given(seed=SEEDS)
def test_a_generator_says_the_same_in_other_words(seed):
    pattern, rival, rng = neighbours(seed)
    fixed, spoken = contrast_phrases(pattern, rival), contrast_phrases(pattern, rival, rng)
    assert [colours_in(phrase) for phrase in fixed] == [colours_in(phrase) for phrase in spoken]
    assert [parts(phrase)[1] for phrase in fixed] == [parts(phrase)[1] for phrase in spoken]
    shapes = {layer.shape for layer in pattern.layers}
    assert all(found & shapes for phrase in spoken for found in shapes_in(parts(phrase)[0]))
    assert [phrase for phrase in spoken if names_in(phrase, flag_designs())] == []


def test_light_blue_is_told_from_blue():
    def disc(colour):
        return Pattern((Layer("field", ("white",)), Layer("disc", (colour,), ((0.5, 0.5),), 0.3)))

    found = contrast_phrases(disc("blue"), disc("light blue"))
    assert "a blue disc in the centre instead of a light blue one" in found
    assert "the colours white and blue" in found
