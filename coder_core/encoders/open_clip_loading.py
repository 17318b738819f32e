"""Finding and naming open_clip models: folders in open_clip's layout, weights files, published tags.

The identity of a model is the hash of its weights and of its configuration, found without importing torch where the
folder says it all. `open_clip_model` builds exactly what is found here.
"""

import difflib
import hashlib
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from coder_core.encoders.base import EncoderIdentity
from coder_core.encoders.checkpoint_limits import check_config, read_config
from coder_core.encoders.open_clip_tables import list_architectures, published_recipes, read_architecture
from coder_core.errors import CheckpointError
from coder_core.fingerprint import key_of
from coder_core.locations import open_location
from coder_core.specs import OpenClipEncoder
from coder_core.storage.addresses import redact

IDENTITY_VERSION = 1
"""Raised when this code, or the decoding of images, would give other vectors for the same weights and configuration."""

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")
CONFIG_FILE = "open_clip_config.json"
TOKENIZER_SUFFIXES = (".json", ".model", ".txt")
_PREFERRED = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
)
"""open_clip's own names; a folder of the Hugging Face hub may hold the same weights in other layouts, too."""

PREPROCESS_KEYS = ("mean", "std", "interpolation", "resize_mode", "fill_color")


class Checkpoint(NamedTuple):
    """Where a model's parts are.

    Attributes:
        name: What open_clip calls it: `local-dir:<folder>` or an architecture.
        weights: The weights file.
        config: Architecture (`model_cfg`), preprocessing (`preprocess_cfg`), and hashes of a tokenizer's files.
    """

    name: str
    weights: Path
    config: dict[str, Any]


def find_checkpoint(spec: OpenClipEncoder) -> Checkpoint:
    """Find a model's configuration and weights; a published tag is downloaded by open_clip, once.

    Raises:
        CheckpointError: Missing folder, file or configuration, unknown architecture or tag, or a failed download.
    """
    location = open_location(spec.checkpoint)
    if "://" in location:
        problem = "models are loaded from this machine's disk."
        raise CheckpointError(problem, redact(location), "Copy it here, give the path.")
    if names_published_weights(spec):
        return _fetch_published(spec)
    path = Path(location)
    return _find_in_folder(path) if path.is_dir() else _find_file(path, spec)


def names_published_weights(spec: OpenClipEncoder) -> bool:
    """Whether a checkpoint is a bare name, which only a published tag can be: neither folder, nor file, nor a path."""
    location = open_location(spec.checkpoint)
    path = Path(location)
    return not (path.suffix in WEIGHT_SUFFIXES or path.exists() or "/" in location)


def identify_open_clip(spec: OpenClipEncoder) -> EncoderIdentity:
    """Identify a model by its weights and configuration, wherever they are."""
    found = find_checkpoint(spec)
    state = found.weights.stat()
    weights = _file_hash(str(found.weights), state.st_mtime_ns, state.st_size)
    payload = {"kind": spec.kind, "version": IDENTITY_VERSION, "config": found.config, "weights": weights}
    name = Path(spec.checkpoint).name
    label = name if found.name.startswith("local-dir:") else f"{spec.architecture}/{name}"
    return EncoderIdentity(key_of(payload), int(found.config["model_cfg"]["embed_dim"]), label)


def _find_in_folder(folder: Path) -> Checkpoint:
    config_path = folder / CONFIG_FILE
    if not config_path.is_file():
        raise CheckpointError(
            f"the folder holds no {CONFIG_FILE}.", str(folder), "Save the model with open_clip's push_to_hf_hub."
        )
    try:
        config = read_config(config_path)
        int(config["model_cfg"]["embed_dim"])
        needs_tokenizer = bool(config["model_cfg"]["text_cfg"].get("hf_tokenizer_name"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"this is no configuration of open_clip ({type(error).__name__}: {error}).",
            str(config_path),
            "It needs model_cfg with embed_dim, vision_cfg and text_cfg.",
        ) from error
    if needs_tokenizer:
        config = {**config, "tokenizer": _tokenizer_hashes(folder)}
    weights = _weights_in(folder)
    check_config(config["model_cfg"], weights, str(config_path))
    return Checkpoint(f"local-dir:{folder}", weights, config)


def _weights_in(folder: Path) -> Path:
    held = sorted(path.name for path in folder.iterdir() if path.suffix in WEIGHT_SUFFIXES and path.is_file())
    preferred = [name for name in _PREFERRED if name in held]
    if preferred or len(held) == 1:
        return folder / (preferred or held)[0]
    if not held:
        raise CheckpointError("the folder holds no weights.", str(folder), f"Put {_PREFERRED[0]} into it.")
    raise CheckpointError(
        f"the folder holds several weights files: {', '.join(held)}.", str(folder), f"Name one {_PREFERRED[0]}."
    )


def _tokenizer_hashes(folder: Path) -> dict[str, str]:
    found = (path for path in sorted(folder.iterdir()) if path.suffix in TOKENIZER_SUFFIXES)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found if path.name != CONFIG_FILE}


def _find_file(path: Path, spec: OpenClipEncoder) -> Checkpoint:
    if not path.is_file():
        raise CheckpointError("there is no such folder or weights file.", str(path), "Check encoder.checkpoint.")
    architecture, model = _architecture(spec)
    return Checkpoint(architecture, path, {"model_cfg": model})


def find_recipe(spec: OpenClipEncoder) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Find architecture, its configuration, and the recipe of a published tag; fetches nothing.

    Raises:
        CheckpointError: Unknown architecture or tag.
    """
    architecture, model = _architecture(spec)
    tags = published_recipes(architecture)
    if spec.checkpoint not in tags:
        close = difflib.get_close_matches(spec.checkpoint, list(tags), n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise CheckpointError(
            f"neither a folder, nor a file, nor a published tag of {architecture}.",
            f"encoder.checkpoint: {spec.checkpoint}",
            f"{hint}Tags are: {', '.join(tags) or 'none'}.",
        )
    return architecture, model, dict(tags[spec.checkpoint])


def _fetch_published(spec: OpenClipEncoder) -> Checkpoint:
    from open_clip import pretrained as published

    architecture, model, recipe = find_recipe(spec)
    try:
        weights = published.download_pretrained(recipe)
    except (OSError, RuntimeError, ValueError, TypeError, HTTPException) as error:
        raise CheckpointError(
            f"the published weights could not be fetched ({' '.join(str(error).split())[:200]}).",
            f"{architecture}/{spec.checkpoint}",
            "Fetch them where there is a network and give the file as encoder.checkpoint.",
        ) from error
    return Checkpoint(architecture, Path(weights), _published_config(model, recipe))


def _published_config(model: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    """Architecture and preprocessing as the weights were trained: `openai`'s, for one, need QuickGELU."""
    if recipe.get("quick_gelu"):
        model = {**model, "quick_gelu": True}
    return {"model_cfg": model, "preprocess_cfg": {key: recipe[key] for key in PREPROCESS_KEYS if key in recipe}}


def _architecture(spec: OpenClipEncoder) -> tuple[str, dict[str, Any]]:
    if spec.architecture is None:
        raise CheckpointError(
            "encoder.architecture is needed for a weights file or a published tag.",
            f"encoder.checkpoint: {spec.checkpoint}",
            "For example ViT-B-32; a folder beside the config is written ./name.",
        )
    known = list_architectures()
    if spec.architecture not in known:
        close = difflib.get_close_matches(spec.architecture, known, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise CheckpointError(
            "open_clip knows no such architecture.",
            f"encoder.architecture: {spec.architecture}",
            f"{hint}`python -c 'import open_clip; print(open_clip.list_models())'` lists them.",
        )
    return spec.architecture, read_architecture(spec.architecture)


@lru_cache(maxsize=16)
def _file_hash(path: str, modified_ns: int, size: int) -> str:  # noqa: ARG001 - the last two say when to hash again
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
