"""Class lists read from files, folders and queries: settled, valid, and never half written."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from coder_core.class_source.reading import read_class_source
from coder_core.class_source.settings import ClassSource
from coder_core.class_source.settling import LOOKS, Look, settle
from coder_core.classes import ClassList
from coder_core.errors import InputError, QueryError, UnfinishedInputError

SETTLE = 0.02
ANIMALS = ("cat", "dog", "wren")


def read(settle_seconds: float = SETTLE, **source: object) -> ClassList:
    return read_class_source(TypeAdapter(ClassSource).validate_python(source), settle_seconds=settle_seconds)


def read_file(path: object, settle_seconds: float = SETTLE) -> ClassList:
    return read(kind="file", path=str(path), settle_seconds=settle_seconds)


def write_parquet(path: Path, names: Iterable[object], **columns: object) -> Path:
    pq.write_table(pa.table({"class_name": list(names), **columns}), path)
    return path


@pytest.fixture
def slowly() -> Iterable[Callable[[Path, list[bytes], float], None]]:
    """Write pieces of a file one after the other while the test goes on."""
    writers = []

    def write(path: Path, pieces: list[bytes], pause_seconds: float) -> None:
        def work() -> None:
            with path.open("wb", buffering=0) as file:
                for piece in pieces:
                    file.write(piece)
                    time.sleep(pause_seconds)

        writers.append(threading.Thread(target=work))
        writers[-1].start()
        while not path.exists():
            time.sleep(0.001)

    yield write
    for writer in writers:
        writer.join()


def test_the_same_list_in_every_format(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("cat\ndog\nwren\n")
    (tmp_path / "list.csv").write_text("class_name,class_id\ncat,1\ndog,2\nwren,3\n")
    write_parquet(tmp_path / "list.parquet", ANIMALS, class_id=[1, 2, 3])
    for name in reversed(ANIMALS):
        (tmp_path / "folder" / name / "deep").mkdir(parents=True)
        (tmp_path / "folder" / name / "deep" / "a.jpg").write_bytes(b"x")
    (tmp_path / "folder" / "empty").mkdir()
    assert read_file(tmp_path / "list.txt") == read(kind="folder", path=str(tmp_path / "folder")) == ClassList(ANIMALS)
    numbered = ClassList(ANIMALS, ("1", "2", "3"))
    assert read_file(tmp_path / "list.csv") == read_file(tmp_path / "list.parquet") == numbered
    sql = "SELECT class_name, class_id FROM t WHERE class_id > 0 ORDER BY class_id DESC"
    for suffix in ("csv", "parquet"):
        assert read(kind="query", sql=sql, tables={"t": str(tmp_path / f"list.{suffix}")}) == numbered


def test_a_list_on_another_file_system() -> None:
    fsspec.filesystem("memory").pipe_file("/lists/a.txt", b"cat\ndog\n")
    assert read_file("memory://lists/a.txt").names == ("cat", "dog")


@pytest.mark.slow
def test_a_list_on_s3(new_s3_bucket: Callable[[], str]) -> None:
    bucket = new_s3_bucket()
    fsspec.filesystem("s3").pipe_file(f"{bucket}/a.csv", b"class_name\ncat\n")
    fsspec.filesystem("s3").pipe_file(f"{bucket}/images/dog/1.jpg", b"x")
    assert read_file(f"s3://{bucket}/a.csv").names == ("cat",)
    assert read(kind="folder", path=f"s3://{bucket}/images").names == ("dog",)


@pytest.mark.parametrize("name", ["list.txt", "list.csv", "list.parquet"])
def test_a_missing_list(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: FileNotFoundError") as refused:
        read_file(tmp_path / name)
    assert not isinstance(refused.value, UnfinishedInputError)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf"])
def test_an_empty_list_removes_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(InputError, match="there is no class in it"):
        read_file(tmp_path / "list.txt")


def test_a_writer_that_is_slower_than_the_looks_is_never_seen_half(tmp_path: Path, slowly) -> None:
    path = tmp_path / "list.txt"
    slowly(path, [f"class {number}\n".encode() for number in range(30)], 0.01)
    assert len(read_file(path, settle_seconds=0.2)) == 30


def test_a_writer_that_never_ends_is_not_waited_for(tmp_path: Path, slowly) -> None:
    path = tmp_path / "list.txt"
    slowly(path, [f"class {number}\n".encode() for number in range(40)], 0.01)
    with pytest.raises(UnfinishedInputError, match=f"changed between any two of {LOOKS} looks, 0.05 s apart"):
        read_file(path, settle_seconds=0.05)


def test_a_half_line_is_waited_for(tmp_path: Path, slowly) -> None:
    path = tmp_path / "list.txt"
    slowly(path, [b"cat\nscottish ter", b"rier\n"], 0.15)
    assert read_file(path, settle_seconds=0.1).names == ("cat", "scottish terrier")


def test_a_half_line_that_stays_is_unfinished(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"cat\nscottish ter")
    with pytest.raises(UnfinishedInputError, match="the last line has no line end"):
        read_file(tmp_path / "list.txt")


@pytest.mark.parametrize("size", [4, 9, 60, -1])
def test_a_parquet_file_without_its_end_is_unfinished(tmp_path: Path, size: int) -> None:
    whole = write_parquet(tmp_path / "whole.parquet", ANIMALS).read_bytes()
    (tmp_path / "list.parquet").write_bytes(whole[:size])
    with pytest.raises(UnfinishedInputError, match="no footer"):
        read_file(tmp_path / "list.parquet")


@pytest.mark.parametrize("content", [b"", b"class_name\ncat\n", b"PAR1" + bytes(40) + b"PAR1"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.parquet").write_bytes(content)
    with pytest.raises(InputError, match="Parquet file is damaged") as refused:
        read_file(tmp_path / "list.parquet")
    assert not isinstance(refused.value, UnfinishedInputError)


@pytest.mark.parametrize(
    ("names", "told"),
    [(["cat", None], "row 1: the name None is no text"), ([1, 2], "row 0: the name 1 is no text"), ([], "no class")],
)
def test_a_parquet_column_that_is_no_list_of_names(tmp_path: Path, names: list[object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_file(write_parquet(tmp_path / "list.parquet", names))


def test_images_that_are_still_copied_keep_a_folder_from_settling(tmp_path: Path, slowly) -> None:
    (tmp_path / "images" / "cat").mkdir(parents=True)
    slowly(tmp_path / "images" / "cat" / "1.jpg", [b"x"] * 60, 0.01)
    with pytest.raises(UnfinishedInputError):
        read(kind="folder", path=str(tmp_path / "images"), settle_seconds=0.05)


def test_settling_needs_two_looks_in_a_row_that_agree() -> None:
    states = iter(["a", "b", "a", "a"])
    assert settle(lambda: Look(next(states), "seen"), settle_seconds=0, place="x") == "seen"
    assert list(states) == []


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


def test_a_query_over_half_a_file(tmp_path: Path, species: dict[str, str]) -> None:
    whole = Path(species["species"]).read_bytes()
    Path(species["species"]).write_bytes(whole[:-10])
    with pytest.raises(UnfinishedInputError, match="no footer"):
        read(kind="query", sql="SELECT class_name FROM species", tables=species)
    (tmp_path / "list.csv").write_text("class_name\nca")
    with pytest.raises(UnfinishedInputError, match="no line end"):
        read(kind="query", sql="SELECT class_name FROM t", tables={"t": str(tmp_path / "list.csv")})


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.duckdb").write_text("no database " * 1000)
    with pytest.raises(InputError, match=r"text\.duckdb"):
        read(kind="query", sql="SELECT 'a' AS class_name", database=str(tmp_path / "text.duckdb"))
