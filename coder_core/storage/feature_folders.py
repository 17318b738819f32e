"""Arrays in folders of features that other tools write: clip-retrieval's, and data sets of Hugging Face.

* clip-retrieval: `img_emb/img_emb_0.npy`, `text_emb/text_emb_0.npy`, and the rows' columns in
  `metadata/metadata_0.parquet`. `img_emb` and `text_emb` are the names of the matrices.
* `datasets`: what `save_to_disk` writes (`.arrow`), or a folder of Parquet files as the hub keeps it. The names of a
  label column are the array `class_names`.

Files of one kind are put together in the order of the numbers in their names.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from coder_core.errors import FeatureFileError, InputError
from coder_core.fingerprint import content_hash, key_of
from coder_core.loops import each
from coder_core.storage.addresses import parse_address, redact
from coder_core.storage.bounded_json import parse_json
from coder_core.storage.input_files import InputFile, open_input, read_input
from coder_core.storage.input_walk import walk_input
from coder_core.storage.npz import MAX_ARRAY_BYTES, parse_header
from coder_core.storage.read_rounds import may_pass
from coder_core.storage.refusals import explained

CLASS_NAMES = "class_names"
MATRIX_FOLDERS = ("img_emb", "text_emb")
METADATA = "metadata"

ReadColumns = Callable[[str, Sequence[str]], dict[str, np.ndarray]]


def is_feature_folder(url: str) -> bool:
    """Whether a path or URL is a folder."""
    address = parse_address(url)
    if address.protocol in {"http", "https"}:
        return False
    with explained(url, InputError):
        return bool(address.open_filesystem().isdir(address.path))


class RetrievalFolder(NamedTuple):
    """What a folder of clip-retrieval holds.

    Args:
        matrices: `img_emb`, `text_emb`, or both.
        columns: Of its metadata; none where it has no metadata.
    """

    matrices: tuple[str, ...]
    columns: tuple[str, ...]


def look_at_retrieval(url: str) -> RetrievalFolder:
    """Look which matrices and columns a folder of clip-retrieval has; no row is read.

    Raises:
        FeatureFileError: It is no such folder.
        InputError: It is missing.
    """
    if not is_feature_folder(url):
        raise FeatureFileError("this is no folder.", redact(url), "Name the output folder of clip-retrieval.")
    files = [file for file in walk_input(url) if not file.name.endswith("/")]
    matrices = tuple(name for name in MATRIX_FOLDERS if _in_order(files, f"{name}/", ".npy"))
    if not matrices:
        problem = "it holds neither img_emb/*.npy nor text_emb/*.npy."
        raise FeatureFileError(problem, redact(url), "Name the output folder of `clip-retrieval inference`.")
    metadata = _in_order(files, f"{METADATA}/", ".parquet")
    return RetrievalFolder(matrices, _column_names(metadata[0]) if metadata else ())


def hash_input(url: str) -> str:
    """sha256 of a file, or of the names and contents of all files of a folder.

    Raises:
        InputError: It is missing, or cannot be read.
    """
    if not is_feature_folder(url):
        return content_hash(read_input(url, max_bytes=MAX_ARRAY_BYTES))
    files = sorted((file.name, file.url) for file in walk_input(url) if not file.name.endswith("/"))
    return key_of([[name, content_hash(read_input(place, max_bytes=MAX_ARRAY_BYTES))] for name, place in files])


def read_feature_folder(url: str, names: Sequence[str], read_columns: ReadColumns) -> dict[str, np.ndarray]:
    """Read named arrays of a folder.

    Args:
        url: The folder.
        names: Matrices and columns.
        read_columns: What reads columns of one Parquet file.

    Raises:
        FeatureFileError: It is no such folder, or lacks a name.
        InputError: It is missing.
    """
    files = [file for file in walk_input(url) if not file.name.endswith("/")]
    place = redact(url)
    matrices = {name: _in_order(files, f"{name}/", ".npy") for name in MATRIX_FOLDERS}
    if any(matrices.values()):
        return _read_retrieval(files, matrices, names, read_columns, place)
    found: dict[str, np.ndarray] = {}
    columns = [name for name in names if name != CLASS_NAMES]
    if arrows := _in_order(files, "", ".arrow"):
        found = _read_arrow(arrows, columns, place)
    elif parquets := _in_order(files, "", ".parquet"):
        found = _joined([read_columns(file.url, columns) for file in parquets], columns, place)
    else:
        problem = "this folder holds no features (img_emb/*.npy, *.arrow, *.parquet)."
        raise FeatureFileError(problem, place, "Name a file, or a folder of clip-retrieval or of a data set.")
    if CLASS_NAMES in names:
        found[CLASS_NAMES] = _class_names(files, place)
    return found


def _read_retrieval(
    files: Sequence[InputFile],
    matrices: Mapping[str, Sequence[InputFile]],
    names: Sequence[str],
    read_columns: ReadColumns,
    place: str,
) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name in names:
        if name in matrices:
            if not matrices[name]:
                raise FeatureFileError(f"there is no {name}/*.npy.", place, "Let clip-retrieval write it.")
            found[name] = _in_a_row([_read_matrix(file) for file in matrices[name]], place)
    columns = [name for name in names if name not in matrices]
    if columns:
        parts = [read_columns(file.url, columns) for file in _in_order(files, f"{METADATA}/", ".parquet")]
        if not parts:
            raise FeatureFileError(f"there is no {METADATA}/*.parquet.", place, f"It is to hold {columns[0]!r}.")
        found |= _joined(parts, columns, place)
    return found


def _read_matrix(file: InputFile) -> np.ndarray:
    place = redact(file.url)
    content = read_input(file.url, max_bytes=MAX_ARRAY_BYTES)
    try:
        header = parse_header(content[:16_384])
        if header.header_bytes + header.data_bytes != len(content):
            raise ValueError(f"it declares {header.shape} of {header.dtype} and has {len(content)} bytes")
        values = np.frombuffer(content, dtype=header.dtype, offset=header.header_bytes)
    except ValueError as error:
        raise FeatureFileError(f"This array cannot be read ({error}).", place, "Write it with numpy.save.") from error
    return values.reshape(header.shape, order="F" if header.is_fortran else "C")


def _read_arrow(files: Sequence[InputFile], columns: Sequence[str], place: str) -> dict[str, np.ndarray]:
    from coder_core.storage.input_tables import table_arrays

    tables = [_read_stream(file) for file in files]
    held = tables[0].column_names
    if missing := [name for name in columns if name not in held]:
        raise FeatureFileError(f"There is no column {missing[0]!r}.", place, f"It holds: {', '.join(held[:20])}.")
    try:
        joined = pa.concat_tables([table.select(list(columns)) for table in tables])
    except (pa.ArrowException, KeyError) as error:
        raise _unlike(error, place) from error
    return table_arrays(joined, columns, place)


def _read_stream(file: InputFile) -> pa.Table:
    """The table of an Arrow stream, record batch by record batch: a file may say that it is larger than it is."""
    place = redact(file.url)
    content = read_input(file.url, max_bytes=MAX_ARRAY_BYTES)
    batches, total = [], 0
    try:
        stream = pa.ipc.open_stream(pa.BufferReader(content), options=pa.ipc.IpcReadOptions(use_threads=False))
        for batch in each(stream):
            total += batch.nbytes
            if total > MAX_ARRAY_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_ARRAY_BYTES} bytes, MAX_ARRAY_BYTES")
            batches.append(batch)
        table = pa.Table.from_batches(batches, stream.schema)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FeatureFileError(f"This Arrow file is damaged ({reason}).", place, "Write it again.") from error
    return table


def _class_names(files: Sequence[InputFile], place: str) -> np.ndarray:
    """The names of the one label column, as `datasets` describes it."""
    features: dict[str, Any] = {}
    for file in files:
        if PurePosixPath(file.name).name == "dataset_info.json":
            features = _described(read_input(file.url))
        elif file.name.endswith(".parquet") and not features:
            features = _in_schema(file)
    named = (kind.get("names") for kind in features.values() if isinstance(kind, dict))
    names = [found for found in named if isinstance(found, list) and all(isinstance(name, str) for name in found)]
    if len(names) != 1:
        problem = f"it describes {len(names)} columns of labels, and not one."
        raise FeatureFileError(problem, place, "Name the classes: class_names: [...].")
    return np.array(names[0], dtype=object)


def _described(content: bytes) -> dict[str, Any]:
    try:
        return _features_of(parse_json(content.decode("utf-8")))
    except ValueError:
        return {}


def _in_schema(file: InputFile) -> dict[str, Any]:
    import pyarrow.parquet as pq

    with open_input(file.url) as source:
        try:
            metadata = pq.ParquetFile(source).schema_arrow.metadata or {}
            described = parse_json(metadata.get(b"huggingface", b"{}").decode("utf-8"))
        except (pa.ArrowException, OSError, ValueError) as error:
            if may_pass(error):  # the disk or the network speaks, and not the file
                raise
            return {}
    return _features_of(described.get("info") if isinstance(described, dict) else None)


def _features_of(info: object) -> dict[str, Any]:
    features = info.get("features") if isinstance(info, dict) else None
    return features if isinstance(features, dict) else {}


def _column_names(file: InputFile) -> tuple[str, ...]:
    import pyarrow.parquet as pq

    with open_input(file.url) as source:
        try:
            names = pq.ParquetFile(source).schema_arrow.names
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            problem = f"This Parquet file is damaged ({reason})."
            raise FeatureFileError(problem, redact(file.url), "Write it again.") from error
    return tuple(name for name in names if not name.startswith("__index_"))  # pandas' own


def _in_order(files: Sequence[InputFile], folder: str, suffix: str) -> list[InputFile]:
    """Files of a kind, by the numbers in their names: `img_emb_10` after `img_emb_2`."""

    def order(file: InputFile) -> tuple[list[int], str]:
        return [int(number) for number in re.findall(r"\d+", file.name)], file.name

    return sorted((file for file in files if file.name.startswith(folder) and file.name.endswith(suffix)), key=order)


def _joined(parts: Sequence[dict[str, np.ndarray]], names: Sequence[str], place: str) -> dict[str, np.ndarray]:
    return {name: _in_a_row([part[name] for part in parts], place) for name in names}


def _in_a_row(parts: Sequence[np.ndarray], place: str) -> np.ndarray:
    try:
        return np.concatenate(parts)
    except ValueError as error:
        raise _unlike(error, place) from error


def _unlike(error: Exception, place: str) -> FeatureFileError:
    reason = " ".join(str(error).split())[:200]
    return FeatureFileError(f"the files of this folder do not go together ({reason}).", place, "Write them alike.")
