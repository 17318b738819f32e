"""Images whose labels stand beside them, as numbers or words: which class each label is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from coder_core.class_source.matching import match_labels, no_such_class
from coder_core.classes import ClassList
from coder_core.errors import DatasetError
from coder_core.images.listing import FolderListing, make_listing
from coder_core.specs import LabelledDataset
from coder_core.storage.ignored_files import IgnoredFiles
from coder_core.storage.input_files import InputFile

Label = int | str
LABEL_DIGITS = 18
"""Every whole number of so many fits into 64 bits."""


class LabelledRows(NamedTuple):
    """Images and what stands beside them, in order.

    Args:
        files: Where each is; ids are their names.
        labels: One per image.
        names: What the data itself says that label numbers mean; None where it does not.
        ignored: What lies beside the images.
    """

    files: list[InputFile]
    labels: list[Label]
    names: tuple[str, ...] | None
    ignored: IgnoredFiles


def label_rows(found: LabelledRows, dataset: LabelledDataset, listed: ClassList | None) -> FolderListing:
    """Give every image the class that its label stands for.

    Args:
        found: The images.
        dataset: Its settings.
        listed: The class list, where it is kept outside the data set.

    Raises:
        DatasetError: There is no image; two have one id; a number has no name; or a word is no class.
    """
    if not found.files:
        raise DatasetError("there is no image.", dataset.path, "Check the path.")
    _refuse_equal_ids(found.files, dataset.path)
    words = _words(found, dataset)
    classes = listed or _own_classes(words, found, dataset)
    counts = Counter(words)
    label_of = _label_ids(counts, classes, dataset)
    others = {word: count for word, count in sorted(counts.items()) if word not in label_of}
    if others:
        setting = "dataset.classes" if listed else "dataset.class_names"
        raise no_such_class(others, classes, what="label", setting=setting, place=dataset.path)
    rows = sorted(zip(found.files, words, strict=True), key=lambda row: row[0].name)
    files, labels = [file for file, _ in rows], [label_of[word] for _, word in rows]
    return make_listing(classes, files, labels, found.ignored)


def as_label(text: str) -> Label:
    """A label as text: a whole number where it is one that a column can hold."""
    word = text.strip()
    return int(word) if word.isascii() and word.isdigit() and len(word) <= LABEL_DIGITS else word


def _words(found: LabelledRows, dataset: LabelledDataset) -> list[str]:
    """The word that each label is; a number stands for the name in its place."""
    names = dataset.class_names or found.names
    words = []
    for file, label in zip(found.files, found.labels, strict=True):
        if isinstance(label, int) and (names is None or not 0 <= label < len(names)):
            known = "nothing says what numbers mean" if names is None else f"there are {len(names)} names"
            problem = f"the label {label} has no name ({known})."
            raise DatasetError(problem, file.name, "Name the classes in label order: dataset.class_names.")
        words.append(names[label] if isinstance(label, int) and names is not None else str(label))
    return words


def _own_classes(words: Sequence[str], found: LabelledRows, dataset: LabelledDataset) -> ClassList:
    named = dataset.class_names or (found.names if all(isinstance(label, int) for label in found.labels) else None)
    if named is not None and len(set(named)) != len(named):
        raise DatasetError("two classes have one name.", dataset.path, "Tell them apart in dataset.class_names.")
    return ClassList(named or tuple(sorted(set(words))))


def _label_ids(words: Mapping[str, int], classes: ClassList, dataset: LabelledDataset) -> Mapping[str, int]:
    exact = {name: label for label, name in enumerate(classes.names)}
    if len(exact) == len(classes) and words.keys() <= exact.keys():
        return exact
    return match_labels(sorted(words), classes, dataset.path)


def _refuse_equal_ids(files: Sequence[InputFile], place: str) -> None:
    name, count = Counter(file.name for file in files).most_common(1)[0]
    if count > 1:
        raise DatasetError(f"{count} images are called {name!r}.", place, "Give each its own name.")
