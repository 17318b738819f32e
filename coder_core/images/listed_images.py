"""Image files with their labels in `metadata.csv` or `metadata.jsonl`, as Hugging Face's image folders have them."""

import csv
import io
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from coder_core.counted import counted
from coder_core.errors import DatasetError
from coder_core.images.image_files import ImageFiles, select_images, shown_location
from coder_core.images.labelled_rows import Label, LabelledRows, as_label
from coder_core.loops import each
from coder_core.specs import TableDataset
from coder_core.storage.bounded_json import parse_json
from coder_core.storage.input_files import InputFile, read_input
from coder_core.storage.input_walk import list_input

METADATA = ("metadata.csv", "metadata.jsonl")
FILE_NAME = "file_name"
MAX_METADATA_BYTES = 2**30


def list_table(dataset: TableDataset) -> LabelledRows:
    """List the images that the tables in a folder name; each table names files from its own folder on.

    Raises:
        InputError: There is no such folder.
        DatasetError: It has no table; a table lacks a column, or names an image that is not there.
    """
    walked = list(list_input(dataset.path))
    tables = [file for file in walked if posixpath.basename(file.name) in METADATA]
    if not tables:
        problem = f"there is no {' or '.join(METADATA)}."
        raise DatasetError(problem, dataset.path, "For folders named like classes: dataset.kind: folder.")
    images = select_images(file for file in walked if file not in tables)
    labels = _labels(tables, dataset)
    return _labelled(images, labels, dataset)


def _labels(tables: list[InputFile], dataset: TableDataset) -> dict[str, Label]:
    """Name of an image below the data set's folder -> its label."""
    labels: dict[str, Label] = {}
    for table in tables:
        folder = posixpath.dirname(table.name)
        for number, row in enumerate(each(_rows(table), every=1000), start=1):
            place = f"{shown_location(table)}, row {number}"
            name, label = (_value(row, column, place) for column in (FILE_NAME, dataset.label))
            path = posixpath.normpath(posixpath.join(folder, str(name)))
            if labels.setdefault(path, label) != label:
                raise DatasetError(f"{path!r} has two labels.", place, "Name each image once.")
    return labels


def _labelled(images: ImageFiles, labels: dict[str, Label], dataset: TableDataset) -> LabelledRows:
    files = [file for file in images.files if file.name in labels]
    for file in images.files if len(files) < len(images.files) else ():
        if file.name not in labels:
            images.ignored.add("unlisted", shown_location(file), "no table names it")
    if absent := sorted(labels.keys() - {file.name for file in files}):
        problem = f"{counted(len(absent), 'image is', 'images are')} absent, {absent[0]!r} for one."
        raise DatasetError(problem, dataset.path, f"{FILE_NAME} is a path from the table's folder on.")
    return LabelledRows(files, [labels[file.name] for file in files], None, images.ignored)


def _rows(table: InputFile) -> Iterator[Mapping[str, Any]]:
    try:
        text = read_input(table.url, max_bytes=MAX_METADATA_BYTES).decode("utf-8-sig")
        if table.name.endswith(".csv"):
            yield from csv.DictReader(io.StringIO(text, newline=""), strict=True)
            return
        for line in text.splitlines():
            if line.strip():
                yield parse_json(line)
    except (ValueError, csv.Error) as error:
        reason = " ".join(str(error).split())[:200]
        raise DatasetError(f"this table cannot be read ({reason}).", shown_location(table), "Mend it.") from error


def _value(row: Any, column: str, place: str) -> Label:
    value = row.get(column) if isinstance(row, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        held = ", ".join(map(str, row)) if isinstance(row, Mapping) else type(row).__name__
        problem = f"there is no {column!r} that is a whole number or a word, but {value!r}."
        raise DatasetError(problem, place, f"It holds: {held}; name the column of labels in dataset.label.")
    return as_label(value) if isinstance(value, str) and column != FILE_NAME else value
