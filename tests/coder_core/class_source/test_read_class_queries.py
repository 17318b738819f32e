"""Class lists that are the answer of a query: what is read, what is refused, what is ended."""

import os
import random
import time
from pathlib import Path

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from coder_core.class_source import class_query, class_tables
from coder_core.class_source.class_query import query_classes
from coder_core.class_source.class_tables import parse_parquet_classes
from coder_core.class_source.entries import build_class_list
from coder_core.errors import InputError, QueryError, UnfinishedInputError
from tests.damage import damaged

from .test_read_class_source import ANIMALS, read, read_file, write_parquet


@pytest.fixture
def species(tmp_path: Path) -> dict[str, str]:
    return {"species": str(write_parquet(tmp_path / "species.parquet", ["cat", "dog"], legs=[4, 4]))}


def test_a_query_over_a_database_that_nobody_writes(tmp_path: Path, species: dict[str, str]) -> None:
    database = tmp_path / "it's.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE TABLE animals AS SELECT 'wren' AS class_name UNION SELECT 'owl'")
    source = {"kind": "query", "database": str(database), "tables": species}
    sql = "SELECT class_name FROM animals UNION ALL SELECT class_name FROM species"
    assert read(sql=sql, **source).names == ("cat", "dog", "owl", "wren")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/lists/animals.duckdb", database.read_bytes())
    source["database"] = "memory://lists/animals.duckdb"
    assert read(sql=sql, **source).names == ("cat", "dog", "owl", "wren")
    with pytest.raises(QueryError, match="Only reading is allowed, not INSERT"):
        read(sql="INSERT INTO animals VALUES ('x')", **source)


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE species",
        "SELECT class_name FROM species; DROP TABLE species",
        "WITH x AS (COPY species TO '{out}') SELECT * FROM x",
        "COPY (SELECT 1) TO '{out}'",
        "SELECT content AS class_name FROM read_text('{secret}')",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM read_csv('{secret}')",
        "ATTACH '{out}' AS other",
        "SET enable_external_access = true",
        "PRAGMA database_list",
        "INSTALL httpfs",
        "SELECT class_nam FROM species",
        "SELEC class_name FROM species",
    ],
)
def test_sql_that_does_more_than_read_is_refused(tmp_path: Path, species: dict[str, str], sql: str) -> None:
    (tmp_path / "secret.csv").write_text("class_name\nsecret\n")
    statement = sql.format(out=tmp_path / "out.csv", secret=tmp_path / "secret.csv")
    with pytest.raises(QueryError, match=r"dataset\.classes\.sql: .*Write one SELECT of class_name"):
        read(kind="query", sql=statement, tables=species)
    assert not (tmp_path / "out.csv").exists()


def test_a_query_without_the_column(species: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"no column 'class_name', but 'legs'"):
        read(kind="query", sql="SELECT legs FROM species", tables=species)


AMBIGUOUS = [
    "001",
    "007",
    "1e3",
    "NA",
    "null",
    "true",
    "no",
    "2024-01-01",
    "12:30",
    "12345678901234567890123",
    "-0",
    "1,5",
]


def test_every_column_of_a_csv_is_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "".join(["class_name,class_id\n", *(f'"{name}",{n:03d}\n' for n, name in enumerate(AMBIGUOUS))])
    )
    found = read(kind="query", sql="SELECT class_name, class_id FROM t", tables={"t": str(tmp_path / "t.csv")})
    assert found.names == tuple(sorted(AMBIGUOUS))
    assert set(found.stable_ids or ()) == {f"{number:03d}" for number in range(len(AMBIGUOUS))}


def test_an_empty_field_of_a_csv_is_null(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("class_name,group\ncat,\ndog,pets\n,pets\n")
    source = {"kind": "query", "tables": {"t": str(tmp_path / "t.csv")}}
    assert read(sql='SELECT class_name FROM t WHERE "group" IS NULL', **source).names == ("cat",)
    with pytest.raises(InputError, match="the name None is no text"):
        read(sql="SELECT class_name FROM t", **source)


def test_a_number_in_a_csv_must_be_cast(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("class_name,count\ncat,9\ndog,10\n")
    source = {"kind": "query", "tables": {"t": str(tmp_path / "t.csv")}}
    with pytest.raises(QueryError, match="CAST"):
        read(sql="SELECT class_name FROM t WHERE count > 9", **source)
    assert read(sql="SELECT class_name FROM t WHERE CAST(count AS INTEGER) > 9", **source).names == ("dog",)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", "class_name\ncaf\u00e9\n".encode("cp1252"), "not UTF-8 text"),
        ("t.csv", "class_name\ncat\n".encode("utf-16"), "UTF-16"),
        ("t.csv", b"class_name,class_name\na,b\n", "the column 'class_name' is there twice"),
        ("t.csv", b"class_name,x\na\nb,c\n", "line 2: the row has 1 fields"),
        ("t.json", b"[]", r"tables with the suffix '\.json' are not read.*\.csv, \.tsv, \.parquet"),
        ("t.parquet", b"PAR1" + bytes(40) + b"PAR1", "damaged"),
    ],
)
def test_a_table_that_cannot_be_read_is_told(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=told) as error:
        read(kind="query", sql="SELECT class_name FROM t", tables={"t": str(tmp_path / name)})
    assert name in error.value.place


def test_a_column_that_a_query_returns_twice_is_refused(species: dict[str, str]) -> None:
    with pytest.raises(InputError, match="the column 'class_name' is there twice"):
        read(kind="query", sql="SELECT class_name, legs AS class_name FROM species", tables=species)


def test_a_parquet_file_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["class_name"] * 2), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="the column 'class_name' is there twice"):
        read_file(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="the column 'class_name' is there twice"):
        read(kind="query", sql="SELECT * FROM t", tables={"t": str(tmp_path / "t.parquet")})


def test_a_parquet_file_that_declares_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_tables, "MAX_DECLARED_BYTES", 4_000_000)
    names = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), 1_000_001), pa.array(["cat"]))
    pq.write_table(pa.table({"class_name": names}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="it declares 4000004 bytes, more than 4000000"):
        read_file(tmp_path / "t.parquet")


@pytest.mark.parametrize("part", range(3))
def test_damaged_parquet_lists_are_lists_or_one_error(tmp_path: Path, part: int) -> None:
    content = write_parquet(tmp_path / "t.parquet", ANIMALS, class_id=["1", "2", "3"]).read_bytes()
    refused = 0
    for number in range(part * 300, part * 300 + 300):
        try:
            entries = parse_parquet_classes(damaged(content, random.Random(number)), "t.parquet")
            classes = build_class_list(entries, "t.parquet")
        except InputError:
            refused += 1
        else:
            assert all(name.strip() for name in classes)
    assert 30 < refused <= 300


def test_a_query_over_half_a_file(tmp_path: Path, species: dict[str, str]) -> None:
    whole = Path(species["species"]).read_bytes()
    Path(species["species"]).write_bytes(whole[:-10])
    with pytest.raises(UnfinishedInputError, match="no footer"):
        read(kind="query", sql="SELECT class_name FROM species", tables=species)
    (tmp_path / "list.csv").write_text("class_name\nca")
    with pytest.raises(UnfinishedInputError, match="no line end"):
        read(kind="query", sql="SELECT class_name FROM t", tables={"t": str(tmp_path / "list.csv")})


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.duckdb")
    with pytest.raises(InputError, match="a named pipe and not a file"):
        read(kind="query", sql="SELECT 'a' AS class_name", database=str(tmp_path / "pipe.duckdb"))
    (tmp_path / "text.duckdb").write_text("no database " * 1000)
    with pytest.raises(InputError, match=r"text\.duckdb"):
        read(kind="query", sql="SELECT 'a' AS class_name", database=str(tmp_path / "text.duckdb"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n::VARCHAR AS class_name FROM t",
        "SELECT levenshtein(repeat('ab', 400000), repeat('ba', 400000))::VARCHAR AS class_name",  # heeds no interrupt
    ],
)
def test_a_query_without_an_end_is_ended(sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    query_classes("SELECT 'a' AS class_name", tables={}, database=None)  # the process is there
    monkeypatch.setattr(class_query, "MAX_SECONDS", 1.0)
    start = time.monotonic()
    with pytest.raises(QueryError, match=r"takes longer than 1 s \(CODER_MAX_CLASS_QUERY_SECONDS\)|memory"):
        query_classes(sql, tables={}, database=None)
    assert time.monotonic() - start < 60  # on a busy machine; the second would take minutes
    monkeypatch.undo()
    assert [row.name for row in query_classes("SELECT 'a' AS class_name", tables={}, database=None).rows] == ["a"]
