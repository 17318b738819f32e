"""The published few-shot splits: read as they are, refused where they are not what they should be."""

import json

import numpy as np
import pytest

from coder_core.errors import DatasetError
from coder_core.images.published_splits import parse_published_split
from coder_core.images.split_listing import list_split
from coder_core.specs import SplitDataset
from tests.fixtures_inputs import write_image_class

GOOD = {
    "train": [["cat/000.png", 0, "cat"], ["dog/000.png", 1, "dog"]],
    "val": [["cat/001.png", 0, "cat"]],
    "test": [["dog/001.png", 1, "dog"]],
}


def test_lists_labels_and_names_are_those_of_the_file():
    split = parse_published_split(json.dumps(GOOD).encode(), place="split.json")
    assert split.classes.names == ("cat", "dog")
    assert split.items["train"] == (("cat/000.png", 0), ("dog/000.png", 1))


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
    with pytest.raises(DatasetError, match=r"test: 1 images are absent, 'dog/001.png'"):
        list_split(SplitDataset(**spec, split="test"))
