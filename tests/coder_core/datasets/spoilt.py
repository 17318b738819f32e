"""Readers of manifests, of lists and of archives, for whoever gives them spoilt ones (tests/test_readers_fuzz.py)."""

import io
import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.io import savemat

from coder_core.datasets.cifar import _read_batch
from coder_core.datasets.matlab_files import read_numbers, read_records, read_words
from coder_core.datasets.tree import Tree
from coder_core.datasets.unpacking import unpack
from coder_core.images.sources import open_source
from coder_core.specs import ManifestDataset
from coder_core.storage.tables import encode_parquet
from tests.coder_core.datasets.trees import batch_of_python_2


def in_file(name: str, read: Callable[[str], Any]) -> Callable[[bytes, Path], Any]:
    def write_and_read(content: bytes, folder: Path) -> Any:
        (folder / name).write_bytes(content)
        return read(str(folder / name))

    return write_and_read


def read_manifest(path: str) -> Any:
    for row in IMAGES:
        Path(path).with_name(row["path"]).touch()
    return open_source(ManifestDataset(kind="manifest", path=path))


def read_batch(path: str) -> Any:
    return _read_batch(Tree(str(Path(path).parent)), "batch", "labels")


def read_matlab(path: str) -> Any:
    tree = Tree(str(Path(path).parent))
    readers = (read_numbers, "labels"), (read_words, "names"), (read_records, "rows")
    return [read(tree, "lists.mat", variable) for read, variable in readers]


def read_archive(content: bytes, folder: Path) -> None:
    target = Path(tempfile.mkdtemp(dir=folder))
    (folder / "archive").write_bytes(content)
    try:
        unpack(folder / "archive", target)
    finally:
        shutil.rmtree(target)


def packed(suffix: str) -> bytes:
    file = io.BytesIO()
    if suffix == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/b.txt", "text" * 100)
        return file.getvalue()
    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a/b.txt"))
    return file.getvalue()


def matlab() -> bytes:
    file = io.BytesIO()
    rows = np.array([(1, "a.jpg"), (2, "b.jpg")], dtype=[("class", "O"), ("fname", "O")])
    names = np.array(["wren", "robin"], dtype=object)
    savemat(file, {"rows": rows, "names": names, "labels": np.arange(9)})
    return file.getvalue()


IMAGES = [{"path": "1.png", "label": "wren"}, {"path": "2.png", "label": "robin"}]
BATCH = batch_of_python_2(np.zeros((2, 3072), np.uint8), "labels", [0, 1])

LISTS_AND_ARCHIVES: Mapping[str, tuple[bytes, Callable[[bytes, Path], Any], bool]] = {
    "manifest csv": (b"path,label\n1.png,wren\n2.png,robin\n", in_file("m.csv", read_manifest), True),
    "manifest jsonl": (
        "".join(f"{json.dumps(row)}\n" for row in IMAGES).encode(),
        in_file("m.jsonl", read_manifest),
        True,
    ),
    "manifest parquet": (encode_parquet(pa.Table.from_pylist(IMAGES)), in_file("m.parquet", read_manifest), False),
    "batch of CIFAR": (BATCH, in_file("batch", read_batch), False),
    "lists of MATLAB": (matlab(), in_file("lists.mat", read_matlab), False),
    "archive tar": (packed("tar"), read_archive, False),
    "archive zip": (packed("zip"), read_archive, False),
}
"""By name: what a reader is given when nothing is wrong, how it is called, and whether it reads text."""
