"""Real CLIP ViT-B/32 features of DTD through all steps, with what LLM texts have features: ten lines of NumPy agree.

The features of DTD's texts are not to be had, but 14 of the analogues that a language model named for its classes are
among the 8,505 nouns whose features are: seven classes get analogues, forty have none.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml

from coder_core.config import validate_spec
from coder_core.specs import EvalSpec, Runtime

from .runs import rows, run_spec

DATA = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")


class Dtd(NamedTuple):
    """DTD as arrays: test images, labels, naming vectors, and per class the vectors of its analogues."""

    images: np.ndarray
    labels: np.ndarray
    names: np.ndarray
    analogues: list[np.ndarray]


def load(folder: Path) -> Dtd:
    """Read the arrays, and write bank and text features for the steps."""
    with np.load(DATA / "features" / "dtd.npz", allow_pickle=False) as file:
        images, labels, class_names = file["test_features"], file["test_labels"], file["class_names"].tolist()
    with np.load(DATA / "features" / "dtd_zero_shot_weights.npz", allow_pickle=False) as file:
        names = file["features"]
    with np.load(DATA / "features" / "text_bank.npz", allow_pickle=False) as file:
        vector_of = dict(zip((name.lower() for name in file["names"].tolist()), file["features"], strict=True))
    told = json.loads((DATA / "texts" / "dtd.json").read_text())["analogous_class"]
    known = [[name for name in dict.fromkeys(found) if name.lower() in vector_of] for found in told]
    classes = [{"name": name, "analogous_classes": found} for name, found in zip(class_names, known, strict=True)]
    (folder / "bank.yaml").write_text(yaml.safe_dump({"format": "coder-text-bank/1", "classes": classes}))
    pairs = [(class_name, name) for class_name, found in zip(class_names, known, strict=True) for name in found]
    texts = [f"{class_name.replace('_', ' ')} like {name}" for class_name, name in pairs]
    np.savez(folder / "nouns.npz", texts=texts, features=[vector_of[name.lower()] for _, name in pairs])
    return Dtd(images, labels, names, [np.array([vector_of[name.lower()] for name in found]) for found in known])


def settings(folder: Path) -> EvalSpec:
    features = str(DATA / "features")
    dataset = {"kind": "features", "path": f"{features}/dtd.npz", "features": "test_features", "labels": "test_labels"}
    texts = [{"path": f"{features}/dtd_zero_shot_weights.npz", "texts": "class_names"}, {"path": "nouns.npz"}]
    bare = {"class_name": "{class}", "analogous_class": "{class} like {analogue}"}
    spec = {
        "name": "dtd",
        "dataset": dataset,
        "encoder": {"kind": "precomputed", "texts": texts},
        "texts": {"bank": "bank.yaml", "domain": "bare", "domains": {"bare": bare}},
        "methods": ["clip", "coder"],
    }
    return validate_spec(spec, place="test", base=str(folder))


def test_the_numbers_on_dtd_equal_ten_lines_of_numpy(tmp_path: Path, runtime: Runtime) -> None:
    dtd = load(tmp_path)
    run_spec(settings(tmp_path), runtime)
    images, names = dtd.images.astype(np.float64), dtd.names.astype(np.float64)
    clip = images @ names.T
    coder = np.empty_like(clip)
    for class_id, analogues in enumerate(dtd.analogues):
        own = names[class_id][None] if not len(analogues) else np.vstack([names[class_id], analogues])
        coder[:, class_id] = (images @ own.T).mean(axis=1)
    found = rows(runtime, "SELECT method, predicted FROM predictions ORDER BY 1, image_id")
    for method, logits in (("clip", clip), ("coder", coder)):
        predicted = np.array([row[1] for row in found if row[0] == method])
        np.testing.assert_array_equal(predicted, logits.argmax(axis=1))
    top1 = "SELECT method, round(value * n) FROM metrics WHERE metric = 'top1'"
    hits = {"clip": (clip.argmax(1) == dtd.labels).sum(), "coder": (coder.argmax(1) == dtd.labels).sum()}
    assert dict(rows(runtime, top1)) == hits
    assert sum(map(len, dtd.analogues)) == 14
