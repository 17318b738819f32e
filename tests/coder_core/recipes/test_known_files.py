"""Which files are read again: whoever reads an image is written down, and reads on."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coder_core.embedding import image_stream as embedding
from coder_core.errors import InputError
from coder_core.pipeline.artifact_types import ImageEmbeddingsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.runner import InlineRunner
from coder_core.pipeline.step import StepRecord
from coder_core.specs import Runtime
from coder_core.steps import load_dataset
from coder_core.steps.embed_images import EmbedImages
from coder_core.steps.load_dataset import LoadDataset
from coder_core.steps.preflight import IdentifyEncoder
from tests.fixtures_inputs import World, write_image_class

from .runs import counted_passes


class Embedded:
    """What became of the images of a world, and who was asked for it."""

    def __init__(self, world: World, runtime: Runtime) -> None:
        run, spec = InlineRunner(runtime), world.spec()
        images = run(LoadDataset(source=spec.dataset)).images
        self.artifact: ImageEmbeddingsArtifact = run(
            EmbedImages(images=images, encoder=run(IdentifyEncoder(encoder=spec.encoder)))
        )
        self.record: StepRecord = next(record for record in run.records if record.step == "embed_images")
        table = Context.open(runtime).read(self.artifact)
        self.keys = dict(zip(table.column("image_id").to_pylist(), table.column("key").to_pylist(), strict=True))


@pytest.fixture
def images(photos: World) -> Path:
    return photos.folder / "images"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, images: Path) -> list[str]:
    """Names of the files that were read, in order."""
    names: list[str] = []
    read_image = embedding.read_image

    def reading(location: str) -> bytes:
        names.append(Path(location).relative_to(images).as_posix())
        return read_image(location)

    monkeypatch.setattr(embedding, "read_image", reading)
    return names


@pytest.mark.slow
@pytest.mark.parametrize("rows", [3, 4096])
def test_old_files_are_not_read_for_a_new_class(
    photos: World, images: Path, runtime: Runtime, rows: int, monkeypatch: pytest.MonkeyPatch, read: list[str]
) -> None:
    monkeypatch.setattr(load_dataset, "LISTING_ROWS", rows)
    before = Embedded(photos, runtime)
    assert len(read) == 20
    read.clear()
    write_image_class(images, "goldcrest", 3)
    with counted_passes() as passes:
        after = Embedded(photos, runtime)
    assert sorted(read) == [f"goldcrest/{number:03d}.png" for number in range(3)]
    assert passes.images == [3], "one pass, whatever the parts are"
    assert (after.record.computed, after.record.reused, after.artifact.quarantined) == (3, 20, 0)
    assert {name: after.keys[name] for name in before.keys} == before.keys
    assert list(after.keys) == sorted(after.keys)


def test_a_file_that_was_written_to_is_read(photos: World, images: Path, runtime: Runtime, read: list[str]) -> None:
    Embedded(photos, runtime)
    read.clear()
    (images / "wren" / "000.png").write_bytes((images / "red kite" / "000.png").read_bytes())
    after = Embedded(photos, runtime)
    assert read == ["wren/000.png"]
    assert after.record.computed == 0, "its content is known"
    assert after.keys["wren/000.png"] == after.keys["red kite/000.png"]


def test_a_file_that_was_changed_behind_its_size_and_time_is_read(
    photos: World, images: Path, runtime: Runtime, read: list[str]
) -> None:
    before = Embedded(photos, runtime)
    read.clear()
    changed = images / "wren" / "000.png"
    status = changed.stat()
    changed.write_bytes(bytes(status.st_size))
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = Embedded(photos, runtime)
    assert (changed.stat().st_size, changed.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert read == ["wren/000.png"]
    assert (before.artifact.quarantined, after.artifact.quarantined) == (0, 1)


def test_a_known_file_without_a_vector_is_read_again(photos: World, runtime: Runtime, read: list[str]) -> None:
    first = Embedded(photos, runtime)
    read.clear()
    store = Context.open(runtime).artifacts.store
    for path in store.list("ledgers/image_embeddings"):
        store.delete(path)
    after = Embedded(photos, runtime)
    assert len(read) == after.record.computed == first.artifact.rows == 20


def test_a_broken_file_is_tried_again_and_a_sound_one_is_not(
    photos: World, images: Path, runtime: Runtime, read: list[str]
) -> None:
    (images / "wren" / "000.png").write_bytes(b"no image")
    assert Embedded(photos, runtime).artifact.quarantined == 1
    read.clear()
    write_image_class(images, "goldcrest", 1)
    after = Embedded(photos, runtime)
    assert (after.record.computed, after.artifact.quarantined) == (1, 1)
    assert sorted(read) == ["goldcrest/000.png", "wren/000.png"], "a decoder may have learnt something"


def test_an_image_that_the_network_did_not_give_is_asked_for_again(
    photos: World, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_image = embedding.read_image

    def refuse(location: str) -> bytes:
        if location.endswith("wren/000.png"):
            raise InputError("connection reset", location)
        return read_image(location)

    with monkeypatch.context() as network:
        network.setattr(embedding, "read_image", refuse)
        before = Embedded(photos, runtime)
    assert before.artifact.quarantined == 1
    after = Embedded(photos, runtime)
    assert after.artifact.quarantined == 0
    assert (after.record.computed, after.record.reused) == (1, 19)
    assert after.keys["wren/000.png"] is not None
    assert before.artifact.identity() != after.artifact.identity(), "predictions without it are not those with it"


@pytest.mark.slow
def test_of_two_runs_whose_listings_overlap_each_image_is_embedded_by_one(
    photos: World, images: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two listings of other keys: one class more. The parts of the old classes are the same, and so are the images."""
    monkeypatch.setattr(load_dataset, "LISTING_ROWS", 5)
    spec = photos.spec()
    steps = []
    for _ in range(2):
        run = InlineRunner(runtime)
        listed = run(LoadDataset(source=spec.dataset)).images
        steps.append(EmbedImages(images=listed, encoder=run(IdentifyEncoder(encoder=spec.encoder))))
        write_image_class(images, "yaffle", 5, first_image=100)
    assert steps[0].images.key != steps[1].images.key
    start = threading.Barrier(2)

    def embed(step: EmbedImages) -> list[str]:
        start.wait()
        table = Context.open(runtime).read(InlineRunner(runtime)(step))
        keys: list[str] = table.column("key").to_pylist()
        return keys

    with counted_passes() as passes, ThreadPoolExecutor(2) as threads:
        before, after = threads.map(embed, steps)
    assert sum(passes.images) == 25
    assert after[:20] == before
