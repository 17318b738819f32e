"""The class list: an ordered tuple of names in which the position is the label id.

Accuracy near zero because the order of keys in a file was taken for the order of classes, and two classes called
"crane" that collapse into one key, are the two oldest complaints about software of this kind. So the order is explicit,
a name may occur twice, and everything downstream refers to a class by its id; names are for people and for sentences.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from coder_core.counted import counted
from coder_core.errors import DatasetError

__all__ = ["ClassList", "display_name", "loose_name", "nearest_name", "normalise_name", "rename_classes"]

_ARTICLE = re.compile(r"^(?:an?|the) (?=\S)")
_APOSTROPHES = dict.fromkeys(map(ord, "\u2018\u2019\u201b\u02bc\u0060\u00b4"), "'")
"""What keyboards and word processors write for an apostrophe: `Cote d'Ivoire` is one country."""


def display_name(name: str) -> str:
    """Write a class name as it stands in a sentence: underscores become blanks, runs of white space one blank."""
    return " ".join(name.replace("_", " ").split())


@lru_cache(maxsize=1 << 16)
def normalise_name(name: str) -> str:
    """Reduce a class name to what two spellings of one class share.

    Case, `_`, hyphens and dashes, white space, the shape of an apostrophe, characters without a shape (zero-width
    blanks, byte-order marks) and the Unicode form do not count (NFKC: composed and decomposed accents, full width,
    ligatures). Letters keep their accents: `Cafe` is not `Caf\u00e9`.
    """
    visible = "".join(character for character in name.translate(_APOSTROPHES) if not _is_format(character))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())
    return " ".join("".join(map(_blank_for_dash, folded)).split())


def _is_format(character: str) -> bool:
    return not character.isascii() and unicodedata.category(character) == "Cf"


def _blank_for_dash(character: str) -> str:
    if character.isascii():
        return " " if character in "-_" else character
    return " " if unicodedata.category(character) in ("Pd", "Pc") else character


def loose_name(name: str) -> str:
    """Reduce a name to what counts when an article in front does not count either."""
    return _ARTICLE.sub("", normalise_name(name))


def nearest_name(name: str, known: tuple[str, ...]) -> str | None:
    """Find the known name that a misspelt one most likely means; None when nothing is similar (difflib, 0.6)."""
    by_key = {normalise_name(candidate): candidate for candidate in reversed(known)}
    close = difflib.get_close_matches(normalise_name(name), list(by_key), n=1)
    return by_key[close[0]] if close else None


@dataclass(frozen=True)
class ClassList:
    """The classes of one data set, in label order.

    Args:
        names: One name per class; `names[i]` is the class with label id `i`. The same name twice means two classes.
        stable_ids: What a class list kept outside calls each class, whatever its name becomes; None where it does not.

    Raises:
        DatasetError: The list is empty, a name holds nothing but white space and underscores, or there is not one
            stable id per name.
    """

    names: tuple[str, ...]
    stable_ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.names:
            raise DatasetError("the class list is empty.", "class list", "Name at least one class.")
        if self.stable_ids is not None and len(self.stable_ids) != len(self.names):
            raise DatasetError(
                f"{counted(len(self.stable_ids), 'id')} for {counted(len(self.names), 'name')}.",
                "class list",
                "Give one id per class.",
            )
        for position, name in enumerate(self.names):
            if not display_name(name):
                raise DatasetError(
                    f"the name {name!r} is blank.", f"class list, position {position}", "Give the class a name."
                )

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def ids_of(self, name: str) -> tuple[int, ...]:
        """Find the label ids of a name, ascending; empty when unknown.

        Spelt exactly as in the list counts first; only where nothing is, names equal after `normalise_name` count, and
        where none is, stable ids.
        """
        return (
            self._exact_ids.get(name)
            or self._normalised_ids.get(normalise_name(name))
            or self._ids_by_stable_id.get(name, ())
        )

    @cached_property
    def display_names(self) -> tuple[str, ...]:
        """The names as they stand in sentences, in label order."""
        return tuple(display_name(name) for name in self.names)

    @cached_property
    def _exact_ids(self) -> dict[str, tuple[int, ...]]:
        return _ids_by_key(self.names)

    @cached_property
    def _normalised_ids(self) -> dict[str, tuple[int, ...]]:
        return _ids_by_key(tuple(normalise_name(name) for name in self.names))

    @cached_property
    def _ids_by_stable_id(self) -> dict[str, tuple[int, ...]]:
        return _ids_by_key(self.stable_ids or ())


def rename_classes(classes: ClassList, new_names: Mapping[str, str], place: str) -> ClassList:
    """Call classes otherwise, in the same order.

    Args:
        classes: The classes as the data set names them.
        new_names: Name or stable id -> new name; all classes of that name are renamed.
        place: Where the mapping stands, for messages.

    Returns:
        The classes; where they had no stable ids their old names are their ids, so that a text bank and a list kept
        outside still find a class by what the data set calls it.

    Raises:
        DatasetError: A name is none of the classes'.
    """
    if not new_names:
        return classes
    names = list(classes.names)
    for old, new in new_names.items():
        label_ids = classes.ids_of(old)
        if not label_ids:
            nearest = nearest_name(old, classes.names)
            hint = f"Did you mean {nearest!r}?" if nearest else "Remove it."
            raise DatasetError(f"{old!r:.80} is no class of the data set.", place, hint)
        for label_id in label_ids:
            names[label_id] = new
    return ClassList(tuple(names), classes.stable_ids or classes.names)


def _ids_by_key(keys: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    ids: dict[str, list[int]] = {}
    for position, key in enumerate(keys):
        ids.setdefault(key, []).append(position)
    return {key: tuple(positions) for key, positions in ids.items()}
