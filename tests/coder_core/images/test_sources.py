"""A source's identity changes exactly when its content does, and its batches are the whole, in order."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coder_core.demo.flag_images import flag_names
from coder_core.images import sources
from coder_core.images.sources import FeaturesSource, FilesSource, FlagsSource, open_source
from coder_core.specs import FeaturesDataset, FlagsDataset, FolderDataset


@pytest.fixture
def folder(tmp_path):
    """A folder of two classes."""
    for name in ("owl/a.png", "owl/b.png", "wren/a.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), "red").save(path)
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
    (folder / "owl" / "notes.txt").write_text("not an image")
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
