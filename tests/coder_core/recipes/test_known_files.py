"""Which files are read again: told by files whose content was changed behind their time, so that reading shows."""

import os
from pathlib import Path

import pytest
from coder_core.steps.workplace import Product, open_store

from coder_core import steps
from coder_core.specs import Runtime
from tests.fixtures_inputs import World, write_image_class


def embed(world: World, runtime: Runtime) -> Product:
    spec = world.spec()
    encoder = steps.encoding.open_encoder(spec.encoder)
    images = steps.dataset.load_dataset(spec.dataset, runtime).images.artifact
    shards = steps.image_embeddings.plan_embedding(images, encoder, runtime)
    reports = [steps.image_embeddings.embed_image_shard(shard, images, encoder, runtime) for shard in shards]
    return steps.image_embeddings.finish_image_embeddings(images, encoder, reports, runtime)


def keys(product: Product, runtime: Runtime) -> dict[str, str]:
    table = open_store(runtime).read(product.artifact)
    return dict(zip(table.column("image_id").to_pylist(), table.column("key").to_pylist(), strict=True))


def spoil(path: Path) -> None:
    """Other bytes under the same name, size and time: who reads the file finds it broken."""
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def images(photos: World) -> Path:
    return photos.folder / "images"


@pytest.mark.parametrize("rows", [3, 4096])
def test_old_files_are_not_read_for_a_new_class(
    photos: World, images: Path, runtime: Runtime, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps.dataset, "LISTING_ROWS", rows)
    before = embed(photos, runtime)
    for path in sorted(images.glob("*/*.png")):
        spoil(path)
    write_image_class(images, "goldcrest", 3)
    after = embed(photos, runtime)
    assert (after.computed, after.artifact.summary["quarantined"]) == (3, 0)
    found = keys(after, runtime)
    assert {name: found[name] for name in keys(before, runtime)} == keys(before, runtime)
    assert list(found) == sorted(found)


def test_a_file_with_another_time_is_read(photos: World, images: Path, runtime: Runtime) -> None:
    embed(photos, runtime)
    changed, *others = sorted(images.glob("wren/*.png"))
    for path in others:
        spoil(path)
    changed.write_bytes((images / "red kite" / "000.png").read_bytes())
    os.utime(changed, ns=(1, 1))
    found = keys(embed(photos, runtime), runtime)
    assert found["wren/000.png"] == found["red kite/000.png"]


def test_a_known_file_without_a_vector_is_read_again(photos: World, images: Path, runtime: Runtime) -> None:
    first = embed(photos, runtime)
    store = open_store(runtime).store
    for path in store.list("ledgers/image_embeddings"):
        store.delete(path)
    write_image_class(images, "goldcrest", 1)
    after = embed(photos, runtime)
    assert after.computed == first.artifact.rows + 1


def test_a_broken_file_is_tried_again(photos: World, images: Path, runtime: Runtime) -> None:
    broken = images / "wren" / "000.png"
    good, status = broken.read_bytes(), broken.stat()
    spoil(broken)
    assert embed(photos, runtime).artifact.summary["quarantined"] == 1
    broken.write_bytes(good)
    os.utime(broken, ns=(status.st_atime_ns, status.st_mtime_ns))
    write_image_class(images, "goldcrest", 1)
    after = embed(photos, runtime)
    assert (after.computed, after.artifact.summary["quarantined"]) == (2, 0)
