"""A folder of class folders: order, labels, and what does not fit."""

from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.errors import DatasetError, InputError
from coder_core.images.listing import list_folder
from coder_core.specs import FolderDataset

FILES = ("wren/b.jpg", "wren/a.PNG", "red kite/deep/er/x.jpeg", "Blue/1.webp", "Blue/notes.txt", "Blue/.hidden.jpg")


def write(root, files=FILES):
    for name in files:
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def listed(root, **settings):
    return list_folder(FolderDataset(kind="folder", path=str(root), **settings))


def test_classes_are_folders_in_the_order_of_their_names(tmp_path):
    found = listed(write(tmp_path))
    assert found.classes.names == ("Blue", "red kite", "wren")
    assert found.image_ids == ("Blue/1.webp", "red kite/deep/er/x.jpeg", "wren/a.PNG", "wren/b.jpg")
    assert found.label_ids.tolist() == [0, 1, 2, 2]
    assert [Path(location).read_text() for location in found.locations] == list(found.image_ids)


def test_the_order_of_class_names_decides_labels_and_nothing_else(tmp_path):
    default, named = listed(write(tmp_path)), listed(tmp_path, class_names=("wren", "Blue", "red kite"))
    assert named.image_ids == default.image_ids
    assert named.classes.names == ("wren", "Blue", "red kite")
    assert named.label_ids.tolist() == [1, 2, 0, 0]


def test_a_folder_in_memory_is_a_folder():
    files = fsspec.filesystem("memory")
    for name in FILES:
        files.pipe(f"/test-listing/{name}", name.encode())
    found = listed("memory://test-listing")
    assert found.image_ids == ("Blue/1.webp", "red kite/deep/er/x.jpeg", "wren/a.PNG", "wren/b.jpg")
    assert found.locations[0] == "memory://test-listing/Blue/1.webp"


def test_an_image_outside_class_folders_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"'stray\.png' lies in no class folder") as caught:
        listed(write(tmp_path, [*FILES, "stray.png"]))
    assert caught.value.place == str(tmp_path)


def test_one_image_is_no_data_set(tmp_path):
    with pytest.raises(DatasetError, match="no class folder"):
        listed(write(tmp_path) / "wren" / "b.jpg")


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("wren", "Blue"), "the folder 'red kite' is not in dataset.class_names"),
        (("wren", "Blue", "red kite", "owl"), "the class 'owl' has no image"),
        (("wren", "blue", "red kite"), "the folder 'Blue' is not in"),
        (("wren", "Blue", "red kite", "wren"), "names a folder twice"),
    ],
)
def test_class_names_that_are_not_the_folders_are_refused(tmp_path, names, problem):
    with pytest.raises(DatasetError, match=problem) as caught:
        listed(write(tmp_path), class_names=names)
    assert caught.value.place == str(tmp_path)
    assert caught.value.remedy


def test_a_class_folder_without_images_is_no_class(tmp_path):
    assert listed(write(tmp_path, [*FILES, "owl/readme.txt"])).classes.names == ("Blue", "red kite", "wren")


@pytest.mark.parametrize("files", [("wren/readme.txt",), ("wren/.a.jpg",)])
def test_a_folder_without_images_is_refused(tmp_path, files):
    with pytest.raises(DatasetError, match=r"no image \(\.bmp"):
        listed(write(tmp_path, files))


def test_a_missing_folder_is_an_input_error(tmp_path):
    with pytest.raises(InputError) as caught:
        listed(tmp_path / "absent")
    assert "absent" in caught.value.place


@given(files=st.lists(st.from_regex(r"[ab]{1,2}/[ab]{1,2}\.png", fullmatch=True), min_size=1, unique=True))
def test_labels_are_positions_of_folders(tmp_path_factory, files):
    found = listed(write(tmp_path_factory.mktemp("random"), files))
    assert found.image_ids == tuple(sorted(files))
    names = [found.classes.names[label] for label in found.label_ids]
    assert names == [image_id.partition("/")[0] for image_id in found.image_ids]
