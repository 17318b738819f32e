"""Predictions know images and classes, never labels."""

import numpy as np
import pytest
import torch

from coder_core.errors import DatasetError
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.predicting import build_predictions
from coder_core.evaluation.predictions import Predictions

LOGITS = torch.tensor([[1.0, 3.0, 2.0], [0.0, 0.0, 0.0]])


def test_the_best_classes_and_their_probabilities_are_kept():
    predictions = build_predictions(LOGITS, ["a", "b"], method="clip", k=2)
    assert predictions.top_ids.tolist() == [[1, 2], [0, 1]]
    softmax = np.exp(LOGITS.numpy()) / np.exp(LOGITS.numpy()).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(predictions.top_probabilities, [softmax[0, [1, 2]], softmax[1, [0, 1]]], rtol=1e-6)
    assert (predictions.top_ids.dtype, predictions.top_probabilities.dtype) == (np.int32, np.float32)
    assert (len(predictions), predictions.method, predictions.protocol) == (2, "clip", "honest")


def test_fewer_classes_than_k_are_all_kept_and_sum_to_one():
    predictions = build_predictions(LOGITS, ["a", "b"], method="clip")
    assert predictions.top_ids.shape == (2, 3)
    np.testing.assert_allclose(predictions.top_probabilities.sum(axis=1), 1, rtol=1e-6)


def test_rows_and_ids_must_agree():
    with pytest.raises(DatasetError, match="1 image ids"):
        build_predictions(LOGITS, ["a"], method="clip")
    with pytest.raises(DatasetError, match="'a' occurs 2 times"):
        build_predictions(LOGITS, ["a", "a"], method="clip")
    with pytest.raises(DatasetError, match="shape"):
        Predictions(("a",), np.zeros((1, 2), np.int32), np.zeros((1, 1), np.float32), "clip")
    one = (("a",), np.zeros((1, 2), np.int32), np.zeros((1, 2), np.float32), "clip")
    with pytest.raises(DatasetError, match=r"1 image ids, details 'gated' of shape \(2,\)"):
        Predictions(*one, details={"gated": np.array([True, False])})


def test_labels_are_joined_by_image_id():
    predictions = build_predictions(LOGITS, ["b", "a"], method="clip")
    labels = LabelTable(("a", "c", "b"), np.array([10, 11, 12]), "test")
    assert labels.align(predictions).tolist() == [12, 10]


def test_missing_labels_are_named():
    predictions = build_predictions(torch.zeros(8, 2), [f"image {i}" for i in range(8)], method="clip")
    labels = LabelTable(("image 0",), np.array([0]), "test")
    with pytest.raises(DatasetError, match=r"7 of 8.*'image 5' and 2 more"):
        labels.align(predictions)


def test_labels_must_fit_their_ids():
    with pytest.raises(DatasetError, match="2 image ids, labels of shape"):
        LabelTable(("a", "b"), np.array([0]), "test")
    with pytest.raises(DatasetError, match="'a' occurs 2 times"):
        LabelTable(("a", "a"), np.array([0, 1]), "test")
