"""Batches for the micro-CLIP: images of random patterns, each with a short and a longer caption.

A batch holds groups of near neighbours (the same shapes in other colours), so that colour and place must be read, not
guessed. The place of a country's name is taken by one to four unknown tokens, whose embedding is zero and stays zero:
the text tower learns that a name it does not know says nothing.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coder_core.demo.captions import describe
from coder_core.demo.patterns import Pattern
from coder_core.demo.render import render_pattern
from coder_core.demo.sampling import draw_pattern, draw_variant

GROUP = 4
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands for one token of a name in a training caption."""


class PairBatch(NamedTuple):
    """Images `(pairs, 48, 48, 3)` uint8, and two captions for each."""

    images: NDArray[np.uint8]
    short_captions: list[str]
    long_captions: list[str]


def iterate_batches(seed: int, *, pairs: int) -> Iterator[PairBatch]:
    """Endless batches; the same seed gives the same sequence."""
    rng = np.random.default_rng(seed)
    while True:
        yield draw_batch(rng, pairs=pairs)


def draw_batch(rng: np.random.Generator, *, pairs: int) -> PairBatch:
    """One batch of `pairs` patterns in groups of near neighbours."""
    patterns: list[Pattern] = []
    while len(patterns) < pairs:
        first = draw_pattern(rng)
        patterns += [first, *(draw_variant(first, rng) for _ in range(GROUP - 1))]
    images = np.stack([halve(render_pattern(pattern, rng)) for pattern in patterns[:pairs]])
    captions = [draw_captions(pattern, rng) for pattern in patterns[:pairs]]
    return PairBatch(images, [short for short, _ in captions], [long for _, long in captions])


def halve(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Half the resolution, by the mean of 2 x 2 pixels."""
    height, width, channels = image.shape
    blocks = image.reshape(height // 2, 2, width // 2, 2, channels)
    return np.asarray(blocks.mean(axis=(1, 3)).round().astype(np.uint8))


def draw_captions(pattern: Pattern, rng: np.random.Generator) -> tuple[str, str]:
    """A caption with one feature, and one with two to four."""
    phrases = describe(pattern, rng)
    rng.shuffle(phrases)
    count = int(rng.integers(2, 5))
    return _dress(phrases[:1], rng), _dress(phrases[-count:], rng)


def _dress(phrases: list[str], rng: np.random.Generator) -> str:
    features = ", ".join(phrases)
    name = " ".join([UNKNOWN] * int(rng.integers(1, 5)))
    style = rng.random()
    if style < 0.6:
        return f"a flag of {name} which has {features}"
    if style < 0.7:
        return f"a photo of the flag of {name}, {features}"
    if style < 0.8:
        return f"a flag with {features}"
    return features


@lru_cache(maxsize=100_000)
def split_words(caption: str) -> tuple[str, ...]:
    """Words and commas of a caption, as CLIP's tokenizer separates them."""
    return tuple(caption.replace(",", " ,").split())
