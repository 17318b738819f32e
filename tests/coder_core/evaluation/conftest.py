"""Predictions and labels from plain lists."""

import numpy as np
import pytest

from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.predictions import Predictions


def make_predictions(top_ids, method="coder"):
    ids = np.array(top_ids, dtype=np.int32) if top_ids else np.empty((0, 5), dtype=np.int32)
    image_ids = tuple(f"image {row}" for row in range(len(ids)))
    return Predictions(image_ids, ids, np.full(ids.shape, 0.1, dtype=np.float32), method)


def make_labels(label_ids):
    image_ids = tuple(f"image {row}" for row in range(len(label_ids)))
    return LabelTable(image_ids, np.array(label_ids, dtype=np.int64), "test")


@pytest.fixture(scope="session")
def predictions_of():
    return make_predictions


@pytest.fixture(scope="session")
def labels_of():
    return make_labels
