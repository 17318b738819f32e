"""Texts through CLIP's text tower: this pipeline against `open_clip.build_zero_shot_classifier`.

    python bench/texts.py TEXTS.json [--texts 512] [--architecture ViT-B-32] [--device cpu]

TEXTS.json is any JSON whose texts are the sentences (all lists of texts in it count). Weights are random. All sides
embed the same sentences with the same weights. open_clip's function is called as its users do (ten texts a pass, its
default) and with as many texts a pass as suit it best; the numbers of all and the largest difference are printed.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.random_clip import encoder_at, write_clip

ROUNDS = 3
BASELINE_BATCH = 256
"""Texts a pass of open_clip's function, beside its own default of 10."""


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--architecture", default="ViT-B-32")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    sentences = list(dict.fromkeys(sentences_of(json.loads(options.file.read_text("utf-8")))))[: options.texts]
    with tempfile.TemporaryDirectory() as name:
        print(measure(Path(name), sentences, options.architecture, options.device))


def sentences_of(value: Any) -> Iterator[str]:
    """All texts in lists, wherever they stand."""
    if isinstance(value, dict):
        for held in value.values():
            yield from sentences_of(held)
    elif isinstance(value, list):
        for held in value:
            if isinstance(held, str):
                yield held
            else:
                yield from sentences_of(held)


def measure(folder: Path, sentences: list[str], architecture: str, device: str) -> str:
    """Embed with both, one after the other in every round; the best of each."""
    import open_clip
    import torch

    encoder = encoder_at(write_clip(folder / "clip", architecture))
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder / 'clip'}", device=device)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder / 'clip'}")
    model.eval()

    def classifier(**settings: Any) -> np.ndarray:
        with torch.inference_mode():
            made = open_clip.build_zero_shot_classifier(model, tokenizer, sentences, ["{}"], device=device, **settings)
        return made.T.cpu().numpy()

    sides: list[Callable[[int], np.ndarray]] = [
        lambda number: embed(folder / f"store{number}", encoder, sentences, device),
        lambda _: classifier(),
        lambda _: classifier(num_classes_per_batch=BASELINE_BATCH),
    ]
    took = [float("inf")] * len(sides)
    rows: list[np.ndarray] = []
    for number in range(ROUNDS):
        rows = []
        for side, embed_all in enumerate(sides):
            started = time.perf_counter()
            rows.append(embed_all(number))
            took[side] = min(took[side], time.perf_counter() - started)
    own, usual, large = took
    difference = max(np.abs(rows[0] - other).max() for other in rows[1:])
    return (
        f"{len(sentences)} sentences, {architecture}, {device}: this pipeline {len(sentences) / own:.1f} a second; "
        f"build_zero_shot_classifier as it is {len(sentences) / usual:.1f} ({usual / own:.1f} times), with "
        f"{BASELINE_BATCH} texts a pass {len(sentences) / large:.1f} ({large / own:.1f} times); "
        f"largest difference {difference:.1e}"
    )


def embed(store: Path, encoder: Any, sentences: list[str], device: str) -> np.ndarray:
    """Embed into a fresh store, and read the vectors from it."""
    from coder_core.embedding.text_passes import text_vectors
    from coder_core.pipeline.context import Context
    from coder_core.specs import Runtime

    return text_vectors(Context.open(Runtime(store=str(store), device=device)), encoder, sentences)


if __name__ == "__main__":
    main()
