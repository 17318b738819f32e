import hashlib
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.results import table_file
from coder_core.results.arrow_rows import arrow_schema, rows_to_arrow, with_run
from coder_core.results.schema import PredictionRow
from coder_core.results.table_file import TableFileWriter, WrittenFile
from coder_core.storage.store import Store

GROUP = 7
"""Rows in a row group, small enough for many groups."""


def predictions(count: int) -> pa.Table:
    base = {"method": "m", "predicted_name": "cat", "protocol": "honest"}
    rows = [
        PredictionRow(**base, image_id=f"image {at}", predicted=at, top5=[at, at + 1][: at % 3], label=at % 2 or None)
        for at in range(count)
    ]
    return with_run(PredictionRow, rows_to_arrow(PredictionRow, rows), "run")


def write(tables: list[pa.Table], store: Store) -> tuple[WrittenFile, bytes]:
    with TableFileWriter(arrow_schema(PredictionRow)) as writer:
        for table in tables:
            writer.append(table)
        written = writer.finish()
        assert writer.create_in(store, written.sha256)
        return written, store.read_bytes(written.sha256)


@given(rows=st.integers(0, 40), cuts=st.lists(st.integers(0, 40), max_size=6), data=st.data())
def test_the_bytes_do_not_tell_in_how_many_appends_the_rows_came(
    rows: int, cuts: list[int], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    table = predictions(rows)
    bounds = sorted({0, rows, *(min(cut, rows) for cut in cuts)})
    pieces = [table.slice(start, end - start) for start, end in pairwise(bounds)]
    if pieces and data.draw(st.booleans()):  # a piece whose columns are in several chunks, and one without rows
        pieces[0] = pa.concat_tables([pieces[0].slice(0, 1), pieces[0].slice(1), pieces[0].slice(0, 0)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_file, "rows_per_group", lambda _schema: GROUP)
        whole = write([table], Store(str(tmp_path_factory.mktemp("a"))))
        cut = write(pieces, Store(str(tmp_path_factory.mktemp("b"))))
    assert whole == cut
    written, content = whole
    assert (written.sha256, written.bytes, written.rows) == (hashlib.sha256(content).hexdigest(), len(content), rows)
    file = pq.ParquetFile(pa.BufferReader(content))
    assert file.read().equals(table)
    assert [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)][:-1] == [GROUP] * (
        (rows - 1) // GROUP
    )


def test_a_large_table_is_not_held_in_memory_and_its_temporary_file_is_removed(
    disk_store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(table_file, "rows_per_group", lambda _schema: GROUP)
    with TableFileWriter(arrow_schema(PredictionRow)) as writer:
        for _ in range(50):
            writer.append(predictions(5))
            assert writer._waiting_rows < GROUP
        assert writer.size > 1_000
        writer.finish()
        writer.replace_in(disk_store, "file")
    assert pq.ParquetFile(f"{disk_store.root}/file").metadata.num_rows == 250
    assert list(tmp_path.glob("coder-eval-*")) == []


def test_a_writer_that_is_given_up_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(table_file, "rows_per_group", lambda _schema: GROUP)
    with TableFileWriter(arrow_schema(PredictionRow)) as writer:
        writer.append(predictions(20))
        assert list(tmp_path.iterdir()) != []
    assert list(tmp_path.iterdir()) == []
