"""Could this open_clip checkpoint be loaded? Answered without fetching, hashing or loading anything large.

Weights of another architecture are told by the shapes of a few tensors and the number of layers, which the head of the
file names.
"""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from coder_core.counted import counted
from coder_core.encoders.open_clip_loading import Checkpoint, find_checkpoint, find_published, names_published_weights
from coder_core.encoders.open_clip_tables import list_architectures, read_architecture
from coder_core.errors import CheckpointError
from coder_core.specs import OpenClipEncoder
from coder_core.specs.encoder_specs import HUB_PREFIX

Shape = tuple[int, ...]
SUGGESTED = 3
"""Architectures that are named as the right one, at most."""
KNOWN_SHAPES = 2
"""Tensors by which an architecture is recognised, at least: one of the text tower, one of the image tower."""


def check_open_clip(spec: OpenClipEncoder) -> str:
    """Look whether a model could be loaded; says what it is, in a few words.

    Raises:
        CheckpointError: Missing folder, file or configuration, unknown architecture or tag, or weights that were saved
            for another architecture.
    """
    if spec.checkpoint.startswith(HUB_PREFIX):
        return f"{spec.checkpoint.removeprefix(HUB_PREFIX)}, a model of the hub that is fetched once"
    if names_published_weights(spec):
        find_published(spec)
        return f"{spec.architecture}/{spec.checkpoint}, published weights that open_clip fetches once"
    found = find_checkpoint(spec)
    check_shapes(found)
    return f"{Path(spec.checkpoint).name}, {found.config['model_cfg']['embed_dim']} dimensions"


def check_shapes(found: Checkpoint) -> None:
    """Refuse weights whose shapes are those of another architecture.

    Raises:
        CheckpointError: They are; names a tensor, both shapes, and architectures that fit.
    """
    shapes = read_shapes(found.weights)
    for name, expected in _expected_shapes(found.config["model_cfg"]):
        if name in shapes and shapes[name] != expected:
            fitting = _architectures_of(shapes)
            hint = f"They fit {', '.join(fitting)}. " if fitting else ""
            raise CheckpointError(
                f"these weights are of another architecture: {name} is {_in_words(shapes[name])}, "
                f"{found.label} has {_in_words(expected)}.",
                str(found.weights),
                f"{hint}Give the architecture that they were saved for.",
            )
    _check_layers(shapes, found)


def _check_layers(shapes: Mapping[str, Shape], found: Checkpoint) -> None:
    """Refuse towers of another depth; where the file names no layer as open_clip does, it says nothing."""
    model = found.config["model_cfg"]
    towers = (("visual.", "vision_cfg"), ("", "text_cfg"), ("text.", "text_cfg"))
    for prefix, tower in towers:
        start, expected = f"{prefix}transformer.resblocks.", (model.get(tower) or {}).get("layers")
        numbers = {name.removeprefix(start).partition(".")[0] for name in shapes if name.startswith(start)}
        if numbers and isinstance(expected, int) and len(numbers) != expected:
            raise CheckpointError(
                f"these weights are of another architecture: {start.removesuffix('.')} has "
                f"{counted(len(numbers), 'layer')}, {found.label} has {expected}.",
                str(found.weights),
                "Give the architecture that they were saved for.",
            )


def read_shapes(weights: Path) -> Mapping[str, Shape]:
    """Read the shape of every tensor of a weights file, and no tensor; empty where the file cannot tell.

    Raises:
        CheckpointError: A `.safetensors` file whose head cannot be read.
    """
    if weights.suffix == ".safetensors":
        return _safetensors_shapes(weights)
    if not zipfile.is_zipfile(weights):  # an old pickle: to know its shapes is to load it
        return {}
    import torch

    try:
        loaded = torch.load(weights, map_location="meta", mmap=True, weights_only=True)
    except Exception:  # noqa: BLE001 - pickle and torch raise what they like; whoever loads the model says why
        return {}
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else {}
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return {str(name).removeprefix("module."): tuple(value.shape) for name, value in tensors.items()}


def _safetensors_shapes(weights: Path) -> Mapping[str, Shape]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(weights), framework="np") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        problem = f"these weights cannot be loaded ({' '.join(str(error).split())[:200]})."
        raise CheckpointError(problem, str(weights), "Save them as safetensors, or fetch them again.") from error


def _expected_shapes(model: Mapping[str, Any]) -> Iterator[tuple[str, Shape]]:
    """The shapes that tell architectures apart, under every name that open_clip gives them.

    Positions are none of them: open_clip brings those of another length to its own when it loads.
    """
    text, vision, dim = model.get("text_cfg") or {}, model.get("vision_cfg") or {}, model["embed_dim"]
    if "width" in text and "hf_model_name" not in text:
        for prefix in ("", "text."):
            yield f"{prefix}token_embedding.weight", (text.get("vocab_size", 49408), text["width"])
            yield f"{prefix}text_projection", (text["width"], dim)
    patch, width = vision.get("patch_size"), vision.get("width")
    if isinstance(patch, int) and isinstance(width, int) and "timm_model_name" not in vision:
        yield "visual.conv1.weight", (width, 3, patch, patch)
        yield "visual.proj", (width, dim)


def _architectures_of(shapes: Mapping[str, Shape]) -> list[str]:
    def fits(name: str) -> bool:
        known = [(shapes[key], shape) for key, shape in _expected_shapes(read_architecture(name)) if key in shapes]
        return len(known) >= KNOWN_SHAPES and all(one == other for one, other in known)

    return [name for name in list_architectures() if fits(name)][:SUGGESTED]


def _in_words(shape: Shape) -> str:
    return " x ".join(map(str, shape))
