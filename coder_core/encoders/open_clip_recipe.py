"""How a bare weights file was trained: which activation, and how its images were prepared.

Neither stands in the weights, and both change every vector. They are taken from what is known: the parameters that
open_clip's training writes beside its checkpoints, the published recipe of a file whose hash open_clip publishes, or
the config. Where nothing is known the user is asked; nothing is guessed.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from coder_core.encoders.open_clip_config import PREPROCESS_DEFAULTS, PREPROCESS_PRESETS, can_use_quick_gelu
from coder_core.encoders.open_clip_tables import published_recipes
from coder_core.encoders.weights import file_hash
from coder_core.errors import CheckpointError
from coder_core.specs import OpenClipEncoder

CHECKPOINTS, PARAMETERS = "checkpoints", "params.txt"
"""Where open_clip's training puts them: `logs/NAME/checkpoints/epoch_N.pt` and `logs/NAME/params.txt`."""


class BareFile:
    """A weights file and the parameters of its training, where those lie beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """What `open_clip_train` was told; empty where that is not known."""
        file = self.path.parent.parent / PARAMETERS
        if self.path.parent.name != CHECKPOINTS or not file.is_file():
            return {}
        lines = file.read_text("utf-8", "replace").splitlines()
        return {name.strip(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}

    @property
    def architecture(self) -> str | None:
        """The architecture that was trained."""
        return self.parameters.get("model") or None

    def trained_recipe(self, model: Mapping[str, Any]) -> dict[str, Any] | None:
        """Activation and preprocessing of the training, or None where its parameters do not tell."""
        told = self.parameters
        if not told or any(prefix in told.get("model", "") for prefix in ("hf-hub:", "local-dir:")):
            return None
        start = _recipe_of_tag(told.get("model", ""), told.get("pretrained", ""))
        if start is None:
            return None
        names = {"mean": "image_mean", "std": "image_std"}
        names |= {"interpolation": "image_interpolation", "resize_mode": "image_resize_mode"}
        said = {key: _parameter(told[name]) for key, name in names.items() if _parameter(told.get(name, "None"))}
        gelu = {"quick_gelu": True} if told.get("force_quick_gelu") == "True" else {}
        return {"model_cfg": {**model, **gelu}, "preprocess_cfg": {**PREPROCESS_DEFAULTS, **start, **said}}


def find_recipe(path: Path, spec: OpenClipEncoder, architecture: str, model: dict[str, Any]) -> dict[str, Any]:
    """Architecture and preprocessing of a bare weights file.

    Args:
        path: The file.
        spec: What the config says; that counts before everything else.
        architecture: open_clip's name.
        model: Its configuration.

    Raises:
        CheckpointError: It is not known whether the weights need QuickGELU, or how images were prepared.
    """
    recipe = BareFile(path).trained_recipe(model) or _recipe_by_hash(path, architecture, model)
    known = with_said(recipe or {"model_cfg": model}, spec)
    is_activation_known = recipe is not None or spec.quick_gelu is not None or bool(model.get("quick_gelu"))
    missing = [] if is_activation_known or not can_use_quick_gelu(model) else ["encoder.quick_gelu"]
    missing += [] if "preprocess_cfg" in known else ["encoder.preprocess"]
    if missing:
        raise CheckpointError(
            f"nobody has said how these weights were trained: {' and '.join(missing)} {_are(missing)} needed.",
            str(path),
            "OpenAI's weights, and what was tuned from them: quick_gelu: true, preprocess: openai; open_clip's own "
            "trainings: quick_gelu: false, preprocess: openai. Or give a folder or a tag, which say it.",
        )
    return known


def with_said(config: Mapping[str, Any], spec: OpenClipEncoder) -> dict[str, Any]:
    """A configuration of open_clip, with what the user has said of the weights in its place."""
    said = dict(config)
    if spec.quick_gelu is not None:
        said["model_cfg"] = {**said["model_cfg"], "quick_gelu": spec.quick_gelu}
    if spec.preprocess is not None:
        said["preprocess_cfg"] = _said_preprocess(spec)
    return said


def published_recipe(model: dict[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Architecture and preprocessing as open_clip publishes them: `openai`'s weights, for one, need QuickGELU."""
    if recipe.get("quick_gelu"):
        model = {**model, "quick_gelu": True}
    return {"model_cfg": model, "preprocess_cfg": {key: recipe[key] for key in PREPROCESS_DEFAULTS if key in recipe}}


def published_hashes(architecture: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The first digits of the sha256 of published files of an architecture, and the recipe of each.

    OpenAI's addresses hold the whole sum, those of open_clip's first weights eight digits of it; nothing else does.
    """
    for recipe in published_recipes(architecture).values():
        parts = recipe.get("url", "").split("/")
        if "openaipublic" in recipe.get("url", ""):
            yield parts[-2], recipe
        elif "mlfoundations" in recipe.get("url", ""):
            yield parts[-1].rpartition(".")[0].rpartition("-")[2], recipe


def _recipe_by_hash(path: Path, architecture: str, model: dict[str, Any]) -> dict[str, Any] | None:
    for digits, recipe in published_hashes(architecture):
        if file_hash(path).startswith(digits):
            return published_recipe(model, recipe)
    return None


def _recipe_of_tag(architecture: str, tag: str) -> Mapping[str, Any] | None:
    """Preprocessing that a training has started from: that of a tag, or open_clip's own where it began at random."""
    if not _parameter(tag):
        return {}
    recipe = published_recipes(architecture).get(tag)
    return {key: recipe[key] for key in PREPROCESS_DEFAULTS if key in recipe} if recipe else None


def _parameter(value: str) -> Any:
    """One value of `params.txt`: None, a text, or a list of numbers as Python writes it."""
    if value in ("", "None"):
        return None
    if value[0] in "([":
        return [float(number) for number in value.strip("()[]").split(",")]
    return value


def _said_preprocess(spec: OpenClipEncoder) -> dict[str, Any]:
    if isinstance(spec.preprocess, str):
        return dict(PREPROCESS_PRESETS[spec.preprocess])
    return spec.preprocess.model_dump() if spec.preprocess else {}


def _are(names: list[str]) -> str:
    return "are" if len(names) > 1 else "is"
