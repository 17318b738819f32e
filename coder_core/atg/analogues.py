"""Analogous classes: which names are kept, and what is asked again.

An analogue that looks, to the text encoder, like ANOTHER class of the list would pull images of that class over; so it
is dropped (cosine above 0.9; Yi et al., CVPR 2024, "Auto Text Generator") and the model is asked for others, `rounds`
times at most and no longer than something is dropped. A class is never its own analogue. The similarity is given as a
function: texts are embedded elsewhere, and no encoder is loaded here. Pure.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from jaxtyping import Float

from coder_core.atg.names import NameSet, is_same_name
from coder_core.atg.phrase_cleaning import MAX_ITEMS
from coder_core.atg.questions import TextRequest, ask_again
from coder_core.classes import ClassList, normalise_name

__all__ = ["AnalogueSearch", "Similarity", "sift"]

NAMES_PER_BLOCK = 1_024
"""Analogues compared at a time: against 21,000 classes a block of cosines has 86 MB."""


class Similarity(Protocol):
    """Cosine of every first text with every second one.

    It is called with blocks of names and, each time, all class names: keep their embeddings.
    """

    def __call__(self, texts_a: Sequence[str], texts_b: Sequence[str]) -> Float[np.ndarray, "texts_a texts_b"]:
        """Compare; the names come bare, and it is for the callee to dress them in a sentence."""
        ...


@dataclass
class AnalogueSearch:
    """The analogues of one class name, over several answers.

    Attributes:
        request: The last question asked.
        kept: Names that stay, in the order of the answers.
        dropped: Names that were too like another class.
        fresh: Names of the last answer that are not judged yet.
        is_done: Whether nothing more is asked.
    """

    request: TextRequest
    kept: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    is_done: bool = False
    _dropped_last: int = 0

    @property
    def name(self) -> str:
        """The class, as it stands in the question."""
        return self.request.inputs.class_name

    def add(self, names: Iterable[str]) -> None:
        """Take the names of an answer; what is known already is not new, and an answer without news ends the search."""
        known = [*self.kept, *self.dropped]
        self.fresh = [name for name in names if not any(is_same_name(name, other) for other in known)]
        self.is_done = not self.fresh

    def judge(self, too_similar: set[str]) -> None:
        """Keep or drop the fresh names; the search ends when nothing is dropped."""
        gone = [name for name in self.fresh if name in too_similar]
        self.dropped += gone
        self.kept += [name for name in self.fresh if name not in too_similar]
        self.fresh, self._dropped_last = [], len(gone)
        self.is_done = not gone or len(self.kept) >= MAX_ITEMS

    def next_request(self) -> TextRequest:
        """Ask for as many others as were dropped last."""
        self.request = ask_again(self.request, [*self.kept, *self.dropped], self._dropped_last)
        return self.request


def sift(
    searches: Sequence[AnalogueSearch], classes: ClassList, similarity: Similarity | None, *, max_similarity: float
) -> int:
    """Judge the fresh names of all searches; returns how many were dropped.

    Args:
        searches: One per class name.
        classes: The class list.
        similarity: Cosines; None where there is no encoder: then only names that ARE another class's are dropped.
        max_similarity: An analogue above this cosine to another class is dropped.
    """
    names = list(dict.fromkeys(name for search in searches for name in search.fresh))
    alike = _namesakes(names, classes)
    if similarity is not None:
        for name, class_names in _similar(names, classes, similarity, max_similarity):
            alike[name] |= class_names
    before = sum(len(search.dropped) for search in searches)
    for search in searches:
        own = {normalise_name(search.name)}
        search.judge({name for name in search.fresh if alike[name] - own})
    return sum(len(search.dropped) for search in searches) - before


def _namesakes(names: Sequence[str], classes: ClassList) -> dict[str, set[str]]:
    """Name -> the classes (normalised) that carry it, up to case, punctuation and plural."""
    carriers: dict[tuple[str, ...], set[str]] = {}
    for class_name in classes.display_names:
        carriers.setdefault(NameSet.key(class_name), set()).add(normalise_name(class_name))
    return {name: set(carriers.get(NameSet.key(name), ())) for name in names}


def _similar(
    names: Sequence[str], classes: ClassList, similarity: Similarity, max_similarity: float
) -> Iterator[tuple[str, set[str]]]:
    """Yield the names that are too similar to some class, with these classes (normalised)."""
    class_names = list(dict.fromkeys(classes.display_names))
    keys = [normalise_name(class_name) for class_name in class_names]
    for start in range(0, len(names), NAMES_PER_BLOCK):
        block = names[start : start + NAMES_PER_BLOCK]
        cosines = np.asarray(similarity(block, class_names))
        if cosines.shape != (len(block), len(class_names)):
            raise ValueError(f"similarity: expected shape {(len(block), len(class_names))}, found {cosines.shape}.")
        for row, name in enumerate(block):
            above = np.flatnonzero(cosines[row] > max_similarity)
            if len(above):
                yield name, {keys[column] for column in above}
