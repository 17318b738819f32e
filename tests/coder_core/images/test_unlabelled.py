"""Files, folders and patterns that somebody wants a prediction for: each image once, the rest named."""

import os

import fsspec
import pytest

from coder_core.errors import InputError
from coder_core.images.unlabelled import open_images


@pytest.fixture
def folder(tmp_path):
    names = ("0.jpg", "1.jfif", "2.JPEG", "3.heic", "notes.txt", ".hidden.jpg", "@eaDir/0.jpg", "deep [1]/a*b?.png")
    for name in names:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(name.encode())
    return tmp_path / "photos"


def names_of(images, folder):
    return [image_id.removeprefix(f"{folder}/") for image_id in images.image_ids]


def test_a_folder_gives_all_its_images_and_names_the_rest(folder):
    images = open_images([str(folder)])
    assert names_of(images, folder) == ["0.jpg", "1.jfif", "2.JPEG", "3.heic", "deep [1]/a*b?.png"]
    assert images.image_count == 5
    assert {entry.location.removeprefix(f"{folder}/") for entry in images.ignored} == {
        "notes.txt",
        ".hidden.jpg",
        "@eaDir/0.jpg",
    }
    assert images.ignored_count == 3


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("notes.txt", ["notes.txt"]),
        (".hidden.jpg", [".hidden.jpg"]),
        ("*.jpg", ["0.jpg"]),
        (".*.jpg", [".hidden.jpg"]),
        ("deep [1]/a*b?.png", ["deep [1]/a*b?.png"]),
        ("deep [1]/*", ["deep [1]/a*b?.png"]),
        ("**/*.png", ["deep [1]/a*b?.png"]),
        ("[12].*", ["1.jfif", "2.JPEG"]),
    ],
)
def test_what_is_named_is_found(folder, pattern, expected):
    assert names_of(open_images([f"{folder}/{pattern}"]), folder) == expected


def test_a_hidden_parent_hides_nothing(tmp_path):
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "a.jpg").touch()
    for location in (".cache", ".cache/*.jpg", ".cache/a.jpg"):
        assert open_images([f"{tmp_path}/{location}"]).image_count == 1


def test_every_file_is_there_once_in_the_order_in_which_it_was_named(folder):
    images = open_images([f"{folder}/2.JPEG", str(folder), f"{folder}/*.jpg"])
    assert names_of(images, folder) == ["2.JPEG", "0.jpg", "1.jfif", "3.heic", "deep [1]/a*b?.png"]


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_batches_are_the_whole_in_order_without_labels(folder, rows):
    (folder / "link.jpg").symlink_to("nowhere")
    images = open_images([str(folder)])
    batches = list(images.batches(rows))
    assert [image_id for batch in batches for image_id in batch.image_ids] == list(images.image_ids)
    assert {batch.label_ids for batch in batches} == {None}
    told = [reason for batch in batches for reason in batch.reasons or [None] * len(batch.image_ids)]
    assert told == [None, None, None, None, None, "a link to a file that is not there"]
    assert [place for batch in batches for place in batch.values] == list(images.image_ids)


def test_the_identity_changes_with_files_and_order(folder):
    found = [open_images([f"{folder}/0.jpg", f"{folder}/1.jfif"]).identity]
    assert open_images([f"{folder}/0.jpg", f"{folder}/1.jfif"]).identity == found[0]
    found.append(open_images([f"{folder}/1.jfif", f"{folder}/0.jpg"]).identity)
    (folder / "0.jpg").write_bytes(b"another")
    found.append(open_images([f"{folder}/0.jpg", f"{folder}/1.jfif"]).identity)
    assert len(set(found)) == 3


def test_nothing_is_no_image(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").touch()
    for locations in ([], [f"{tmp_path}/none"], [f"{tmp_path}/empty"], [f"{tmp_path}/*.jpg"]):
        with pytest.raises(InputError):
            open_images(locations)
    with pytest.raises(InputError, match=r"there is no image; ignored: 1, '.*a\.txt' for one"):
        open_images([str(folder), f"{tmp_path}/texts"])


def test_a_name_that_is_no_utf_8_is_refused_or_ignored(folder):
    name = os.fsdecode(b"\xe9.jpg")
    (folder / name).touch()
    assert [entry.location for entry in open_images([str(folder)]).ignored if "xe9" in entry.location] == [
        f"{folder}/\\xe9.jpg"
    ]
    with pytest.raises(InputError, match="not UTF-8") as error:
        open_images([f"{folder}/{name}"])
    str(error.value).encode()


def test_ids_hide_secrets_and_stay_apart():
    memory = fsspec.filesystem("memory")
    for token in ("token=one", "token=two"):
        memory.pipe_file(f"/unlabelled/a.jpg?{token}", b"x")
    images = open_images(["memory://unlabelled/a.jpg?token=one", "memory://unlabelled/a.jpg?token=two"])
    assert images.image_ids == ("memory://unlabelled/a.jpg?token=***", "memory://unlabelled/a.jpg?token=*** (2)")
