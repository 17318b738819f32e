"""Real CLIP ViT-B/32 features of DTD's test images: the clip method gives the accuracy that is known for them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from coder_core.baselines.clip import build_clip
from coder_core.classes import ClassList
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.metrics import evaluate
from coder_core.evaluation.predicting import build_predictions
from coder_core.texts.bank import empty_bank
from coder_core.texts.domains import load_domains
from coder_core.texts.sentences import build_texts
from coder_core.texts.text_layout import build_layout

FEATURES = Path(__file__).parents[4] / "shared" / "data" / "features"

pytestmark = pytest.mark.skipif(not FEATURES.is_dir(), reason="the shared features are not here")


def test_clip_on_dtd_equals_ten_lines_of_numpy():
    with np.load(FEATURES / "dtd.npz", allow_pickle=False) as file:
        images, truth, names = file["test_features"], file["test_labels"].astype(np.int64), file["class_names"]
    with np.load(FEATURES / "dtd_zero_shot_weights.npz", allow_pickle=False) as file:
        weights = next(file[key] for key in file.files if file[key].shape == (47, 512))
    hits = int((np.argmax(images.astype(np.float64) @ weights.astype(np.float64).T, axis=1) == truth).sum())

    classes = ClassList(tuple(names.tolist()))
    layout = build_layout(build_texts(classes, empty_bank(classes), load_domains()["texture"], kinds=[]))
    classifier = build_clip(torch.from_numpy(weights), layout)
    image_ids = tuple(f"{row:04d}" for row in range(len(images)))
    predictions = build_predictions(classifier.logits(torch.from_numpy(images)), image_ids, method="clip")
    top1 = evaluate(predictions, LabelTable(image_ids, truth, "test"), classes)[0]
    assert (top1.metric, top1.n) == ("top1", 1692)
    assert round(top1.value * top1.n) == hits
    assert round(100 * top1.value, 1) == 44.8
