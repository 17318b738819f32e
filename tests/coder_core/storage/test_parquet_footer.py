"""The footer as Arrow understands it, and no other outcome than a ValueError where it is damaged."""

import io
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from coder_core.storage.parquet_footer import read_footer
from tests.damage import damaged

TABLE = pa.table(
    {
        "number": list(range(1_000)),
        "text": [f"text {number % 7}" for number in range(1_000)],
        "vector": [[float(number)] * 8 for number in range(1_000)],
        "record": [{"x": number, "y": [number]} for number in range(1_000)],
        "flag": [number % 2 == 0 for number in range(1_000)],
    }
)


def written(**options):
    sink = io.BytesIO()
    pq.write_table(TABLE, sink, **options)
    return sink.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"row_group_size": 10},
        {"compression": "zstd", "write_statistics": False},
        {"version": "1.0"},
        {"write_page_index": True},
    ],
)
def test_rows_and_values_are_those_that_arrow_finds(options):
    content = written(**options)
    metadata = pq.read_metadata(io.BytesIO(content))
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    found = read_footer(io.BytesIO(content))
    assert found.rows == metadata.num_rows == 1_000
    assert found.columns == tuple(
        (tuple(chunk.path_in_schema.split(".")), chunk.num_values, chunk.total_uncompressed_size) for chunk in chunks
    )


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"PAR1" + bytes(40) + b"PAR1", b"x" * 100, written()[:-1], written()[:-9]]
)
def test_what_is_no_parquet_file_is_a_value_error(content):
    with pytest.raises(ValueError, match=r"it has|it ends|damaged|footer"):
        read_footer(io.BytesIO(content))


def test_lists_in_lists_end():
    footer = b"\x19" + b"\x19" * 100_000
    with pytest.raises(ValueError, match="nested deeper than 16 levels"):
        read_footer(io.BytesIO(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"))


@pytest.mark.slow
def test_damaged_footers_are_read_or_a_value_error():
    content, refused = written(row_group_size=500), 0
    length = int.from_bytes(content[-8:-4], "little")
    for number in range(4_000):
        footer = damaged(content[-8 - length : -8], random.Random(number))
        broken = content[: -8 - length] + footer + len(footer).to_bytes(4, "little") + b"PAR1"
        try:
            read_footer(io.BytesIO(broken))
        except ValueError:
            refused += 1
    assert 400 < refused < 4_000
