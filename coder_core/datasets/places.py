"""Where data sets lie on this machine."""

import os
from collections.abc import Iterator
from pathlib import Path

from coder_core.datasets.catalogue import CATALOGUE, DatasetEntry
from coder_core.datasets.tree import Tree
from coder_core.errors import DatasetError
from coder_core.specs import NamedDataset, PublishedName
from coder_core.storage.addresses import redact

DATA_ROOT_VARIABLE = "CODER_DATA_ROOT"


def data_root(given: str | None = None) -> str:
    """The folder that data sets lie in: the one given, CODER_DATA_ROOT, or a folder of the user's cache.

    Args:
        given: A path or URL.
    """
    named = given or os.environ.get(DATA_ROOT_VARIABLE)
    if named:
        return named if "://" in named else str(Path(named).expanduser().absolute())
    cache = os.environ.get("XDG_CACHE_HOME")
    return str((Path(cache) if cache else Path.home() / ".cache") / "coder-eval" / "data")


def locate(name: PublishedName, root: str | None = None) -> Tree | None:
    """The folder of a data set; None where it is not there.

    Args:
        name: Of the data set.
        root: As for `data_root`; also the data set's own folder.
    """
    entry = CATALOGUE[name]
    return next((tree for tree in _candidates(entry, data_root(root).rstrip("/")) if _is_there(entry, tree)), None)


def meant_by(word: str, path: str | Path, root: str | None = None) -> PublishedName | None:
    """The published data set that a word means where a path could stand; None where it means the path.

    Args:
        word: As it was typed, hyphens for `_` and capitals too; `./dtd` is a path in any case.
        path: What it is as a path: where such a folder is here, and the data set is not, the folder is meant.
        root: As for `data_root`.
    """
    typed = word.lower().replace("-", "_")
    name = next((name for name in CATALOGUE if name == typed), None)
    return name if name and (not Path(path).exists() or locate(name, root)) else None


def require(dataset: NamedDataset) -> Tree:
    """The folder of a data set.

    Raises:
        DatasetError: It is not there; says how it gets there.
    """
    found = locate(dataset.name, dataset.root)
    if found is not None:
        return found
    entry, root = CATALOGUE[dataset.name], data_root(dataset.root)
    remedy = f"Get it: coder-eval data get {dataset.name}." if entry.gigabytes else f"By hand: {entry.by_hand}."
    problem = f"{entry.title} is not there: no {entry.folders[0]} that holds {_marks(entry)}."
    raise DatasetError(problem, redact(root), f"{remedy} Or name its folder in dataset.root.")


def folders_of(settings: object) -> Iterator[str]:
    """The local folders of the data sets that settings name by name alone.

    Args:
        settings: Of an evaluation, as JSON.
    """
    if isinstance(settings, dict):
        if settings.get("kind") == "named" and settings.get("name") in CATALOGUE:
            found = locate(settings["name"], settings.get("root"))
            yield from [found.root] if found else []
        for below in settings.values():
            yield from folders_of(below)
    elif isinstance(settings, list):
        for below in settings:
            yield from folders_of(below)


def _candidates(entry: DatasetEntry, root: str) -> Iterator[Tree]:
    """Below a data root as publishers and others lay it out; and the folder itself, or a part of the way to it."""
    for folder in entry.folders:
        yield Tree(f"{root}/{folder}")
    for folder in entry.folders:
        if "/" in folder:
            yield Tree(f"{root}/{folder.partition('/')[2]}")
    called = {folder.rpartition("/")[2] for folder in entry.folders}
    if entry.marks or entry.one_of or root.rpartition("/")[2] in called:
        yield Tree(root)


def _is_there(entry: DatasetEntry, tree: Tree) -> bool:
    if not (entry.marks or entry.one_of):
        return tree.has("")
    is_one_there = not entry.one_of or any(tree.has(mark) for mark in entry.one_of)
    return is_one_there and all(tree.has(mark) for mark in entry.marks)


def _marks(entry: DatasetEntry) -> str:
    one_of = f"one of {', '.join(entry.one_of)}" if entry.one_of else ""
    return " and ".join(entry.marks) or one_of or "its class folders"
