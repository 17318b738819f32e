"""Every data set that is known by name, read from a tiny tree in its true format, beside torchvision's own reader."""

import io
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torchvision.datasets as published
from PIL import Image

from coder_core.datasets.catalogue import CATALOGUE
from coder_core.datasets.places import locate
from coder_core.encoders.imagenet_names import names_by_wordnet_id
from coder_core.errors import DatasetError
from coder_core.images.decoding import decode_image
from coder_core.images.sources import ImageSource, open_source
from coder_core.specs import NamedDataset, PublishedName
from tests.coder_core.datasets import trees
from tests.coder_core.datasets.trees import TREES, lines, put


def open_named(name: str, root: Path, **settings: Any) -> ImageSource:
    return open_source(NamedDataset(kind="named", name=name, root=str(root), **{"partial": True, **settings}))


def labels_of(source: ImageSource) -> dict[str, int]:
    found: dict[str, int] = {}
    for batch in source.batches(3):
        assert batch.label_ids is not None
        found |= dict(zip(batch.image_ids, batch.label_ids.tolist(), strict=True))
    assert len(found) == source.image_count
    return found


def named_images(source: ImageSource) -> dict[str, str]:
    return {image: source.classes.names[label] for image, label in labels_of(source).items()}


EXPECTED: Mapping[str, tuple[str, dict[str, str]]] = {
    "caltech101": (
        "all",
        {
            f"{folder}/image_000{number}.jpg": name
            for folder, name in {
                "Faces": "face",
                "Leopards": "leopard",
                "airplanes": "airplane",
                "car_side": "car side",
            }.items()
            for number in (1, 2)
        },
    ),
    "cifar10": ("test", {"test_batch/00000": "bird", "test_batch/00001": "bird"}),
    "cifar100": ("test", {"test/00000": "maple tree", "test/00001": "apple"}),
    "cub200": (
        "test",
        {
            "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg": "Black footed Albatross",
            "002.Laysan_Albatross/Laysan_Albatross_0003_1033.jpg": "Laysan Albatross",
        },
    ),
    "dtd": ("test", {"banded/banded_0003.jpg": "banded", "polka-dotted/polka-dotted_0003.jpg": "polka-dotted"}),
    "eurosat": (
        "all",
        {
            f"{folder}/{folder}_{number}.jpg": name
            for folder, name in {
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
            }.items()
            for number in (1, 10)
        },
    ),
    "fgvc_aircraft": (
        "test",
        {"2000042.jpg": "707-320", "2100042.jpg": "727-200", "2200042.jpg": "DH-82", "2300042.jpg": "F/A-18"},
    ),
    "flowers102": (
        "test",
        {
            "image_00004.jpg": "passion flower",
            "image_00005.jpg": "pink-yellow dahlia",
            "image_00006.jpg": "blackberry lily",
        },
    ),
    "food101": (
        "test",
        {
            f"{folder}/test{number}.jpg": folder.replace("_", " ")
            for folder in ("apple_pie", "baby_back_ribs")
            for number in (1, 2)
        },
    ),
    "imagenet": (
        "val",
        {
            "n01440764/ILSVRC2012_val_3.JPEG": "tench",
            "n02012849/ILSVRC2012_val_0.JPEG": "crane bird",
            "n03126707/ILSVRC2012_val_1.JPEG": "construction crane",
            "n03710721/ILSVRC2012_val_2.JPEG": "one-piece bathing suit",
        },
    ),
    "imagenet_a": ("test", {"n01498041/0.000_x.jpg": "stingray", "n02012849/0.000_x.jpg": "crane bird"}),
    "imagenet_r": ("test", {"n01498041/0.000_x.jpg": "stingray", "n02012849/0.000_x.jpg": "crane bird"}),
    "imagenet_sketch": ("test", {"n01498041/0.000_x.jpg": "stingray", "n02012849/0.000_x.jpg": "crane bird"}),
    "imagenet_v2": (
        "test",
        {
            "0/0.jpeg": "tench",
            "1/1.jpeg": "goldfish",
            "2/2.jpeg": "great white shark",
            "10/10.jpeg": "brambling",
            "999/999.jpeg": "toilet paper",
        },
    ),
    "oxford_pets": (
        "test",
        {
            "Abyssinian_201.jpg": "Abyssinian",
            "american_bulldog_201.jpg": "american bulldog",
            "Bengal_201.jpg": "Bengal",
        },
    ),
    "places365": (
        "val",
        {
            "Places365_val_00000001.jpg": "wind farm",
            "Places365_val_00000002.jpg": "airfield",
            "Places365_val_00000003.jpg": "apartment building outdoor",
        },
    ),
    "resisc45": (
        "test",
        {"baseball_diamond/baseball_diamond_003.jpg": "baseball diamond", "ship/ship_003.jpg": "ship"},
    ),
    "stanford_cars": (
        "test",
        {
            "cars_test/00001.jpg": "Ram C/V Cargo Van Minivan 2012",
            "cars_test/00002.jpg": "AM General Hummer SUV 2000",
        },
    ),
    "sun397": (
        "test",
        {
            "a/abbey/sun_b0.jpg": "abbey",
            "a/apse/indoor/sun_b1.jpg": "indoor apse",
            "b/balcony/exterior/sun_b2.jpg": "exterior balcony",
            "b/balcony/interior/sun_b3.jpg": "interior balcony",
        },
    ),
    "ucf101": (
        "test",
        {
            "Apply_Eye_Makeup/v_ApplyEyeMakeup_g01_c01.jpg": "Apply Eye Makeup",
            "Handstand_Pushups/v_HandStandPushups_g01_c01.jpg": "Handstand Pushups",
        },
    ),
}


def test_every_known_name_has_an_entry_a_tree_and_an_expectation() -> None:
    names = set(get_args(PublishedName))
    assert set(CATALOGUE) == names
    assert set(TREES) == names
    assert set(EXPECTED) == names


@pytest.mark.parametrize("name", EXPECTED)
def test_a_tree_as_it_is_published_is_read(name: str, tmp_path: Path) -> None:
    TREES[name](tmp_path)
    split, expected = EXPECTED[name]
    source = open_named(name, tmp_path, split=split)
    assert named_images(source) == expected
    assert source.name == (name if split == CATALOGUE[name].split else f"{name}-{split}")  # type: ignore[index]
    found = locate(name, str(tmp_path))  # type: ignore[arg-type]
    assert found is not None
    assert named_images(open_named(name, Path(found.root), split=split)) == expected, "its own folder will do, too"
    with pytest.raises(DatasetError, match=r"is not whole|classes, |one class, "):
        open_named(name, tmp_path, split=split, partial=False)


def torchvision_labels(name: str, root: Path) -> tuple[list[str], dict[str, int]]:
    """Class names, and labels by path, as torchvision reads the same tree."""
    if name == "dtd":
        dtd = published.DTD(root, split="test")
        return dtd.classes, _relative(dtd._image_files, dtd._labels, root / "dtd/dtd/images")
    if name == "fgvc_aircraft":
        planes = published.FGVCAircraft(root, split="test")
        return planes.classes, _relative(planes._image_files, planes._labels, root / "fgvc-aircraft-2013b/data/images")
    if name == "flowers102":
        flowers = published.Flowers102(root, split="test")
        return flowers.classes, _relative(flowers._image_files, flowers._labels, root / "flowers-102/jpg")
    if name == "food101":
        food = published.Food101(root, split="test")
        return food.classes, _relative(food._image_files, food._labels, root / "food-101/images")
    if name == "oxford_pets":
        pets = published.OxfordIIITPet(root, split="test")
        return pets.classes, _relative(pets._images, pets._labels, root / "oxford-iiit-pet/images")
    if name == "stanford_cars":
        cars = published.StanfordCars(root, split="test")
        files, labels = zip(*cars._samples, strict=True)
        return cars.classes, _relative(files, labels, root / "stanford_cars")
    if name == "eurosat":
        land = published.EuroSAT(root)
        files, labels = zip(*land.samples, strict=True)
        return land.classes, _relative(files, labels, root / "eurosat/2750")
    places = published.Places365(root / "places365", split="val", small=True)
    files, labels = zip(*places.imgs, strict=True)
    return places.classes, _relative(files, labels, root / "places365/val_256")


def _relative(files: Any, labels: Any, folder: Path) -> dict[str, int]:
    return {Path(file).relative_to(folder).as_posix(): int(label) for file, label in zip(files, labels, strict=True)}


@pytest.mark.parametrize(
    "name",
    ["dtd", "eurosat", "fgvc_aircraft", "flowers102", "food101", "oxford_pets", "places365", "stanford_cars"],
)
def test_labels_are_those_of_torchvision(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("flowers102", "places365"):  # the checksums of the whole lists, which tiny ones do not have
        monkeypatch.setattr(f"torchvision.datasets.{module}.check_integrity", lambda *_, **__: True)
    TREES[name](tmp_path)
    classes, labels = torchvision_labels(name, tmp_path)
    source = open_named(name, tmp_path, split=EXPECTED[name][0])
    assert labels_of(source) == labels
    assert len(source.classes) == len(classes)


@pytest.mark.parametrize(("name", "module"), [("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")])
def test_pictures_in_pickles_are_those_of_torchvision(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_, **__: True)
    TREES[name](tmp_path)
    for train, split in ((True, "train"), (False, "test")):
        theirs = getattr(published, module)(tmp_path, train=train)
        ours = list(open_named(name, tmp_path, split=split).batches(3))
        pixels = [np.asarray(decode_image(content)) for batch in ours for content in batch.values]  # type: ignore[arg-type]
        assert np.array_equal(np.stack(pixels), theirs.data)
        assert [label for batch in ours for label in batch.label_ids.tolist()] == theirs.targets  # type: ignore[union-attr]


def test_a_pickle_that_calls_something_is_refused_before_it_does(tmp_path: Path) -> None:
    TREES["cifar10"](tmp_path)
    evil = b"cposix\nsystem\n(S'touch " + str(tmp_path / "was-here").encode() + b"'\ntR."
    put(tmp_path / "cifar-10-batches-py/test_batch", evil)
    with pytest.raises(DatasetError, match=r"test_batch: it cannot be read \(it names posix.system"):
        open_named("cifar10", tmp_path)
    assert not (tmp_path / "was-here").exists()


@pytest.mark.parametrize(
    ("pixels", "labels", "problem"),
    [
        (np.zeros((2, 3072), np.int8), [0, 1], "its data is not 2 pictures"),
        (np.zeros((2, 3071), np.uint8), [0, 1], "its data is not 2 pictures"),
        (np.zeros((2, 3072), np.uint8), [0], "its data is not 1 pictures"),
        (np.zeros((2, 3072), np.uint8), [0, 3], "a label is none of its 3 names"),
    ],
)
def test_arrays_of_another_form_are_refused(
    pixels: np.ndarray, labels: list[int], problem: str, tmp_path: Path
) -> None:
    TREES["cifar10"](tmp_path)
    put(tmp_path / "cifar-10-batches-py/test_batch", trees._pickled({"data": pixels, "labels": labels}))
    with pytest.raises(DatasetError, match=problem):
        open_named("cifar10", tmp_path)


def test_grey_and_cmyk_photographs_are_decoded(tmp_path: Path) -> None:
    TREES["food101"](tmp_path)
    (batch,) = open_named("food101", tmp_path).batches(10)
    contents = [Path(str(place)).read_bytes() for place in batch.values]
    assert {Image.open(io.BytesIO(content)).mode for content in contents} == {"L", "CMYK", "RGB"}
    assert {decode_image(content).size for content in contents} == {(8, 8)}


def test_what_is_no_class_is_named_and_no_class(tmp_path: Path) -> None:
    TREES["caltech101"](tmp_path)
    source = open_named("caltech101", tmp_path, split="all")
    assert source.classes.names == ("face", "leopard", "airplane", "car side")
    reasons = {entry.location.rpartition("101_ObjectCategories/")[2]: entry.reason for entry in source.ignored}
    assert reasons["BACKGROUND_Google/image_0001.jpg"] == "its folder 'BACKGROUND_Google' is not in dataset.classes"
    assert "Faces_easy/image_0002.jpg" in reasons


def test_imagenet_has_all_its_classes_in_label_order_and_its_variants_those_that_are_there(tmp_path: Path) -> None:
    for name in ("imagenet", "imagenet_r", "imagenet_v2"):
        TREES[name](tmp_path)
    known = names_by_wordnet_id()
    whole = open_named("imagenet", tmp_path)
    assert whole.classes.names == tuple(known[wordnet_id] for wordnet_id in sorted(known))
    assert labels_of(whole)["n02012849/ILSVRC2012_val_0.JPEG"] == 134
    assert labels_of(open_named("imagenet_v2", tmp_path))["10/10.jpeg"] == 10
    assert open_named("imagenet_r", tmp_path).classes.stable_ids == ("n01498041", "n02012849")


def test_images_that_lie_in_no_class_folder_say_how_to_sort_them(tmp_path: Path) -> None:
    put(tmp_path / "imagenet/val/ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(DatasetError, match=r"lie in no class folder\. Sort the images into folders"):
        open_named("imagenet", tmp_path)


def test_parts_are_those_that_the_publisher_made(tmp_path: Path) -> None:
    for name in ("dtd", "oxford_pets"):
        TREES[name](tmp_path)
    both = set(labels_of(open_named("dtd", tmp_path, split="trainval")))
    parts = [set(labels_of(open_named("dtd", tmp_path, split=split))) for split in ("train", "val", "test")]
    assert both == parts[0] | parts[1]
    assert not both & parts[2]
    assert set(labels_of(open_named("oxford_pets", tmp_path, split="train"))) == {
        "Abyssinian_100.jpg", "american_bulldog_100.jpg", "Bengal_100.jpg"
    }  # fmt: skip
    with pytest.raises(DatasetError, match=r"has no part 'val' .* There are: train, test"):
        open_named("oxford_pets", tmp_path, split="val")


def test_few_shot_lists_beside_the_images_win_where_the_publisher_has_none(tmp_path: Path) -> None:
    trees.caltech101_few_shot(tmp_path)
    test, train = (open_named("caltech101", tmp_path, split=split) for split in ("test", "train"))
    assert named_images(test) == {"Faces/image_0002.jpg": "face", "Leopards/image_0002.jpg": "leopard"}
    assert not set(labels_of(test)) & set(labels_of(train))
    (tmp_path / "caltech-101/split_zhou_Caltech101.json").unlink()
    with pytest.raises(DatasetError, match=r"few-shot lists .* are not there.*dataset.split: all"):
        open_named("caltech101", tmp_path)
    TREES["fgvc_aircraft"](tmp_path)
    with pytest.raises(DatasetError, match="no file of few-shot lists of its own"):
        open_named("fgvc_aircraft", tmp_path, lists="few_shot")


COOP = {
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


def test_coops_layout_is_known_for_every_data_set_that_it_has_lists_for() -> None:
    assert set(COOP) == {name for name, entry in CATALOGUE.items() if entry.few_shot is not None}


@pytest.mark.parametrize("name", COOP)
def test_few_shot_lists_are_read_where_coop_puts_them(name: str, tmp_path: Path) -> None:
    folder, images, path = COOP[name]
    few_shot = CATALOGUE[name].few_shot  # type: ignore[index]
    assert few_shot is not None
    for other in ("labels/x", "meta/x", "annotations/x", "devkit/x", "imagelabels.mat"):  # what lies beside
        put(tmp_path / folder / other, "x")
    put(tmp_path / folder / images / path)
    put(tmp_path / folder / few_shot.file, json.dumps({"train": [], "val": [], "test": [[path, 0, "a name"]]}))
    assert named_images(open_named(name, tmp_path, lists="few_shot", split="test")) == {path: "a name"}


def test_a_half_extracted_archive_says_what_is_missing(tmp_path: Path) -> None:
    TREES["dtd"](tmp_path)
    (tmp_path / "dtd/dtd/images/banded/banded_0003.jpg").unlink()
    with pytest.raises(DatasetError, match=r"test: 1 images are absent, 'banded/banded_0003.jpg'"):
        open_named("dtd", tmp_path, partial=False)
    source = open_named("dtd", tmp_path)
    assert list(labels_of(source)) == ["polka-dotted/polka-dotted_0003.jpg"]
    assert [entry.reason for entry in source.ignored if "0003" in entry.location] == [
        "a list names it, and it is not there"
    ]
    (tmp_path / "dtd/dtd/labels/val1.txt").unlink()
    with pytest.raises(DatasetError, match=r"the list labels/val1.txt is not there.*half extracted"):
        open_named("dtd", tmp_path)
    shutil.rmtree(tmp_path / "dtd/dtd/labels")
    with pytest.raises(DatasetError, match=r"DTD r1.0.1\) is not there.*coder-eval data get dtd"):
        open_named("dtd", tmp_path)


def _edit_cub(root: Path) -> None:
    lines(root / "CUB_200_2011/image_class_labels.txt", "1 1", "2 3", "3 2")


def _edit_dtd(root: Path) -> None:
    lines(root / "dtd/dtd/labels/test1.txt", "banded/banded_0003.jpg", "banded/banded_0001.jpg")


def _edit_food(root: Path) -> None:
    put(root / "food-101/meta/test.json", json.dumps({"apple_pie": "x"}))


def _edit_flowers(root: Path) -> None:
    put(root / "flowers-102/setid.mat", trees._mat(trnid=[[1]], valid=[[3]], tstid=[[9]]))


def _edit_pets(root: Path) -> None:
    lines(root / "oxford-iiit-pet/annotations/test.txt", "Abyssinian_201 1 1 1", "Bengal_201 1 1 1")


def _edit_sun(root: Path) -> None:
    lines(root / "SUN397/Testing_01.txt", "/z/zoo/sun_b1.jpg")


def _edit_places(root: Path) -> None:
    lines(root / "places365/places365_val.txt", "../../etc/passwd.jpg 1")


@pytest.mark.parametrize(
    ("name", "edit", "problem"),
    [
        ("cub200", _edit_cub, r"image_class_labels.txt, line 2: '3' is no class number from 1 to 2"),
        ("dtd", _edit_dtd, r"'banded/banded_0001.jpg' is in the lists train and test"),
        ("food101", _edit_food, r"test.json: this holds no lists of images by class"),
        ("flowers102", _edit_flowers, r"setid.mat, tstid: image 9 has no label from 1 to 102"),
        ("oxford_pets", _edit_pets, r"line 2: class 1 is 'Abyssinian' and 'Bengal'"),
        ("sun397", _edit_sun, r"Testing_01.txt, line 1: 'z/zoo' is none of the 4 classes"),
        ("places365", _edit_places, r"which leaves the folder"),
    ],
)
def test_lists_that_contradict_themselves_are_refused(
    name: str, edit: Callable[[Path], None], problem: str, tmp_path: Path
) -> None:
    TREES[name](tmp_path)
    edit(tmp_path)
    with pytest.raises(DatasetError, match=problem):
        open_named(name, tmp_path)


def test_lists_that_are_no_lists_are_refused(tmp_path: Path) -> None:
    TREES["flowers102"](tmp_path)
    put(tmp_path / "flowers-102/imagelabels.mat", b"MATLAB 5.0" + bytes(200))
    with pytest.raises(DatasetError, match=r"imagelabels.mat: "):
        open_named("flowers102", tmp_path)
    TREES["dtd"](tmp_path)
    put(tmp_path / "dtd/dtd/labels/test1.txt", b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"test1.txt: this is no UTF-8"):
        open_named("dtd", tmp_path)


def test_a_changed_picture_or_label_is_another_identity(tmp_path: Path) -> None:
    TREES["cifar100"](tmp_path)
    before = open_named("cifar100", tmp_path)
    pixels = trees._pixels(1)
    put(tmp_path / "cifar-100-python/test", trees._pickled({"data": pixels, "fine_labels": [0, 0]}))
    relabelled = open_named("cifar100", tmp_path)
    assert relabelled.identity == before.identity
    assert relabelled.labels_identity != before.labels_identity
    pixels[0, 0] ^= 1
    put(tmp_path / "cifar-100-python/test", trees._pickled({"data": pixels, "fine_labels": [1, 0]}))
    assert open_named("cifar100", tmp_path).identity != before.identity


def test_a_data_set_lies_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES["dtd"](tmp_path / "data")
    dataset = NamedDataset(kind="named", name="dtd", partial=True)
    monkeypatch.setenv("CODER_DATA_ROOT", str(tmp_path / "data"))
    assert open_source(dataset).image_count == 2
    monkeypatch.delenv("CODER_DATA_ROOT")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DatasetError, match=r"cache/coder-eval/data"):
        open_source(dataset)


REAL = Path(__file__).parents[4] / "shared/data/images/dtd10"


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data")
def test_real_photographs_in_the_published_layout(tmp_path: Path) -> None:
    """Ten classes of DTD's own photographs under DTD's own names, each third one a test image."""
    folder = tmp_path / "dtd"
    (folder / "labels").mkdir(parents=True)
    (folder / "images").symlink_to(REAL)
    images = sorted(path.relative_to(REAL).as_posix() for path in REAL.rglob("*.jpg"))
    for start, part in enumerate(("train", "val", "test")):
        lines(folder / f"labels/{part}1.txt", *images[start::3])
    found = named_images(open_named("dtd", tmp_path))
    assert found == {image: image.partition("/")[0] for image in images[2::3]}
    assert isinstance(decode_image((REAL / images[0]).read_bytes()), Image.Image)
