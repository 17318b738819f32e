"""Building a model of transformers with its tokenizer and its image processor; and how long its vectors are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from coder_core.counted import counted
from coder_core.encoders.remote_code import without_remote_code
from coder_core.encoders.transformers_loading import PACKAGE, ModelFolder
from coder_core.errors import CheckpointError, CoderError

NEEDED = ("get_text_features", "get_image_features")
"""What a model with two towers has."""

PROJECTED = frozenset({"clip", "align", "altclip", "chinese_clip", "flava", "metaclip_2"})
"""Types of model whose config says the length of vectors as `projection_dim`."""


class LoadedModel(NamedTuple):
    """A model with what belongs to it, on the CPU, in float32; `..._settings` is what its processor tells the parts."""

    model: Any
    tokenizer: Any
    image_processor: Any
    text_settings: dict[str, Any]
    image_settings: dict[str, Any]


def load_folder(found: ModelFolder) -> LoadedModel:
    """Load model, tokenizer and image processor of a folder, and no code from it.

    Raises:
        CheckpointError: The package is missing, the model needs code of its own, has no two towers, or its weights do
            not fit.
    """
    with explained(found):
        import torch
        from transformers import AutoModel, AutoProcessor

        settings = {"trust_remote_code": False, "local_files_only": True}
        model, problems = AutoModel.from_pretrained(  # sizes that differ are told with their names below
            str(found.folder), dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True, **settings
        )
        refuse_one_tower(model, found)
        refuse_loose_weights(problems, found)
        processor = AutoProcessor.from_pretrained(str(found.folder), **settings)
        tokenizer, images = (getattr(processor, name, None) for name in ("tokenizer", "image_processor"))
        if tokenizer is None or images is None:
            problem = "its processor has no tokenizer or no image processor."
            raise CheckpointError(problem, str(found.folder), "Give a model of texts and images.")
        return LoadedModel(
            model.eval(), tokenizer, images, _said(processor, "text_kwargs"), _said(processor, "images_kwargs")
        )


def vector_length(found: ModelFolder) -> int:
    """Length of a model's vectors: from its config, or from a model without weights that is shown one token.

    Raises:
        CheckpointError: As `load_folder`.
    """
    with explained(found):
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(str(found.folder), trust_remote_code=False, local_files_only=True)
        if config.model_type in PROJECTED:
            return int(config.projection_dim)
        return _measured_length(config, found)


def _measured_length(config: Any, found: ModelFolder) -> int:
    import torch
    from transformers import AutoModel

    with torch.device("meta"), torch.inference_mode():
        model = AutoModel.from_config(config, trust_remote_code=False)
        refuse_one_tower(model, found)
        return int(pooled(model.get_text_features(input_ids=torch.zeros((1, 4), dtype=torch.long))).shape[-1])


def pooled(features: Any) -> Any:
    """One vector per text or image of what a tower gives; of a whole sequence (FLAVA) the first: the class token."""
    rows = getattr(features, "pooler_output", features)
    return rows[:, 0] if rows.ndim == 3 else rows


def refuse_one_tower(model: Any, found: ModelFolder) -> None:
    """Refuse a model that cannot embed both texts and images."""
    if missing := [name for name in NEEDED if not callable(getattr(model, name, None))]:
        raise CheckpointError(
            f"a {type(model).__name__} has no {' and no '.join(missing)}.",
            str(found.folder),
            "Give a model with a text and an image tower, such as CLIP or SigLIP.",
        )


def refuse_loose_weights(problems: dict[str, Any], found: ModelFolder) -> None:
    """Refuse weights of another architecture: transformers would leave what is missing random, and warn."""
    differing = sorted((str(name), tuple(held), tuple(asked)) for name, held, asked in problems["mismatched_keys"])
    missing = sorted(str(name) for name in problems["missing_keys"] if not str(name).endswith("position_ids"))
    if differing:
        name, held, asked = (*differing[0][:1], *(" x ".join(map(str, shape)) for shape in differing[0][1:]))
        others = counted(len(differing), "tensor is of another size", "tensors are of other sizes")
        reason = f"{name} is {held}, and {asked} by the config; {others}"
    elif missing:
        reason = f"{missing[0]} is not among them; {counted(len(missing), 'tensor is', 'tensors are')} missing"
    else:
        return
    problem = f"these weights are of another architecture than config.json says ({reason})."
    raise CheckpointError(problem, str(found.folder), "Give weights that were saved for this config.")


def _said(processor: Any, name: str) -> dict[str, Any]:
    """What the processor of a kind of model tells its parts (SigLIP 2, ALIGN: 64 tokens; NaFlex: 256 patches)."""
    said = getattr(processor, name, None)
    return dict(said) if isinstance(said, dict) else {}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from drawing bars and from warning of what is checked here: not for long."""
    from transformers.utils import logging as voices

    level, had_bars = voices.get_verbosity(), voices.is_progress_bar_enabled()
    voices.set_verbosity_error()
    voices.disable_progress_bar()
    try:
        yield
    finally:
        voices.set_verbosity(level)
        if had_bars:
            voices.enable_progress_bar()


@contextmanager
def explained(found: ModelFolder) -> Iterator[None]:
    """Turn what transformers says about a folder into one clear error, and let it run no code from there."""
    place = str(found.folder)
    try:
        with without_remote_code(), quiet():
            yield
    except CoderError:
        raise
    except ImportError as error:
        package = error.name or PACKAGE
        problem = f"this model needs the package {package}, which is not installed."
        raise CheckpointError(problem, place, f"pip install 'coder-eval[transformers]' (or {package})") from error
    except Exception as error:  # transformers, tokenizers and safetensors raise what they like on a wrong file
        if found.config.get("auto_map"):
            problem = "this model needs code of its own, which is never run."
            raise CheckpointError(problem, place, "Use a model that transformers itself knows.") from error
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        remedy = "Give a folder that `save_pretrained` wrote for the installed version of transformers."
        raise CheckpointError(f"this model cannot be loaded ({reason}).", place, remedy) from error
