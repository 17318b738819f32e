"""Real CLIP features for the benches of few-shot: images, banks of nouns, and what the draws of one setting share."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from coder_core.coder.classifier import LinearClassifier
from coder_core.evaluation.labels import LabelTable
from coder_core.few_shot.few_shot_methods import FEW_SHOT_METHODS, Planned, plan_methods
from coder_core.few_shot.pool import Pool, build_pool
from coder_core.few_shot.text_metric import MetricSpace, fit_metric
from coder_core.texts.vocabulary import plain_name
from coder_core.transduction.fit_batch import METRIC_LEVEL

DATASETS = ("dtd", "caltech101", "oxford_pets")
FEATURES = Path(__file__).parents[2] / "shared" / "data" / "features"
BANKS = ("names in", "names purged")


class Images(NamedTuple):
    """The images of one data set."""

    pool: Pool
    queries: torch.Tensor
    truth: torch.Tensor
    class_names: tuple[str, ...]


@lru_cache(maxsize=len(DATASETS))
def load_images(folder: Path, name: str) -> Images:
    """The validation images of a set as the pool, its test images as the queries."""
    arrays = _load(folder / f"{name}.npz")
    ids = tuple(map(str, range(len(arrays["val_labels"]))))
    labels = LabelTable(ids, arrays["val_labels"].astype(np.int64), "validation")
    class_names = tuple(arrays["class_names"].tolist())
    pool = build_pool(ids, _unit(arrays["val_features"]), labels, class_count=len(class_names))
    truth = torch.from_numpy(arrays["test_labels"].astype(np.int64))
    return Images(pool, _unit(arrays["test_features"]), truth, class_names)


def load_texts(folder: Path, own_names: Sequence[str], bank: str, words: Path | None = None) -> torch.Tensor:
    """The bank of generic nouns, with or without the names of a data set's classes.

    Args:
        folder: Of the .npz files.
        own_names: The classes' names; case, hyphens and underscores make no other name.
        bank: "names in" or "names purged".
        words: A vocabulary file (`coder_core/texts/vocabulary.txt`, say): of the others only what stands in it.
    """
    arrays = _load(folder / "text_bank.npz")
    names = [plain_name(name) for name in arrays["names"].tolist()]
    own = {plain_name(name) for name in own_names}
    wanted = set(names) if words is None else _words_of(words)
    wanted = wanted - own if bank == "names purged" else wanted | own
    return _unit(arrays["features"][[name in wanted for name in names]])


def _words_of(path: Path) -> set[str]:
    """Of lines `theme: word, word, ...` the words."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return {plain_name(word) for line in lines for word in line.split(":", 1)[1].split(",")}


def _texts_of(folder: Path, dataset: str, bank: str, words: Path | None) -> torch.Tensor:
    return load_texts(folder, load_images(folder, dataset).class_names, bank, words)


@lru_cache(maxsize=4)
def plan_shared(folder: Path, dataset: str, bank: str, is_fused: bool, words: Path | None) -> Mapping[str, Planned]:
    """All methods, with the metrics of their texts: what draws share."""
    texts = _texts_of(folder, dataset, bank, words)
    zero_shot = load_zero_shot(folder) if is_fused else None
    return plan_methods(tuple(FEW_SHOT_METHODS), texts, zero_shot=zero_shot)


@lru_cache(maxsize=len(DATASETS))
def load_space(folder: Path, dataset: str, bank: str, words: Path | None) -> MetricSpace:
    """The metric that a batch is moved in."""
    return fit_metric(_texts_of(folder, dataset, bank, words)).saturating(METRIC_LEVEL)


@lru_cache(maxsize=1)
def load_zero_shot(folder: Path) -> LinearClassifier:
    """CLIP on DTD, by class name."""
    return LinearClassifier(_unit(_load(folder / "dtd_zero_shot_weights.npz")["features"]))


def _load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _unit(rows: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(rows.astype(np.float32)), dim=1)
