"""What open_clip knows by name, read without torch: architectures, and the recipes of published weights.

`import open_clip` loads torch and torchvision: seconds before a misspelt name can be told. Both tables are plain files
of the package: a JSON file per architecture, and a module that needs nothing of torch but helpers for downloading,
which it does without where they are missing. A test compares both with what open_clip itself answers.
"""

import builtins
import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

NOT_NEEDED = ("safetensors", "huggingface_hub")
"""Packages that only downloading needs; `pretrained` catches their absence."""


def list_architectures() -> tuple[str, ...]:
    """Every architecture, sorted; those that this process has registered with open_clip are among them."""
    loaded = sys.modules.get("open_clip")
    return tuple(sorted({*_shipped_architectures(), *(loaded.list_models() if loaded else ())}))


def read_architecture(name: str) -> dict[str, Any]:
    """The configuration of an architecture (`model_cfg`)."""
    loaded = sys.modules.get("open_clip")
    if loaded is not None and name not in _shipped_architectures():
        registered: dict[str, Any] = loaded.get_model_config(name)
        return registered
    found: dict[str, Any] = json.loads((_folder() / "model_configs" / f"{name}.json").read_text("utf-8"))
    return found


def published_recipes(architecture: str) -> Mapping[str, dict[str, Any]]:
    """Tag -> recipe of all published weights of an architecture; none where open_clip knows none."""
    loaded = sys.modules.get("open_clip.pretrained")
    recipes = vars(loaded) if loaded else _load("pretrained")
    found: Mapping[str, dict[str, Any]] = recipes["_PRETRAINED"].get(architecture, {})
    return found


def imagenet_class_names() -> tuple[str, ...]:
    """The names of ImageNet-1k's classes that CLIP was evaluated with, in label order."""
    return tuple(_load("zero_shot_metadata")["IMAGENET_CLASSNAMES"])


@cache
def _shipped_architectures() -> frozenset[str]:
    return frozenset(path.stem for path in (_folder() / "model_configs").glob("*.json"))


def _folder() -> Path:
    found = find_spec("open_clip")
    if found is None or not found.submodule_search_locations:
        raise ImportError("open_clip is not installed", name="open_clip")
    return Path(found.submodule_search_locations[0])


@cache
def _load(module: str) -> dict[str, Any]:
    """Run one module of open_clip, and those that it names beside itself, without the package's `__init__`."""
    place = _folder() / f"{module}.py"
    names = {"__name__": f"open_clip.{module}", "__builtins__": {**vars(builtins), "__import__": _import}}
    exec(compile(place.read_text("utf-8"), str(place), "exec"), names)  # noqa: S102 - the installed package's own code
    return names


def _import(
    name: str,
    own: Mapping[str, object] | None = None,
    local: Mapping[str, object] | None = None,
    wanted: Sequence[str] = (),
    level: int = 0,
) -> Any:
    if level:
        return SimpleNamespace(**_load(name))
    if name.partition(".")[0] in NOT_NEEDED:
        raise ImportError(name=name)
    return builtins.__import__(name, own, local, wanted, level)
