"""The shipped vocabulary: names of common things, materials, scenes, actions and species (`vocabulary.txt`).

A metric is only as good as the words it is made of (`few_shot.task_vocabulary`), and whoever has a few images and a
list of classes has few words. So the project brings some along, as text, to be embedded by whichever encoder runs.
Written for this project, by who knows the field: many a class name of its well-known evaluation sets is in it. Where a
method is measured on one of them, that must be said, or those names purged.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from coder_core.packaged import read_packaged

__all__ = ["VOCABULARY_FILE", "load_vocabulary", "plain_name"]

VOCABULARY_FILE = "texts/vocabulary.txt"


def load_vocabulary(*, purged: Iterable[str] = ()) -> tuple[str, ...]:
    """The words, each once, in the order of the file.

    Args:
        purged: Names to leave out, with every word that holds one ("banded texture" holds "banded"); case, hyphens and
            underscores make no other name.
    """
    unwanted = {plain_name(name) for name in purged}
    longest = max((len(name.split()) for name in unwanted), default=0)
    return tuple(word for word in _words() if unwanted.isdisjoint(_phrases(plain_name(word), longest)))


def plain_name(name: str) -> str:
    """A name without what people write differently: case, hyphens, underscores."""
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def _phrases(name: str, longest: int) -> Iterator[str]:
    """All runs of words in a name, up to a length."""
    words = name.split()
    for start in range(len(words)):
        for end in range(start + 1, min(start + longest, len(words)) + 1):
            yield " ".join(words[start:end])


@lru_cache(maxsize=1)
def _words() -> tuple[str, ...]:
    """Of a line `theme: word, word, ...` the words; `#` begins a comment."""
    lines = read_packaged(VOCABULARY_FILE).decode("utf-8").splitlines()
    themes = (line.split(":", 1)[1] for line in lines if line.strip() and not line.startswith("#"))
    words = (word.strip() for theme in themes for word in theme.split(","))
    return tuple(dict.fromkeys(word for word in words if word))
