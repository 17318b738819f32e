"""WaffleCLIP-style descriptions: random words and characters where a meaning would be.

"{class} which has jungle bright round" and "{class} which has qxu rtaee": if texts like these help as much as an LLM's,
the gain was ensembling. Source: Roth et al., "Waffling around for Performance", ICCV 2023: random words and random
character strings alternate, and ALL classes share them, so that they cannot tell one class from another. Ours: words
come from the bank's own descriptions (no list of words has to be shipped, and length and vocabulary match what is being
controlled for), and as many are drawn as the most described class has texts.
"""

import re
import string
from collections.abc import Sequence

import numpy as np

from coder_core.errors import TextBankError
from coder_core.loops import each

__all__ = ["random_phrases"]

WORD = re.compile(r"\w+")


def random_phrases(phrases: Sequence[str], *, count: int, seed: int, words: bool = True) -> list[str]:
    """Make phrases as long as others on average, of random words (even places) and random letters (odd places).

    Args:
        phrases: Where words and lengths come from; at least one.
        count: How many to make; the same phrase may come twice.
        seed: Same seed, same phrases; a longer list starts with a shorter one.
        words: False for random letters in all places.

    Raises:
        TextBankError: The phrases hold no letter and no digit.
    """
    found = [WORD.findall(phrase) for phrase in phrases]
    vocabulary = sorted({word for phrase in found for word in phrase})
    if not vocabulary:
        raise TextBankError(f"{len(phrases)} phrases hold no word.", "control waffle", "Describe the classes in words.")
    phrase_length = max(1, round(sum(map(len, found)) / len(found)))
    word_length = max(1, round(sum(map(len, vocabulary)) / len(vocabulary)))
    rng = np.random.default_rng(seed)
    letters = list(string.ascii_lowercase)
    made = []
    for place in each(range(count)):
        if place % 2 or not words:
            parts = ["".join(rng.choice(letters, size=word_length)) for _ in range(phrase_length)]
        else:
            parts = rng.choice(vocabulary, size=phrase_length).tolist()
        made.append(" ".join(parts))
    return made
