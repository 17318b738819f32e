"""A store of version 0.1: opened and read, its embeddings reused, the rest made anew; nothing is lost or rewritten.

The old layout is written here by hand, file by file, and not by code of ours.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from coder_core.care.verifying import verify_store
from coder_core.encoders.registry import identify_encoder
from coder_core.errors import StoreError
from coder_core.images.features_file import normalised_rows
from coder_core.pipeline.context import Context
from coder_core.recipes.compare_runs import compare_with_previous
from coder_core.recipes.published_runs import open_run
from coder_core.results.result_tables import ResultTables
from coder_core.results.schema import MetricRow
from coder_core.specs import Runtime
from coder_core.steps.look_at_classes import LookAtClasses
from coder_core.storage.store import Store
from tests.coder_core.results.result_rows import parquet_bytes, publish_old
from tests.fixtures_inputs import NAMES, World, write_world

from .runs import Run, forget_files, rows, run_spec

OLD, NEW = "world-20250101T000000-a", "world-20260101T000000-a"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def write_artifact(
    store: Store,
    kind: str,
    spec: dict[str, Any],
    inputs: dict[str, str],
    *,
    table: pa.Table | None = None,
    document: dict[str, Any] | None = None,
    version: int = 1,
) -> str:
    """Write an artifact as 0.1 did; gives its key."""
    payload = {"kind": kind, "step_version": version, "spec": spec, "inputs": inputs}
    key = sha256(canonical(payload))
    parts, columns = [], {}
    if table is not None:
        content = parquet_bytes(table)
        store.write_bytes(f"artifacts/{kind}/{key}/part-000000.parquet", content)
        parts = [{"name": "part-000000", "rows": len(table), "sha256": sha256(content), "bytes": len(content)}]
        columns = {field.name: str(field.type) for field in table.schema}
    manifest = {
        "kind": kind,
        "key": key,
        "payload": payload,
        "parts": parts,
        "rows": 0 if table is None else len(table),
        "created_at": "2025-01-01T00:00:00.000000Z",
        "summary": {"quarantined": 0} if kind == "image_embeddings" else {},
        "columns": columns,
        "document": document,
    }
    content = json.dumps({**manifest, "checksum": sha256(canonical(manifest))}, indent=1).encode()
    store.write_bytes(f"artifacts/{kind}/{key}/manifest.json", content)
    return key


def write_ledger(store: Store, name: str, encoder_key: str, keys: list[str], vectors: np.ndarray) -> None:
    """Write vectors as 0.1 did: one file per append, named by its hash."""
    flat = pa.array(vectors.astype(np.float32).reshape(-1))
    table = pa.table({"key": keys, "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])})
    content = parquet_bytes(table)
    store.write_bytes(f"ledgers/{name}/{encoder_key}/{sha256(content)}.parquet", content)


def write_old_store(world: World, root: str) -> Store:
    """What 0.1 left after it had evaluated `clip` and `coder` in a world."""
    store, encoder = Store(root), identify_encoder(world.spec().encoder)
    with np.load(world.folder / "texts.npz") as file:
        texts, text_vectors = file["texts"].tolist(), normalised_rows(file["features"], "texts")
    with np.load(world.folder / "images.npz") as file:
        image_vectors, labels = normalised_rows(file["features"], "images"), file["labels"]
    image_ids = [f"{row:09d}" for row in range(len(labels))]
    text_keys = [sha256(text.encode()) for text in texts]
    image_keys = [sha256(row.tobytes()) for row in image_vectors]
    write_ledger(store, "text_embeddings", encoder.key, text_keys, text_vectors)
    write_ledger(store, "image_embeddings", encoder.key, image_keys, image_vectors)
    classes = write_artifact(store, "classes", {"names": list(NAMES)}, {}, document={"names": list(NAMES)})
    images = write_artifact(
        store, "images", {}, {"source": "a" * 64}, table=pa.table({"image_id": image_ids}), version=2
    )
    listed = pa.table({"image_id": image_ids, "key": image_keys, "problem": pa.nulls(len(labels), pa.string())})
    embedded = write_artifact(store, "image_embeddings", {}, {"encoder": encoder.key, "images": images}, table=listed)
    predicted = [0, 1, 2, 3] * (len(labels) // 4)
    own = {
        "method": ["coder"] * len(labels),
        "image_id": image_ids,
        "label": labels,
        "label_name": [NAMES[label] for label in labels],
        "predicted": predicted,
        "predicted_name": [NAMES[class_id] for class_id in predicted],
        "is_correct": labels == predicted,
        "top5": [[class_id] for class_id in predicted],
    }
    metrics = {"method": ["clip", "coder"], "metric": ["top1"] * 2, "value": [0.25, 0.5], "n": [len(labels)] * 2}
    artifacts = {"step": ["load_dataset", "embed_images"], "kind": ["images", "image_embeddings"]}
    artifacts |= {"key": [images, embedded], "rows": [len(labels)] * 2}
    tables = {
        "metrics": {"part": pa.table(metrics)},
        "predictions": {"coder": pa.table(own)},
        "artifacts": {"part": pa.table(artifacts)},
    }
    row = {"name": "world", "started_at": datetime(2025, 1, 1), "dataset": "world", "image_count": len(labels)}
    publish_old(store, OLD, tables, {**row, "encoder": "precomputed", "class_count": len(NAMES)})
    assert classes
    return store


class Upgraded(NamedTuple):
    """An old store in which a new run has been made."""

    store: Store
    runtime: Runtime
    world: World
    before: dict[str, bytes]
    run: Run


def contents(store: Store) -> dict[str, bytes]:
    return {path: store.read_bytes(path) for path in store.list()}


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    folder = tmp_path_factory.mktemp("upgraded")
    world = write_world(folder / "world", images_per_class=6)
    world = World(world.folder, {**world.settings, "methods": ["clip", "coder"]})
    store = write_old_store(world, f"memory://{folder.name}")
    before = contents(store)
    runtime = Runtime(store=f"memory://{folder.name}", device="cpu")
    yield Upgraded(store, runtime, world, before, run_spec(world.spec(), runtime, NEW))
    forget_files(MemoryFileSystem, folder.name)


def test_nothing_of_it_is_lost_or_rewritten(upgraded: Upgraded) -> None:
    after = contents(upgraded.store)
    assert {path: after.get(path) for path in upgraded.before} == upgraded.before
    assert len(upgraded.before) > 10
    assert verify_store(upgraded.store).findings == ()


def test_what_was_embedded_is_embedded_no_more(upgraded: Upgraded) -> None:
    result = upgraded.run.result
    assert (result.texts_embedded, result.images_embedded) == (0, 0)
    assert (result.texts_reused, result.images_reused) == (upgraded.run.manifest.texts.unique_texts, 24)


@pytest.mark.slow
def test_artifacts_are_made_anew_under_keys_of_their_own(upgraded: Upgraded, runtime: Runtime) -> None:
    """As in a store that holds nothing: no old artifact was taken for a new one."""
    alone = run_spec(upgraded.world.spec(), runtime, NEW)
    old = {path.split("/")[2] for path in upgraded.before if path.startswith("artifacts/")}
    made = {record.key for record in upgraded.run.result.records if record.key}
    assert not made & old
    assert made == {record.key for record in alone.result.records if record.key}
    sql = "SELECT method, image_id, predicted, probability FROM predictions WHERE run_id = '{}' ORDER BY ALL"
    assert rows(upgraded.runtime, sql.format(NEW)) == rows(runtime, sql.format(NEW))


def test_its_runs_are_read_beside_new_ones(upgraded: Upgraded) -> None:
    assert ResultTables(upgraded.store).published() == [OLD, NEW]
    counted = "SELECT run_id, count(*), count(probability) FROM predictions GROUP BY ALL ORDER BY 1"
    assert rows(upgraded.runtime, counted) == [(OLD, 24, 0), (NEW, 48, 48)]
    found = rows(upgraded.runtime, f"SELECT method, value, protocol FROM metrics WHERE run_id = '{OLD}' ORDER BY 1")
    assert found == [("clip", 0.25, None), ("coder", 0.5, None)]
    assert rows(upgraded.runtime, f"SELECT best_method, engine FROM runs WHERE run_id = '{OLD}'") == [(None, None)]
    assert [row.value for row in ResultTables(upgraded.store).read_rows(MetricRow, OLD)] == [0.25, 0.5]


def test_the_latest_run_is_the_new_one(upgraded: Upgraded) -> None:
    assert ResultTables(upgraded.store).latest("world") == NEW
    assert open_run(upgraded.store, "world").run_id == NEW


def test_what_needs_a_manifest_says_in_one_line_that_there_is_none(upgraded: Upgraded) -> None:
    context = Context.open(upgraded.runtime)
    for ask in (lambda: open_run(upgraded.store, OLD), lambda: compare_with_previous(context, "world", NEW)):
        with pytest.raises(StoreError, match=f"{OLD} was published by a version that wrote no manifest") as error:
            ask()
        assert "Run the evaluation again" in str(error.value)
        assert len(str(error.value).splitlines()) == 1


def test_a_watcher_of_an_old_store_is_told_to_evaluate_once(upgraded: Upgraded, runtime: Runtime) -> None:
    write_old_store(upgraded.world, runtime.store)
    look = LookAtClasses(spec=upgraded.world.spec())
    with pytest.raises(StoreError, match=r"wrote no manifests.*Run the evaluation again"):
        Context.open(runtime.model_copy(update={"settle_seconds": 0.02})).do(look)
    settled = upgraded.runtime.model_copy(update={"settle_seconds": 0.02})
    assert not Context.open(settled).do(look).has_changed


@pytest.mark.slow
def test_one_line_of_the_log_says_once_what_an_old_store_is(
    upgraded: Upgraded, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    write_old_store(upgraded.world, f"{runtime.store}-old")
    caplog.set_level(logging.INFO, "coder_core")
    for store, run_id, lines in (("old", "run-1", 1), ("old", "run-2", 0), ("new", "run-1", 0), ("new", "run-2", 0)):
        caplog.clear()
        run_spec(upgraded.world.spec(), Runtime(store=f"{runtime.store}-{store}", device="cpu"), run_id)
        assert len([message for message in caplog.messages if "written by coder-eval 0.1" in message]) == lines
