"""Match the class names of a file with a class list: by name in three degrees of tolerance, never by order of keys.

A name stands for the classes that are spelt exactly so; where none is, for those equal up to case, `_`, `-` and white
space; where none is, for those equal without an article in front, too. Order counts in one case only: a list (never a
mapping) that has a name as often as the class list has it is paired off occurrence by occurrence, so that two classes
called "crane" stay apart.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from coder_core.classes import ClassList, nearest_name, normalise_name
from coder_core.errors import TextBankError

__all__ = ["Match", "Mismatch", "NameIndex", "loose_key"]

NEAREST_LIMIT = 2_000_000
"""Comparisons of names that a report may spend on suggestions (10 s, measured); after that it names none."""

_ARTICLE = re.compile(r"^(?:an?|the) (?=\S)")


class Mismatch(StrEnum):
    """Why a name of the file stands for no class."""

    UNKNOWN = "unknown"
    REPEATED = "repeated"
    OWN_RIVAL = "own_rival"


class Match(NamedTuple):
    """What a name of the file stands for.

    Args:
        class_ids: The classes, ascending; several where the class list has the name several times.
        mismatch: Why there are none.
    """

    class_ids: tuple[int, ...]
    mismatch: Mismatch | None = None


class _Found(NamedTuple):
    degree: int
    class_ids: tuple[int, ...]


def loose_key(name: str) -> str:
    """Reduce a name to what counts when case, `_`, `-`, white space and an article in front do not."""
    return _ARTICLE.sub("", normalise_name(name))


class NameIndex:
    """Finds the classes of a list by name.

    Args:
        classes: The class list.
        aliases: What the file calls a class -> the class's name, for names that no tolerance could match.

    Raises:
        TextBankError: An alias leads to a class that is not in the list.
    """

    def __init__(self, classes: ClassList, aliases: Mapping[str, str] | None = None) -> None:
        self._classes = classes
        self._aliases = dict(aliases or {})
        self._loose: dict[str, tuple[int, ...]] = {}
        for class_id, name in enumerate(classes):
            key = loose_key(name)
            self._loose[key] = (*self._loose.get(key, ()), class_id)
        for alias, name in self._aliases.items():
            if not classes.ids_of(name):
                nearest = nearest_name(name, classes.names)
                advice = f"Did you mean {nearest!r}?" if nearest else "Name a class of the list."
                raise TextBankError(f"{name!r} is no class of the list.", f"alias of {alias!r}", advice)

    def find(self, name: str) -> tuple[int, ...]:
        """The ids of the classes that a name stands for; empty when unknown."""
        return self._find(name).class_ids

    def match_all(self, names: Sequence[str], *, is_ordered: bool) -> list[Match]:
        """Match names that stand side by side in one list or mapping, so that no class is claimed twice.

        An alias is the user's word and needs no claim: its texts join those of the class.

        Args:
            names: The names, repeated ones included.
            is_ordered: Whether their order means something: True for a list, False for the keys of a mapping.

        Returns:
            One match per name, in order.
        """
        found = [self._find(name) for name in names]
        matches = [Match(class_ids, None if class_ids else Mismatch.UNKNOWN) for _, class_ids in found]
        claims: dict[tuple[int, ...], list[int]] = {}
        for position, (_, class_ids) in enumerate(found):
            if class_ids and names[position] not in self._aliases:
                claims.setdefault(class_ids, []).append(position)
        for class_ids, positions in claims.items():
            for position, match in _settle(class_ids, positions, found, is_ordered=is_ordered):
                matches[position] = match
        return matches

    def nearest(self, names: Iterable[str]) -> dict[str, str | None]:
        """The most similar class name for each unmatched name, as long as that is affordable."""
        distinct = list(dict.fromkeys(names))
        affordable = distinct[: max(1, NEAREST_LIMIT // len(self._classes))]
        return {name: nearest_name(name, self._classes.names) for name in affordable}

    def _find(self, name: str) -> _Found:
        name = self._aliases.get(name, name)
        if class_ids := self._classes.ids_of(name):
            return _Found(0 if self._classes.names[class_ids[0]] == name else 1, class_ids)
        return _Found(2, self._loose.get(loose_key(name), ()))


def _settle(
    class_ids: tuple[int, ...], positions: list[int], found: Sequence[_Found], *, is_ordered: bool
) -> Iterable[tuple[int, Match]]:
    """Divide classes among the names that claim them: to the best spelling all of them, or in a list one each."""
    best = min(found[position].degree for position in positions)
    claimants = [position for position in positions if found[position].degree == best]
    if len(claimants) == 1:
        shares = [class_ids]
    elif is_ordered and len(claimants) == len(class_ids):
        shares = [(class_id,) for class_id in class_ids]
    else:
        shares = []
    settled = dict(zip(claimants, shares, strict=False))
    return [(at, Match(settled[at]) if at in settled else Match((), Mismatch.REPEATED)) for at in positions]
