"""A data set by name becomes images: files like those of any folder or split, or pictures in arrays."""

from collections.abc import Sequence

from coder_core.counted import counted
from coder_core.datasets.catalogue import CATALOGUE, DatasetEntry
from coder_core.datasets.cifar import CIFAR, CifarSource
from coder_core.datasets.places import require
from coder_core.datasets.tree import ClassFolders, ListedImages, Tree
from coder_core.errors import DatasetError
from coder_core.images.listing import FolderListing, list_folder
from coder_core.images.published_splits import parse_published_split
from coder_core.images.sources import FilesSource, ImageSource, register_source
from coder_core.images.split_listing import list_parts
from coder_core.specs import FolderDataset, NamedDataset
from coder_core.storage.addresses import redact

__all__ = ["default_lists", "learning_part", "open_named"]

FEW_SHOT_PARTS = ("train", "val", "test")


@register_source("named")
def open_named(dataset: NamedDataset, _settle_seconds: float = 0.0) -> ImageSource:
    """Open a data set by its name.

    Raises:
        DatasetError: It is not there, half extracted, or has no such part; says what to do.
    """
    entry, tree = CATALOGUE[dataset.name], require(dataset)
    split = dataset.split or entry.split
    lists = dataset.lists or default_lists(entry, split)
    parts = _parts(entry, split, lists)
    called = dataset.name if split == entry.split else f"{dataset.name}-{split}"
    if dataset.name in CIFAR:
        source: ImageSource = CifarSource(tree, CIFAR[dataset.name], parts, called)
    else:
        source = FilesSource(_list_images(entry, tree, parts, lists, is_partial=dataset.partial), called)
    if not dataset.partial:
        _require_whole(entry, source, tree, parts, lists)
    return source


def default_lists(entry: DatasetEntry, split: str) -> str:
    """Whose lists say what is in a part: the publisher's where there are some."""
    return "published" if split == "all" or entry.parts else "few_shot"


def learning_part(entry: DatasetEntry) -> str | None:
    """The part that few-shot methods may learn from; None where there is none beside what is measured on."""
    lists = default_lists(entry, entry.split)
    return "train" if lists == "few_shot" or "train" in entry.images else None


def _parts(entry: DatasetEntry, split: str, lists: str) -> tuple[str, ...]:
    """The lists that a part is made of: `trainval` of those that the field does not measure on.

    Raises:
        DatasetError: There is no such part.
    """
    if lists == "few_shot" and entry.few_shot is None:
        remedy = "Leave `lists` out: the few-shot literature takes the publisher's."
        raise DatasetError(f"{entry.title} has no file of few-shot lists of its own.", "dataset.lists", remedy)
    known = FEW_SHOT_PARTS if lists == "few_shot" else tuple(entry.images)
    measured = "test" if lists == "few_shot" else entry.split
    learnt = tuple(part for part in ("train", "val") if part in known and part != measured)
    parts = learnt if split == "trainval" else (split,)
    if not parts or not set(parts) <= set(known):
        problem = f"{entry.title} has no part {split!r} ({lists} lists)."
        raise DatasetError(problem, "dataset.split", f"There are: {', '.join(known)}.")
    return parts


def _list_images(
    entry: DatasetEntry, tree: Tree, parts: Sequence[str], lists: str, *, is_partial: bool
) -> FolderListing:
    if lists == "few_shot":
        found: ClassFolders | ListedImages = _few_shot_lists(entry, tree)
    else:
        read = entry.read_all if parts == ("all",) else entry.read
        assert read is not None  # noqa: S101 - `_parts` has refused what is not there
        found = read(tree, parts[0])
    if isinstance(found, ListedImages):
        return list_parts(found.published, parts, found.folder, place=redact(tree.root), is_partial=is_partial)
    folder = FolderDataset(kind="folder", path=found.folder, ignore_other_folders=found.others)
    return list_folder(folder, found.classes)


def _few_shot_lists(entry: DatasetEntry, tree: Tree) -> ListedImages:
    assert entry.few_shot is not None  # noqa: S101 - `_parts` has refused its absence
    file = entry.few_shot.file
    place = tree.find(file)
    if place is None:
        whole = " Or take all images: dataset.split: all." if "all" in entry.images else ""
        remedy = f"Put it there: CoOp's DATASETS.md (github.com/KaiyangZhou/CoOp) links it.{whole}"
        raise DatasetError(f"the few-shot lists {file} are not there.", redact(tree.root), remedy)
    return ListedImages(tree.at(entry.few_shot.images), parse_published_split(tree.read(file), place=redact(place)))


def _require_whole(entry: DatasetEntry, source: ImageSource, tree: Tree, parts: Sequence[str], lists: str) -> None:
    """Refuse fewer images or other classes than its publisher states: a half-extracted archive, or edited lists."""
    remedy = "Unpack the archive again; or take what is there: `partial: true` beside its name."
    stated = sum(entry.images[part] for part in parts) if lists == "published" else 0
    if source.image_count < stated:
        problem = f"it is not whole: {source.image_count} of {stated} images of {'+'.join(parts)}."
        raise DatasetError(problem, redact(tree.root), remedy)
    if len(source.classes) != entry.classes:
        problem = f"it has {counted(len(source.classes), 'class')}, {entry.title} has {entry.classes}."
        raise DatasetError(problem, redact(tree.root), remedy)
