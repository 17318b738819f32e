"""Every data set that is known by name, read from a tiny tree in its true format, beside torchvision's own reader."""

import io
from pathlib import Path
from typing import Any, get_args

import fsspec
import numpy as np
import pytest
import torchvision.datasets as published
from PIL import Image

from coder_core.datasets.catalogue import CATALOGUE
from coder_core.datasets.places import locate
from coder_core.encoders.imagenet_names import names_by_wordnet_id
from coder_core.errors import DatasetError
from coder_core.images.decoding import decode_image
from coder_core.images.sources import open_source
from coder_core.specs import NamedDataset, PublishedName
from tests.coder_core.datasets import trees
from tests.coder_core.datasets.expected import EXPECTED, labels_of, named_images, open_named
from tests.coder_core.datasets.trees import TREES, lines, put


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


def test_validation_images_as_their_archive_unpacks_are_read_with_the_devkit(tmp_path: Path) -> None:
    trees.unsorted_imagenet(tmp_path)
    source = open_named("imagenet", tmp_path)
    assert list(named_images(source).values()) == ["crane bird", "kit fox", "construction crane"]
    assert len(source.classes) == 1000
    lines(tmp_path / "imagenet/ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", "3", "1001")
    with pytest.raises(DatasetError, match=r"ground_truth.txt, line 2: '1001' is none of the 3 classes"):
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
    for name in ("imagenet", "places365"):
        TREES[name](tmp_path)
        trainval, train = (labels_of(open_named(name, tmp_path, split=split)) for split in ("trainval", "train"))
        assert trainval == train, "what is measured on is never learnt from"
    with pytest.raises(DatasetError, match=r"has no part 'val' .* There are: train, test"):
        open_named("oxford_pets", tmp_path, split="val")


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


@pytest.mark.parametrize("name", ["dtd", "imagenet_a", "cifar10"])
def test_a_data_set_may_lie_in_a_bucket(name: str, tmp_path: Path) -> None:
    TREES[name](tmp_path)
    bucket = fsspec.filesystem("memory")
    bucket.put(str(tmp_path), "/test-named/data", recursive=True)
    try:
        source = open_source(NamedDataset(kind="named", name=name, root="memory://test-named/data", partial=True))  # type: ignore[arg-type]
        assert named_images(source) == EXPECTED[name][1]
    finally:
        bucket.rm("/test-named", recursive=True)


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
