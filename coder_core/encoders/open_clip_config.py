"""One canonical form of what open_clip is told of a model: architecture and preprocessing.

A published tag, the folder that `push_to_hf_hub` writes and a config beside a weights file say the same in other
words: with defaults written out or left out, with settings that matter to training only. The canonical form has
neither, so that the same model has the same identity wherever its description stands. The defaults are those of
open_clip's `CLIPVisionCfg`, `CLIPTextCfg` and `PreprocessCfg`, repeated here because reading them would import torch; a
test compares them.
"""

from collections.abc import Mapping
from typing import Any

OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)

PREPROCESS_DEFAULTS: Mapping[str, Any] = {
    "mean": OPENAI_MEAN,
    "std": OPENAI_STD,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}
"""open_clip's `PreprocessCfg`, without the size, which the image tower knows."""

PREPROCESS_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "openai": PREPROCESS_DEFAULTS,
    "imagenet": {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "interpolation": "bilinear", "resize_mode": "squash"},
    "siglip": {"mean": HALF, "std": HALF, "interpolation": "bicubic", "resize_mode": "squash"},
    "mobileclip": {"mean": (0, 0, 0), "std": (1, 1, 1), "interpolation": "bilinear", "resize_mode": "shortest"},
}
"""What open_clip's published recipes are made of (`_pcfg`, `_apcfg`, `_slpcfg`, `_mccfg` in its `pretrained.py`)."""

_ATTENTION_DEFAULTS: Mapping[str, Any] = {
    **{"act_kwargs": None, "norm_kwargs": None, "block_type": None, "qk_norm": False, "scaled_cosine_attn": False},
    **{"scale_heads": False, "scale_attn_inner": False, "scale_attn": False, "scale_fc": False},
}
VISION_DEFAULTS: Mapping[str, Any] = {
    **{"layers": 12, "width": 768, "head_width": 64, "mlp_ratio": 4.0, "patch_size": 16, "image_size": 224},
    **{"ls_init_value": None, "patch_dropout": 0.0, "attentional_pool": False, "attn_pooler_queries": 256},
    **{"attn_pooler_heads": 8, "no_ln_pre": False, "pos_embed_type": "learnable", "final_ln_after_pool": False},
    **{"pool_type": "tok", "output_tokens": False},
    **_ATTENTION_DEFAULTS,
    **{"timm_model_name": None, "timm_model_pretrained": False, "timm_pool": "avg", "timm_proj": "linear"},
    **{"timm_proj_bias": False, "timm_drop": 0.0, "timm_drop_path": None},
}
TEXT_DEFAULTS: Mapping[str, Any] = {
    **{"context_length": 77, "vocab_size": 49408, "hf_tokenizer_name": None, "tokenizer_mode": None},
    **{"tokenizer_kwargs": None, "width": 512, "heads": 8, "layers": 12, "mlp_ratio": 4.0, "ls_init_value": None},
    **{"embed_cls": False, "pad_id": 0, "eos_id": 2, "no_causal_mask": False, "final_ln_after_pool": False},
    **{"pool_type": "argmax", "proj_bias": False, "proj_type": "linear", "output_tokens": False},
    **_ATTENTION_DEFAULTS,
    **{"hf_model_name": None, "hf_model_pretrained": True, "hf_proj_type": "mlp", "hf_pooler_type": "mean_pooler"},
}
MODEL_DEFAULTS: Mapping[str, Any] = {"quick_gelu": False, "custom_text": False}

TRAINING_ONLY = frozenset(
    {
        *("patch_dropout", "timm_model_pretrained", "timm_drop", "timm_drop_path", "hf_model_pretrained"),
        *("init_logit_scale", "init_logit_bias", "nonscalar_logit_scale", "cast_dtype", "output_dict"),
    }
)
"""What decides how a training begins or goes, and nothing about loaded weights."""

_NAMES_ONLY = frozenset({"hf_tokenizer_name"})
"""Says where a tokenizer is; its files count."""


def canonical_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Reduce a config to what decides vectors.

    Args:
        config: `model_cfg`, `preprocess_cfg` (both as open_clip writes them) and, where the tokenizer is one of
            transformers, `tokenizer`: hashes of its files.
    """
    model = config["model_cfg"]
    towers = {
        "vision_cfg": _said(model.get("vision_cfg") or {}, VISION_DEFAULTS),
        "text_cfg": _said(model.get("text_cfg") or {}, TEXT_DEFAULTS),
    }
    found: dict[str, Any] = {
        "model_cfg": {**_said(model, MODEL_DEFAULTS), **towers},
        "preprocess_cfg": effective_preprocess(config.get("preprocess_cfg")),
    }
    if "tokenizer" in config:
        found["tokenizer"] = config["tokenizer"]
    return found


def effective_preprocess(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """All that a preprocessing is told, defaults written out; numbers as floats."""
    said = {key: value for key, value in (config or {}).items() if key in PREPROCESS_DEFAULTS and value is not None}
    whole = {**PREPROCESS_DEFAULTS, **said}
    for name in ("mean", "std"):
        values = whole[name]
        whole[name] = [float(value) for value in (values if isinstance(values, list | tuple) else [values] * 3)]
    return whole


def can_use_quick_gelu(model: Mapping[str, Any]) -> bool:
    """Whether the activation is a choice at all: towers of timm and transformers bring their own."""
    has_own_vision = bool((model.get("vision_cfg") or {}).get("timm_model_name"))
    has_own_text = bool((model.get("text_cfg") or {}).get("hf_model_name"))
    return not (has_own_vision and has_own_text)


def _said(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    left_out = TRAINING_ONLY | _NAMES_ONLY
    return {
        name: value
        for name, value in settings.items()
        if name not in left_out and not (name in defaults and defaults[name] == value)
    }
