"""What a checkpoint folder may declare: its configuration is held against limits and its weights before it is built.

A line of JSON can ask for a model of a thousand layers, which would be allocated before anybody saw that the weights
beside it have a megabyte. Nor may a folder send this process to a hub: whoever wrote it would choose what is fetched.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coder_core.errors import CheckpointError
from coder_core.limits import limit
from coder_core.storage.bounded_json import read_json
from coder_core.storage.input_files import read_input

MAX_CONFIG_BYTES = limit("CODER_MAX_CHECKPOINT_CONFIG_BYTES", 1_000_000)
MAX_LAYERS = limit("CODER_MAX_MODEL_LAYERS", 256)
"""The deepest tower of open_clip has 64."""
MAX_WIDTH = limit("CODER_MAX_MODEL_WIDTH", 16_384)
"""The widest tower of open_clip has 5,120 numbers per position."""
MAX_SIZES = {"image_size": 4_096, "context_length": 65_536, "vocab_size": 4_000_000, "embed_dim": MAX_WIDTH}
_WIDTHS = frozenset({"width", "embed_dim", "proj_dim", "hidden_size", "head_width", "mlp_dim"})
_MATRICES_PER_LAYER = 12
"""Squares of the width in a layer of a transformer: four of attention, eight of the two layers behind it."""
_COUNTED_WIDTH = 256
"""Narrower towers take no memory worth counting, and may be built otherwise."""


def read_config(path: Path) -> dict[str, Any]:
    """Read the configuration of a checkpoint folder.

    Raises:
        CheckpointError: It is too large, nested too deep, or no JSON object.
    """
    content = read_input(str(path), max_bytes=MAX_CONFIG_BYTES)
    config = read_json(content, str(path), error_class=CheckpointError, max_bytes=MAX_CONFIG_BYTES)
    if not isinstance(config, dict):
        raise CheckpointError("this is no JSON object.", str(path), "It needs model_cfg.")
    return config


def check_config(config: Mapping[str, Any], weights: Path, place: str) -> None:
    """Hold what a configuration declares against the limits and the size of the weights.

    Args:
        config: `model_cfg`.
        weights: The weights file.
        place: The configuration, for the message.

    Raises:
        CheckpointError: It declares more.
    """
    for name, value in _numbers(config, ""):
        key = name.rpartition(".")[2]
        largest = (
            MAX_LAYERS if key in {"layers", "depth"} else MAX_SIZES.get(key, MAX_WIDTH if key in _WIDTHS else None)
        )
        if largest is not None and not 0 <= value <= largest:
            raise CheckpointError(
                f"it declares {name} {value:.15g}, and {largest} are allowed.", place, "See docs/security.md."
            )
    declared = sum(_least_parameters(tower) for tower in config.values() if isinstance(tower, Mapping))
    held = weights.stat().st_size
    if declared > held:  # a byte per number is the least that anybody stores
        problem = f"it declares a model of at least {declared:,} numbers, and the weights have {held:,} bytes."
        raise CheckpointError(problem, place, f"Check that {weights.name} belongs to it.")


@contextmanager
def without_hub(*, is_folder: bool) -> Iterator[None]:
    """While a model of a folder is built, nothing is fetched: what the hub's cache on this disk holds may be used."""
    if not is_folder:
        yield
        return
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _numbers(value: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{name}.{key}".removeprefix("."))
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item, name)


def _least_parameters(tower: Mapping[str, Any]) -> int:
    """Numbers that a transformer of this depth and width has at least; 0 for a tower of another build."""
    layers, width, words = (tower.get(name) for name in ("layers", "width", "vocab_size"))
    if not isinstance(layers, int) or not isinstance(width, int) or width < _COUNTED_WIDTH:
        return 0
    words = words if isinstance(words, int) else 0
    return layers * _MATRICES_PER_LAYER * width * width // 2 + words * width
