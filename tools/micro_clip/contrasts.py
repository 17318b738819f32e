"""What tells one pattern from another: the phrases of the one-to-one texts, derived from the two designs.

A phrase belongs to one direction: it is true of the pattern and not of the rival. What the rival shares is left out,
also where the rival says more ("a white cross" beside "a white short cross"), and so is what a longer phrase of the
list says anyway. Where both have the same thing in another colour or place, the phrase says so: "a red stripe on the
right instead of an orange one". The same function writes the captions that train the micro-CLIP (with `rng`, which
picks among paraphrases) and wrote the pairs of `flag_texts.yaml` (without, the first `BANK_PHRASES` of each).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from coder_core.demo.patterns import COLOUR_WORDS, Pattern
from tools.micro_clip.captions import describe

__all__ = ["BANK_PHRASES", "contrast_phrases"]

BANK_PHRASES = 5
"""Phrases per direction in the bank: what a language model returns when it is asked for key differences."""

_COLOUR = re.compile(rf"\b(?:{'|'.join(sorted(COLOUR_WORDS, key=len, reverse=True))})\b")
_PLACE = re.compile(r" (in the \w+(?: left corner)?|on the (?:left|right)|at the (?:top|bottom)|shifted to the left)$")


class _Feature(NamedTuple):
    """One feature in its fixed wording, which is compared, and in the wording of the caption."""

    fixed: str
    paraphrase: str


def contrast_phrases(pattern: Pattern, rival: Pattern, rng: np.random.Generator | None = None) -> list[str]:
    """Say what a pattern has and its rival has not.

    Args:
        pattern: Of which the phrases are true.
        rival: Of which they are not.
        rng: Picks among paraphrases; without it the wording is fixed.

    Returns:
        Contrasts ("... instead of ...") first, then features without a counterpart, each in the order of `describe`.
        Empty where language finds no difference.
    """
    theirs = describe(rival)
    fixed = describe(pattern)
    paraphrases = fixed if rng is None else describe(pattern, rng)[: len(fixed)]
    features = [_Feature(*both) for both in zip(fixed, paraphrases, strict=True)]
    own = _most_specific([one for one in features if _is_own(one.fixed, theirs, pattern, rival)])
    absent = [phrase for phrase in theirs if not _is_implied(phrase, fixed)]
    endings = [_ending(one.fixed, absent) for one in own]
    contrasts = [f"{one.paraphrase} {ending}" for one, ending in zip(own, endings, strict=True) if ending]
    return contrasts + [one.paraphrase for one, ending in zip(own, endings, strict=True) if not ending]


def _is_own(phrase: str, theirs: Sequence[str], pattern: Pattern, rival: Pattern) -> bool:
    if phrase.startswith("the colours ") and set(pattern.colours()) <= set(rival.colours()):
        return False
    return not _is_implied(phrase, theirs)


def _is_implied(phrase: str, others: Sequence[str]) -> bool:
    """Whether some phrase has all the words of this one, in their order."""
    return any(_holds(other, phrase) for other in others)


def _holds(longer: str, shorter: str) -> bool:
    words = iter(_words(longer))
    return all(word in words for word in _words(shorter))


def _words(phrase: str) -> list[str]:
    return phrase.replace("light blue", "light-blue").replace(",", "").split()


def _most_specific(features: Sequence[_Feature]) -> list[_Feature]:
    """Leave out what another phrase says too, and repetitions."""
    first_of = {one.fixed: one for one in reversed(features)}
    phrases = list(dict.fromkeys(one.fixed for one in features))
    return [
        first_of[phrase]
        for phrase in phrases
        if not _is_implied(phrase, [other for other in phrases if other != phrase])
    ]


def _ending(phrase: str, absent: Sequence[str]) -> str:
    """`instead of an orange one`, or `instead of in the centre`, or nothing where the rival has no counterpart."""
    colours = _COLOUR.findall(phrase)
    if len(colours) == 1:
        for other in absent:
            found = _COLOUR.findall(other)
            if len(found) == 1 and found != colours and _COLOUR.sub("", other, count=1) == _skeleton(phrase, found[0]):
                return f"instead of {'an' if found[0] == 'orange' else 'a'} {found[0]} one"
    return _other_place(phrase, absent)


def _skeleton(phrase: str, colour: str) -> str:
    """The phrase without its colour, with the article that another colour asks for."""
    bare = _COLOUR.sub("", phrase, count=1)
    return re.sub(r"^an? ", "an " if colour == "orange" else "a ", bare)


def _other_place(phrase: str, absent: Sequence[str]) -> str:
    thing = _PLACE.sub("", phrase)
    for other in absent:
        place = _PLACE.search(other)
        if place and other != phrase and thing != phrase and _PLACE.sub("", other) == thing:
            return f"instead of {place[1]}"
    return ""
