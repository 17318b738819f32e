"""Finding and naming models of Hugging Face transformers: a folder that `save_pretrained` wrote, or one of the hub.

The identity of a model is the hash of its tensors, of its config, and of the files of its processor and tokenizer, all
from the same folder. Code that lies in the folder is never run.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from coder_core.encoders.base import EncoderIdentity
from coder_core.encoders.hub import fetch_files
from coder_core.encoders.numerics import numerics_identity, numerics_label
from coder_core.encoders.tokenizer_files import holds_tokenizer, tokenizer_hashes
from coder_core.encoders.weights import read_logits, weights_hash
from coder_core.errors import CheckpointError
from coder_core.fingerprint import key_of
from coder_core.specs.encoder_specs import Numerics

IDENTITY_VERSION = 1
"""Raised when this code would give other vectors for the same files."""

CONFIG_FILE = "config.json"
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
"""As transformers names them, cut into shards or not; the first kind that is there counts."""

_SAYS_NOTHING = frozenset({"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"})
"""Entries of a config that leave vectors as they are: weights are always read as float32."""

PACKAGE = "transformers"


class ModelFolder(NamedTuple):
    """Where a model's parts are.

    Attributes:
        folder: All of it.
        config: What `config.json` says.
        weights: The weights files.
        label: What people call it.
    """

    folder: Path
    config: dict[str, Any]
    weights: tuple[Path, ...]
    label: str


def find_model(model: str, revision: str | None, *, place: str = "encoder.model") -> ModelFolder:
    """Find a model's folder; one of the hub is fetched, once.

    Raises:
        CheckpointError: It is not there, cannot be fetched, or lacks config, weights, processor or tokenizer.
    """
    return open_folder(find_folder(model, revision, WEIGHTS, place=place), Path(model).name if "/" in model else model)


def find_folder(model: str, revision: str | None, wanted: Sequence[str], *, place: str) -> Path:
    """The folder that a model's name means, on this disk or fetched from the hub.

    Raises:
        CheckpointError: It is not there, or cannot be fetched.
    """
    if "://" in model:
        raise CheckpointError("models are loaded from this machine's disk.", model, "Copy it here, give the path.")
    path = Path(model)
    if path.is_dir():
        if revision is not None:
            problem = f"a folder has no revision {revision!r}."
            raise CheckpointError(problem, model, "Drop encoder.revision; it is for models of the hub.")
        return path
    if path.is_absolute():
        raise CheckpointError("there is no such folder.", model, "Check encoder.model.")
    return fetch_files(model, revision, wanted=tuple(wanted), place=f"{place}: {model}")


def open_folder(folder: Path, label: str) -> ModelFolder:
    """Check that a folder holds all that a model needs.

    Raises:
        CheckpointError: Config, weights, processor or tokenizer are missing.
    """
    config = read_json(folder / CONFIG_FILE)
    weights = next((found for pattern in WEIGHTS if (found := tuple(sorted(folder.glob(pattern))))), ())
    if not weights:
        raise CheckpointError("the folder holds no weights.", str(folder), "Put model.safetensors into it.")
    if not any((folder / name).is_file() for name in PROCESSOR_FILES):
        remedy = f"Put {PROCESSOR_FILES[0]} beside the weights: `processor.save_pretrained(folder)` writes it."
        raise CheckpointError("the folder does not say how images are prepared.", str(folder), remedy)
    if not holds_tokenizer(folder):
        remedy = "Put it beside the weights: `processor.save_pretrained(folder)` writes it."
        raise CheckpointError("the folder holds no tokenizer.", str(folder), remedy)
    return ModelFolder(folder, config, weights, label)


def identify_folder(found: ModelFolder, spec: Numerics, *, dim: int) -> EncoderIdentity:
    """Identify a model by the content of its files.

    Args:
        found: The model.
        spec: In what numbers it computes.
        dim: Length of its vectors.
    """
    payload = {
        "kind": PACKAGE,
        "version": IDENTITY_VERSION,
        "config": _telling(found.config),
        "weights": weights_hash(found.weights),
        "tokenizer": tokenizer_hashes(found.folder),
        "processor": _hashes(found.folder, PROCESSOR_FILES),
        **numerics_identity(spec),
    }
    return EncoderIdentity(key_of(payload), dim, found.label + numerics_label(spec), *read_logits(found.weights))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: There is none, or it is none.
    """
    found = _read(path)
    if not isinstance(found, dict):
        raise CheckpointError(f"{path.name} holds no JSON object.", str(path.parent), "Write it again.")
    return dict(found)


def read_json_list(path: Path) -> list[dict[str, Any]]:
    """Read a JSON list of objects.

    Raises:
        CheckpointError: There is none, or it is none.
    """
    found = _read(path)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise CheckpointError(f"{path.name} holds no list of JSON objects.", str(path.parent), "Write it again.")
    return list(found)


def _read(path: Path) -> Any:
    if not path.is_file():
        problem = f"the folder holds no {path.name}."
        raise CheckpointError(problem, str(path.parent), "Give a folder that `save_pretrained` wrote.")
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        problem = f"there is no {path.name} that can be read ({' '.join(str(error).split())[:200]})."
        remedy = "Give a folder that `save_pretrained` wrote."
        raise CheckpointError(problem, str(path.parent), remedy) from error


def _telling(config: Any) -> Any:
    """A config, and those of its towers inside, without what says nothing."""
    if not isinstance(config, dict):
        return config
    return {name: _telling(value) for name, value in config.items() if name not in _SAYS_NOTHING}


def _hashes(folder: Path, names: Sequence[str]) -> Mapping[str, str]:
    there = (folder / name for name in names if (folder / name).is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in there}
