"""The comparison of stores finds what a fault could do: a row lost, twice or altered, a vector altered, a part gone."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bench.store_identity import (
    StoreContent,
    count_embedded,
    count_stored,
    find_damage,
    find_differences,
    find_repeated,
    read_content,
)
from coder_core.results.schema import TABLES, QuarantineRow, RunRow, TimingRow
from coder_core.results.writing import RunWriter
from coder_core.storage.artifacts import ArtifactPayload, ArtifactStore
from coder_core.storage.embedding_ledger import EmbeddingLedger
from coder_core.storage.store import Store

pytestmark = pytest.mark.slow

KEYS = ("a", "b", "c")
VECTORS = np.arange(6, dtype=np.float32).reshape(3, 2)
PAYLOAD = ArtifactPayload(kind="texts", step_version=1, spec={}, inputs={})


def run_row(**changes: Any) -> RunRow:
    values: dict[str, Any] = {"VARCHAR": "x", "BIGINT": 4, "DOUBLE": 0.5, "TIMESTAMP": datetime(2026, 1, 1, tzinfo=UTC)}
    return RunRow(**{column.name: values[column.type] for column in TABLES["runs"].columns[1:]} | changes)


def write_store(
    root: Path,
    *,
    seconds: float = 0.1,
    problems: tuple[str, ...] = ("empty", "torn"),
    vectors: np.ndarray = VECTORS,
    made: int = 1,
    **row: Any,
) -> Store:
    """A store with one run, one ledger partition and one artifact."""
    store = Store(str(root))
    EmbeddingLedger(store, "text_embeddings", "encoder", 2).append(KEYS, vectors)
    writer = ArtifactStore(store).writer(PAYLOAD)
    writer.write_part("part-0", pa.table({"made": [made]}))
    writer.commit()
    with RunWriter(store, "run-1") as run:
        run.append(QuarantineRow, [QuarantineRow(image_id="i", problem=problem) for problem in problems])
        run.append(TimingRow, [TimingRow(step="embed", seconds=seconds, rows=3, computed=3)])
        run.publish(run_row(**row), b"{}")
    return store


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> StoreContent:
    return read_content(write_store(tmp_path_factory.mktemp("expected")))


def test_time_and_share_of_the_work_are_no_difference(tmp_path: Path, expected: StoreContent) -> None:
    found = read_content(
        write_store(
            tmp_path / "found",
            seconds=9.0,
            started_at=datetime.now(UTC),
            texts_embedded=1,
            texts_reused=7,
            device="none",
            engine="dask",
        )
    )
    assert find_differences(found, expected) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"problems": ("empty",)}, "table quarantine: 1 rows missing"),
        ({"problems": ("empty", "torn", "torn")}, "table quarantine: 1 rows too many"),
        ({"image_count": 5}, "table runs: 1 rows too many"),
        ({"texts_embedded": 5}, "table runs: 1 rows missing"),
        ({"vectors": np.nextafter(VECTORS, np.float32(9))}, "encoder: 3 rows of the same key differ"),
        ({"made": 2}, "its parts differ"),
    ],
    ids=["row lost", "row twice", "other value", "other sum", "last digit of a vector", "other part"],
)
def test_whatever_else_differs_is_told(
    tmp_path: Path, expected: StoreContent, change: dict[str, Any], told: str
) -> None:
    found = read_content(write_store(tmp_path / "found", **change))
    assert any(told in difference for difference in find_differences(found, expected))


def test_rows_that_two_writers_stored_are_counted_twice_and_read_once(tmp_path: Path, expected: StoreContent) -> None:
    store = write_store(tmp_path / "store")
    late = EmbeddingLedger(Store(str(tmp_path / "elsewhere")), "text_embeddings", "encoder", 2)
    late.append(KEYS[:2], VECTORS[:2])
    for path in Store(str(tmp_path / "elsewhere")).list("ledgers"):
        store.write_bytes(path, Store(str(tmp_path / "elsewhere")).read_bytes(path))
    both = read_content(store)
    assert find_differences(both, expected) == []
    assert (count_embedded(both.ledgers, "text_embeddings"), count_stored(both.ledgers, "text_embeddings")) == (3, 5)
    assert find_repeated(both.ledgers) == ["ledgers/text_embeddings/encoder holds 5 rows of 3 keys"]
    assert find_repeated(expected.ledgers) == []


def test_damage_is_found_and_a_leftover_is_none(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store")
    (tmp_path / "store" / "tables" / ".0123.writing").write_bytes(b"half")
    assert find_damage(store) == []
    (part,) = [path for path in store.list("ledgers") if path.endswith(".parquet")]
    (tmp_path / "store" / part).write_bytes(store.read_bytes(part)[:-1])
    assert [problem.split(":")[0] for problem in find_damage(store)] == [part]
