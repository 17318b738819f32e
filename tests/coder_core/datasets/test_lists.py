"""Lists that publishers and the few-shot literature wrote: where they lie, and what becomes of broken ones."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from coder_core.datasets.catalogue import CATALOGUE
from coder_core.datasets.matlab_files import read_numbers, read_records, read_words
from coder_core.datasets.tree import Tree
from coder_core.errors import DatasetError
from coder_core.specs import PublishedName
from tests.coder_core.datasets import trees
from tests.coder_core.datasets.expected import labels_of, named_images, open_named
from tests.coder_core.datasets.paper_data import BESIDE, COOP
from tests.coder_core.datasets.trees import TREES, lines, put


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


def test_coops_layout_is_known_for_every_data_set_that_it_has_lists_for() -> None:
    assert set(COOP) == {name for name, entry in CATALOGUE.items() if entry.few_shot is not None}


@pytest.mark.parametrize("name", COOP)
def test_few_shot_lists_are_read_where_coop_puts_them(name: PublishedName, tmp_path: Path) -> None:
    folder, images, path = COOP[name]
    few_shot = CATALOGUE[name].few_shot
    assert few_shot is not None
    for other in BESIDE:
        put(tmp_path / folder / other, "x")
    put(tmp_path / folder / images / path)
    put(tmp_path / folder / few_shot.file, json.dumps({"train": [], "val": [], "test": [[path, 0, "a name"]]}))
    assert named_images(open_named(name, tmp_path, lists="few_shot", split="test")) == {path: "a name"}


def test_a_half_extracted_archive_says_what_is_missing(tmp_path: Path) -> None:
    TREES["dtd"](tmp_path)
    (tmp_path / "dtd/dtd/images/banded/banded_0003.jpg").unlink()
    with pytest.raises(DatasetError, match=r"test: 1 image is absent, 'banded/banded_0003.jpg'"):
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


def test_matlab_files_are_those_of_scipy(tmp_path: Path) -> None:
    """Of both byte orders' kinds of numbers, compressed or not; and of texts and records as MATLAB nests them."""
    rows = np.array([(7, "a.jpg"), (300, "b\u00e9.jpg")], dtype=[("class", "O"), ("fname", "O")])
    variables = {
        "bytes": np.arange(5, dtype=np.uint8),
        "doubles": np.arange(300.0),
        "small": np.array([[1, 2]], dtype=np.int16),
        "words": np.array(["wren", "Ram C/V Cargo", "\u00e9"], dtype=object),
        "rows": rows,
    }
    for is_packed in (False, True):
        savemat(tmp_path / "lists.mat", variables, do_compression=is_packed)
        tree, theirs = Tree(str(tmp_path)), loadmat(tmp_path / "lists.mat", squeeze_me=True)
        for name in ("bytes", "doubles", "small"):
            assert read_numbers(tree, "lists.mat", name) == theirs[name].tolist()
        assert read_words(tree, "lists.mat", "words") == theirs["words"].tolist()
        found = read_records(tree, "lists.mat", "rows")
        assert [(row["class"], row["fname"]) for row in found] == [
            ([row["class"]], row["fname"]) for row in theirs["rows"]
        ]
        for read, name in (
            (read_numbers, "words"),
            (read_words, "rows"),
            (read_records, "bytes"),
            (read_numbers, "no"),
        ):
            with pytest.raises(DatasetError, match="holds no"):
                read(tree, "lists.mat", name)


def test_lists_that_are_no_lists_are_refused(tmp_path: Path) -> None:
    TREES["flowers102"](tmp_path)
    put(tmp_path / "flowers-102/imagelabels.mat", b"MATLAB 5.0" + bytes(200))
    with pytest.raises(DatasetError, match=r"imagelabels.mat: "):
        open_named("flowers102", tmp_path)
    TREES["dtd"](tmp_path)
    put(tmp_path / "dtd/dtd/labels/test1.txt", b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"test1.txt: this is no UTF-8"):
        open_named("dtd", tmp_path)
