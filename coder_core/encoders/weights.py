"""What is in a file of weights, whatever kind of file it is: tensors by name, and one hash of their values.

The same weights travel as safetensors, as a plain state dict, inside a training checkpoint beside an optimizer, in half
precision. What counts is what a model gets: names without the prefix that data-parallel training puts before them,
shapes, and values as float32. So one model has one identity, however it was saved. No file is ever unpickled beyond
tensors and plain containers, so a checkpoint cannot run code.
"""

import hashlib
import json
import math
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from coder_core.errors import CheckpointError

__all__ = ["file_hash", "is_openai_archive", "read_logits", "read_tensors", "weights_hash"]

PARALLEL_PREFIXES = ("module.", "_orig_mod.")
"""What torch's DistributedDataParallel and compile put before every name."""

NOT_WEIGHTS = frozenset(
    {
        *("input_resolution", "context_length", "vocab_size"),  # numbers inside OpenAI's archives
        *("text.transformer.embeddings.position_ids", "text_model.embeddings.position_ids"),
        *("vision_model.embeddings.position_ids", "attn_mask", "text.attn_mask"),
    }
)
"""Entries that follow from the architecture: some files hold them, and no model needs them."""

MAX_LOG_SCALE = 20.0
"""A scale of 5e8: whatever is above it is no scale."""

_MAX_HEADER_BYTES = 100_000_000
_SAFE_TYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1"},
    **{"U8": "<u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "BOOL": "<u1"},
}
REMEDY = "Give weights as safetensors, or as a state dict saved by torch.save."


class _Entry(NamedTuple):
    """One tensor: its shape, and its values as float32, or as they are where they are whole numbers."""

    name: str
    shape: tuple[int, ...]
    values: np.ndarray


def weights_hash(files: Sequence[Path]) -> str:
    """sha256 of all tensors of some files: names, shapes and float32 values, in the order of names.

    Args:
        files: The parts that a model's weights were cut into; one file as a rule.

    Raises:
        CheckpointError: A file holds no tensors, or cannot be read.
    """
    return _weights_hash(tuple((str(file), *_state_of(file)) for file in files))


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes."""
    return _file_hash(str(path), *_state_of(path))


def read_logits(files: Sequence[Path]) -> tuple[float | None, float | None]:
    """The factor from cosine to logit that a model has learnt, and what is added (SigLIP); None where it has none.

    CLIP and its family keep the logarithm of the factor, ALIGN what it divides by.
    """
    found: dict[str, float] = {}
    for file in files:
        for entry in _entries(file, ("logit_scale", "logit_bias", "temperature")):
            if entry.values.size == 1:
                found[entry.name] = float(entry.values.reshape(()))
    scale = math.exp(min(found["logit_scale"], MAX_LOG_SCALE)) if "logit_scale" in found else None
    if scale is None and found.get("temperature"):
        scale = 1 / found["temperature"]
    return scale, found.get("logit_bias")


def read_tensors(path: Path) -> Mapping[str, Any]:
    """The tensors of a file that torch has saved, without what stands beside them in a training checkpoint.

    Raises:
        CheckpointError: It cannot be read without running code from it, or holds no tensors.
    """
    import torch

    try:
        if is_openai_archive(path):
            return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
        # Files of torch before 1.6 are no ZIP archives and cannot be mapped.
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch and pickle raise whatever a damaged or foreign file leads them to
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise CheckpointError(f"these weights cannot be loaded ({reason}).", str(path), REMEDY) from error
    state = found.get("state_dict", found) if isinstance(found, Mapping) else {}
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise CheckpointError("these weights cannot be loaded (there are no tensors by name).", str(path), REMEDY)
    return _without_prefix(tensors)


def is_openai_archive(path: Path) -> bool:
    """Whether a file is one of the TorchScript archives that OpenAI published in 2021, by its sha256.

    TorchScript is code, so no other archive of it is loaded.
    """
    return _is_script(path) and file_hash(path) in _openai_sums()


def _is_script(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


@cache
def _openai_sums() -> frozenset[str]:
    from open_clip import get_pretrained_url, list_pretrained

    urls = (get_pretrained_url(architecture, tag) for architecture, tag in list_pretrained())
    return frozenset(url.split("/")[-2] for url in urls if "openaipublic" in url)


def _without_prefix(tensors: Mapping[str, Any]) -> dict[str, Any]:
    named = dict(tensors)
    for prefix in PARALLEL_PREFIXES:
        if named and all(name.startswith(prefix) for name in named):
            named = {name.removeprefix(prefix): value for name, value in named.items()}
    return named


def _state_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=16)
def _weights_hash(files: tuple[tuple[str, int, int], ...]) -> str:
    lines: dict[str, str] = {}
    for path, _, _ in files:
        for entry in _entries(Path(path)):
            if entry.name not in NOT_WEIGHTS:
                lines[entry.name] = _line(entry)
    return hashlib.sha256("\n".join(lines[name] for name in sorted(lines)).encode("ascii")).hexdigest()


def _line(entry: _Entry) -> str:
    values = np.ascontiguousarray(entry.values)
    # One number may be saved with a dimension or without: logit scales are.
    shape = list(entry.shape) if entry.values.size != 1 else []
    digest = hashlib.sha256(values.reshape(-1).view(np.uint8).data).hexdigest()
    return json.dumps([entry.name, shape, values.dtype.str, digest])


def _entries(path: Path, names: Sequence[str] | None = None) -> Iterator[_Entry]:
    if path.suffix == ".safetensors":
        yield from _safe_entries(path, names)
        return
    for name, tensor in read_tensors(path).items():
        if names is None or name in names:
            yield _Entry(name, tuple(tensor.shape), _torch_values(tensor))


def _torch_values(tensor: Any) -> np.ndarray:
    plain = tensor.detach()
    plain = plain.float() if plain.is_floating_point() else plain
    return np.asarray(plain.contiguous().numpy())


def _safe_entries(path: Path, names: Sequence[str] | None) -> Iterator[_Entry]:
    """Tensors of a safetensors file, one at a time, without importing torch."""
    header, start = _safe_header(path)
    prefix = next((p for p in PARALLEL_PREFIXES if header and all(name.startswith(p) for name in header)), "")
    held = np.memmap(path, dtype=np.uint8, mode="r")
    for full_name, info in header.items():
        name = full_name.removeprefix(prefix)
        if names is not None and name not in names:
            continue
        low, high = (start + offset for offset in info["data_offsets"])
        yield _Entry(name, tuple(info["shape"]), _float32(held[low:high], info["dtype"], path))


def _safe_header(path: Path) -> tuple[dict[str, Any], int]:
    try:
        with path.open("rb") as file:
            size = struct.unpack("<Q", file.read(8))[0]
            if size > min(_MAX_HEADER_BYTES, path.stat().st_size):
                raise ValueError(f"a header of {size} bytes")
            header = json.loads(file.read(size))
        found = {name: info for name, info in header.items() if name != "__metadata__"}
        most = path.stat().st_size - 8 - size
        if not found or not all(_is_place(info, most) for info in found.values()):
            raise ValueError("its tensors are not those that it declares")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"these weights cannot be loaded (no safetensors file: {reason}).", str(path), REMEDY
        ) from error
    return found, 8 + size


def _is_place(info: dict[str, Any], most: int) -> bool:
    """Whether a tensor is of a known kind, and lies inside of the file."""
    low, high = info["data_offsets"]
    numbers = [low, high, *info["shape"]]
    return info["dtype"] in _SAFE_TYPES and all(type(n) is int and n >= 0 for n in numbers) and low <= high <= most


def _float32(content: np.ndarray, kind: str, path: Path) -> np.ndarray:
    try:
        values = np.frombuffer(content, dtype=_SAFE_TYPES[kind])
    except ValueError as error:
        raise CheckpointError(f"these weights cannot be loaded (damaged: {error}).", str(path), REMEDY) from error
    if kind == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    if kind == "BOOL":
        return values.astype(np.bool_)
    return values.astype(np.float32) if kind in ("F16", "F64") else values


@lru_cache(maxsize=16)
def _file_hash(path: str, modified_ns: int, size: int) -> str:  # noqa: ARG001 - the last two say when to hash again
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
