"""Data sets whose publishers say in lists which image is what, and in which part."""

import json
import re
from collections.abc import Iterable, Mapping

from coder_core.classes import ClassList, display_name
from coder_core.datasets.matlab_files import read_numbers, read_records, read_words
from coder_core.datasets.tree import ListedImages, Tree, fields_of, label_of, number_of
from coder_core.errors import DatasetError
from coder_core.images.published_splits import PublishedSplit, SplitItem
from coder_core.storage.addresses import redact

DEVKIT_META = "ILSVRC2012_devkit_t12/data/meta.mat"
DEVKIT_TRUTH = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
Items = Iterable[SplitItem]
_CAMEL_WORD = re.compile(r"[A-Z][^A-Z]*")


def read_dtd(tree: Tree, _split: str) -> ListedImages:
    """labels/test1.txt: `banded/banded_0002.jpg`; the first of ten partitions is the one that is published with."""
    lists = {part: list(tree.lines(f"labels/{part}1.txt")) for part in ("train", "val", "test")}
    folders = sorted({line.partition("/")[0] for lines in lists.values() for line, _ in lines})
    labels = _labels(folders)
    items = {
        part: [SplitItem(line, label_of(line.partition("/")[0], labels, place)) for line, place in lines]
        for part, lines in lists.items()
    }
    return _listed(tree.at("images"), [display_name(folder) for folder in folders], items)


def read_fgvc_aircraft(tree: Tree, _split: str) -> ListedImages:
    """images_variant_test.txt: `1514522 707-320`; 100 variants, which 70 families and 41 manufacturers are not."""
    variants = [line for line, _ in tree.lines("variants.txt")]
    labels, items = _labels(variants), {}
    for part in ("train", "val", "test"):
        rows = [(fields_of(line, 2, place), place) for line, place in tree.lines(f"images_variant_{part}.txt")]
        items[part] = [SplitItem(f"{image}.jpg", label_of(name, labels, place)) for (image, name), place in rows]
    return _listed(tree.at("images"), variants, items)


def read_flowers102(tree: Tree, _split: str) -> ListedImages:
    """imagelabels.mat has a label from 1 on for every image, setid.mat the numbers of the images of each part."""
    from torchvision.datasets import Flowers102

    names = [name.rstrip("?") for name in Flowers102.classes]  # one of them asks whether it is right
    labels = read_numbers(tree, "imagelabels.mat", "labels")
    items = {}
    for part, variable in (("train", "trnid"), ("val", "valid"), ("test", "tstid")):
        numbers = read_numbers(tree, "setid.mat", variable)
        place = f"{redact(tree.root)}/setid.mat, {variable}"
        items[part] = [
            SplitItem(f"image_{number:05d}.jpg", _label_at(labels, number, len(names), place)) for number in numbers
        ]
    return _listed(tree.at("jpg"), names, items)


def read_food101(tree: Tree, _split: str) -> ListedImages:
    """meta/test.json: `{"apple_pie": ["apple_pie/1011328", ...]}`."""
    lists = {part: _json_lists(tree, f"meta/{part}.json") for part in ("train", "test")}
    folders = sorted({folder for found in lists.values() for folder in found})
    labels = _labels(folders)
    items = {
        part: [SplitItem(f"{image}.jpg", labels[folder]) for folder, images in found.items() for image in images]
        for part, found in lists.items()
    }
    return _listed(tree.at("images"), [display_name(folder) for folder in folders], items)


def read_oxford_pets(tree: Tree, _split: str) -> ListedImages:
    """annotations/test.txt: `Abyssinian_201 1 1 1`: a class number from 1 on; names follow from the images' names."""
    items: dict[str, list[SplitItem]] = {}
    names: dict[int, str] = {}
    for part, name in (("train", "trainval"), ("test", "test")):
        items[part] = []
        for line, place in tree.lines(f"annotations/{name}.txt"):
            if line.startswith("#"):
                continue
            image, number, *_ = fields_of(line, 4, place)
            label = number_of(number, 37, place)
            called = display_name(image.rpartition("_")[0])
            if names.setdefault(label, called) != called:
                problem = f"class {number} is {names[label]!r} and {called!r}."
                raise DatasetError(problem, place, "Unpack the archive again.")
            items[part].append(SplitItem(f"{image}.jpg", label))
    missing = [label + 1 for label in range(len(names)) if label not in names]
    if missing:
        raise DatasetError(f"no image has class {missing[0]}.", redact(tree.root), "Unpack annotations again.")
    return _listed(tree.at("images"), [names[label] for label in range(len(names))], items)


def read_stanford_cars(tree: Tree, _split: str) -> ListedImages:
    """devkit/cars_meta.mat has the names; labels of the test stand in a file of their own, added later."""
    names = read_words(tree, "devkit/cars_meta.mat", "class_names")
    items = {}
    for part, file in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        place = f"{redact(tree.root)}/{file}"
        items[part] = [
            _car(row, f"cars_{part}", len(names), f"{place}, record {number}")
            for number, row in enumerate(read_records(tree, file, "annotations"), start=1)
        ]
    return _listed(tree.root, names, items)


def read_sun397(tree: Tree, _split: str) -> ListedImages:
    """Testing_01.txt: `/a/abbey/sun_aaalbzqrimafwbiv.jpg`; `/a/apse/indoor` is called `indoor apse`."""
    folders = [line.removeprefix("/") for line, _ in tree.lines("ClassName.txt")]
    labels = _labels(folders)
    items = {}
    for part, name in (("train", "Training_01.txt"), ("test", "Testing_01.txt")):
        rows = [(line.removeprefix("/"), place) for line, place in tree.lines(name)]
        items[part] = [SplitItem(path, label_of(path.rpartition("/")[0], labels, place)) for path, place in rows]
    names = [display_name(" ".join(reversed(folder.split("/")[1:]))) for folder in folders]
    return _listed(tree.root, names, items)


def read_ucf101(tree: Tree, _split: str) -> ListedImages:
    """ucfTrainTestlist/testlist01.txt: `ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi`; the middle frame of each film.

    Frames lie as CoOp has them: UCF-101-midframes/Apply_Eye_Makeup/v_ApplyEyeMakeup_g01_c01.jpg.
    """
    actions = [fields_of(line, 2, place)[1] for line, place in tree.lines("ucfTrainTestlist/classInd.txt")]
    labels = _labels(actions)
    items: dict[str, list[SplitItem]] = {"train": [], "test": []}
    for part in items:
        for line, place in tree.lines(f"ucfTrainTestlist/{part}list01.txt"):
            action, _, film = line.split()[0].partition("/")
            frame = f"{_apart(action, '_')}/{film.removesuffix('.avi')}.jpg"
            items[part].append(SplitItem(frame, label_of(action, labels, place)))
    return _listed(tree.at("UCF-101-midframes"), [_apart(action, " ") for action in actions], items)


def read_cub200(tree: Tree, _split: str) -> ListedImages:
    """images.txt, image_class_labels.txt and train_test_split.txt share the number of an image; 1 is training."""
    numbered = [fields_of(line, 2, place)[1] for line, place in tree.lines("classes.txt")]
    names = [display_name(name.partition(".")[2] or name) for name in numbered]
    path_of = _by_image(tree, "images.txt")
    is_train = _by_image(tree, "train_test_split.txt")
    items: dict[str, list[SplitItem]] = {"train": [], "test": []}
    for line, place in tree.lines("image_class_labels.txt"):
        image, number = fields_of(line, 2, place)
        if image not in path_of or is_train.get(image) not in {"0", "1"}:
            raise DatasetError(f"image {image!r:.40} has no path, or no part.", place, "Unpack the archive again.")
        part = "train" if is_train[image] == "1" else "test"
        items[part].append(SplitItem(path_of[image], number_of(number, len(names), place)))
    return _listed(tree.at("images"), names, items)


def read_places365(tree: Tree, split: str) -> ListedImages:
    """places365_val.txt: `Places365_val_00000001.jpg 165`; training images lie in folders of their category."""
    categories = [fields_of(line, 2, place)[0] for line, place in tree.lines("categories_places365.txt")]
    names = [display_name(" ".join(category.split("/")[2:])) for category in categories]
    name, folders = {
        "train": ("places365_train_standard.txt", ("data_256_standard", "data_large_standard", "data_256")),
        "val": ("places365_val.txt", ("val_256", "val_large")),
    }[split]
    items = []
    for line, place in tree.lines(name):
        path, number = fields_of(line, 2, place)
        items.append(SplitItem(path.removeprefix("/"), _label_from_zero(number, len(names), place)))
    folder = next((folder for folder in folders if tree.has(folder)), folders[0])
    return _listed(tree.at(folder), names, {split: items})


def read_unsorted_imagenet(tree: Tree, folder: str, classes: ClassList) -> ListedImages:
    """The devkit numbers classes in an order of its own; its ground truth has a number for each image, in order.

    Args:
        tree: The data set's folder.
        folder: Where the images are, ILSVRC2012_val_00000001.JPEG and so on.
        classes: In label order, with WordNet ids.
    """
    labels = _labels(classes.stable_ids or ())
    label_of_number: dict[str, int] = {}
    for number, synset in enumerate(read_records(tree, DEVKIT_META, "synsets"), start=1):
        match synset:
            case {"ILSVRC2012_ID": [int() | float() as own], "WNID": str(word), "num_children": [0]}:
                label_of_number[f"{own:.0f}"] = label_of(word, labels, f"{DEVKIT_META}, synset {number}")
    truth = [
        SplitItem(f"ILSVRC2012_val_{number:08d}.JPEG", label_of(line, label_of_number, place))
        for number, (line, place) in enumerate(tree.lines(DEVKIT_TRUTH), start=1)
    ]
    return ListedImages(tree.at(folder), PublishedSplit(classes, {"val": tuple(truth)}))


def read_resisc45_lists(tree: Tree, _split: str) -> ListedImages:
    """resisc45-test.txt: `airplane_001.jpg`; the folder is the name without its number (Neumann et al., 2019)."""
    lists = {part: list(tree.lines(f"resisc45-{part}.txt")) for part in ("train", "val", "test")}
    folders = sorted({line.rpartition("_")[0] for lines in lists.values() for line, _ in lines})
    labels = _labels(folders)
    items = {
        part: [SplitItem(f"{line.rpartition('_')[0]}/{line}", labels[line.rpartition("_")[0]]) for line, _ in lines]
        for part, lines in lists.items()
    }
    return _listed(tree.at("NWPU-RESISC45"), [display_name(folder) for folder in folders], items)


def _car(record: Mapping[str, object], folder: str, count: int, place: str) -> SplitItem:
    match record:
        case {"fname": str(name), "class": [int() | float() as number]} if name:
            return SplitItem(f"{folder}/{name}", number_of(f"{number:.0f}", count, place))
        case _:
            raise DatasetError("it has no `fname` and `class`.", place, "Fetch the file with labels.")


def _by_image(tree: Tree, name: str) -> dict[str, str]:
    """What a list of CUB says of every image, by its number."""
    found = {}
    for line, place in tree.lines(name):
        image, word = fields_of(line, 2, place)
        found[image] = word
    return found


def _labels(words: Iterable[str]) -> Mapping[str, int]:
    return {word: label for label, word in enumerate(words)}


def _apart(action: str, blank: str) -> str:
    """`ApplyEyeMakeup` as words."""
    return blank.join(_CAMEL_WORD.findall(action))


def _label_at(labels: list[int], number: int, count: int, place: str) -> int:
    if not (1 <= number <= len(labels) and 1 <= labels[number - 1] <= count):
        raise DatasetError(f"image {number} has no label from 1 to {count}.", place, "Fetch the lists again.")
    return labels[number - 1] - 1


def _label_from_zero(word: str, count: int, place: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) < 10 and int(word) < count):
        raise DatasetError(f"{word!r:.80} is no class number from 0 to {count - 1}.", place, "Fetch the lists again.")
    return int(word)


def _json_lists(tree: Tree, name: str) -> dict[str, list[str]]:
    place = f"{redact(tree.root)}/{name}"
    try:
        found = json.loads(tree.read(name))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"this is no JSON ({error}).", place, "Unpack the archive again.") from error
    is_lists = isinstance(found, dict) and all(
        isinstance(images, list) and all(isinstance(image, str) for image in images) for images in found.values()
    )
    if not is_lists:
        raise DatasetError("this holds no lists of images by class.", place, "Unpack the archive again.")
    return dict(found)


def _listed(folder: str, names: Iterable[str], items: Mapping[str, Items]) -> ListedImages:
    """Put lists together; an image in two of them would be learnt from and tested."""
    found = {part: tuple(part_items) for part, part_items in items.items()}
    part_of: dict[str, str] = {}
    for part, part_items in found.items():
        for item in part_items:
            if part_of.setdefault(item.path, part) != part:
                problem = f"the image {item.path!r:.200} is in the lists {part_of[item.path]} and {part}."
                raise DatasetError(problem, redact(folder), "Unpack the archive again.")
            if ".." in item.path.split("/") or item.path.startswith("/"):
                problem = f"a list names {item.path!r:.200}, which leaves the folder."
                raise DatasetError(problem, redact(folder), "Unpack the archive again.")
    return ListedImages(folder, PublishedSplit(ClassList(tuple(names)), found))
