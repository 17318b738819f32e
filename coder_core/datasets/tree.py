"""The folder of a data set, and the lists that its publisher put into it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from coder_core.classes import ClassList
from coder_core.errors import DatasetError
from coder_core.images.published_splits import PublishedSplit
from coder_core.limits import limit
from coder_core.loops import each
from coder_core.storage.addresses import redact
from coder_core.storage.input_files import input_exists, read_input

MAX_LIST_BYTES = limit("CODER_MAX_MANIFEST_BYTES", 2**30)
"""Of one list; that of Places365's training images has 68 MB, a batch of CIFAR-100 150."""


class ListedImages(NamedTuple):
    """Images that lists name.

    Args:
        folder: The folder that their paths start from.
        published: Classes, and the lists by part.
    """

    folder: str
    published: PublishedSplit


class ClassFolders(NamedTuple):
    """Images in one folder per class.

    Args:
        folder: The folder of the class folders.
        classes: In label order; folders are found by name or by stable id.
        others: Whether folders that are no class belong to the data set, such as a background class.
    """

    folder: str
    classes: ClassList
    others: bool = False


class Tree(NamedTuple):
    """A data set's folder on a disk or in a bucket.

    Args:
        root: Path or URL, without a slash at its end.
    """

    root: str

    def at(self, name: str) -> str:
        """Where something in it is."""
        return f"{self.root}/{name}" if name else self.root

    def has(self, name: str) -> bool:
        """Whether there is such a file or folder."""
        return input_exists(self.at(name))

    def find(self, name: str) -> str | None:
        """Where a list is: in the folder or in the one around it, as unpacking leaves it; None where it is nowhere."""
        around = Tree(self.root.rpartition("/")[0] or self.root)
        return next((tree.at(name) for tree in (self, around) if tree.has(name)), None)

    def read(self, name: str) -> bytes:
        """Read a list.

        Raises:
            DatasetError: It is nowhere.
        """
        place = self.find(name)
        if place is None:
            remedy = "The archive is half extracted, or this part was not fetched: unpack it again."
            raise DatasetError(f"the list {name} is not there.", redact(self.root), remedy)
        return read_input(place, max_bytes=MAX_LIST_BYTES)

    def lines(self, name: str) -> Iterator[tuple[str, str]]:
        """The lines of a list that are not blank, each with its place for errors.

        Raises:
            DatasetError: It is nowhere, or no UTF-8.
        """
        place = f"{redact(self.root)}/{name}"
        try:
            text = self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DatasetError(f"this is no UTF-8 ({error}).", place, "Unpack the archive again.") from error
        for number, line in enumerate(each(text.splitlines(), every=1000), start=1):
            if line.strip():
                yield line.strip(), f"{place}, line {number}"


def label_of(word: str, labels: Mapping[str, int], place: str) -> int:
    """The label id of a word in a list.

    Raises:
        DatasetError: It is no class.
    """
    if word not in labels:
        problem = f"{word!r:.80} is none of the {len(labels)} classes."
        raise DatasetError(problem, place, "Unpack the archive again: this list is another data set's, or was edited.")
    return labels[word]


def fields_of(line: str, count: int, place: str) -> Sequence[str]:
    """The words of a line with blanks between them; the last one may hold some itself.

    Raises:
        DatasetError: There are fewer.
    """
    words = line.split(maxsplit=count - 1)
    if len(words) != count:
        raise DatasetError(f"expected {count} words, found {line!r:.80}.", place, "Unpack the archive again.")
    return words


def number_of(word: str, highest: int, place: str) -> int:
    """A number from 1 on that a list counts classes with, as a label id from 0 on.

    Raises:
        DatasetError: It is none, or there are fewer classes.
    """
    if not (word.isascii() and word.isdecimal() and len(word) < 10 and 1 <= int(word) <= highest):
        raise DatasetError(f"{word!r:.80} is no class number from 1 to {highest}.", place, "Unpack the archive again.")
    return int(word) - 1
