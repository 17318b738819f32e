"""Finding and naming open_clip models: folders in open_clip's layout, the hub, weights files, published tags.

The identity of a model is the hash of its tensors and of its configuration in canonical form, found without importing
torch where a folder of safetensors says it all. So the same weights have the same identity however they are named.
`open_clip_model` builds exactly what is found here.
"""

import difflib
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from coder_core.encoders import checkpoint_limits
from coder_core.encoders.base import EncoderIdentity
from coder_core.encoders.hub import WEIGHTS, fetch_file, fetch_files, fetch_folder
from coder_core.encoders.numerics import numerics_identity, numerics_label
from coder_core.encoders.open_clip_config import canonical_config
from coder_core.encoders.open_clip_recipe import BareFile, find_recipe, published_recipe, with_said
from coder_core.encoders.open_clip_tables import list_architectures, published_recipes, read_architecture
from coder_core.encoders.tokenizer_files import holds_tokenizer, tokenizer_hashes
from coder_core.encoders.weights import read_logits, weights_hash
from coder_core.errors import CheckpointError
from coder_core.fingerprint import key_of
from coder_core.locations import open_location
from coder_core.specs import OpenClipEncoder
from coder_core.specs.encoder_specs import HUB_PREFIX
from coder_core.storage.addresses import redact

IDENTITY_VERSION = 2
"""Raised when this code, or the decoding of images, would give other vectors for the same weights and configuration."""

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")
CONFIG_FILE = "open_clip_config.json"
_PREFERRED = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
)
"""open_clip's own names; a folder of the Hugging Face hub may hold the same weights in other layouts, too."""


class Checkpoint(NamedTuple):
    """Where a model's parts are.

    Attributes:
        label: What people call it.
        weights: The weights file.
        config: Architecture (`model_cfg`), preprocessing (`preprocess_cfg`), and hashes of a tokenizer's files.
        tokenizer: The folder of a tokenizer of transformers; None where open_clip's own is used.
        is_described: Whether a file on this disk says what is built: whoever wrote it must not choose what is fetched.
    """

    label: str
    weights: Path
    config: dict[str, Any]
    tokenizer: Path | None = None
    is_described: bool = False


def find_checkpoint(spec: OpenClipEncoder) -> Checkpoint:
    """Find a model's configuration and weights; what is published is downloaded, once.

    Raises:
        CheckpointError: Missing folder, file or configuration, unknown architecture or tag, a failed download, or a
            bare file of which nobody has said how it was trained.
    """
    if spec.checkpoint.startswith(HUB_PREFIX):
        return _find_on_hub(spec)
    location = open_location(spec.checkpoint)
    if "://" in location:
        problem = "models are loaded from this machine's disk."
        raise CheckpointError(problem, redact(location), "Copy it here, give the path.")
    if names_published_weights(spec):
        return _fetch_published(spec)
    path = Path(location)
    if path.is_dir():
        return _find_in_folder(path, Path(spec.checkpoint).name)
    return _find_file(path, spec)


def names_published_weights(spec: OpenClipEncoder) -> bool:
    """Whether a checkpoint is a bare name, which only a published tag can be: neither folder, nor file, nor a path."""
    location = open_location(spec.checkpoint)
    path = Path(location)
    return not (path.suffix in WEIGHT_SUFFIXES or path.exists() or "/" in location)


def identify_open_clip(spec: OpenClipEncoder) -> EncoderIdentity:
    """Identify a model by its tensors and configuration, wherever they are."""
    found = find_checkpoint(spec)
    payload = {
        "kind": spec.kind,
        "version": IDENTITY_VERSION,
        "config": canonical_config(found.config),
        "weights": weights_hash([found.weights]),
        **numerics_identity(spec),
    }
    dim = int(found.config["model_cfg"]["embed_dim"])
    return EncoderIdentity(key_of(payload), dim, found.label + numerics_label(spec), *read_logits([found.weights]))


def _find_on_hub(spec: OpenClipEncoder) -> Checkpoint:
    name, _, revision = spec.checkpoint.removeprefix(HUB_PREFIX).partition("@")
    place = f"encoder.checkpoint: {spec.checkpoint}"
    folder = fetch_files(name, revision or None, wanted=(*_PREFERRED, *WEIGHTS), place=place)
    return _find_in_folder(folder, name)._replace(is_described=False)


def _find_in_folder(folder: Path, label: str) -> Checkpoint:
    config = read_config(folder / CONFIG_FILE)
    weights, tokenizer = _weights_in(folder), None
    if config["model_cfg"]["text_cfg"].get("hf_tokenizer_name"):
        if not holds_tokenizer(folder):
            raise CheckpointError(
                "the folder holds no tokenizer.", str(folder), "Put the model's tokenizer.json beside the weights."
            )
        tokenizer, config = folder, {**config, "tokenizer": tokenizer_hashes(folder)}
    checkpoint_limits.check_config(config["model_cfg"], weights, str(folder / CONFIG_FILE))
    return Checkpoint(label, weights, config, tokenizer, is_described=True)


def read_config(path: Path) -> dict[str, Any]:
    """Read open_clip's configuration of a model.

    Raises:
        CheckpointError: There is none, or it is no such configuration.
    """
    if not path.is_file():
        raise CheckpointError(
            f"the folder holds no {CONFIG_FILE}.", str(path.parent), "Save the model with open_clip's push_to_hf_hub."
        )
    try:
        config = checkpoint_limits.read_config(path)
        int(config["model_cfg"]["embed_dim"])
        config["model_cfg"]["text_cfg"].get("hf_tokenizer_name")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"this is no configuration of open_clip ({type(error).__name__}: {error}).",
            str(path),
            "It needs model_cfg with embed_dim, vision_cfg and text_cfg.",
        ) from error
    return config


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


def _find_file(path: Path, spec: OpenClipEncoder) -> Checkpoint:
    if not path.is_file():
        raise CheckpointError("there is no such folder or weights file.", str(path), "Check encoder.checkpoint.")
    beside = path.parent / CONFIG_FILE
    if beside.is_file():
        known = with_said(_of_architecture(read_config(beside), spec, beside), spec)
    else:
        architecture, model = _architecture(spec, default=BareFile(path).architecture)
        known = find_recipe(path, spec, architecture, model)
    label = f"{spec.architecture}/{path.name}" if spec.architecture else path.name
    return _with_tokenizer(Checkpoint(label, path, known), beside=path.parent)


def _of_architecture(config: dict[str, Any], spec: OpenClipEncoder, place: Path) -> dict[str, Any]:
    """Hold a config against the architecture that the user has named, activation aside."""
    if spec.architecture is None:
        return config
    _, named = _architecture(spec)
    one, other = ({**model, "quick_gelu": False} for model in (config["model_cfg"], named))
    if canonical_config({"model_cfg": one}) != canonical_config({"model_cfg": other}):
        problem = f"it describes another architecture than {spec.architecture}."
        raise CheckpointError(problem, str(place), "Drop encoder.architecture, or correct it.")
    return config


def find_published(spec: OpenClipEncoder) -> tuple[str, dict[str, Any], dict[str, Any]]:
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
    architecture, model, recipe = find_published(spec)
    try:
        weights = _published_weights(recipe, f"{architecture}/{spec.checkpoint}")
    except (OSError, RuntimeError, ValueError, TypeError, HTTPException) as error:
        raise CheckpointError(
            f"the published weights could not be fetched ({' '.join(str(error).split())[:200]}).",
            f"{architecture}/{spec.checkpoint}",
            "Fetch them where there is a network and give the file as encoder.checkpoint.",
        ) from error
    label = f"{architecture}/{spec.checkpoint}"
    return _with_tokenizer(Checkpoint(label, weights, published_recipe(model, recipe)))


def _published_weights(recipe: dict[str, Any], place: str) -> Path:
    """The file of a published tag: of the hub the one that open_clip would take.

    open_clip itself asks the hub ten times, with pauses, also where the file is in the cache: without a network that is
    a minute.
    """
    from open_clip import pretrained as published

    model, _, file = str(recipe.get("hf_hub", "")).rpartition("/")
    if "file" in recipe or not model:
        return Path(published.download_pretrained(recipe))
    file = file or published.HF_WEIGHTS_NAME
    safe = published.HF_SAFE_WEIGHTS_NAME if file == published.HF_WEIGHTS_NAME else f"{file[:-4]}.safetensors"
    wanted = (safe, file) if file.endswith((".bin", ".pth")) else (file,)
    return fetch_file(model, wanted, place=place)


def _with_tokenizer(found: Checkpoint, beside: Path | None = None) -> Checkpoint:
    """Add the tokenizer of transformers that an architecture asks for: beside the weights, or from the hub."""
    name = found.config["model_cfg"]["text_cfg"].get("hf_tokenizer_name")
    if not name:
        return found
    if beside is None or not holds_tokenizer(beside):
        beside = fetch_folder(name, place=f"the tokenizer of {found.label}")
    return found._replace(tokenizer=beside, config={**found.config, "tokenizer": tokenizer_hashes(beside)})


def _architecture(spec: OpenClipEncoder, default: str | None = None) -> tuple[str, dict[str, Any]]:
    name = spec.architecture or default
    if name is None:
        raise CheckpointError(
            "encoder.architecture is needed for a weights file or a published tag.",
            f"encoder.checkpoint: {spec.checkpoint}",
            "For example ViT-B-32; a folder beside the config is written ./name.",
        )
    known = list_architectures()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise CheckpointError(
            "open_clip knows no such architecture.",
            f"encoder.architecture: {name}",
            f"{hint}`python -c 'import open_clip; print(open_clip.list_models())'` lists them.",
        )
    return name, read_architecture(name)
