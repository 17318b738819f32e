"""The published few-shot splits: read as they are, refused where they are not what they should be."""

import json
from pathlib import Path

import numpy as np
import pytest

from coder_core.errors import DatasetError
from coder_core.images.published_splits import parse_published_split
from coder_core.images.split_listing import list_split
from coder_core.specs import SplitDataset
from tests.fixtures_inputs import write_image_class

DATA = Path(__file__).parents[4] / "shared" / "data"
PUBLISHED = {
    "caltech101": ("Caltech101", (4128, 1649, 2465)),
    "dtd": ("DescribableTextures", (2820, 1128, 1692)),
    "oxford_pets": ("OxfordPets", (2944, 736, 3669)),
}
"""Data set -> its split file; images of train, val and test as the paper has them (Zhou et al., IJCV 2022, table)."""

GOOD = {
    "train": [["cat/000.png", 0, "cat"], ["dog/000.png", 1, "dog"]],
    "val": [["cat/001.png", 0, "cat"]],
    "test": [["dog/001.png", 1, "dog"]],
}


def test_lists_labels_and_names_are_those_of_the_file():
    split = parse_published_split(json.dumps(GOOD).encode(), place="split.json")
    assert split.classes.names == ("cat", "dog")
    assert split.items["train"] == (("cat/000.png", 0), ("dog/000.png", 1))


def test_a_byte_order_mark_does_not_count():
    marked = b"\xef\xbb\xbf" + json.dumps(GOOD).encode()
    assert parse_published_split(marked, place="x") == parse_published_split(json.dumps(GOOD).encode(), place="x")


def test_another_encoding_is_told():
    with pytest.raises(DatasetError, match=r"split.json: this is not UTF-8 text but UTF-16\. Save it as UTF-8"):
        parse_published_split(json.dumps(GOOD).encode("utf-16"), place="split.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"split.json: this is not JSON"),
        ("[]", "holds no lists"),
        (json.dumps({"train": [], "val": [], "test": []}), "holds no lists"),
        (json.dumps({**GOOD, "val": [["a.png", 0]]}), r"split.json: val\[0\]: expected \[path, label, class name\]"),
        (json.dumps({**GOOD, "val": [["a.png", True, "cat"]]}), "expected"),
        (json.dumps({**GOOD, "val": [["a.png", -1, "cat"]]}), "expected"),
        (json.dumps({**GOOD, "val": [["../a.png", 0, "cat"]]}), "leaves the image folder"),
        (json.dumps({**GOOD, "val": [["/a.png", 0, "cat"]]}), "leaves the image folder"),
        (json.dumps({**GOOD, "val": [["a.png", 0, "lion"]]}), "label 0 is 'cat' and 'lion'"),
        (json.dumps({**GOOD, "val": [["dog/001.png", 1, "dog"]]}), r"test\[0\]: 'dog/001.png' stands in val as well"),
        (json.dumps({**GOOD, "val": [["dog//./001.png", 1, "dog"]]}), "'dog/001.png' stands in val as well"),
        (json.dumps({**GOOD, "val": [["a.png", 0, "cat"], ["a.png", 1, "dog"]]}), "'a.png' has the labels 0 and 1"),
        (json.dumps({**GOOD, "val": [["./a.png", 0, "cat"], ["a.png", 1, "dog"]]}), "'a.png' has the labels 0 and 1"),
        (json.dumps({**GOOD, "val": [["cat\\a.png", 0, "cat"]]}), "written with backslashes"),
        (json.dumps({**GOOD, "val": [["a.png", 0, " _"]]}), "the class name ' _' is blank"),
        (json.dumps({**GOOD, "val": [["a.png", 10**18, "cat"]]}), "no image has the label 2, but 1000000000000000000"),
        (json.dumps({**GOOD, "val": [["a.png", 10**4000, "cat"]]}), "an integer of 4001 digits"),
        (json.dumps({**GOOD, "val": [list(range(100_000))]}), r"found a list of 100000\."),
        ("[" * 100_000, "nested deeper than 32 levels"),
        (json.dumps(GOOD)[:-1] + ', "val": []}', "the key 'val' is there twice"),
        (json.dumps(GOOD).replace("cat/000", "cat\\ud800/000"), "half of a surrogate pair"),
        (json.dumps({**GOOD, "val": [["a.png", 3, "lion"]]}), "no image has the label 2, but 3 is one"),
    ],
)
def test_what_is_no_split_is_refused(content, message):
    with pytest.raises(DatasetError, match=message):
        parse_published_split(content.encode(), place="split.json")


def test_the_images_of_one_list_are_a_data_set(tmp_path):
    for name in ("cat", "dog"):
        write_image_class(tmp_path / "images", name, 2)
    (tmp_path / "split.json").write_text(json.dumps(GOOD))
    spec = {"kind": "split", "path": str(tmp_path / "images"), "split_file": str(tmp_path / "split.json")}
    train, test = (list_split(SplitDataset(**spec, split=split)) for split in ("train", "test"))
    assert train.image_ids == ("cat/000.png", "dog/000.png")
    np.testing.assert_array_equal(train.label_ids, [0, 1])
    assert test.image_ids == ("dog/001.png",)
    assert test.classes.names == train.classes.names == ("cat", "dog")
    (tmp_path / "images" / "dog" / "001.png").unlink()
    with pytest.raises(DatasetError, match=r"test: 1 image is absent, 'dog/001.png'"):
        list_split(SplitDataset(**spec, split="test"))


@pytest.fixture
def world(tmp_path):
    """Writes a split and images named by it; opens one of its lists."""

    def listed(document, images, split="test"):
        for name in images:
            path = tmp_path / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
        (tmp_path / "split.json").write_text(json.dumps(document))
        spec = {"kind": "split", "path": str(tmp_path / "images"), "split_file": str(tmp_path / "split.json")}
        return list_split(SplitDataset(**spec, split=split))

    return listed


def test_what_a_split_names_is_an_image_whatever_its_suffix(world, tmp_path):
    test = [["cat/a", 0, "cat"], ["cat/b.txt", 0, "cat"], ["./cat//c.jfif", 0, "cat"], ["cat/link.jpg", 0, "cat"]]
    (tmp_path / "images" / "cat").mkdir(parents=True)
    (tmp_path / "images" / "cat" / "link.jpg").symlink_to("nowhere")
    found = world({"train": [], "val": [], "test": test}, ["cat/a", "cat/b.txt", "cat/c.jfif"])
    assert found.image_ids == ("cat/a", "cat/b.txt", "cat/c.jfif", "cat/link.jpg")
    assert found.reasons == {3: "a link to a file that is not there"}


def test_what_stands_in_no_list_is_ignored_and_named(world, tmp_path):
    images = ["cat/000.png", "cat/001.png", "dog/000.png", "dog/001.png", "dog/new.png", ".hidden/a.png", "notes.txt"]
    document = {**GOOD, "test": [*GOOD["test"], *GOOD["test"]]}
    found = world(document, images)
    assert found.image_ids == ("dog/001.png",)
    told = {entry.location.removeprefix(f"{tmp_path}/images/"): entry.reason for entry in found.ignored.entries}
    assert told.pop(f"{tmp_path}/split.json: test") == "the image 'dog/001.png' stands there more than once"
    assert set(told) == {"dog/new.png", ".hidden/a.png", "notes.txt"}
    assert told["dog/new.png"] == "the split file names it in none of its lists"


def test_a_path_that_a_mac_has_decomposed_is_the_same_path(world):
    document = {"train": [], "val": [], "test": [["caf\u00e9/a.png", 0, "caf\u00e9"]]}
    found = world(document, ["cafe\u0301/a.png"])
    assert found.image_ids == ("caf\u00e9/a.png",)
    assert found.locations[0].endswith("cafe\u0301/a.png")


def test_an_empty_list_is_refused(world):
    with pytest.raises(DatasetError, match="test: the list is empty"):
        world({**GOOD, "test": []}, ["cat/000.png"])


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")
@pytest.mark.parametrize("name", PUBLISHED)
def test_pools_have_the_published_sizes_and_the_labels_of_the_published_features(name):
    """Features of these lists circulate with their labels; the file itself is read where it lies beside them."""
    file, sizes = PUBLISHED[name]
    features = np.load(DATA / "features" / f"{name}.npz", allow_pickle=False)
    published = DATA / "splits" / f"split_zhou_{file}.json"
    content = published.read_bytes() if published.is_file() else as_split(features)
    split = parse_published_split(content, place=file)
    assert len(split.classes) == len(features["class_names"])
    for part, size in zip(("train", "val", "test"), sizes, strict=True):
        labels = np.array([item.label_id for item in split.items[part]], dtype=int)
        if part != "train" or published.is_file():
            assert len(labels) == len({item.path for item in split.items[part]}) == size
        if part != "train":
            np.testing.assert_array_equal(np.bincount(labels), np.bincount(features[f"{part}_labels"]))


def as_split(features):
    """The lists that the features are of, under paths of our own; nobody has handed on the train list's labels."""
    names = features["class_names"].tolist()
    lists = {"train": []}
    for part in ("val", "test"):
        labels = features[f"{part}_labels"].tolist()
        lists[part] = [[f"{names[label]}/{part}{row}.jpg", label, names[label]] for row, label in enumerate(labels)]
    return json.dumps(lists).encode()
