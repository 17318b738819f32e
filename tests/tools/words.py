"""The words of the demonstration's language, found in a phrase without the code that writes phrases."""

import re

from coder_core.demo.patterns import COLOUR_WORDS

SHAPES_OF_WORD = {
    "stripe": {"horizontal_stripes", "vertical_stripes"},
    "cross": {"cross", "saltire", "short_cross"},
    "disc": {"disc"},
    "star": {"star"},
    "crescent": {"crescent"},
    "canton": {"canton"},
    "triangle": {"hoist_triangle", "fly_triangle"},
    "diamond": {"diamond"},
    "rectangle": {"rectangle"},
    "field": {"field"},
    "background": {"field"},
    "band": {"hoist_band", "rising_band", "falling_band", "horizontal_stripes", "vertical_stripes"},
}
"""Noun of a phrase -> the shapes that it can mean."""


def colours_in(phrase):
    """Colour words of a phrase; `light blue` is one word, and not `blue`."""
    longest_first = sorted(COLOUR_WORDS, key=len, reverse=True)
    return set(re.findall(rf"\b({'|'.join(longest_first)})\b", phrase))


def shapes_in(phrase):
    """For each noun of a phrase, the shapes that it can mean."""
    words = {word.removesuffix("s") if word != "cross" else word for word in re.findall(r"[a-z]+", phrase)}
    return [shapes for noun, shapes in SHAPES_OF_WORD.items() if noun in words]


def names_in(phrase, names):
    """The names that occur in a phrase as whole words."""
    return [name for name in names if re.search(rf"\b{re.escape(name)}\b", phrase, re.IGNORECASE)]
