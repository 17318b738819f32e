"""Which listed class an image's folder, or the word its label stands for, belongs to.

A class list kept outside a data set may carry stable ids (WordNet ids, numbers of a database). A folder or label is
then found by id or by name, so that renaming a class in the list does not orphan its images.
"""

from collections.abc import Iterable, Mapping

from coder_core.classes import ClassList
from coder_core.errors import DatasetError


def match_labels(words: Iterable[str], classes: ClassList, place: str) -> Mapping[str, int]:
    """Find the label ids of words; a word that no class has is left out.

    Args:
        words: Folder names, or the names that a data set's own labels count in.
        classes: The class list.
        place: The data set, for the message.

    Raises:
        DatasetError: A word is the name of one class and the id of another, or two words are the same class.
    """
    by_name = {name: label_id for label_id, name in enumerate(classes.names)}
    by_stable_id = {stable_id: label_id for label_id, stable_id in enumerate(classes.stable_ids or ())}
    found: dict[str, int] = {}
    word_of: dict[int, str] = {}
    for word in dict.fromkeys(words):
        named, numbered = by_name.get(word), by_stable_id.get(word)
        label_id = named if numbered is None else numbered
        if label_id is None:
            continue
        if named is not None and named != label_id:
            raise _ambiguous(word, f"the name of class {named} and the id of class {label_id}", place)
        if word_of.setdefault(label_id, word) != word:
            raise _ambiguous(word, f"the same class as {word_of[label_id]!r}", place)
        found[word] = label_id
    return found


def _ambiguous(word: str, what: str, place: str) -> DatasetError:
    return DatasetError(f"{word!r} is {what}.", place, "Rename one of them in the class list or the data set.")
