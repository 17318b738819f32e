"""What readers see of a store, and what lies in it."""

import io
import time
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq

from coder_core.results.catalog import read_catalog
from coder_core.results.result_tables import ResultTables
from coder_core.storage.store import Store
from tests.coder_core.results.result_rows import paths

ROWS = "SELECT run_id, method, value FROM metrics ORDER BY ALL"


def state(store: Store) -> dict[str, object]:
    """All that a reader can see."""
    results = ResultTables(store)
    run_ids = results.published()
    return {
        "runs": run_ids,
        "counts": results.row_counts(),
        "rows": {
            (name, run_id): results.read(name, run_id) for name in ("metrics", "texts", "runs") for run_id in run_ids
        },
        "manifests": [results.read_manifest(run_id) for run_id in run_ids],
        "latest": results.latest("flags"),
    }


def plain_rows(store: Store, table: str = "metrics") -> list[tuple[str, float]]:
    """What a tool reads that takes every Parquet file of a table's folder, and leaves out runs without a row."""
    run_ids = set(plain_table(store, "runs").column("run_id").to_pylist())
    found = plain_table(store, table)
    rows = zip(found.column("run_id").to_pylist(), found.column("value").to_pylist(), strict=True)
    return sorted(row for row in rows if row[0] in run_ids)


def plain_table(store: Store, table: str) -> pa.Table:
    tables = []
    for path in paths(store, f"tables/{table}/"):
        rows = pq.read_table(io.BytesIO(store.read_bytes(path))) if path.endswith(".parquet") else None
        if rows is not None and "run_id=" in path:  # of 0.1: hive partitions
            rows = rows.append_column("run_id", pa.repeat(path.split("run_id=")[1].split("/")[0], len(rows)))
        tables += [rows] if rows is not None else []
    return pa.concat_tables(tables, promote_options="default")


def counts_of(rows: list[tuple[str, float]]) -> dict[str, int]:
    return dict(Counter(run_id for run_id, _ in rows))


def wanted_files(store: Store) -> set[str]:
    generation = read_catalog(store).generation
    return {*generation.paths, f"publications/generations/{generation.number:08d}.json"}


def wait_for_the_next_second(store: Store) -> None:
    """S3 tells times by the second: what was written in this one is not older than now; elsewhere nothing waits."""
    if store.address.protocol == "s3":
        time.sleep(1.1 - time.time() % 1)
