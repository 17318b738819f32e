"""Class lists read from files, folders and queries: settled, valid, and never half written."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from coder_core.class_source.read_class_source import read_class_source
from coder_core.class_source.settings import ClassSource
from coder_core.class_source.settling import LOOKS, Look, settle
from coder_core.classes import ClassList
from coder_core.errors import InputError, UnfinishedInputError

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
def slowly() -> Iterable[Callable[[Path, Iterable[bytes], float], None]]:
    """Write pieces of a file one after the other while the test goes on; pieces without an end end with it."""
    writers = []
    is_over = threading.Event()

    def write(path: Path, pieces: Iterable[bytes], pause_seconds: float) -> None:
        def work() -> None:
            with path.open("wb", buffering=0) as file:
                for piece in pieces:
                    file.write(piece)
                    if is_over.wait(pause_seconds) and not isinstance(pieces, list):
                        return

        writers.append(threading.Thread(target=work))
        writers[-1].start()
        while not path.exists():
            time.sleep(0.001)

    yield write
    is_over.set()
    for writer in writers:
        writer.join()


@pytest.mark.slow
def test_the_same_list_in_every_format(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("cat\ndog\nwren\n")
    (tmp_path / "list.csv").write_text("class_name,class_id\ncat,1\ndog,2\nwren,3\n")
    write_parquet(tmp_path / "list.parquet", ANIMALS, class_id=[1, 2, 3])
    for name, content in STRUCTURED.items():
        (tmp_path / name).write_text(content)
    for name in reversed(ANIMALS):
        (tmp_path / "folder" / name / "deep").mkdir(parents=True)
        (tmp_path / "folder" / name / "deep" / "a.jpg").write_bytes(b"x")
    (tmp_path / "folder" / "empty").mkdir()
    assert read_file(tmp_path / "list.txt") == read(kind="folder", path=str(tmp_path / "folder")) == ClassList(ANIMALS)
    numbered = ClassList(ANIMALS, ("1", "2", "3"))
    for name in ("list.csv", "list.parquet", *STRUCTURED):
        assert read_file(tmp_path / name) == (numbered if "1" in STRUCTURED.get(name, "1") else ClassList(ANIMALS)), (
            name
        )
    sql = "SELECT class_name, class_id FROM t WHERE CAST(class_id AS INT) > 0 ORDER BY class_id DESC"
    for suffix in ("csv", "tsv", "parquet"):
        assert read(kind="query", sql=sql, tables={"t": str(tmp_path / f"list.{suffix}")}) == numbered


STRUCTURED = {
    "plain": "cat\ndog\nwren\n",
    "list.names": "cat\ndog\nwren\n",
    "list.tsv": "class_id\tclass_name\n1\tcat\n2\tdog\n3\twren\n",
    "names.json": '["cat", "dog", "wren"]',
    "objects.json": '[{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "wren"}]',
    "mapping.json": '{"3": "wren", "1": "cat", "2": "dog"}',
    "names.jsonl": '"cat"\n"dog"\n"wren"\n',
    "objects.ndjson": '{"label": "cat", "id": 1}\n{"class": "dog", "id": 2}\n\n{"class_name": "wren", "class_id": "3"}',
    "names.yaml": "- cat\n- dog\n- wren\n",
    "mapping.yml": "names:\n  1: cat\n  2: dog\n  3: wren\n",
}


@pytest.mark.parametrize("suffix", [".xlsx", ".toml", ".md", ".gz", ".npy", ".pkl", ".html", ".json5"])
def test_a_format_that_is_not_read_names_those_that_are(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"list{suffix}").write_text("cat\n")
    with pytest.raises(InputError, match=rf"the suffix '{suffix}' are not read.*\.csv, \.json, \.jsonl") as refused:
        read_file(tmp_path / f"list{suffix}")
    assert not isinstance(refused.value, UnfinishedInputError)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.json", '["cat", "do'),
        ("list.jsonl", '"cat"\n"do'),
        ("list.yaml", "- cat\n- do"),
        ("list.tsv", "class_name\nca"),
    ],
)
def test_half_a_list_is_unfinished_in_every_format(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UnfinishedInputError):
        read_file(tmp_path / name)


def test_pipes_and_huge_files_are_no_lists(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(InputError, match="a named pipe and not a file"):
        read_file(tmp_path / "pipe.txt")
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(InputError, match="it has 1000000000000 bytes, more than"):
        read_file(tmp_path / "huge.txt")


def test_folders_that_hold_no_data_are_no_classes(tmp_path: Path) -> None:
    for name in (
        "cat/a.jpg",
        "ramen /a.jpg",
        "@eaDir/a.jpg",
        "#recycle/a.jpg",
        ".hidden/a.jpg",
        "dog/.hidden",
        "notes.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "cat" / "empty").mkdir()
    assert read(kind="folder", path=str(tmp_path)).names == ("cat", "ramen")


def test_folders_that_are_one_class_are_refused(tmp_path: Path) -> None:
    for name in ("Cat/a.jpg", "cat/a.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="'Cat' and 'cat' differ in spelling only: folder 'Cat' and folder 'cat'"):
        read(kind="folder", path=str(tmp_path))


def test_folders_that_cannot_be_read_are_refused(as_nobody: Path) -> None:
    (as_nobody / "cat").mkdir()
    (as_nobody / "cat").chmod(0)
    with pytest.raises(InputError, match="the folder cannot be read"):
        read(kind="folder", path=str(as_nobody))


def test_a_folder_whose_name_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    (tmp_path / os.fsdecode(b"caf\xe9") / "a.jpg").touch()
    with pytest.raises(InputError, match=r"caf\\xe9/a.jpg: the name is not UTF-8"):
        read(kind="folder", path=str(tmp_path))


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
    with pytest.raises(InputError, match=f"{name}: there is no such file") as refused:
        read_file(tmp_path / name)
    assert not isinstance(refused.value, UnfinishedInputError)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf"])
def test_an_empty_list_removes_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(InputError, match="there is no class in it"):
        read_file(tmp_path / "list.txt")


@pytest.mark.slow
def test_a_writer_that_is_slower_than_the_looks_is_never_seen_half(tmp_path: Path, slowly) -> None:
    path = tmp_path / "list.txt"
    slowly(path, [f"class {number}\n".encode() for number in range(30)], 0.01)
    assert len(read_file(path, settle_seconds=0.2)) == 30


def test_a_writer_that_never_ends_is_not_waited_for(tmp_path: Path, slowly) -> None:
    path = tmp_path / "list.txt"
    slowly(path, (f"class {number}\n".encode() for number in count()), 0.01)
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
