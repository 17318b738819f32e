"""What of the known data sets is on this machine, and whether it is whole."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from coder_core.datasets.catalogue import CATALOGUE, DatasetEntry
from coder_core.datasets.named_source import FEW_SHOT_PARTS, default_lists, open_named
from coder_core.datasets.places import locate
from coder_core.datasets.tree import Tree
from coder_core.errors import CoderError
from coder_core.specs import NamedDataset, PublishedName
from coder_core.storage.addresses import redact

__all__ = ["DatasetStatus", "look_at_datasets"]

State = Literal["absent", "present", "incomplete"]


@dataclass(frozen=True)
class DatasetStatus:
    """One data set.

    Attributes:
        name: Of the data set.
        title: As its publishers call it.
        state: Whether it is there, and whether every part that is measured on by default is whole.
        place: Its folder; None where it is not there.
        images: Images by part: those that are there; of an absent one those that its publisher states.
        problems: Why a part cannot be read, by part.
        gigabytes: Of the download; 0 where it cannot be downloaded.
        by_hand: What to do where it cannot, or not all of it.
        terms: Licence, in one line.
        page: Where it is described.
    """

    name: PublishedName
    title: str
    state: State
    place: str | None
    images: Mapping[str, int]
    problems: Mapping[str, str]
    gigabytes: float
    by_hand: str
    terms: str
    page: str


def look_at_datasets(names: Iterable[PublishedName] | None = None, root: str | None = None) -> Iterator[DatasetStatus]:
    """Look at data sets one by one; the folders of those that are there are listed whole.

    Args:
        names: Which; all by default.
        root: As for `data_root`.
    """
    for name in names or CATALOGUE:
        yield _look_at(name, CATALOGUE[name], locate(name, root))


def _look_at(name: PublishedName, entry: DatasetEntry, tree: Tree | None) -> DatasetStatus:
    images: dict[str, int] = {} if tree else dict(entry.images)
    problems: dict[str, str] = {}
    for part, settings in _parts(entry, tree) if tree else ():
        dataset = NamedDataset.model_validate({"kind": "named", "name": name, "root": tree and tree.root, **settings})
        try:
            images[part] = open_named(dataset).image_count
        except CoderError as error:
            is_elsewhere = tree is None or error.place != redact(tree.root)
            problems[part] = f"{error.place}: {error.problem}" if is_elsewhere else error.problem
    state: State = "absent"
    if tree is not None:
        state = "present" if images and not _is_lacking(entry, problems) else "incomplete"
    return DatasetStatus(
        name=name,
        title=entry.title,
        state=state,
        place=redact(tree.root) if tree else None,
        images=images,
        problems=problems,
        gigabytes=entry.gigabytes,
        by_hand=entry.by_hand,
        terms=entry.terms,
        page=entry.page,
    )


def _parts(entry: DatasetEntry, tree: Tree) -> Iterator[tuple[str, dict[str, str]]]:
    """What to count: the publisher's parts, and those of the few-shot lists where they are there."""
    for part in entry.images:
        yield part, {"split": part}
    if entry.few_shot is not None and tree.find(entry.few_shot.file) is not None:
        for part in FEW_SHOT_PARTS:
            yield f"few-shot {part}", {"split": part, "lists": "few_shot"}


def _is_lacking(entry: DatasetEntry, problems: Mapping[str, str]) -> bool:
    """Whether the part that the field measures on is not whole; a missing training archive is no fault of it."""
    measured = entry.split if default_lists(entry, entry.split) == "published" else "all"
    return measured in problems or any(part.startswith("few-shot") for part in problems)
