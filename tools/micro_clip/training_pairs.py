"""Batches for the micro-CLIP: images of random patterns, each with a short and a longer caption.

A batch holds groups of near neighbours (the same shapes in other colours, the same colours in another arrangement), so
that colour and place must be read, not guessed. Half of the short captions are one-to-one sentences that tell the
pattern from a neighbour, in the sentences of the domain `flag`. The place of a country's name, and of a rival's, is
taken by one to four unknown tokens, whose embedding is zero and stays zero: the text tower learns that a name it does
not know says nothing.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coder_core.demo.flag_images import render_pattern
from coder_core.demo.patterns import Pattern
from coder_core.texts.domains import fill, load_domains
from tools.micro_clip.captions import describe
from tools.micro_clip.contrasts import contrast_phrases
from tools.micro_clip.relatives import draw_relative
from tools.micro_clip.sampling import draw_pattern, draw_variant

GROUP = 4
"""One random pattern, two in other colours, one in another arrangement."""

CONTRASTED = 0.5
"""Share of short captions that tell a pattern from a rival."""

NEAR_RIVALS = 0.8
"""Share of rivals that come from the pattern's own group; the others are any pattern of the batch."""

ONE_TO_ONE = load_domains()["flag"].one_to_one
"""The one-to-one sentences that the demonstration's texts are dressed in."""

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
        variants = [draw_variant(first, rng) for _ in range(GROUP - 2)]
        patterns += [first, *variants, draw_relative(first, rng)]
    del patterns[pairs:]
    images = np.stack([halve(render_pattern(pattern, rng)) for pattern in patterns])
    captions = [draw_captions(pattern, rng) for pattern in patterns]
    rivals = [patterns[draw_rival(place, len(patterns), rng)] for place in range(len(patterns))]
    shorts = [
        _contrast_or(short, pattern, rival, rng)
        for (short, _), pattern, rival in zip(captions, patterns, rivals, strict=True)
    ]
    return PairBatch(images, shorts, [long for _, long in captions])


def draw_rival(place: int, count: int, rng: np.random.Generator) -> int:
    """Choose whom a pattern of a batch is told from, by place: mostly one of its group, never itself but when alone."""
    start = place - place % GROUP
    group = range(start, min(start + GROUP, count)) if rng.random() < NEAR_RIVALS else range(count)
    others = [other for other in group if other != place] or [place]
    return others[int(rng.integers(len(others)))]


def _contrast_or(caption: str, pattern: Pattern, rival: Pattern, rng: np.random.Generator) -> str:
    """A one-to-one sentence in every other place; the caption itself elsewhere, and where nothing tells the two."""
    if rng.random() >= CONTRASTED:
        return caption
    return draw_contrast(pattern, rival, rng) or caption


def draw_contrast(pattern: Pattern, rival: Pattern, rng: np.random.Generator) -> str:
    """One difference in one of the domain's one-to-one sentences; empty where language finds no difference."""
    phrases = contrast_phrases(pattern, rival, rng)
    if not phrases:
        return ""
    template = ONE_TO_ONE[int(rng.integers(len(ONE_TO_ONE)))]
    phrase = phrases[int(rng.integers(len(phrases)))]
    return fill(template, {"class": _draw_name(rng), "rival": _draw_name(rng), "phrase": phrase})


def _draw_name(rng: np.random.Generator) -> str:
    return " ".join([UNKNOWN] * int(rng.integers(1, 5)))


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
    name = _draw_name(rng)
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
    """Words, commas and periods of a caption, as CLIP's tokenizer separates them, in its lower case."""
    return tuple(caption.lower().replace(",", " ,").replace(".", " .").split())
