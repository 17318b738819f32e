"""CIFAR-10 and CIFAR-100 in the form that is published for Python: pickles, of which nothing is ever executed.

A pickle can name any function to be called. These name numpy's three for an array; each has a stand-in of ours that
takes shape and bytes and calls nothing, and every other name is refused.
"""

import hashlib
import io
import pickle
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from coder_core.classes import ClassList, display_name
from coder_core.datasets.tree import Tree
from coder_core.errors import DatasetError
from coder_core.fingerprint import key_of
from coder_core.images.sources import IgnoredFile, ImageBatch
from coder_core.storage.addresses import redact

SIDE = 32
_BYTES = 3 * SIDE * SIDE


class CifarFiles(NamedTuple):
    """How one of the two is published.

    Args:
        batches: Files by part.
        meta: The file of names, and the key of the names in it.
        labels: The key of the labels in a batch.
    """

    batches: Mapping[str, tuple[str, ...]]
    meta: tuple[str, str]
    labels: str


CIFAR: Mapping[str, CifarFiles] = {
    "cifar10": CifarFiles(
        {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)},
        ("batches.meta", "label_names"),
        "labels",
    ),
    "cifar100": CifarFiles(
        {"train": ("train",), "test": ("test",)}, ("meta", "fine_label_names"), "fine_labels"
    ),  # `coarse_labels` are its 20 superclasses
}


class CifarSource:
    """Pictures of 32 x 32 pixels; an image's id is its file and its row there."""

    ignored: tuple[IgnoredFile, ...] = ()
    ignored_count = 0

    def __init__(self, tree: Tree, files: CifarFiles, parts: Sequence[str], name: str) -> None:
        batches = [batch for part in parts for batch in files.batches[part]]
        read = [(batch, *_read_batch(tree, batch, files.labels)) for batch in batches]
        self.image_ids = [f"{batch}/{row:05d}" for batch, pixels, _ in read for row in range(len(pixels))]
        self._pixels: UInt8[np.ndarray, "images bytes"] = np.concatenate([pixels for _, pixels, _ in read])
        self._labels: Int[np.ndarray, " images"] = np.concatenate([labels for _, _, labels in read])
        self.classes = _read_names(tree, *files.meta)
        self.name, self.image_count = name, len(self._pixels)
        if len(self._labels) and not 0 <= self._labels.min() <= self._labels.max() < len(self.classes):
            raise _damaged(f"a label is none of its {len(self.classes)} names", tree, batches[0])

    @cached_property
    def identity(self) -> str:
        """Ids and pixels."""
        pixels = np.ascontiguousarray(self._pixels)
        return key_of([self.image_ids, list(pixels.shape), hashlib.sha256(pixels.data).hexdigest()])

    @property
    def labels_identity(self) -> str:
        """Ids, labels, and the names that the labels count in."""
        return key_of([self.identity, self._labels.tolist(), self.classes.names])

    def labels(self, rows: int) -> Iterator[ImageBatch]:
        """Ids and labels; no picture is written for it."""
        for start in range(0, self.image_count, rows):
            yield ImageBatch(self.image_ids[start : start + rows], self._labels[start : start + rows], "", [])

    def batches(self, rows: int) -> Iterator[ImageBatch]:
        """Every picture as a BMP file, whose bytes no version of an encoder changes."""
        for start in range(0, self.image_count, rows):
            part = slice(start, start + rows)
            values = [_as_bmp(pixels) for pixels in self._pixels[part]]
            yield ImageBatch(self.image_ids[part], self._labels[part], "content", values)


def _as_bmp(pixels: UInt8[np.ndarray, " bytes"]) -> bytes:
    """Red, then green, then blue, each row by row, as the publishers wrote them."""
    target = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.reshape(3, SIDE, SIDE).transpose(1, 2, 0))).save(target, "BMP")
    return target.getvalue()


def _read_batch(
    tree: Tree, name: str, labels: str
) -> tuple[UInt8[np.ndarray, "images bytes"], Int[np.ndarray, " images"]]:
    found = _read_pickle(tree, name)
    held, numbers = found.get("data"), found.get(labels)
    if not isinstance(held, _Array) or not isinstance(numbers, list) or not all(type(n) is int for n in numbers):
        raise _damaged(f"it holds no `data` and `{labels}`", tree, name)
    content, rows = held.content, len(numbers)
    if held.shape != (rows, _BYTES) or held.in_columns or held.type_code != "u1" or len(content) != rows * _BYTES:
        raise _damaged(f"its data is not {rows} pictures of {_BYTES} bytes", tree, name)
    return np.frombuffer(content, dtype=np.uint8).reshape(rows, _BYTES), np.array(numbers, dtype=np.int64)


def _read_names(tree: Tree, name: str, key: str) -> ClassList:
    names = _read_pickle(tree, name).get(key)
    if not isinstance(names, list) or not all(isinstance(word, str) for word in names):
        raise _damaged(f"it holds no `{key}`", tree, name)
    return ClassList(tuple(display_name(word) for word in names))


def _read_pickle(tree: Tree, name: str) -> Mapping[str, Any]:
    content = tree.read(name)
    try:
        found = _Reader(io.BytesIO(content), encoding="latin1").load()
    except DatasetError:
        raise
    except Exception as error:  # damaged bytes lead a pickle's reader anywhere
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise _damaged(f"it cannot be read ({reason})", tree, name) from error
    if not isinstance(found, dict):
        raise _damaged("it holds no mapping", tree, name)
    return found


def _damaged(problem: str, tree: Tree, name: str) -> DatasetError:
    return DatasetError(f"{problem}.", f"{redact(tree.root)}/{name}", "Unpack the archive again.")


class _Type:
    """Stands in for `numpy.dtype`: takes what it is called with and is nothing but its first word."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Byte order and flags: of bytes they say nothing."""


class _Array:
    """Stands in for `numpy.ndarray`: shape, type and bytes, which the reader of a batch checks."""

    shape: object = None
    type_code: object = None
    in_columns: object = False
    content = b""

    def __init__(self, *_: object) -> None:
        """What an empty array is made with does not count."""

    def __setstate__(self, state: tuple[object, ...]) -> None:
        _, self.shape, kind, self.in_columns, content = state
        self.type_code = kind.code if isinstance(kind, _Type) else None
        self.content = (
            content.encode("latin1") if isinstance(content, str) else content if isinstance(content, bytes) else b""
        )


def _encode(text: str, _encoding: str) -> bytes:
    """Stands in for `_codecs.encode`, by which Python 3 writes bytes in an old protocol."""
    return text.encode("latin1")


_STAND_INS: Mapping[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
}


class _Reader(pickle._Unpickler):
    """Python's reader in Python: the one in C gives a few bytes as many gigabytes for its notes as they ask for."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def load_build(self) -> None:
        """Give a stand-in its state; nothing else has one."""
        if not isinstance(self.stack[-2], _Array | _Type):  # type: ignore[attr-defined]
            raise pickle.UnpicklingError("it gives a state to what has none")
        super().load_build()  # type: ignore[misc]

    dispatch[pickle.BUILD[0]] = load_build

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name; every other name is refused before anything is called."""
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no batch does")
        return _STAND_INS[module, name]
