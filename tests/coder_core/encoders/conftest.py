"""Real open_clip architectures, made small and random, in folders as open_clip saves them."""

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip import factory, pretrained
from safetensors.torch import save_file

from coder_core.encoders.open_clip_encoder import OpenClip
from coder_core.specs import OpenClipEncoder

DIM, CONTEXT = 16, 24
VISION = {"image_size": 32, "patch_size": 16, "layers": 1, "width": 32, "head_width": 16}
TEXT = {"context_length": CONTEXT, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
PREPROCESS = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], "interpolation": "bilinear", "resize_mode": "squash"}
TOWERS: dict[str, dict[str, Any]] = {
    "clip": {},
    "quick_gelu": {"quick_gelu": True},
    "custom_text": {"custom_text": True},
    "end_token": {"custom_text": True, "text_cfg": {"pool_type": "eos", "eos_id": 49407}},
    "last_position": {"custom_text": True, "text_cfg": {"pool_type": "last"}},
    "not_causal": {"custom_text": True, "text_cfg": {"no_causal_mask": True, "pool_type": "last"}},
    "coca": {
        "custom_text": True,
        "text_cfg": {"embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {"context_length": CONTEXT, "width": 32, "heads": 2, "layers": 1},
    },
}
CAUSAL = ("clip", "custom_text", "end_token", "quick_gelu")
"""Towers whose result cannot depend on what follows the end token."""


def model_config(tower: str = "clip") -> dict[str, Any]:
    """A `model_cfg` as open_clip writes it."""
    changes = copy.deepcopy(TOWERS[tower])
    text = {**TEXT, **changes.pop("text_cfg", {})}
    return {"embed_dim": DIM, "vision_cfg": dict(VISION), "text_cfg": text, **changes}


def random_weights(config: dict[str, Any], *, seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict of the architecture, with weights large enough for every position to matter."""
    config = copy.deepcopy(config)
    custom = config.pop("custom_text", False)
    kind = open_clip.CoCa if "multimodal_cfg" in config else open_clip.CustomTextCLIP if custom else open_clip.CLIP
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind(**config)
        state = {name: value * (3.0 if value.ndim == 2 else 1.0) for name, value in model.state_dict().items()}
    return {name: value.contiguous() for name, value in state.items()}


def write_model(folder: Path, tower: str = "clip", *, seed: int = 0, preprocess: dict[str, Any] = PREPROCESS) -> Path:
    """Write config and weights in open_clip's layout."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model_config(tower)
    save_file(random_weights(config, seed=seed), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    return folder


def spec_of(checkpoint: Path | str, architecture: str | None = None, **settings: Any) -> OpenClipEncoder:
    return OpenClipEncoder(kind="open_clip", checkpoint=str(checkpoint), architecture=architecture, **settings)


class InPasses:
    """An encoder that is given any number of inputs: cut into passes, longest texts first."""

    def __init__(self, encoder: Any, *, batch_size: int) -> None:
        self.encoder, self.batch_size = encoder, batch_size

    def __getattr__(self, name: str) -> Any:
        return getattr(self.encoder, name)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(texts), DIM), dtype=np.float32)
        tokens = self.encoder.tokenize(texts) if texts else None
        order = np.argsort(-self.encoder.text_lengths(tokens), kind="stable") if texts else np.arange(0)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            found[rows] = self.encoder.encode_texts(tokens, rows)
        return found

    def encode_images(self, images: Sequence[Any]) -> np.ndarray:
        starts = range(0, len(images), self.batch_size)
        passes = [self.encoder.encode_images(images[start : start + self.batch_size]) for start in starts]
        return np.concatenate([np.zeros((0, DIM), dtype=np.float32), *passes])


def load(
    checkpoint: Path | str, architecture: str | None = None, *, batch_size: int = 256, **settings: Any
) -> InPasses:
    return InPasses(OpenClip(spec_of(checkpoint, architecture, **settings), device="cpu"), batch_size=batch_size)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tower's model, written once."""
    root = tmp_path_factory.mktemp("models")

    def find(tower: str) -> Path:
        return root / tower if (root / tower).is_dir() else write_model(root / tower, tower)

    return find


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder that a test may change."""
    return write_model(tmp_path / "model")


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a small architecture that open_clip knows while the test runs."""
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    monkeypatch.setattr(pretrained, "_PRETRAINED", dict(pretrained._PRETRAINED))
    path = tmp_path / "Tiny-B-16.json"
    path.write_text(json.dumps(model_config()))
    open_clip.add_model_config(path)
    return "Tiny-B-16"
