"""Which listed class an image's folder, or the word its label stands for, belongs to.

A class list kept outside a data set may carry stable ids (WordNet ids, numbers of a database). A folder or label is
then found by id or by name, so that renaming a class in the list does not orphan its images. Names are found in the
three degrees of tolerance in which text banks find them: as they are; up to case, `_`, hyphens, white space and Unicode
form; and without an article in front.
"""

from collections.abc import Callable, Iterable, Mapping

from coder_core.classes import ClassList, loose_name, nearest_name, normalise_name
from coder_core.counted import counted
from coder_core.errors import DatasetError

__all__ = ["match_labels", "no_such_class", "tell_apart"]

_DEGREES: tuple[Callable[[str], str], ...] = (str, normalise_name, loose_name)


def match_labels(words: Iterable[str], classes: ClassList, place: str) -> Mapping[str, int]:
    """Find the label ids of words; a word that no class has is left out.

    Args:
        words: Folder names, or the names that a data set's own labels count in.
        classes: The class list.
        place: The data set, for the message.

    Raises:
        DatasetError: A word could be two classes (by name, by id, or both), or two words are the same class.
    """
    indexes = [_index(classes, spell) for spell in _DEGREES]
    found: dict[str, int] = {}
    word_of: dict[int, str] = {}
    for word in dict.fromkeys(words):
        claims = next((claims for index, spell in indexes if (claims := index.get(spell(word)))), {})
        if len(claims) > 1:
            raise _ambiguous(word, " and ".join(f"{what} class {label}" for label, what in claims.items()), place)
        for label_id in claims:
            if (first := word_of.setdefault(label_id, word)) != word:
                raise _same_class(first, word, place)
            found[word] = label_id
    return found


def no_such_class(
    others: Mapping[str, int], classes: ClassList, *, what: str, setting: str, place: str
) -> DatasetError:
    """Say that words stand for no listed class, and what was meant perhaps.

    Args:
        others: The words, and how many images each has.
        classes: The class list.
        what: What the words are: `folder`, `class`.
        setting: Where the class list stands.
        place: The data set.
    """
    word, count = next(iter(others.items()))
    nearest = nearest_name(word, classes.names)
    meant = f"; the nearest name is {nearest!r}" if nearest else ""
    more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
    return DatasetError(
        f"the {what} {word!r}{more} is not in {setting}; it has {counted(count, 'image')}{meant}.",
        place,
        "Rename it, add it to the list, or set dataset.ignore_other_folders: true.",
    )


def tell_apart(one: str, other: str) -> tuple[str, str]:
    """Quote two different texts so that the difference shows, also where both look the same on the screen."""
    if normalise_name(one) == normalise_name(other) and not (one.isascii() and other.isascii()):
        return ascii(one), ascii(other)
    return repr(one), repr(other)


def _index(
    classes: ClassList, spell: Callable[[str], str]
) -> tuple[Mapping[str, Mapping[int, str]], Callable[[str], str]]:
    """Spelling -> label ids that have it, each with what it is to that class; and how words are spelt to be found."""
    index: dict[str, dict[int, str]] = {}
    for what, words in (("the name of", classes.names), ("the id of", classes.stable_ids or ())):
        for label_id, word in enumerate(words):
            index.setdefault(spell(word), {}).setdefault(label_id, what)
    index.pop("", None)
    return index, spell


def _ambiguous(word: str, what: str, place: str) -> DatasetError:
    return DatasetError(f"{word!r} is {what}.", place, "Rename one of them in the class list or the data set.")


def _same_class(first: str, word: str, place: str) -> DatasetError:
    one, other = tell_apart(first, word)
    return DatasetError(f"{other} is the same class as {one}.", place, "Merge them, or rename one of them.")
