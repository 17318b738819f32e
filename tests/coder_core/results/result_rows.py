"""Rows and runs for tests, and a writer of the layout of 0.1 that shares no code with ours."""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from coder_core.results.schema import TABLES, ArtifactRow, MetricRow, QuarantineRow, RunRow, TextRow
from coder_core.results.writing import RunWriter
from coder_core.storage.store import Store

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VALUES: dict[str, Any] = {
    "VARCHAR": "word",
    "BIGINT": 1,
    "DOUBLE": 0.5,
    "BOOLEAN": True,
    "TIMESTAMP": START,
    "BIGINT[]": [0, 1],
    "DOUBLE[]": [0.5],
    "VARCHAR[]": ["word"],
}


def run_row(**changes: Any) -> RunRow:
    """A complete row of `runs`."""
    return RunRow(**{column.name: VALUES[column.type] for column in TABLES["runs"].columns[1:]} | changes)


def metric_rows(*values: float) -> list[MetricRow]:
    """Rows of `metrics`, one per method."""
    return [
        MetricRow(method=f"method {number}", metric="top1", value=value, n=100, protocol="honest")
        for number, value in enumerate(values)
    ]


def publish(
    store: Store,
    run_id: str,
    values: Sequence[float] = (0.5, 0.25),
    *,
    texts: int = 3,
    artifacts: Iterable[ArtifactRow] = (),
    manifest: bytes | None = None,
    **changes: Any,
) -> bool:
    """Publish a run with metrics, texts and one image in quarantine."""
    with RunWriter(store, run_id) as writer:
        writer.append(MetricRow, metric_rows(*values))
        writer.append(TextRow, text_rows(texts))
        writer.append(QuarantineRow, [QuarantineRow(image_id="a", problem="x")])
        writer.append(ArtifactRow, artifacts)
        return writer.publish(run_row(**changes), manifest or f'{{"run": "{run_id}"}}'.encode())


def text_rows(count: int) -> list[TextRow]:
    """Rows of `texts`, all different."""
    return [
        TextRow(text_id=at, class_id=at, class_name=f"class {at}", kind="attribute", text=f"text {at}", source="file")
        for at in range(count)
    ]


def publish_many(store: Store, count: int, *, name: str = "flags") -> list[str]:
    """Publish runs of one evaluation, one day apart; returns their ids."""
    run_ids = [f"{name}-{number:03}" for number in range(count)]
    for number, run_id in enumerate(run_ids):
        publish(store, run_id, (number / count, 0.25), name=name, started_at=START + timedelta(days=number))
    return run_ids


def publish_old(
    store: Store, run_id: str, tables: Mapping[str, Mapping[str, pa.Table]], row: Mapping[str, Any]
) -> None:
    """Publish a run as 0.1 did: `tables/<table>/run_id=<run>/<part>.parquet`, a record beside the row, the row last."""
    parts = {
        f"tables/{table}/run_id={run_id}/{part}.parquet": parquet_bytes(rows)
        for table, own in tables.items()
        for part, rows in own.items()
    }
    for path, content in parts.items():
        store.write_bytes(path, content)
    hashes = {path: hashlib.sha256(content).hexdigest() for path, content in sorted(parts.items())}
    checksum = hashlib.sha256(json.dumps(hashes, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    content = parquet_bytes(pa.table({name: [value] for name, value in row.items()}))
    record = json.dumps({"parts": hashes, "checksum": checksum}, indent=1).encode()
    store.write_bytes(f"tables/runs/run_id={run_id}/{hashlib.sha256(content).hexdigest()}.json", record)
    store.write_bytes(f"tables/runs/run_id={run_id}/part.parquet", content)


def old_run(store: Store, run_id: str, *, name: str = "flags", started_at: datetime = START) -> None:
    """Publish a run of 0.1 with metrics, and with predictions in one part per method."""
    metrics = pa.table({"method": ["clip"], "metric": ["top1"], "value": [0.5], "n": [10], "ci_low": [0.4]})
    predictions = {
        method: pa.table(
            {"method": [method] * 2, "image_id": ["a", "b"], "predicted": [0, 1], "top5": [[0, 1], [1, 0]]}
        )
        for method in ("clip", "coder")
    }
    row = {"name": name, "started_at": started_at.replace(tzinfo=None), "dataset": "folder", "image_count": 2}
    publish_old(store, run_id, {"metrics": {"part": metrics}, "predictions": predictions}, row)


def parquet_bytes(table: pa.Table) -> bytes:
    """A Parquet file as any library writes it."""
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def flip(store: Store, path: str, position: int | None = None) -> None:
    """Flip a bit of a file, in its middle where nobody says where."""
    content = store.read_bytes(path)
    position = len(content) // 2 if position is None else position
    store.write_bytes(path, content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])


def paths(store: Store, part: str) -> list[str]:
    """The files whose path holds a text."""
    return [path for path in store.list() if part in path]
