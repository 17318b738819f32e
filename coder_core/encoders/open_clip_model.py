"""Building the model that `open_clip_loading` found, and nothing else: what is hashed is what is loaded.

open_clip would choose a folder's weights by rules of its own, and leave a model random where it finds none. So it is
asked for the architecture only, and given the weights. Only safetensors, and `torch.load` restricted to tensors, are
ever read: a checkpoint cannot run code. One exception: the TorchScript archives that OpenAI published in 2021, known by
their sha256.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from typing import Any, NamedTuple

from coder_core.encoders.checkpoint_limits import without_hub
from coder_core.encoders.open_clip_config import effective_preprocess
from coder_core.encoders.open_clip_loading import Checkpoint, find_checkpoint
from coder_core.encoders.remote_code import without_remote_code
from coder_core.encoders.weights import NOT_WEIGHTS, is_openai_archive, read_tensors
from coder_core.errors import CheckpointError, CoderError
from coder_core.specs import OpenClipEncoder


class LoadedClip(NamedTuple):
    """A model with what belongs to it, on the CPU, in evaluation mode.

    Attributes:
        model: An open_clip model in float32.
        resize: The part of its preprocessing that works on a decoded image: it gives one of the model's input size.
        mean: Of red, green and blue, subtracted from pixels in 0..1.
        std: What they are divided by then.
        tokenizer: From texts to padded rows of token ids.
    """

    model: Any
    resize: Callable[[Any], Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    tokenizer: Any


def load_open_clip(spec: OpenClipEncoder) -> LoadedClip:
    """Load model, image preprocessing and tokenizer.

    Raises:
        CheckpointError: Not found, or the weights do not fit the architecture or cannot be read.
    """
    found = find_checkpoint(spec)
    with _quiet(), _explained(found), without_remote_code(), without_hub(is_folder=found.is_described):
        return _build(found)


def _build(found: Checkpoint) -> LoadedClip:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    preprocessing = effective_preprocess(found.config.get("preprocess_cfg"))
    with _weights_left_blank():
        model = _create(found.config["model_cfg"])
    _load_weights(model, found)
    whole = image_transform_v2(PreprocessCfg(size=model.visual.image_size, **preprocessing), is_train=False)
    *resize, to_tensor, normalise = whole.transforms
    if type(to_tensor).__name__ != "MaybeToTensor" or type(normalise).__name__ != "Normalize":
        raise CheckpointError("open_clip prepares images in another way than was known.", found.label, "Use 3.3.")
    return LoadedClip(
        model.eval(),
        _in_a_row(resize),
        tuple(preprocessing["mean"]),
        tuple(preprocessing["std"]),
        _open_tokenizer(found),
    )


def _create(config: Mapping[str, Any]) -> Any:
    """The architecture with blank weights; as `open_clip.create_model` chooses its class."""
    from open_clip import CLIP, CoCa, CustomTextCLIP

    settings = deepcopy(dict(config))
    is_custom = settings.pop("custom_text", False) or "hf_model_name" in settings["text_cfg"]
    if settings["vision_cfg"].get("timm_model_name"):
        settings["vision_cfg"]["timm_model_pretrained"] = False
    if settings["text_cfg"].get("hf_model_name"):
        settings["text_cfg"]["hf_model_pretrained"] = False
    kind = CLIP if not is_custom else CoCa if "multimodal_cfg" in settings else CustomTextCLIP
    return kind(**settings)


def _load_weights(model: Any, found: Checkpoint) -> None:
    import open_clip

    if found.weights.suffix != ".safetensors" and is_openai_archive(found.weights):
        state = read_tensors(found.weights)
        model.load_state_dict({name: value for name, value in state.items() if name not in NOT_WEIGHTS}, strict=True)
        return
    open_clip.load_checkpoint(model, str(found.weights), strict=True, weights_only=True, device="cpu")


def _open_tokenizer(found: Checkpoint) -> Any:
    from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer, SimpleTokenizer

    text = found.config["model_cfg"]["text_cfg"]
    length, settings = text.get("context_length", DEFAULT_CONTEXT_LENGTH), text.get("tokenizer_kwargs") or {}
    if found.tokenizer is None:
        return SimpleTokenizer(context_length=length, **settings)
    mode = text.get("tokenizer_mode")
    return HFTokenizer(str(found.tokenizer), context_length=length, tokenizer_mode=mode, **settings)


def _in_a_row(transforms: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def resize(image: Any) -> Any:
        for transform in transforms:
            image = transform(image)
        return image

    return resize


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
    except CoderError:
        raise
    except ImportError as error:
        package = error.name or str(error)
        raise CheckpointError(
            f"this model needs the package {package}, which is not installed.", found.label, f"pip install {package}"
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
