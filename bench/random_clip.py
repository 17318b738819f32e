"""A CLIP with random weights and photographs without subjects: what speed is measured on, made where it is needed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PREPROCESS = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic"}
GRAIN = 6.0
"""Standard deviation of noise on top of large shapes: a JPEG of quality 90 then has about 1.5 bits a pixel."""
SHAPES = 24
"""Pixels of the picture that is enlarged to a photograph, on its longer side."""


def write_clip(folder: Path, architecture: str, preprocess: Mapping[str, Any] = PREPROCESS) -> Path:
    """Write a model of one of open_clip's architectures, in open_clip's layout."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    config = open_clip.get_model_config(architecture)
    folder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.CLIP(**config)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    described = {"model_cfg": config, "preprocess_cfg": dict(preprocess)}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    return folder


def write_photographs(folder: Path, count: int, size: tuple[int, int], *, grain: float = GRAIN) -> list[Path]:
    """Write JPEG files of some width and height; no two are alike."""
    folder.mkdir(parents=True)
    paths = [folder / f"{number:05d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        _photograph(np.random.default_rng(number), size, grain).save(path, "JPEG", quality=90)
    return paths


def commented(jpeg: bytes, number: int) -> bytes:
    """The same photograph as another file: a comment (marker FE) right behind its start; its length counts itself."""
    comment = f"{number:08d}".encode()
    return jpeg[:2] + b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment + jpeg[2:]


def encoder_at(checkpoint: Path, **settings: Any) -> Any:
    """The encoder of a checkpoint, identified."""
    from coder_core.encoders.registry import identify_encoder
    from coder_core.specs import OpenClipEncoder

    return identify_encoder(OpenClipEncoder(kind="open_clip", checkpoint=str(checkpoint), **settings))


def _photograph(random: np.random.Generator, size: tuple[int, int], grain: float) -> Image.Image:
    width, height = size
    small = random.integers(0, 256, (max(2, SHAPES * height // width), SHAPES, 3), dtype=np.uint8)
    large = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    noise = random.standard_normal((height, width, 1), dtype=np.float32) * grain
    return Image.fromarray(np.clip(large + noise, 0, 255).astype(np.uint8))
