"""Manifests: a table of paths and labels is the images that it names; every fault is told with its line."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from coder_core.config import load_spec
from coder_core.errors import CoderError, ConfigError, DatasetError
from coder_core.images.sources import ImageSource, open_source
from coder_core.specs import DatasetSpec
from coder_core.steps.image_groups import groups_of

Row = dict[str, Any]
ROWS: list[Row] = [
    {"path": "wren/1.png", "label": "wren", "split": "test", "group": "a"},
    {"path": "wren/2.png", "label": "wren", "split": "train", "group": "b"},
    {"path": "odd, name/3.png", "label": "red kite", "split": "test", "group": "a"},
    {"path": "./odd, name/4.dat", "label": "red kite", "split": "test", "group": "c"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for row in ROWS:
        path = tmp_path / row["path"]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(row["path"].encode())
    (tmp_path / "wren" / "beside.png").write_bytes(b"x")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "of-somebody-else").write_bytes(b"x")
    return tmp_path


def write(path: Path, rows: list[Row]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix in (".jsonl", ".ndjson"):
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8-sig")
    else:
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def open_manifest(path: Path, **settings: Any) -> ImageSource:
    given = {"kind": "manifest", "path": str(path), **settings}
    return open_source(TypeAdapter(DatasetSpec).validate_python(given))


def named(source: ImageSource) -> dict[str, str]:
    (batch,) = source.batches(100)
    assert batch.label_ids is not None
    labels = [source.classes.names[label] for label in batch.label_ids]
    return dict(zip(batch.image_ids, labels, strict=True))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "ndjson", "parquet"])
def test_every_format_says_the_same(suffix: str, folder: Path) -> None:
    path = write(folder / f"birds.{suffix}", ROWS)
    source = open_manifest(path, split="test")
    assert named(source) == {"odd, name/3.png": "red kite", "odd, name/4.dat": "red kite", "wren/1.png": "wren"}
    assert source.name == "birds-test"
    assert [entry.location.rpartition("/")[2] for entry in source.ignored] == ["beside.png"], "folders of its images"
    assert named(open_manifest(path, split="train", class_names=["red kite", "wren"])) == {"wren/2.png": "wren"}


def test_the_same_images_are_the_same_listing_however_they_are_written(folder: Path) -> None:
    sources = [open_manifest(write(folder / f"birds.{suffix}", ROWS), split="test") for suffix in ("csv", "parquet")]
    assert len({(source.identity, source.labels_identity) for source in sources}) == 1


def test_an_image_beside_the_manifest_has_all_of_its_folder_looked_at(folder: Path) -> None:
    (folder / "wren.png").write_bytes(b"y")
    source = open_manifest(write(folder / "birds.csv", [*ROWS, {**ROWS[0], "path": "wren.png"}]), split="test")
    assert source.image_count == 4
    assert sorted(entry.location.rpartition("/")[2] for entry in source.ignored) == ["beside.png", "of-somebody-else"]


def test_columns_root_and_numbers_are_settings(folder: Path) -> None:
    rows = [{"file": f"{folder}/wren/1.png", "y": 1}, {"file": "odd, name/3.png", "y": 0}]
    (folder / "lists").mkdir()
    path = write(folder / "lists" / "numbers.csv", rows)
    found = open_manifest(path, root=str(folder), image="file", label="y", class_names=["red kite", "wren"])
    assert named(found) == {"odd, name/3.png": "red kite", "wren/1.png": "wren"}


def edited(**changes: Any) -> Callable[[list[Row]], list[Row]]:
    """Change the third row: line 4 of a CSV, line 3 of JSON lines."""
    return lambda rows: [*rows[:2], {**rows[2], **changes}, *rows[3:]]


FAULTS = {
    "missing": (edited(path="odd, name/no.png"), r"the file 'odd, name/no.png' is not there\."),
    "outside": (edited(path="../secret.png"), r"'../secret.png' leaves the folder .* dataset.root"),
    "absolute": (edited(path="/etc/passwd"), r"'/etc/passwd' leaves the folder"),
    "backslash": (edited(path="odd\\3.png"), r"written with backslashes"),
    "no path": (edited(path=" "), r"'path' is ' ' and no path"),
    "no label": (edited(label=""), r"'label' is '', and neither a word nor a whole number"),
    "number": (edited(label="7"), r"the label 7 has no name \(nothing says what numbers mean\)"),
    "spelling": (edited(label="Wren"), r"the labels 'Wren' and 'wren' \(.*line [12]\) differ in spelling only"),
    "two labels": (
        edited(path="wren/1.png", label="red kite"),
        r"'wren/1.png' is 'red kite', and 'wren' in line [12]\.",
    ),
    "training in test": (
        edited(path="wren/2.png", label="wren"),
        r"'wren/2.png' is in 'test', and in 'train' in line [23]\. An image that is learnt from must not be tested",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("suffix", "line"), [("csv", 4), ("jsonl", 3)])
def test_a_fault_is_told_in_one_line_with_its_line(fault: str, suffix: str, line: int, folder: Path) -> None:
    edit, problem = FAULTS[fault]
    path = write(folder / f"birds.{suffix}", edit(ROWS))
    with pytest.raises(DatasetError, match=problem) as caught:
        open_manifest(path, split="test")
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert "\n" not in str(caught.value)


def test_a_label_that_is_not_in_the_class_list_names_its_line_and_the_nearest(folder: Path) -> None:
    path = write(folder / "birds.csv", ROWS)
    with pytest.raises(
        DatasetError, match=r"birds.csv, line 4: the label 'red kite' is none of 2 classes; the nearest"
    ):
        open_manifest(path, split="test", class_names=["wren", "red kites"])
    (folder / "classes.txt").write_text("wren\n")
    with pytest.raises(DatasetError, match=r"line 4: the label 'red kite' is none of 1 class"):
        open_manifest(path, split="test", classes={"kind": "file", "path": str(folder / "classes.txt")})


def test_splits_must_be_said_and_be_there(folder: Path) -> None:
    path = write(folder / "birds.csv", ROWS)
    with pytest.raises(DatasetError, match=r"in several splits: test \(3\), train \(1\)\. Say which"):
        open_manifest(path)
    with pytest.raises(DatasetError, match=r"no row has the split 'val'; there are: test \(3\), train \(1\)"):
        open_manifest(path, split="val")
    without = [*ROWS[:-1], {**ROWS[-1], "split": ""}]
    with pytest.raises(DatasetError, match=r"in several splits: .*, and 1 in none\. Say which"):
        open_manifest(write(folder / "without.csv", without))
    bare = [{key: row[key] for key in ("path", "label")} for row in ROWS]
    assert open_manifest(write(folder / "bare.csv", bare)).image_count == 4
    with pytest.raises(DatasetError, match="no row has the split 'test'; there are: none"):
        open_manifest(folder / "bare.csv", split="test")


def test_a_repeated_row_is_named_and_counts_once(folder: Path) -> None:
    source = open_manifest(write(folder / "birds.csv", [*ROWS, ROWS[0]]), split="test")
    assert source.image_count == 3
    assert [entry.reason for entry in source.ignored if entry.location.endswith("line 6")] == [
        "the image 'wren/1.png' stands there more than once"
    ]


BROKEN = {
    "a.csv": ("path,label\nwren/1.png,wren,more\n", r"a.csv, line 2: it has 3 fields, the header 2"),
    "b.csv": ("file,class\nx,y\n", r"b.csv, line 1: there is no column 'path'\. The header has: file, class"),
    "c.csv": ('path,label\n"wren/1.png,wren\n', r"c.csv, line 2: it cannot be read"),
    "d.csv": ("path,label,label\na,b,c\n", r"d.csv, line 1: the column 'label' is there 2 times"),
    "e.csv": (b"path,label\nwren/1.png,wr\xe9n\n", r"e.csv, line 2: this is not UTF-8"),
    "f.csv": ("path,label\n", r"f.csv: it has no row"),
    "g.csv": ("", r"g.csv, line 1: there is no column 'path'"),
    "h.jsonl": ('{"path": "wren/1.png", "label": "wren"}\n{"path": \n', r"h.jsonl, line 2: this is no JSON"),
    "i.jsonl": ("[1]\n", r"i.jsonl, line 1: this is no JSON object"),
    "j.jsonl": ('\n{"path": "wren/1.png"}\n', r"j.jsonl, line 2: there is no 'label'"),
    "k.parquet": (b"PAR1 and nothing", r"k.parquet: This Parquet file is damaged"),
    "l.xlsx": ("", r"the suffix '.xlsx' says not how"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_table_is_told_with_its_line(name: str, folder: Path) -> None:
    content, problem = BROKEN[name]
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DatasetError, match=problem):
        open_manifest(folder / name)


@given(st.binary(max_size=200))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_lead_to_anything_but_images_or_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "1.png").write_bytes(b"x")
    for suffix in ("csv", "jsonl", "parquet"):
        path = tmp_path / f"m.{suffix}"
        path.write_bytes((b"path,label\n1.png,a\n" if suffix == "csv" else b"") + content)
        try:
            open_manifest(path)
        except CoderError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_groups_are_a_column(folder: Path) -> None:
    path = write(folder / "birds.csv", ROWS)
    config = {
        "name": "birds",
        "dataset": {"kind": "manifest", "path": str(path), "split": "test"},
        "encoder": {"kind": "open_clip", "checkpoint": "demo:micro-clip"},
        "methods": ["clip"],
        "groups": {"column": "group"},
    }
    groups = groups_of(load_spec(config))
    assert groups is not None
    numbers = groups.numbers(list(named(open_manifest(path, split="test"))))
    assert [numbers[0] == number for number in numbers] == [True, False, True]
    with pytest.raises(DatasetError, match=r"1 image has no group, the first is 'another\.png'"):
        groups.numbers(["another.png"])
    with pytest.raises(ConfigError, match="only features files and manifests have columns"):
        load_spec({**config, "dataset": {"kind": "folder", "path": str(folder)}})
