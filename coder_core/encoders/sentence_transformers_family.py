"""CLIP models of sentence-transformers: a CLIP of transformers in a folder of its own inside.

`modules.json` says where. What sentence-transformers adds to the tower, scaling to length 1, is done to all vectors
here, so the package itself is not needed.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from coder_core.encoders.base import EncoderIdentity
from coder_core.encoders.transformers_loading import (
    WEIGHTS,
    ModelFolder,
    find_folder,
    identify_folder,
    open_folder,
    read_json_list,
)
from coder_core.errors import CheckpointError
from coder_core.specs import SentenceTransformersEncoder

if TYPE_CHECKING:
    from coder_core.encoders.transformers_encoder import TwoTowers

MODULES = "modules.json"
NORMALISE = "Normalize"


def find_clip(spec: SentenceTransformersEncoder) -> ModelFolder:
    """Find the CLIP inside a model of sentence-transformers.

    Raises:
        CheckpointError: There is no such model, or it is a chain of other modules (a text model alone, for one).
    """
    wanted = (*(f"*{pattern}" for pattern in WEIGHTS),)
    folder = find_folder(spec.model, spec.revision, wanted, place="encoder.model")
    if not (folder / MODULES).is_file():
        remedy = "Give a folder that its `save` wrote; for a CLIP of transformers itself: encoder.kind: transformers."
        raise CheckpointError(f"the folder holds no {MODULES} of sentence-transformers.", str(folder), remedy)
    modules = read_json_list(folder / MODULES)
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if [kind for kind in kinds if kind != NORMALISE] not in (["CLIPModel"], ["Transformer"]):
        raise CheckpointError(
            f"this is no CLIP model of sentence-transformers, but {', '.join(kinds) or 'empty'}.",
            str(folder),
            "Give one that embeds images, such as clip-ViT-B-32; its multilingual partner embeds texts alone.",
        )
    return open_folder(folder / str(modules[0].get("path", "")), Path(spec.model).name)


class SentenceTransformersFamily:
    """CLIP models of sentence-transformers."""

    needs_device = True
    embeds_images = True

    def identify(self, spec: SentenceTransformersEncoder) -> EncoderIdentity:
        """As the CLIP inside is identified: it is the same model."""
        from coder_core.encoders.transformers_model import vector_length

        found = find_clip(spec)
        return identify_folder(found, spec, dim=vector_length(found))

    def check(self, spec: SentenceTransformersEncoder) -> str:
        """As `transformers_check` looks at the CLIP inside."""
        from coder_core.encoders.transformers_check import check_folder

        found = find_clip(spec)
        return f"{found.label}, {check_folder(found)} dimensions"

    def load(self, spec: SentenceTransformersEncoder, *, device: str) -> "TwoTowers":
        """Load the CLIP inside."""
        from coder_core.encoders.transformers_encoder import TwoTowers

        return TwoTowers(find_clip(spec), spec, device=device)


FAMILY = SentenceTransformersFamily()
