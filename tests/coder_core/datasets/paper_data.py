"""All data sets that configs/paper names, tiny and in their true layouts, with banks of texts: a root for sweeps."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from coder_core.datasets.catalogue import CATALOGUE
from coder_core.specs import PublishedName
from tests.coder_core.datasets.expected import EXPECTED
from tests.coder_core.datasets.trees import TREES, put
from tests.fixtures_inputs import write_bank, write_image_class

COOP: Mapping[PublishedName, tuple[str, str, str]] = {
    "caltech101": ("caltech-101", "101_ObjectCategories", "airplanes/image_0001.jpg"),
    "dtd": ("dtd", "images", "banded/banded_0002.jpg"),
    "eurosat": ("eurosat", "2750", "AnnualCrop/AnnualCrop_1.jpg"),
    "flowers102": ("oxford_flowers", "jpg", "image_00001.jpg"),
    "food101": ("food-101", "images", "apple_pie/1005649.jpg"),
    "oxford_pets": ("oxford_pets", "images", "Abyssinian_1.jpg"),
    "stanford_cars": ("stanford_cars", "", "cars_test/00001.jpg"),
    "sun397": ("sun397", "SUN397", "a/abbey/sun_aaalbzqrimafwbiv.jpg"),
    "ucf101": ("ucf101", "UCF-101-midframes", "Apply_Eye_Makeup/v_ApplyEyeMakeup_g01_c01.jpg"),
}
"""Where CoOp's instructions put a data set, where the paths of its few-shot lists start, and one of them."""
BESIDE = ("labels/x", "meta/x", "annotations/x", "devkit/x", "imagelabels.mat")
"""What lies in the folders of some of them, too."""


class _Named(NamedTuple):
    """How a data set's images are called: three of its classes, and the path of an image of one."""

    classes: Mapping[str, str]
    path: str


IMAGES: Mapping[PublishedName, _Named] = {
    "caltech101": _Named(
        {"airplanes": "airplane", "Leopards": "leopard", "Faces": "face"}, "{folder}/image_{number:04d}.jpg"
    ),
    "dtd": _Named(
        {"banded": "banded", "polka-dotted": "polka-dotted", "woven": "woven"}, "{folder}/{folder}_{number:04d}.jpg"
    ),
    "eurosat": _Named(
        {"AnnualCrop": "annual crop land", "River": "river", "Forest": "forest"}, "{folder}/{folder}_{number}.jpg"
    ),
    "flowers102": _Named(
        {"a": "passion flower", "b": "sunflower", "c": "blackberry lily"}, "image_{serial:05d}.jpg"
    ),
    "food101": _Named(
        {"apple_pie": "apple pie", "sushi": "sushi", "waffles": "waffles"}, "{folder}/10{serial:05d}.jpg"
    ),
    "oxford_pets": _Named(
        {"Abyssinian": "abyssinian", "Bengal": "bengal", "pug": "pug"}, "{folder}_{number}.jpg"
    ),
    "stanford_cars": _Named(
        {"a": "2000 AM General Hummer SUV", "b": "2012 Ram C/V Cargo Van Minivan", "c": "2012 Audi A5 Coupe"},
        "cars_{part}/{serial:05d}.jpg",
    ),
    "sun397": _Named(
        {"abbey": "abbey", "airfield": "airfield", "alley": "alley"}, "a/{folder}/sun_a{serial}.jpg"
    ),
    "ucf101": _Named(
        {"ApplyEyeMakeup": "Apply Eye Makeup", "Archery": "Archery", "Surfing": "Surfing"},
        "{folder}/v_{folder}_g01_c{number:02d}.jpg",
    ),
}  # fmt: skip
PARTS = {"train": 3, "val": 1, "test": 2}
"""Images of each class: fewer to learn from than most shots of configs/paper/few-shot.yaml ask for."""
FOLDERS = {"imagenet": ("tench", "crane bird", "maillot"), "places365": ("airfield", "wind farm", "alley")}
"""Those that configs/paper takes as class folders."""
LISTED = {"fgvc_aircraft": "fgvc_aircraft", "cub200": "cub200"}
CONFIG_NAMES = {"flowers102": "oxford_flowers"}
"""What configs/paper calls a data set otherwise than the catalogue."""


def write_paper_data(root: Path) -> None:
    """Write all of them, and `texts/NAME.yaml` of each."""
    for name in COOP:
        _write_few_shot(root, name)
    for name in LISTED:
        TREES[name](root)
        _write_texts(root, name, list(dict.fromkeys(EXPECTED[name][1].values())))
    for name, classes in FOLDERS.items():
        for called in classes:
            write_image_class(root / name / "val", called, PARTS["test"])
        _write_texts(root, name, classes)


def _write_few_shot(root: Path, name: PublishedName) -> None:
    folder, images, _ = COOP[name]
    few_shot = CATALOGUE[name].few_shot
    assert few_shot is not None
    for other in BESIDE:
        put(root / folder / other, "x")
    lists = {part: _items(IMAGES[name], part) for part in PARTS}
    for path, *_ in (item for items in lists.values() for item in items):
        put(root / folder / images / str(path))
    put(root / folder / few_shot.file, json.dumps(lists))
    _write_texts(root, CONFIG_NAMES.get(name, name), list(IMAGES[name].classes.values()))


def _items(named: _Named, part: str) -> list[tuple[str, int, str]]:
    """The list of a part as CoOp writes it: path, label, name; numbers go on from part to part."""
    first = 1 + sum(count for other, count in PARTS.items() if list(PARTS).index(other) < list(PARTS).index(part))
    where = "test" if part == "test" else "train"
    return [
        (named.path.format(folder=folder, number=number, serial=100 * label + number, part=where), label, called)
        for label, (folder, called) in enumerate(named.classes.items())
        for number in range(first, first + PARTS[part])
    ]


def _write_texts(root: Path, name: str, classes: Sequence[str]) -> None:
    (root / "texts").mkdir(parents=True, exist_ok=True)
    pairs = [(classes[0], classes[1]), (classes[1], classes[0])]
    write_bank(root / "texts" / f"{name}.yaml", classes, pairs)
