"""Tensors that a user gave: `.safetensors` files, and `.pt` files that hold nothing but tensors and plain values.

Nothing is unpickled beyond that: `torch.load` is held to `weights_only`. Texts stand in the metadata of a safetensors
file as a JSON list, and in a `.pt` file as a list.
"""

import io
import json
import pickle
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from coder_core.errors import FeatureFileError
from coder_core.storage.addresses import redact
from coder_core.storage.bounded_json import parse_json
from coder_core.storage.input_files import read_input
from coder_core.storage.npz import MAX_ARRAY_BYTES

_REMEDY = "Save tensors and plain lists only."


def read_safetensors(url: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read named tensors of a safetensors file, or lists of texts from its metadata.

    Raises:
        FeatureFileError: It is no such file, or lacks a name.
        InputError: It is missing.
    """
    from safetensors.numpy import load

    content, place = read_input(url, max_bytes=MAX_ARRAY_BYTES), redact(url)
    try:
        length = int.from_bytes(content[:8], "little")
        lists = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        tensors = load(content)
    except Exception as error:  # safetensors raises an exception of its own, made in Rust
        raise _damaged("safetensors", error, place) from error
    found: dict[str, Any] = {name: _texts(text) for name, text in lists.items()} | tensors
    return _named(found, names, place)


def read_torch(url: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read named tensors or lists of a file that `torch.save` wrote; of one bare tensor, whatever name is asked.

    Raises:
        FeatureFileError: It holds something else than tensors and plain values, or lacks a name.
        InputError: It is missing.
    """
    import torch

    content, place = read_input(url, max_bytes=MAX_ARRAY_BYTES), redact(url)
    try:
        with warnings.catch_warnings():  # about how it was pickled
            warnings.simplefilter("ignore")
            held = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch says in six lines how to run what it holds
        problem = "This torch file cannot be read: it holds more than tensors, or is damaged."
        raise FeatureFileError(problem, place, _REMEDY) from error
    except Exception as error:  # torch and pickle raise whatever a damaged or hostile file leads them to
        raise _damaged("torch", error, place) from error
    if isinstance(held, torch.Tensor):
        held = dict.fromkeys(names[:1], held)
    if not isinstance(held, Mapping):
        raise FeatureFileError(f"It holds a {type(held).__name__}.", place, "Save a dict of tensors and lists.")
    return _named({str(name): _plain(value, str(name), place) for name, value in held.items()}, names, place)


def _plain(value: Any, name: str, place: str) -> Any:
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    try:
        return (value.float() if value.dtype == torch.bfloat16 else value).detach().contiguous().numpy()
    except (RuntimeError, TypeError) as error:  # sparse, quantised, without data
        problem = f"{name!r} is no dense tensor of numbers ({' '.join(str(error).split())[:100]})."
        raise FeatureFileError(problem, place, "Save dense tensors: tensor.to_dense(), tensor.float().") from error


def _texts(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return text


def _named(found: Mapping[str, Any], names: Sequence[str], place: str) -> dict[str, np.ndarray]:
    missing = [name for name in names if name not in found]
    if missing:
        shown = ", ".join(f"{name:.80}" for name in list(found)[:20]) or "nothing"
        raise FeatureFileError(f"There is no array {missing[0]!r}.", place, f"It holds: {shown}.")
    return {name: _array(found[name], name, place) for name in names}


def _array(value: Any, name: str, place: str) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return np.array(value, dtype=object)
    if isinstance(value, list | tuple) and all(isinstance(item, int) for item in value):
        return np.array(value, dtype=np.int64)
    problem = f"{name!r} is neither a tensor nor a list of texts or whole numbers."
    raise FeatureFileError(problem, place, "Save tensors and lists.")


def _damaged(kind: str, error: Exception, place: str) -> FeatureFileError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return FeatureFileError(f"This {kind} file cannot be read ({reason}).", place, _REMEDY)
