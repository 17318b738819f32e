"""Finding, naming and loading open_clip models: folders in open_clip's layout, weights files, published tags.

The identity of a model is the hash of its weights and of its configuration, found without importing torch where the
folder says it all. Only safetensors, and `torch.load` restricted to tensors, are ever read.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from coder_core.encoders.base import EncoderIdentity
from coder_core.errors import CheckpointError
from coder_core.fingerprint import key_of
from coder_core.locations import open_location
from coder_core.specs import OpenClipEncoder

IDENTITY_VERSION = 1
"""Raised when this code would give other vectors for the same weights and configuration."""

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")
CONFIG_FILE = "open_clip_config.json"
_PREFERRED = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")


class Checkpoint(NamedTuple):
    """Where a model's parts are.

    Attributes:
        name: What open_clip calls it: `local-dir:<folder>` or an architecture.
        weights: The weights file.
        config: Architecture and preprocessing, as JSON.
    """

    name: str
    weights: Path
    config: dict[str, Any]


class LoadedClip(NamedTuple):
    """A model with what belongs to it, on one device, in evaluation mode."""

    model: Any
    preprocess: Any
    tokenizer: Any


def find_checkpoint(spec: OpenClipEncoder) -> Checkpoint:
    """Find a model's configuration and weights; a published tag is downloaded by open_clip, once.

    Raises:
        CheckpointError: Missing folder, file or configuration, unknown architecture or tag, or a failed download.
    """
    path = Path(open_location(spec.checkpoint))
    if path.is_dir():
        return _find_in_folder(path)
    if path.suffix in WEIGHT_SUFFIXES or path.is_file():
        return _find_file(path, spec)
    return _find_published(spec)


def identify_open_clip(spec: OpenClipEncoder) -> EncoderIdentity:
    """Identify a model by its weights and configuration."""
    found = find_checkpoint(spec)
    state = found.weights.stat()
    weights = _file_hash(str(found.weights), state.st_mtime_ns, state.st_size)
    payload = {"kind": spec.kind, "version": IDENTITY_VERSION, "config": found.config, "weights": weights}
    label = spec.architecture or Path(spec.checkpoint).name
    return EncoderIdentity(key_of(payload), int(found.config["model_cfg"]["embed_dim"]), label)


def load_open_clip(spec: OpenClipEncoder, device: str) -> LoadedClip:
    """Load model, image preprocessing and tokenizer.

    Raises:
        CheckpointError: The weights do not fit the architecture or cannot be read.
    """
    import open_clip

    found = find_checkpoint(spec)
    try:
        model, preprocess = open_clip.create_model_from_pretrained(
            found.name,
            pretrained=None if found.name.startswith("local-dir:") else str(found.weights),
            device=device,
            weights_only=True,
        )
        tokenizer = open_clip.get_tokenizer(found.name)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        raise CheckpointError(
            f"these weights cannot be loaded ({' '.join(str(error).split())[:300]}).",
            str(found.weights),
            "Give weights that were saved for this architecture.",
        ) from error
    return LoadedClip(model.eval(), preprocess, tokenizer)


def _find_in_folder(folder: Path) -> Checkpoint:
    config_path = folder / CONFIG_FILE
    if not config_path.is_file():
        raise CheckpointError(f"the folder holds no {CONFIG_FILE}.", str(folder), "Save it with open_clip's push_to_hub.")
    try:
        config = json.loads(config_path.read_text("utf-8"))
        int(config["model_cfg"]["embed_dim"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"no open_clip configuration ({error}).", str(config_path), "See open_clip's docs.") from error
    preferred = [folder / name for name in _PREFERRED if (folder / name).is_file()]
    found = preferred or sorted(path for path in folder.iterdir() if path.suffix in WEIGHT_SUFFIXES)
    if not found:
        raise CheckpointError("the folder holds no weights.", str(folder), f"Put {_PREFERRED[0]} into it.")
    return Checkpoint(f"local-dir:{folder}", found[0], config)


def _find_file(path: Path, spec: OpenClipEncoder) -> Checkpoint:
    if not path.is_file():
        raise CheckpointError("there is no such weights file.", str(path), "Check encoder.checkpoint.")
    architecture, config = _architecture(spec)
    return Checkpoint(architecture, path, config)


def _find_published(spec: OpenClipEncoder) -> Checkpoint:
    from open_clip import list_pretrained_tags_by_model
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg

    architecture, config = _architecture(spec)
    tags = list_pretrained_tags_by_model(architecture)
    if spec.checkpoint not in tags:
        raise CheckpointError(
            f"neither a folder, nor a file, nor a published tag of {architecture}.",
            f"encoder.checkpoint: {spec.checkpoint}",
            f"Tags are: {', '.join(tags) or 'none'}.",
        )
    try:
        weights = download_pretrained(get_pretrained_cfg(architecture, spec.checkpoint))
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"the published weights could not be fetched ({' '.join(str(error).split())[:200]}).",
            f"{architecture}/{spec.checkpoint}",
            "Fetch them where there is a network and give the file as encoder.checkpoint.",
        ) from error
    return Checkpoint(architecture, Path(weights), config)


def _architecture(spec: OpenClipEncoder) -> tuple[str, dict[str, Any]]:
    import open_clip

    if spec.architecture is None:
        raise CheckpointError("encoder.architecture is needed.", spec.checkpoint, "For example ViT-B-32.")
    config = open_clip.get_model_config(spec.architecture)
    if config is None:
        raise CheckpointError(
            "open_clip knows no such architecture.",
            f"encoder.architecture: {spec.architecture}",
            "`python -c 'import open_clip; print(open_clip.list_models())'` lists them.",
        )
    return spec.architecture, {"model_cfg": config}


@lru_cache(maxsize=16)
def _file_hash(path: str, modified_ns: int, size: int) -> str:  # noqa: ARG001 - the last two say when to hash again
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
