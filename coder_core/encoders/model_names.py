"""What a person types for a model, as the settings of an encoder."""

from pathlib import Path
from typing import Any

from coder_core.encoders.open_clip_tables import list_architectures
from coder_core.errors import CheckpointError
from coder_core.locations import is_url
from coder_core.specs.encoder_specs import HUB_PREFIX

DEFAULT_MODEL = "ViT-B-32/laion2b_s34b_b79k"
"""Small, permissively licensed (MIT), and what open_clip's own examples use; 605 MB that are fetched once."""

FOLDERS = {
    "open_clip_config.json": ("open_clip", "checkpoint"),
    "modules.json": ("sentence_transformers", "model"),
    "config.json": ("transformers", "model"),
}
"""A file that tells whose folder it is -> the encoder's kind, and the setting that names the folder."""


def encoder_settings(model: str) -> dict[str, Any]:
    """The settings of a model that was named in one word.

    Args:
        model: `ARCHITECTURE/TAG` of open_clip, `hf-hub:ORG/NAME` (open_clip), `ORG/NAME` of the hub (transformers), a
            folder, or `demo:micro-clip`.

    Raises:
        CheckpointError: It is none of these.
    """
    if model.startswith(HUB_PREFIX) or is_url(model):
        return {"kind": "open_clip", "checkpoint": model}
    place = Path(model).expanduser()
    if place.is_dir():
        return _folder(place)
    architecture, _, tag = model.partition("/")
    if tag and architecture in list_architectures():
        return {"kind": "open_clip", "architecture": architecture, "checkpoint": tag}
    if tag and "/" not in tag and not model.startswith((".", "/", "~")):
        return {"kind": "transformers", "model": model}
    remedy = f"Name ARCHITECTURE/TAG ({DEFAULT_MODEL}), hf-hub:ORG/NAME, ORG/NAME, or a folder."
    raise CheckpointError("there is no such folder, and this is no name of a model.", f"--model {model}", remedy)


def _folder(place: Path) -> dict[str, Any]:
    for file, (kind, setting) in FOLDERS.items():
        if (place / file).is_file():
            return {"kind": kind, setting: str(place.resolve())}
    remedy = f"One of {', '.join(FOLDERS)} must be there."
    raise CheckpointError("it holds no model: none of its files is known.", str(place), remedy)
