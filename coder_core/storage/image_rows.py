"""Images as rows of Parquet files: how many there are in which row group, and the labels beside them.

Only the column of labels is read; images are read one row group at a time when their turn comes (`packed_images`).
"""

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from coder_core.errors import DatasetError, InputError
from coder_core.loops import each
from coder_core.storage.addresses import redact
from coder_core.storage.bounded_json import parse_json
from coder_core.storage.input_files import InputFile, open_input
from coder_core.storage.input_tables import check_declared
from coder_core.storage.packed_images import row_location
from coder_core.storage.parquet_footer import read_footer
from coder_core.storage.read_rounds import may_pass

__all__ = ["ImageRows", "read_image_rows"]

MAX_LABEL_CHARACTERS = 10_000
"""Of a word that names a class."""


class ImageRows(NamedTuple):
    """The rows of one file.

    Args:
        locations: One per image.
        labels: Numbers or words; None where a row has none.
        names: What the label numbers mean, where the file says so (Hugging Face's `ClassLabel`).
    """

    locations: list[str]
    labels: list[int | str | None]
    names: tuple[str, ...] | None


def read_image_rows(file: InputFile, image: str, label: str) -> ImageRows:
    """List the images of a Parquet file.

    Args:
        file: The file.
        image: Column of bytes, or of a struct with `bytes`.
        label: Column of numbers or words.

    Raises:
        DatasetError: It is no Parquet file, or a column is missing or holds something else.
        InputError: It is missing.
    """
    place = redact(file.url)
    with open_input(file.url) as source:
        try:
            footer = read_footer(source)
            held = pq.ParquetFile(source)
            schema, groups = held.schema_arrow, _group_sizes(held)
            _check_columns(schema, image, label, place)
            check_declared(footer, [label], place)
            if not pa.types.is_integer(schema.field(label).type):
                held = pq.ParquetFile(source, read_dictionary=[label])
            labels = _label_values(held.read(columns=[label], use_threads=False), label, place)
            if len(labels) != sum(groups):
                raise ValueError(f"{len(labels)} labels, and row groups of {sum(groups)} rows")
        except InputError:
            raise
        except Exception as error:  # Arrow's parsers raise whatever damaged bytes lead them to
            if may_pass(error):  # the disk or the network speaks, and not the file
                raise
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise DatasetError(f"this Parquet file is damaged ({reason}).", place, "Write it again.") from error
    rows = ((group, row) for group, size in enumerate(groups) for row in range(size))
    locations = [row_location(file.url, image, group, row) for group, row in each(rows, every=1000)]
    return ImageRows(locations, labels, _label_names(schema, label))


def _label_values(table: pa.Table, label: str, place: str) -> list[int | str | None]:
    table.validate(full=True)  # Arrow itself would read past the end of a damaged dictionary
    column = table.column(label)
    if pa.types.is_dictionary(column.type):  # a text that stands in a million rows is in memory once
        longest = max((len(text) for chunk in column.chunks for text in chunk.dictionary.to_pylist()), default=0)
        if longest > MAX_LABEL_CHARACTERS:
            problem = f"a label has {longest} characters, more than {MAX_LABEL_CHARACTERS}."
            raise DatasetError(problem, place, "Name the column of labels in dataset.label.")
    labels: list[int | str | None] = column.to_pylist()
    return labels


def _group_sizes(held: pq.ParquetFile) -> list[int]:
    return [held.metadata.row_group(number).num_rows for number in range(held.metadata.num_row_groups)]


def _check_columns(schema: pa.Schema, image: str, label: str, place: str) -> None:
    for setting, name in (("image", image), ("label", label)):
        if schema.get_field_index(name) < 0:
            raise DatasetError(
                f"there is no column {name!r}.",
                place,
                f"Name it in dataset.{setting}; the file holds: {', '.join(schema.names[:20])}.",
            )
    if not _holds_bytes(schema.field(image).type):
        problem = f"the column {image!r} is {schema.field(image).type} and holds no bytes of images."
        raise DatasetError(problem, place, "Name the column of images in dataset.image.")
    kind = schema.field(label).type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DatasetError(f"the column {label!r} is {kind}.", place, "Labels are whole numbers or words.")


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_bytes(kind.field(index).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _label_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    try:
        described: Any = parse_json((schema.metadata or {}).get(b"huggingface", b"{}").decode("utf-8"))
        names = described["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) else None
