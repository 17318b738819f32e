"""A source's identity changes exactly when its content does, and its batches are the whole, in order."""

import json
import os
import shutil
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from coder_core.demo.flag_images import flag_names
from coder_core.errors import DatasetError
from coder_core.images import sources
from coder_core.images.sources import (
    SOURCES,
    FeaturesSource,
    FilesSource,
    FlagsSource,
    ImageBatch,
    open_source,
    register_source,
)
from coder_core.specs import DatasetSpec, FeaturesDataset, FlagsDataset, FolderDataset, SplitDataset


@pytest.fixture
def folder(tmp_path):
    """A folder of two classes."""
    for name in ("owl/a.png", "owl/b.png", "wren/a.png", "wren/notes.txt"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), "red").save(path, "PNG")
    return tmp_path / "images"


@pytest.fixture
def features(tmp_path):
    """A file of five features."""
    path = tmp_path / "images.npz"
    labels = np.array([0, 1, 1, 0, 1])
    arrays = {"features": np.eye(5), "labels": labels, "other": 1 - labels, "class_names": np.array(["owl", "wren"])}
    np.savez(path, **arrays)
    return path


def flags(**settings):
    return open_source(FlagsDataset(kind="flags", images_per_class=1, **settings))


def photographs(path, **settings):
    return open_source(FolderDataset(kind="folder", path=str(path), **settings))


def vectors(path, **settings):
    return open_source(FeaturesDataset(kind="features", path=str(path), **settings))


@pytest.mark.parametrize("rows", [1, 2, 3, 4096])
@pytest.mark.parametrize("kind", ["folder", "features"])
def test_batches_are_the_whole_in_order(kind, rows, folder, features):
    source = photographs(folder) if kind == "folder" else vectors(features)
    batches, whole = list(source.batches(rows)), next(iter(source.batches(10_000)))
    assert [image_id for batch in batches for image_id in batch.image_ids] == list(whole.image_ids)
    assert np.array_equal(np.concatenate([batch.label_ids for batch in batches]), whole.label_ids)
    assert np.array_equal(np.concatenate([np.asarray(batch.values) for batch in batches]), np.asarray(whole.values))
    assert [len(batch.image_ids) for batch in batches[:-1]] == [rows] * (len(batches) - 1)
    assert source.image_count == len(whole.image_ids) == len(set(whole.image_ids))
    assert {batch.column for batch in batches} == {"location" if kind == "folder" else "vector"}


def test_flags_come_in_batches_of_whole_images():
    source = flags()
    batches = list(source.batches(40))
    assert [label for batch in batches for label in batch.label_ids.tolist()] == list(range(len(flag_names())))
    assert source.image_count == sum(len(batch.image_ids) for batch in batches) == len(flag_names())
    assert {batch.column for batch in batches} == {"content"}
    assert all(content.startswith(b"\x89PNG") for batch in batches for content in batch.values)
    assert source.classes.names == flag_names()


def test_sources_are_what_their_data_set_says(folder, features):
    assert isinstance(flags(), FlagsSource)
    assert isinstance(photographs(folder), FilesSource)
    assert isinstance(vectors(features), FeaturesSource)


def test_flags_change_with_seed_number_renderer_and_table(monkeypatch):
    found = [flags(seed=1).identity, flags(seed=2).identity]
    found.append(open_source(FlagsDataset(kind="flags", images_per_class=2, seed=1)).identity)
    with monkeypatch.context() as patched:
        patched.setattr(sources, "RENDERER_VERSION", 999)
        found.append(flags(seed=1).identity)
    monkeypatch.setattr(sources, "flag_designs_hash", lambda: "another table")
    found.append(flags(seed=1).identity)
    assert len(set(found)) == 5


def test_labels_change_with_the_order_of_classes(folder):
    assert photographs(folder).labels_identity != photographs(folder, class_names=("wren", "owl")).labels_identity
    assert photographs(folder).labels_identity == photographs(folder, class_names=("owl", "wren")).labels_identity
    assert flags(seed=1).labels_identity != flags(seed=2).labels_identity


def test_identities_are_the_same_for_the_same_content(folder, features):
    assert flags().identity == flags().identity
    assert photographs(folder).identity == photographs(folder).identity
    assert vectors(features).identity == vectors(features).identity


def test_a_folder_changes_with_its_files(folder):
    found = [photographs(folder).identity]
    os.utime(folder / "owl" / "a.png", ns=(1, 1))
    found.append(photographs(folder).identity)
    (folder / "wren" / "a.png").rename(folder / "wren" / "c.png")
    found.append(photographs(folder).identity)
    (folder / "owl" / "b.png").unlink()
    found.append(photographs(folder).identity)
    assert len(set(found)) == 4


def test_the_order_of_classes_changes_the_labels_and_not_the_images(folder):
    ordered, turned = photographs(folder), photographs(folder, class_names=("wren", "owl"))
    assert ordered.identity == turned.identity
    assert ordered.labels_identity != turned.labels_identity


def test_a_folder_does_not_change_with_what_is_no_image(folder):
    before = photographs(folder).identity
    (folder / "owl" / "more notes.txt").write_text("not an image")
    (folder / "owl" / ".thumbnail.png").write_bytes(b"hidden")
    assert photographs(folder).identity == before
    assert photographs(folder, class_names=("owl", "wren")).identity == before


def rewrite(path, **changes):
    with np.load(path) as arrays:
        np.savez(path, **{**arrays, **changes})


def test_features_change_with_their_rows_and_ids(features):
    found = [vectors(features).identity]
    rewrite(features, ids=np.array(list("abcde")))
    found.append(vectors(features, image_ids="ids").identity)
    rewrite(features, features=np.eye(5)[::-1])
    found.append(vectors(features).identity)
    rewrite(features, features=np.eye(5, 6))
    found.append(vectors(features).identity)
    assert len(set(found)) == 4


def test_labels_and_names_change_the_labels_and_not_the_images(features):
    before = vectors(features)
    changed = [vectors(features, labels="other"), vectors(features, class_names=("wren", "owl"))]
    rewrite(features, ids=np.array(list("abcde")))
    changed.append(vectors(features, image_ids="ids"))
    assert len({source.labels_identity for source in [before, *changed]}) == 4
    assert {source.identity for source in changed[:2]} == {before.identity}


def test_features_do_not_change_when_their_file_moves_or_is_touched(features, tmp_path):
    before = vectors(features).identity
    os.utime(features, ns=(1, 1))
    assert vectors(features).identity == before
    moved = Path(shutil.move(features, tmp_path / "moved.npz"))
    assert vectors(moved).identity == before


def test_every_kind_of_data_set_can_be_opened_and_more_can_be_registered(monkeypatch):
    kinds = {get_args(spec.model_fields["kind"].annotation)[0] for spec in get_args(get_args(DatasetSpec)[0])}
    import_module("coder_core.datasets.named_source")
    assert set(SOURCES) == kinds
    monkeypatch.setattr(sources, "SOURCES", {})
    register_source("flags")(lambda dataset, settle_seconds: (dataset.kind, settle_seconds))
    assert open_source(FlagsDataset(kind="flags"), settle_seconds=0.5) == ("flags", 0.5)


def test_the_same_files_under_other_ids_are_another_listing(folder):
    inner, outer = photographs(folder), photographs(folder.parent, class_names=(folder.name,))
    ids = [next(iter(source.batches(99))).image_ids for source in (inner, outer)]
    places = [next(iter(source.batches(99))).values for source in (inner, outer)]
    assert places[0] == places[1]
    assert ids[0] != ids[1]
    assert inner.identity != outer.identity


def test_a_link_that_is_mended_is_another_listing(folder):
    (folder / "owl" / "link.png").symlink_to("later.png")
    before = photographs(folder)
    assert next(iter(before.batches(99))).reasons == [None, None, "a link to a file that is not there", None]
    assert [batch.reasons for batch in before.batches(2)] == [None, ["a link to a file that is not there", None]]
    shutil.copy(folder / "owl" / "a.png", folder / "owl" / "later.png")
    after = photographs(folder)
    assert after.identity != before.identity
    assert next(iter(after.batches(99))).reasons is None


def test_content_that_is_replaced_under_the_same_time_is_another_listing(folder):
    os.utime(folder / "owl" / "a.png", ns=(1, 1))
    before = photographs(folder).identity
    (folder / "owl" / "a.png").write_bytes(b"x" * 9_999)
    os.utime(folder / "owl" / "a.png", ns=(1, 1))
    assert photographs(folder).identity != before


def test_what_is_ignored_is_named_and_counted(folder, features):
    source = photographs(folder)
    assert [entry.location for entry in source.ignored] == [f"{folder}/wren/notes.txt"]
    assert source.ignored_count == 1
    assert (flags().ignored, flags().ignored_count) == ((), 0)
    assert (vectors(features).ignored, vectors(features).ignored_count) == ((), 0)


def test_data_sets_have_names(folder, features, tmp_path):
    images = [["owl/a.png", 0, "owl"]]
    path = tmp_path / "split_zhou_Birds.json"
    path.write_text(json.dumps({"train": images, "val": [], "test": []}))
    split = SplitDataset(kind="split", path=str(folder), split_file=str(path), split="train")
    rewrite(features, test_features=np.eye(5))
    named = {
        "flags": flags(),
        "images": photographs(folder),
        "Birds-train": open_source(split),
        "images-test_features": vectors(features, features="test_features"),
        "mine": photographs(folder, name="mine"),
        "my flags": flags(name="my flags"),
        "my vectors": vectors(features, name="my vectors"),
        "my split": open_source(split.model_copy(update={"name": "my split"})),
    }
    assert {source.name for source in named.values()} == set(named)
    assert all(source.name == name for name, source in named.items())
    assert photographs(f"{folder}/").name == "images"
    assert vectors(features).name == "images"


def test_a_name_changes_neither_images_nor_labels(folder):
    for plain, named in ((photographs(folder), photographs(folder, name="x")), (flags(), flags(name="x"))):
        assert (plain.identity, plain.labels_identity) == (named.identity, named.labels_identity)


def listed_vectors(features, tmp_path, content, **settings):
    (tmp_path / "list.txt").write_text(content)
    classes = {"kind": "file", "path": str(tmp_path / "list.txt")}
    dataset = FeaturesDataset(kind="features", path=str(features), classes=classes, **settings)
    return open_source(dataset, settle_seconds=0)


def test_features_are_found_in_every_spelling_of_their_class(features, tmp_path):
    source = listed_vectors(features, tmp_path, "eagle\nWREN\nThe_Owl\n")
    assert source.classes.names == ("eagle", "WREN", "The_Owl")
    assert next(iter(source.batches(9))).label_ids.tolist() == [2, 1, 1, 2, 1]


def test_features_of_other_classes_are_an_error_or_ignored(features, tmp_path):
    with pytest.raises(DatasetError, match=r"the class 'owl' is not in dataset\.classes; it has 2 images"):
        listed_vectors(features, tmp_path, "wren\n")
    source = listed_vectors(features, tmp_path, "wren\n", ignore_other_folders=True)
    assert next(iter(source.batches(9))).image_ids == ("000000001", "000000002", "000000004")
    assert source.ignored_count == 2
    assert source.ignored[0] == (f"{features}: 000000000", "its class 'owl' is not in dataset.classes")
    with pytest.raises(DatasetError, match="no image is of a listed class"):
        listed_vectors(features, tmp_path, "eagle\n", ignore_other_folders=True)


def test_the_labels_of_flags_are_told_without_rendering_them() -> None:
    source = FlagsSource(FlagsDataset(kind="flags", images_per_class=2, seed=3))
    rendered = [(image_id, label) for batch in source.batches(7) for image_id, label in pairs_of(batch)]
    listed = [(image_id, label) for batch in source.labels(50) for image_id, label in pairs_of(batch)]
    assert listed == rendered
    assert len(listed) == source.image_count


def pairs_of(batch: ImageBatch) -> Iterable[tuple[str, int]]:
    assert batch.label_ids is not None
    return zip(batch.image_ids, batch.label_ids.tolist(), strict=True)
