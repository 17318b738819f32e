"""Small input files as users have them: text banks, feature files, folders of images, a tiny CLIP checkpoint.

Everything is made from names by hash, so the same name has the same content in every test and every process.
"""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from PIL import Image

from coder_core.classes import ClassList
from coder_core.config import validate_spec
from coder_core.specs import EvalSpec
from coder_core.texts.bank_file import parse_text_bank
from coder_core.texts.domains import load_domains
from coder_core.texts.sentences import build_texts

DIM = 16
NAMES = ("red kite", "blue tit", "green finch", "wren")
PIXELS = 16
TINY_CLIP = {
    "embed_dim": DIM,
    "vision_cfg": {"image_size": PIXELS, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


class World(NamedTuple):
    """Files, and the settings of an evaluation that reads them."""

    folder: Path
    settings: dict[str, Any]

    def spec(self, **changes: Any) -> EvalSpec:
        return validate_spec({**self.settings, **changes}, place="test", base=str(self.folder))


def write_bank(path: Path, names: Sequence[str], pairs: Sequence[tuple[str, str]] = ()) -> str:
    """Write a text bank of all kinds, one-to-one for the given ordered pairs; gives its content."""
    classes = [
        {
            "name": name,
            "attributes": [f"{name} mark {number}" for number in range(2 + len(name) % 3)],
            "analogous_classes": [f"{name} lookalike"],
            "synonyms": [f"{name} alias"] * (len(name) % 2),
        }
        for name in names
    ]
    one_to_one = [
        {"class": name, "rival": rival, "phrases": [f"{name} and not {rival} mark {number}" for number in range(2)]}
        for name, rival in pairs
    ]
    content = yaml.safe_dump({"format": "coder-text-bank/1", "classes": classes, "one_to_one": one_to_one})
    path.write_text(content)
    return content


def write_world(
    folder: Path,
    names: tuple[str, ...] = NAMES,
    *,
    images_per_class: int = 30,
    first_image: int = 0,
    pairs: Sequence[tuple[str, str]] = (),
) -> World:
    """Write bank, text features and image features for some classes; the same names always give the same rows.

    Args:
        folder: Where to.
        names: The classes.
        images_per_class: Images of each.
        first_image: Their first number: worlds of other numbers hold other images.
        pairs: Ordered pairs of names that the bank tells apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = write_bank(folder / "bank.yaml", names, pairs)
    classes = ClassList(names)
    table = build_texts(classes, parse_text_bank(content, place="bank", classes=classes), load_domains()["bird"])
    texts = table.unique_texts()
    vectors = np.stack([_vector(text) for text in texts])
    np.savez(folder / "texts.npz", texts=np.array(texts), features=vectors)
    labels = np.repeat(np.arange(len(names)), images_per_class)
    described = {row.class_id: texts.index(row.text) for row in table.rows if row.kind == "attribute"}
    numbers = first_image + np.arange(len(labels)) % images_per_class
    noise = [_vector(f"{names[label]} {number}") for label, number in zip(labels, numbers, strict=True)]
    images = np.stack([vectors[described[label]] for label in labels]) + 1.5 * np.stack(noise)
    np.savez(folder / "images.npz", features=images, labels=labels, class_names=np.array(names))
    settings = {
        "name": "world",
        "dataset": {"kind": "features", "path": str(folder / "images.npz")},
        "encoder": {"kind": "precomputed", "texts": [{"path": str(folder / "texts.npz")}]},
        "texts": {"bank": str(folder / "bank.yaml"), "domain": "bird"},
        "matrix": {"write": True},
    }
    return World(folder, settings)


def rewrite_features(world: World, **arrays: np.ndarray) -> None:
    """Replace arrays of a world's file of image features."""
    with np.load(world.folder / "images.npz") as found:
        kept = dict(found)
    np.savez(world.folder / "images.npz", **{**kept, **arrays})


def write_image_class(root: Path, name: str, count: int, *, first_image: int = 0) -> None:
    """Write a class folder of small images, each of its own colours; other numbers are other images."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first_image, first_image + count):
        generator = np.random.default_rng(zlib.crc32(f"{name} {number}".encode()))
        pixels = generator.integers(0, 256, (PIXELS, PIXELS + 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")


def write_photos(
    folder: Path, checkpoint: Path, names: Sequence[str] = NAMES, *, images_per_class: int = 5, first_image: int = 0
) -> World:
    """Write a bank and class folders of images, to be embedded by a model."""
    for name in names:
        write_image_class(folder / "images", name, images_per_class, first_image=first_image)
    write_bank(folder / "bank.yaml", names)
    settings = {
        "name": "photos",
        "dataset": {"kind": "folder", "path": str(folder / "images")},
        "encoder": {"kind": "open_clip", "checkpoint": str(checkpoint)},
        "texts": {"bank": str(folder / "bank.yaml"), "domain": "bird"},
    }
    return World(folder, settings)


def write_tiny_clip(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Write a random CLIP of one layer per tower, in open_clip's layout."""
    import torch
    from safetensors.torch import save_file

    from coder_core.encoders.text_tower import build_clip

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_clip({**TINY_CLIP, **changes})
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": {**TINY_CLIP, **changes}, "preprocess_cfg": preprocess})
    )
    return folder


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random CLIP."""
    return write_tiny_clip(tmp_path_factory.mktemp("tiny-clip"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Four classes of thirty images as files of features."""
    return write_world(tmp_path / "world")


@pytest.fixture
def photos(tmp_path: Path, tiny_clip: Path) -> World:
    """Four classes of five images, and a model."""
    return write_photos(tmp_path / "photos", tiny_clip)


def _vector(text: str) -> np.ndarray:
    vector = np.random.default_rng(zlib.crc32(text.encode())).standard_normal(DIM)
    return np.asarray(vector / np.linalg.norm(vector))
