"""Building the model that `open_clip_loading` found, and nothing else: what is hashed is what is loaded.

open_clip would choose a folder's weights by rules of its own, and leave a model random where it finds none. So it is
asked for the architecture only, and given the weights. Only safetensors, and `torch.load` restricted to tensors, are
ever read: a checkpoint cannot run code.
"""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from coder_core.encoders.checkpoint_limits import without_hub
from coder_core.encoders.open_clip_loading import PREPROCESS_KEYS, Checkpoint, find_checkpoint
from coder_core.errors import CheckpointError
from coder_core.specs import OpenClipEncoder


class LoadedClip(NamedTuple):
    """A model with what belongs to it, on one device, in evaluation mode."""

    model: Any
    preprocess: Any
    tokenizer: Any


def load_open_clip(spec: OpenClipEncoder, device: str) -> LoadedClip:
    """Load model, image preprocessing and tokenizer.

    Raises:
        CheckpointError: Not found, or the weights do not fit the architecture or cannot be read.
    """
    found = find_checkpoint(spec)
    with _quiet(), _explained(found), without_hub(is_folder=found.name.startswith("local-dir:")):
        return _build(found, device)


def _build(found: Checkpoint, device: str) -> LoadedClip:
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    preprocessing = found.config.get("preprocess_cfg") or {}
    with _weights_left_blank():
        model = open_clip.create_model(
            found.name,
            load_weights=False,
            pretrained_text=False,
            device=device,
            force_quick_gelu=bool(found.config["model_cfg"].get("quick_gelu")),
            force_preprocess_cfg={key: preprocessing[key] for key in PREPROCESS_KEYS if key in preprocessing},
        )
    open_clip.load_checkpoint(model, str(found.weights), strict=True, weights_only=True, device="cpu")
    preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    return LoadedClip(model.eval(), preprocess, open_clip.get_tokenizer(found.name))


def _weights_left_blank() -> AbstractContextManager[Any]:
    """Draw no random weights: a strict load replaces every one of them (half of the loading time of ViT-B/32)."""
    from torch import Tensor
    from torch.nn import init
    from torch.overrides import TorchFunctionMode

    draws = (Tensor.uniform_, Tensor.normal_, init.uniform_, init.normal_, init.kaiming_uniform_, init.kaiming_normal_)

    class Blank(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in draws:
                return args[0] if args else kwargs["tensor"]
            return func(*args, **(kwargs or {}))

    return Blank()


@contextmanager
def _explained(found: Checkpoint) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        package = error.name or str(error)
        raise CheckpointError(
            f"this model needs the package {package}, which is not installed.", found.name, f"pip install {package}"
        ) from error
    except Exception as error:  # pickle, safetensors, torch and timm each raise what they like on a wrong file
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise CheckpointError(
            f"these weights cannot be loaded ({reason}).",
            str(found.weights),
            "Give weights that were saved for this architecture, as safetensors or as a plain state dict.",
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip from setting up the process's logging, and from saying that the model is random: not for long."""
    root, holder = logging.getLogger(), logging.NullHandler()

    def is_not_from_open_clip(record: logging.LogRecord) -> bool:
        return record.module != "factory"

    root.addHandler(holder)
    root.addFilter(is_not_from_open_clip)
    try:
        yield
    finally:
        root.removeFilter(is_not_from_open_clip)
        root.removeHandler(holder)
