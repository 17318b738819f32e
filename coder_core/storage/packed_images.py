"""Images inside larger files: a range of bytes of a tar shard, a row of a Parquet file.

Such an image has a location like any other: the file's, and behind a `#` what to take of it. A tar member is a range
(`shard-0.tar#bytes=1536+48213`), so that it is read with one request from an object store, too. A row is found by its
row group (`train.parquet#image=7.12`: column `image`, group 7, row 12), and the groups that were read last are kept.
"""

import re
import threading
from collections import OrderedDict
from typing import Any, NamedTuple

from coder_core.errors import InputError
from coder_core.storage.addresses import parse_address, redact
from coder_core.storage.input_files import open_input, read_input_state
from coder_core.storage.npz import MAX_ARRAY_BYTES
from coder_core.storage.read_rounds import is_lasting, read_in_rounds
from coder_core.storage.refusals import explained

__all__ = ["range_location", "read_image", "row_location"]

KEPT_GROUPS = 4
"""Row groups that a process keeps: readers work in order, some tasks at a time."""

_RANGE = re.compile(r"(?P<url>.+)#bytes=(?P<start>\d+)\+(?P<size>\d+)", re.DOTALL)
_ROW = re.compile(r"(?P<url>.+)#(?P<column>[^#=]+)=(?P<group>\d+)\.(?P<row>\d+)", re.DOTALL)


def range_location(url: str, start: int, size: int) -> str:
    """The location of some bytes of a file."""
    return f"{url}#bytes={start}+{size}"


def row_location(url: str, column: str, group: int, row: int) -> str:
    """The location of one row of a column of a Parquet file; the row is counted within its group."""
    return f"{url}#{column}={group}.{row}"


def read_image(location: str) -> bytes:
    """Read the bytes of an image: of a file, or of what lies inside one; in rounds, whatever may have been in the way.

    Raises:
        InputError: It is missing, or cannot be read.
    """
    if found := _RANGE.fullmatch(location):
        url, start, size = found["url"], int(found["start"]), int(found["size"])
        return read_in_rounds(lambda: _read_range(url, start, size), is_worth_it=_is_worth_it)
    if found := _ROW.fullmatch(location):
        group = _GROUPS.read(_Group(found["url"], found["column"], int(found["group"])))
        return _bytes_of(group, int(found["row"]), location)
    return read_in_rounds(lambda: _read_file(location), is_worth_it=_is_worth_it)


def _is_worth_it(error: BaseException) -> bool:
    return isinstance(error, InputError) and not is_lasting(error)


def _read_file(url: str) -> bytes:
    address = parse_address(url)
    with explained(url, InputError):
        content: bytes = address.open_filesystem().cat_file(address.path)
    return content


def _read_range(url: str, start: int, size: int) -> bytes:
    address = parse_address(url)
    with explained(url, InputError):
        content: bytes = address.open_filesystem().cat_file(address.path, start=start, end=start + size)
    if len(content) != size:
        problem = f"it ends after {len(content)} of {size} bytes of this image."
        raise InputError(problem, redact(url), "List the data set again.")
    return content


class _Group(NamedTuple):
    """A column of one row group."""

    url: str
    column: str
    number: int


class _Groups:
    """The row groups that were read last; who asks for one that is being read waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[_Group, str], Any] = OrderedDict()
        self._reading: dict[tuple[_Group, str], threading.Lock] = {}

    def read(self, group: _Group) -> Any:
        """The values of a group, as Arrow has them."""
        state = read_input_state(group.url) if parse_address(group.url).is_local else ""
        key = (group, state)
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
            turn = self._reading.setdefault(key, threading.Lock())
        with turn:
            with self._lock:
                if key in self._held:
                    return self._held[key]
            values = _read_group(group)
            with self._lock:
                self._held[key] = values
                self._reading.pop(key, None)
                while len(self._held) > KEPT_GROUPS:
                    self._held.popitem(last=False)
        return values


_GROUPS = _Groups()


def _read_group(group: _Group) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_input(group.url) as source:
            held = _columns_of(pq.ParquetFile(source).metadata.row_group(group.number), group)
            # As a dictionary: bytes that stand in a million rows are in memory once.
            file = pq.ParquetFile(source, read_dictionary=held)
            table = file.read_row_group(group.number, columns=[group.column], use_threads=False)
            table.validate(full=True)  # Arrow itself would read past the end of a damaged dictionary
            column = table.column(0)
    except InputError:
        raise
    except (pa.ArrowException, IndexError, OSError, ValueError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"this Parquet file cannot be read ({reason}).", redact(group.url), "Write it again."
        ) from error
    return column


def _columns_of(row_group: Any, group: _Group) -> list[str]:
    """The paths of a column's own columns: itself, or `bytes` and `path` of it; refused where they are too large."""
    columns = [row_group.column(number) for number in range(row_group.num_columns)]
    own = [held for held in columns if held.path_in_schema.partition(".")[0] == group.column]
    unpacked = sum(held.total_uncompressed_size for held in own)
    if unpacked > MAX_ARRAY_BYTES:
        problem = f"a row group declares {unpacked} bytes of images, more than {MAX_ARRAY_BYTES} (MAX_ARRAY_BYTES)."
        raise InputError(problem, redact(group.url), "Write it in smaller row groups.")
    return [held.path_in_schema for held in own if held.physical_type == "BYTE_ARRAY"]


def _bytes_of(values: Any, row: int, location: str) -> bytes:
    """The bytes of one row: the value itself, or `bytes` of it, as Hugging Face keeps images."""
    value = values[row].as_py() if row < len(values) else None
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise InputError("there are no bytes of an image in this row.", redact(location), "Embed the images' bytes.")
    return content
