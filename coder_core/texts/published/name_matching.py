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

from coder_core.classes import ClassList, normalise_name
from coder_core.errors import TextBankError
from coder_core.texts.bank_file import NEAREST_LIMIT, did_you_mean, nearest_class

__all__ = ["Mismatch", "NameIndex", "loose_key", "parse_aliases"]

_ARTICLE = re.compile(r"^(?:an?|the) (?=\S)")


class Mismatch(StrEnum):
    """Why a name of the file stands for no class."""

    UNKNOWN = "unknown"
    REPEATED = "repeated"
    OWN_RIVAL = "own_rival"


class _Found(NamedTuple):
    degree: int
    class_ids: tuple[int, ...]


def parse_aliases(pairs: Iterable[str]) -> dict[str, str]:
    """Read `old=new`, once per name: what the file calls a class, and the class's name.

    Raises:
        TextBankError: One is not of that form, or two give one old name different new ones.
    """
    aliases: dict[str, str] = {}
    for pair in pairs:
        old, separator, new = (part.strip() for part in pair.partition("="))
        if not (old and separator and new):
            raise TextBankError(f"expected old=new, found {pair!r:.80}.", "--alias", 'Example: --alias "sofa=couch".')
        if aliases.setdefault(old, new) != new:
            raise TextBankError(f"{old!r:.80} has two new names.", "--alias", "Give one.")
    return aliases


def loose_key(name: str) -> str:
    """Reduce a name to what counts when case, `_`, `-`, white space and an article in front do not."""
    return _ARTICLE.sub("", normalise_name(name))


class NameIndex:
    """Finds the classes of a list by name.

    Args:
        classes: The class list.
        alias: What the file calls a class -> the class's name, for names that no tolerance could match.

    Raises:
        TextBankError: An alias leads to a class that is not in the list.
    """

    def __init__(self, classes: ClassList, alias: Mapping[str, str] | None = None) -> None:
        self._classes = classes
        self._alias = dict(alias or {})
        self._loose: dict[str, list[int]] = {}
        for class_id, name in enumerate(classes):
            self._loose.setdefault(loose_key(name), []).append(class_id)
        for old, new in self._alias.items():
            if not classes.ids_of(new):
                remedy = did_you_mean(new, classes.names, otherwise="Name a class of the list.")
                raise TextBankError(f"{new!r:.80} is no class of the list.", f"alias of {old!r:.80}", remedy)

    def refuse_unused_aliases(self, names: Iterable[str], place: str) -> None:
        """Refuse an alias of a name that the file does not have: it was misspelt.

        Raises:
            TextBankError: There is one.
        """
        known = tuple(dict.fromkeys(names))
        for old in self._alias:
            if old not in known:
                remedy = did_you_mean(old, known, otherwise="Spell the name as the file does.")
                raise TextBankError(f"the file has no name {old!r:.80}.", f"{place}: alias", remedy)

    def find(self, name: str) -> tuple[int, ...]:
        """The ids of the classes that a name stands for; empty when unknown."""
        return self._find(name).class_ids

    def match_all(self, names: Sequence[str], *, is_ordered: bool) -> list[tuple[int, ...]]:
        """Match names that stand side by side in one list or mapping, so that no class is claimed twice.

        Of names that claim the same classes, the one of the best spelling gets them all; in a list, as many names as
        classes get one each. An alias is the user's word and needs no claim: its texts join those of the class.

        Args:
            names: The names, repeated ones included.
            is_ordered: Whether their order means something: True for a list, False for the keys of a mapping.

        Returns:
            Per name its class ids, ascending; none for a name that stands for no class or has no claim to it.
        """
        found = [self._find(name) for name in names]
        matches = [class_ids for _, class_ids in found]
        claims: dict[tuple[int, ...], list[int]] = {}
        for position, class_ids in enumerate(matches):
            if names[position] not in self._alias:
                claims.setdefault(class_ids, []).append(position)
        for class_ids, positions in claims.items():
            best = min(found[position].degree for position in positions)
            claimants = [position for position in positions if found[position].degree == best]
            shares: list[tuple[int, ...]] = [class_ids] if len(claimants) == 1 else []
            if is_ordered and len(claimants) == len(class_ids):
                shares = [(class_id,) for class_id in class_ids]
            share_of = dict(zip(claimants, shares, strict=False))
            for position in positions:
                matches[position] = share_of.get(position, ())
        return matches

    def nearest(self, names: Iterable[str]) -> dict[str, str | None]:
        """The most similar class name for each unmatched name, as long as that is affordable."""
        affordable = list(dict.fromkeys(names))[: max(1, NEAREST_LIMIT // len(self._classes))]
        return {name: nearest_class(name, self._classes.names) for name in affordable}

    def _find(self, name: str) -> _Found:
        name = self._alias.get(name, name)
        if class_ids := self._classes.ids_of(name):
            return _Found(0 if self._classes.names[class_ids[0]] == name else 1, class_ids)
        return _Found(2, tuple(self._loose.get(loose_key(name), ())))
