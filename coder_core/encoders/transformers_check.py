"""Could this checkpoint of transformers be loaded? Answered by its config and the heads of its weights files alone.

The model is built without numbers, as its config says it, and its tensors are held against those that the files name.
A tensor of another size is told, and a layer that the files lack. Names that transformers itself translates when it
loads are no evidence: what they hold is left to the loading, which knows them.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from coder_core.encoders.checkpoint_check import Shape, read_shapes
from coder_core.encoders.hub import fetch_folder
from coder_core.encoders.transformers_loading import CONFIG_FILE, ModelFolder, find_model, read_json
from coder_core.encoders.transformers_model import explained, refuse_loose_weights, refuse_one_tower, vector_length
from coder_core.specs import TransformersEncoder

_NUMBER = re.compile(r"\.\d+\.")


def check_transformers(spec: TransformersEncoder) -> str:
    """Look whether a model could be loaded; says what it is, in a few words. Weights of the hub are not fetched for it.

    Raises:
        CheckpointError: It is not there, lacks a part, has not two towers, or its weights are of another architecture.
    """
    if _is_of_the_hub(spec.model):
        folder = fetch_folder(spec.model, spec.revision, place=f"encoder.model: {spec.model}")
        found = ModelFolder(folder, read_json(folder / CONFIG_FILE), (), Path(spec.model).name)
        return f"{found.label}, {check_folder(found)} dimensions, a model of the hub that is fetched once"
    found = find_model(spec.model, spec.revision)
    return f"{found.label}, {check_folder(found)} dimensions"


def check_folder(found: ModelFolder) -> int:
    """Hold config and weights of a model against each other; gives the length of its vectors.

    Raises:
        CheckpointError: It has not two towers, or its weights are of another architecture.
    """
    dim = vector_length(found)
    with explained(found):
        import torch
        from transformers import AutoConfig, AutoModel

        config = AutoConfig.from_pretrained(str(found.folder), trust_remote_code=False, local_files_only=True)
        with torch.device("meta"):
            model = AutoModel.from_config(config, trust_remote_code=False)
        refuse_one_tower(model, found)
        expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    held: dict[str, Shape] = {}
    for file in found.weights:
        held |= read_shapes(file)
    differing = [(name, held[name], shape) for name, shape in expected.items() if held.get(name, shape) != shape]
    missing = list(_missing_layers(expected, held))
    refuse_loose_weights({"mismatched_keys": differing, "missing_keys": missing}, found)
    return dim


def _missing_layers(expected: Mapping[str, Shape], held: Mapping[str, Shape]) -> Iterator[str]:
    """Tensors that are not there, and are in another layer: so their names are not translated."""
    kinds = {_NUMBER.sub(".*.", name) for name in expected.keys() & held.keys()}
    return (
        name for name in expected.keys() - held.keys() if _NUMBER.search(name) and _NUMBER.sub(".*.", name) in kinds
    )


def _is_of_the_hub(model: str) -> bool:
    return not ("://" in model or Path(model).is_dir() or Path(model).is_absolute())
