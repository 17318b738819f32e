"""A folder of class folders: order, labels, and that nothing of it vanishes."""

import os
import unicodedata
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coder_core.classes import ClassList
from coder_core.errors import DatasetError, InputError
from coder_core.images import image_files
from coder_core.images.formats import IMAGE_SUFFIXES
from coder_core.images.listing import list_folder
from coder_core.specs import FolderDataset
from tests.coder_core.images.hostile_images import encoded
from tests.fixtures_folders import ODD_NAMES

FILES = ("wren/b.jpg", "wren/a.PNG", "red kite/deep/er/x.jpeg", "Blue/1.webp", "Blue/notes.txt", "Blue/.hidden.jpg")


def write(root, files=FILES):
    for name in files:
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))
    return root


def listed(root, classes=None, **settings):
    return list_folder(FolderDataset(kind="folder", path=str(root), **settings), classes and ClassList(tuple(classes)))


def reasons(found, root):
    return {entry.location.removeprefix(f"{root}/"): entry.reason for entry in found.ignored.entries}


def test_classes_are_folders_in_the_order_of_their_names(tmp_path):
    found = listed(write(tmp_path))
    assert found.classes.names == ("Blue", "red kite", "wren")
    assert found.image_ids == ("Blue/1.webp", "red kite/deep/er/x.jpeg", "wren/a.PNG", "wren/b.jpg")
    assert found.label_ids.tolist() == [0, 1, 2, 2]
    assert [Path(location).read_text() for location in found.locations] == list(found.image_ids)
    assert found.reasons == {}


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
    assert set(reasons(found, "memory://test-listing")) == {"Blue/notes.txt", "Blue/.hidden.jpg"}


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".jp2", ".j2k", ".mpo", ".avif", ".heic", ".heif", ".HIF", ".pgm"])
def test_images_of_every_suffix_are_rows(tmp_path, suffix):
    found = listed(write(tmp_path, ["cat/0.jpg", f"fox/0{suffix}"]))
    assert found.classes.names == ("cat", "fox")
    assert found.ignored.count == 0


ALL_KINDS = {
    "cat/0.jpg": None,
    "cat/empty.png": None,
    "cat/notes.txt": "the suffix '.txt' is not one of an image",
    "cat/photo.txt": "the suffix '.txt' is not one of an image, but it holds a JPEG image: rename it",
    "cat/photo": "it has no suffix of an image, but it holds a PNG image: rename it",
    "cat/photo.jpg~": "the suffix '.jpg~' is not one of an image, but it holds a WebP image: rename it",
    "cat/README": "it has no suffix of an image",
    "cat/drawing.svg": "the suffix '.svg' is not one of an image",
    "cat/.DS_Store": "hidden",
    "cat/._0.jpg": "hidden",
    "cat/Thumbs.db": "the suffix '.db' is not one of an image",
    "cat/@eaDir/0.jpg/THUMB_XL.jpg": "in '@eaDir', a folder that a disk",
    "#recycle/0.jpg": "in '#recycle'",
    "$RECYCLE.BIN/0.jpg": "in '$RECYCLE.BIN'",
    "lost+found/0.jpg": "in 'lost+found'",
    "__MACOSX/cat/._0.jpg": "in '__MACOSX'",
    "README.md": "the suffix '.md'",
}


def test_every_file_is_a_row_or_ignored_with_a_reason(tmp_path):
    write(tmp_path, ALL_KINDS)
    (tmp_path / "cat" / "empty.png").write_bytes(b"")
    for name, form in (("photo.txt", "JPEG"), ("photo", "PNG"), ("photo.jpg~", "WEBP")):
        (tmp_path / "cat" / name).write_bytes(encoded(Image.new("RGB", (4, 4)), form))
    (tmp_path / "owl").mkdir()
    found = listed(tmp_path)
    assert found.image_ids == ("cat/0.jpg", "cat/empty.png")
    told = reasons(found, tmp_path)
    expected = {name: reason for name, reason in ALL_KINDS.items() if reason} | {"owl/": "an empty folder"}
    assert set(told) == set(expected)
    assert all(told[name].startswith(reason) for name, reason in expected.items())
    assert found.ignored.count == len(expected)


def test_what_is_an_image_by_name_and_cannot_be_read_is_a_row_with_a_reason(tmp_path, monkeypatch):
    write(tmp_path, ["cat/0.jpg", "cat/large.jpg"])
    (tmp_path / "cat" / "link.jpg").symlink_to("nowhere")
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    os.mkfifo(tmp_path / "cat" / "pipe")
    monkeypatch.setattr(image_files, "MAX_BYTES", 10)
    found = listed(tmp_path)
    assert found.image_ids == ("cat/0.jpg", "cat/large.jpg", "cat/link.jpg", "cat/pipe.png")
    assert found.reasons == {
        1: "the file has 13 bytes, more than 600000000",
        2: "a link to a file that is not there",
        3: "a named pipe, and no file",
    }
    assert reasons(found, tmp_path) == {"cat/pipe": "it has no suffix of an image (a named pipe, and no file)"}


def test_names_of_every_kind_are_classes_and_images(tmp_path):
    folders = [name.replace("/", "-") for name in ODD_NAMES if len(name) < 200]
    write(tmp_path, [f"{folder}/{name.removesuffix('.jpg')}.jpg" for folder in folders for name in ODD_NAMES])
    found = listed(tmp_path)
    assert len(found.image_ids) == len(folders) * len(ODD_NAMES)
    assert found.ignored.count == 0
    assert sorted(found.classes.names) == sorted(unicodedata.normalize("NFC", folder).strip() for folder in folders)


def test_names_that_are_no_utf_8_are_ignored_and_shown(tmp_path):
    found = listed(write(tmp_path, ["cat/0.jpg", os.fsdecode(b"cat/\xe9.jpg"), os.fsdecode(b"caf\xe9/0.jpg")]))
    assert found.image_ids == ("cat/0.jpg",)
    assert set(reasons(found, tmp_path)) == {"cat/\\xe9.jpg", "caf\\xe9/0.jpg"}


def test_an_image_outside_class_folders_is_refused_or_ignored(tmp_path):
    write(tmp_path, [*FILES, "stray.png"])
    with pytest.raises(DatasetError, match=r"'stray\.png' lies in no class folder.*ignore_other_folders") as caught:
        listed(tmp_path)
    assert caught.value.place == str(tmp_path)
    found = listed(tmp_path, ignore_other_folders=True)
    assert found.classes.names == ("Blue", "red kite", "wren")
    assert reasons(found, tmp_path)["stray.png"] == "an image that lies in no class folder"


def test_one_image_is_no_data_set(tmp_path):
    with pytest.raises(DatasetError, match="no class folder"):
        listed(write(tmp_path) / "wren" / "b.jpg")
    with pytest.raises(DatasetError, match="no image lies in a class folder"):
        listed(tmp_path / "wren" / "b.jpg", ignore_other_folders=True)


FOOD = ("apple pie", "Caf\u00e9 cr\u00e8me", "beef tartare", "ramen")
SPELT = ("apple_pie", "cafe\u0301_cre\u0300me", "Beef Tartare", "ramen ")


@pytest.mark.parametrize("how", ["classes", "class_names"])
def test_folders_are_found_in_every_spelling_of_their_class(tmp_path, how):
    write(tmp_path, [f"{folder}/{number}.jpg" for folder in SPELT for number in range(5)])
    found = listed(tmp_path, FOOD) if how == "classes" else listed(tmp_path, class_names=FOOD)
    assert found.classes.names == FOOD
    assert sorted(found.label_ids.tolist()) == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
    folder_of = {FOOD[label]: Path(name).parts[0] for label, name in zip(found.label_ids, found.image_ids, strict=True)}
    assert folder_of == dict(zip(FOOD, SPELT, strict=True))


@pytest.mark.parametrize("how", ["classes", "class_names"])
def test_a_folder_that_no_class_is_called_like_is_an_error_or_ignored(tmp_path, how):
    write(tmp_path, ["apple pie/0.jpg", "beef tartar/0.jpg", "beef tartar/1.jpg", "zebra/0.jpg", "zebra/notes.txt"])
    settings = {"classes": FOOD} if how == "classes" else {"class_names": ("apple pie", "beef tartare")}
    with pytest.raises(DatasetError) as caught:
        listed(tmp_path, **settings)
    assert caught.value.problem == (
        f"the folder 'beef tartar' (and 1 more) is not in dataset.{how}; it has 2 images; "
        "the nearest name is 'beef tartare'."
    )
    assert "ignore_other_folders" in caught.value.remedy
    found = listed(tmp_path, FOOD, ignore_other_folders=True)
    assert found.image_ids == ("apple pie/0.jpg",)
    assert reasons(found, tmp_path) == {
        "beef tartar/0.jpg": "its folder 'beef tartar' is not in dataset.classes",
        "beef tartar/1.jpg": "its folder 'beef tartar' is not in dataset.classes",
        "zebra/0.jpg": "its folder 'zebra' is not in dataset.classes",
        "zebra/notes.txt": "the suffix '.txt' is not one of an image",
    }


def test_a_folder_without_an_image_need_not_be_a_class(tmp_path):
    found = listed(write(tmp_path, ["wren/0.jpg", "docs/notes.txt"]), ["wren", "owl"])
    assert found.classes.names == ("wren", "owl")
    assert set(reasons(found, tmp_path)) == {"docs/notes.txt"}


@pytest.mark.parametrize(
    ("folders", "problem"),
    [
        (("apple pie", "apple_pie"), "'apple_pie' is the same class as 'apple pie'"),
        (("caf\u00e9 cr\u00e8me", "cafe\u0301 cr\u00e8me"), r"the same class as '(cafe\\u0301|caf\\xe9) cr"),
    ],
)
def test_two_folders_of_one_class_are_refused(tmp_path, folders, problem):
    write(tmp_path, [f"{folder}/0.jpg" for folder in folders])
    with pytest.raises(DatasetError, match=problem):
        listed(tmp_path, FOOD)
    with pytest.raises(DatasetError, match="differ in spelling only"):
        listed(tmp_path)


def test_two_folders_that_differ_in_case_are_refused_unless_both_are_named(tmp_path):
    write(tmp_path, ["Cat/0.jpg", "cat/0.jpg"])
    with pytest.raises(DatasetError, match="the folders 'Cat' and 'cat' differ in spelling only"):
        listed(tmp_path)
    assert listed(tmp_path, class_names=("cat", "Cat")).label_ids.tolist() == [1, 0]


def test_no_folder_of_a_listed_class_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no folder is a listed class; the first folder is 'Blue'"):
        listed(write(tmp_path), ["owl"], ignore_other_folders=True)


def test_class_names_are_composed_and_without_blanks_around_them(tmp_path):
    assert listed(write(tmp_path, ["cafe\u0301/0.jpg", "ramen /0.jpg"])).classes.names == ("caf\u00e9", "ramen")


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("wren", "Blue"), "the folder 'red kite' is not in dataset.class_names"),
        (("wren", "Blue", "red kite", "owl"), "the class 'owl' has no image"),
        (("wren", "blau", "red kite"), "the folder 'Blue' is not in"),
        (("wren", "Blue", "red kite", "wren"), "names a folder twice"),
        (("wren", "Blue", "red kite", " "), "blank"),
    ],
)
def test_class_names_that_are_not_the_folders_are_refused(tmp_path, names, problem):
    with pytest.raises(DatasetError, match=problem) as caught:
        listed(write(tmp_path), class_names=names)
    assert caught.value.place
    assert caught.value.remedy


@pytest.mark.parametrize("file", ["wren/readme.txt", "wren/.a.jpg", "@eaDir/a.jpg"])
def test_a_folder_without_images_is_refused_and_says_what_there_is(tmp_path, file):
    with pytest.raises(DatasetError, match=rf"there is no image; ignored: 1, '.*{file}' for one \("):
        listed(write(tmp_path, [file]))


def test_a_missing_folder_is_an_input_error(tmp_path):
    with pytest.raises(InputError) as caught:
        listed(tmp_path / "absent")
    assert "absent" in caught.value.place


@pytest.mark.slow
def test_a_folder_in_a_bucket_is_a_folder(new_s3_bucket, s3_environment):
    import boto3

    client, bucket = boto3.client("s3", endpoint_url=s3_environment), new_s3_bucket()
    keys = [
        "cat/",
        "cat/a*b?[1].jpg",
        "cat/empty.png",
        "cat/photo.txt",
        "owl/",
        "@eaDir/a.jpg",
        "dog//x.jpg",
        "dog/0.jfif",
    ]
    for key in keys:
        client.put_object(
            Bucket=bucket, Key=f"photos [2024]/{key}", Body=b"" if key[-1] == "/" or "empty" in key else b"x"
        )
    root = f"s3://{bucket}/photos [2024]"
    found = listed(root)
    assert found.image_ids == ("cat/a*b?[1].jpg", "cat/empty.png", "dog/0.jfif")
    assert reasons(found, root) == {
        "cat/": "the marker of a folder, and no file",
        "owl/": "the marker of a folder, and no file",
        "cat/photo.txt": "the suffix '.txt' is not one of an image",
        "@eaDir/a.jpg": "in '@eaDir', a folder that a disk, a system or a tool keeps for itself",
        "dog//x.jpg": "a part of its path is empty",
    }


def test_every_suffix_is_written_in_small_letters_with_its_dot():
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in IMAGE_SUFFIXES)


@given(files=st.lists(st.from_regex(r"[ab]{1,2}/[ab]{1,2}\.png", fullmatch=True), min_size=1, unique=True))
def test_labels_are_positions_of_folders(tmp_path_factory, files):
    found = listed(write(tmp_path_factory.mktemp("random"), files))
    assert found.image_ids == tuple(sorted(files))
    names = [found.classes.names[label] for label in found.label_ids]
    assert names == [image_id.partition("/")[0] for image_id in found.image_ids]


@given(st.lists(st.sampled_from([*IMAGE_SUFFIXES, ".txt", "", ".svg", "~"]), min_size=1, max_size=30), st.data())
def test_rows_and_ignored_are_everything(tmp_path_factory, suffixes, data):
    folders = ["cat", "dog", "@eaDir", ".hidden", "zoo/deep"]
    files = {f"{data.draw(st.sampled_from(folders))}/{number}{suffix}" for number, suffix in enumerate(suffixes)}
    found = listed(write(tmp_path_factory.mktemp("random"), [*files, "cat/one.jpg"]))
    assert len(found.image_ids) + found.ignored.count == len(files) + 1


def test_parts_of_a_data_set_are_not_taken_for_its_classes(tmp_path):
    write(tmp_path, [f"{part}/{name}/1.png" for part in ("train", "val") for name in ("wren", "jay")])
    with pytest.raises(DatasetError, match=r"its folders \(train, val\) are parts of a data set and no classes"):
        listed(tmp_path)
    assert listed(tmp_path / "val").classes.names == ("jay", "wren")
    assert listed(tmp_path, class_names=("train", "val")).classes.names == ("train", "val")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (("train/wren/1.png", "train/jay/1.png", "test/1.png"), "Name one of them: {root}/train"),
        (("train/wren/1.png", "Test_Images/wren/1.png", "more/1.png"), "Name one of them: {root}/Test_Images"),
        (("val2017/1.png", "train2017/1.png"), "Name one of them: {root}/val2017"),
        (("birds/wren/1.png", "birds/jay/1.png"), "Name the folder of class folders: {root}/birds"),
        (("a/birds/wren/1.png", "a/birds/jay/x/1.png"), "Name the folder of class folders: {root}/a/birds"),
    ],
)
def test_folders_around_class_folders_are_refused_with_the_one_that_is_meant(tmp_path, files, told):
    with pytest.raises(DatasetError) as caught:
        listed(write(tmp_path, files))
    assert caught.value.place == str(tmp_path)
    assert caught.value.remedy.startswith(f"{told.format(root=tmp_path)}; ")
    folders = tuple(sorted({file.partition("/")[0] for file in files}))
    assert listed(tmp_path, class_names=folders).classes.names == folders


def test_folders_inside_class_folders_are_told_with_the_class_that_their_images_have(tmp_path):
    kinds = ("dog/poodle/1.png", "dog/beagle/1.png", "cat/1.png", "cat/2.png", "cat/Persian/old/1.png")
    found = listed(write(tmp_path, kinds))
    assert found.classes.names == ("cat", "dog")
    assert str(found.note).startswith(
        f"{tmp_path}: 3 images lie in folders inside class folders ('cat/Persian/old/1.png' for one, which is taken "
        "for 'cat'): the first folder is the class, and 'beagle', 'Persian', 'poodle' are no classes."
    )
    assert listed(tmp_path, class_names=("cat", "dog")).note is None
    assert listed(tmp_path, ["dog"], ignore_other_folders=True).note is None


def test_parts_inside_class_folders_are_told_whoever_names_the_classes(tmp_path):
    write(tmp_path, [f"{name}/{part}/1.png" for part in ("train", "test") for name in ("wren", "jay")])
    for classes in (None, ["wren", "jay"]):
        assert "'test', 'train' are parts of a data set, taken together" in str(listed(tmp_path, classes).note)


@pytest.mark.parametrize("files", [("train/1.png", "plane/1.png"), ("cat/a/1.png",), ("train/1.png",)])
def test_classes_that_may_be_meant_are_classes(tmp_path, files):
    found = listed(write(tmp_path, files))
    assert found.classes.names == tuple(sorted({file.partition("/")[0] for file in files}))
