"""Data sets that are one folder per class, as their publishers lay them out."""

from collections.abc import Callable, Mapping

from coder_core.classes import ClassList, display_name
from coder_core.datasets.listed_images import DEVKIT_META, read_unsorted_imagenet
from coder_core.datasets.tree import ClassFolders, ListedImages, Tree
from coder_core.encoders.imagenet_names import names_by_wordnet_id
from coder_core.errors import DatasetError
from coder_core.storage.addresses import redact
from coder_core.storage.input_walk import list_subfolders

EUROSAT_NAMES = {
    "AnnualCrop": "annual crop land",
    "Forest": "forest",
    "HerbaceousVegetation": "brushland or shrubland",
    "Highway": "highway or road",
    "Industrial": "industrial buildings or commercial buildings",
    "Pasture": "pasture land",
    "PermanentCrop": "permanent crop land",
    "Residential": "residential buildings or homes or apartments",
    "River": "river",
    "SeaLake": "lake or sea",
}
"""EuroSAT's folders, and what CLIP calls them (Radford et al., 2021, prompts of the released evaluation)."""

CALTECH_NAMES = {"Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike", "airplanes": "airplane"}
"""Folders that the few-shot literature calls otherwise; `Faces_easy` shows the same faces cut out, and is left out."""

NO_CLASSES = frozenset({"BACKGROUND_Google", "Faces_easy"})


def read_caltech101(tree: Tree, _split: str) -> ClassFolders:
    """101_ObjectCategories: 100 classes; the background is none, and `Faces_easy` is `Faces` once more."""
    folders = [name for name in _folders(tree, "101_ObjectCategories") if name not in NO_CLASSES]
    names = tuple(CALTECH_NAMES.get(folder, display_name(folder)) for folder in folders)
    return ClassFolders(tree.at("101_ObjectCategories"), ClassList(names, tuple(folders)), others=True)


def read_eurosat(tree: Tree, _split: str) -> ClassFolders:
    """2750/AnnualCrop/AnnualCrop_1.jpg."""
    return ClassFolders(tree.at("2750"), ClassList(tuple(EUROSAT_NAMES.values()), tuple(EUROSAT_NAMES)))


def read_resisc45(tree: Tree, _split: str) -> ClassFolders:
    """NWPU-RESISC45/airplane/airplane_001.jpg."""
    folders = _folders(tree, "NWPU-RESISC45")
    return ClassFolders(
        tree.at("NWPU-RESISC45"), ClassList(tuple(display_name(name) for name in folders), tuple(folders))
    )


def read_imagenet(tree: Tree, split: str) -> ClassFolders | ListedImages:
    """val/n01440764/ILSVRC2012_val_00000293.JPEG, 1,000 classes in the order of their WordNet ids.

    Validation images as their archive unpacks, in one folder, are read with the devkit beside them.

    Raises:
        DatasetError: They lie in one folder, and there is no devkit.
    """
    folder = next((name for name in (split, f"images/{split}") if tree.has(name)), split)
    if _folders(tree, folder):
        return ClassFolders(tree.at(folder), _imagenet_classes())
    if split == "val" and tree.find(DEVKIT_META):
        return read_unsorted_imagenet(tree, folder, _imagenet_classes())
    remedy = (
        "Sort the images into folders called by their WordNet ids, as PyTorch's and CoOp's instructions do; or unpack "
        "ILSVRC2012_devkit_t12.tar.gz beside `val`."
    )
    raise DatasetError("its images lie in no class folder.", redact(tree.at(folder)), remedy)


def read_imagenet_v2(tree: Tree, _split: str) -> ClassFolders:
    """0/..., 1/..., 999/...: folders are label numbers, and sorting them as text would mix the classes up."""
    classes = _imagenet_classes()
    return ClassFolders(tree.root, ClassList(classes.names, tuple(map(str, range(len(classes))))))


def read_imagenet_part(folder: str = "") -> Callable[[Tree, str], ClassFolders]:
    """Class folders called by WordNet ids, of which some are there: those are the classes (ImageNet-A and -R: 200).

    Args:
        folder: Where they lie; the data set's own folder by default.

    Returns:
        A reader, which raises DatasetError where no folder is a class of ImageNet.
    """

    def read(tree: Tree, _split: str) -> ClassFolders:
        known = names_by_wordnet_id()
        found = [name for name in _folders(tree, folder) if name in known]
        if not found:
            remedy = "Folders are called by WordNet ids, such as n01440764."
            raise DatasetError("no folder is a class of ImageNet.", redact(tree.at(folder)), remedy)
        return ClassFolders(tree.at(folder), _classes_of({name: known[name] for name in found}))

    return read


def read_imagenet_sketch(tree: Tree, split: str) -> ClassFolders:
    """sketch/n01440764/... as the archive has it, or images/n01440764/... as CoOp lays it out."""
    folder = next((name for name in ("sketch", "images") if tree.has(name)), "")
    return read_imagenet_part(folder)(tree, split)


def _imagenet_classes() -> ClassList:
    return _classes_of(names_by_wordnet_id())


def _classes_of(names: Mapping[str, str]) -> ClassList:
    ids = sorted(names)  # label order
    return ClassList(tuple(names[wordnet_id] for wordnet_id in ids), tuple(ids))


def _folders(tree: Tree, folder: str) -> list[str]:
    return list_subfolders(tree.at(folder))
