"""Calibration and log-likelihood by hand, against plain loops, and intervals of what is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.classes import ClassList
from coder_core.evaluation.calibration import (
    calibration_interval,
    evaluate_calibration,
    expected_calibration_error,
    kept_log_likelihoods,
    loss_interval,
)
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.predicting import build_predictions

CLASSES = ClassList(tuple("abcdefgh"))
LOGITS = 2 * torch.randn(90, 8, generator=torch.Generator().manual_seed(1))
TRUTH = np.random.default_rng(2).integers(0, 8, size=90)
IDS = [f"image {row}" for row in range(90)]


def labels():
    return LabelTable(tuple(IDS), TRUTH, "test")


def predictions():
    return build_predictions(LOGITS, IDS, method="coder")


def test_two_bins_by_hand():
    confidences = np.array([0.9, 0.8, 1.0, 0.4, 0.3], dtype=np.float32)
    correct = np.array([True, False, True, True, False])
    # upper bin: accuracy 2/3, confidence .9; lower bin: accuracy 1/2, confidence .35
    expected = 3 / 5 * abs(2 / 3 - 0.9) + 2 / 5 * abs(1 / 2 - 0.35)
    assert expected_calibration_error(confidences, correct, bins=2) == pytest.approx(expected, abs=1e-7)


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=40))
@settings(deadline=None)
def test_equals_a_loop_over_bins_that_hold_their_upper_end(images):
    confidences = np.array([step / 30 for step, _ in images])
    correct = np.array([is_correct for _, is_correct in images])
    error = 0.0
    for place in range(15):
        # thirtieths against bins of two thirtieths: bin 0 holds 0, 1, 2; bin 1 holds 3, 4; ...
        rows = [row for row, (step, _) in enumerate(images) if max(0, (step - 1) // 2) == place]
        if rows:
            error += len(rows) / len(images) * abs(correct[rows].mean() - confidences[rows].mean())
    assert expected_calibration_error(confidences, correct) == pytest.approx(error, abs=1e-12)


def test_certain_and_right_is_no_error_certain_and_wrong_is_all():
    ones = np.ones(7)
    assert expected_calibration_error(ones, np.ones(7, dtype=bool)) == 0.0
    assert expected_calibration_error(ones, np.zeros(7, dtype=bool)) == 1.0


def test_probabilities_that_are_true_leave_an_error_of_zero_within_the_interval():
    rng = np.random.default_rng(3)
    confidences = rng.random(400)
    correct = rng.random(400) < confidences
    error = expected_calibration_error(confidences, correct)
    assert error > 0.03, "chance alone makes this"
    low, high = calibration_interval(confidences, correct)
    assert low == 0
    assert error <= high < 2 * error


def test_an_error_far_from_zero_has_the_interval_of_a_mean():
    """Every bin is too sure by 0.3, so the error is the mean of confidence minus accuracy."""
    rng = np.random.default_rng(4)
    confidences = rng.choice([0.5, 0.7, 0.9], size=4000)
    correct = rng.random(4000) < confidences - 0.3
    excess = confidences - correct
    half = 1.96 * excess.std() / np.sqrt(4000)
    expected = (excess.mean() - half, excess.mean() + half)
    assert calibration_interval(confidences, correct) == pytest.approx(expected, abs=0.001)


def test_crops_of_a_photograph_are_no_further_evidence_of_an_error():
    rng = np.random.default_rng(5)
    confidences = rng.choice([0.5, 0.7, 0.9], size=200)
    correct = rng.random(200) < confidences - 0.2
    once = calibration_interval(confidences, correct)
    groups = np.repeat(np.arange(200), 5)
    fivefold = calibration_interval(np.repeat(confidences, 5), np.repeat(correct, 5), groups=groups)
    assert fivefold == pytest.approx(once, abs=0.003)


def test_the_interval_is_the_same_every_time_and_within_bounds():
    correct = np.arange(9) % 2 == 0
    confidences = np.linspace(0.01, 1, 9)
    assert calibration_interval(confidences, correct) == calibration_interval(confidences, correct)
    assert calibration_interval(np.ones(5), np.ones(5, dtype=bool)) is None
    assert calibration_interval(np.ones(5), np.zeros(5, dtype=bool)) is None


def test_with_all_classes_kept_the_log_likelihood_equals_a_loop():
    few, truth = LOGITS[:, :5], TRUTH % 5
    kept, classes = build_predictions(few, IDS, method="coder"), ClassList(tuple("abcde"))
    row = evaluate_calibration(kept, LabelTable(tuple(IDS), truth, "test"), classes)[1]
    losses = [
        math.log(sum(map(math.exp, row))) - row[own] for row, own in zip(few.tolist(), truth.tolist(), strict=True)
    ]
    assert row.value == pytest.approx(np.mean(losses), abs=1e-5)
    half = 1.959963985 * np.std(losses, ddof=1) / math.sqrt(90)
    assert row.ci_high - row.ci_low == pytest.approx(2 * half, rel=0.05)
    assert row.ci_high - row.value > row.value - row.ci_low, "losses have a long tail, and so has their mean's interval"
    assert (row.n, row.method, row.protocol) == (90, "coder", "honest")


def test_without_all_probabilities_the_rest_is_even():
    metrics = [row.metric for row in evaluate_calibration(predictions(), labels(), CLASSES)]
    assert metrics == ["expected_calibration_error", "negative_log_likelihood_top5"]
    likelihoods = kept_log_likelihoods(predictions(), TRUTH, class_count=8)
    for row, truth in enumerate(TRUTH.tolist()):
        probabilities = torch.softmax(LOGITS[row].double(), 0).tolist()
        best = sorted(range(8), key=lambda class_id, p=probabilities: -p[class_id])
        rest = sum(probabilities[class_id] for class_id in best[5:]) / 3
        expected = probabilities[truth] if truth in best[:5] else rest
        assert likelihoods[row] == pytest.approx(math.log(expected), abs=1e-4)


def test_certainty_in_the_wrong_class_is_finite():
    sure = build_predictions(torch.tensor([[500.0, 0, 0, 0, 0, 0]]), ["a"], method="coder", k=5)
    assert np.isfinite(kept_log_likelihoods(sure, np.array([5]), class_count=6)).all()
    assert np.isfinite(kept_log_likelihoods(sure, np.array([1]), class_count=6)).all()


def test_one_image_has_no_interval():
    assert loss_interval(np.array([2.0]), None) is None
    assert loss_interval(np.full(7, 0.1), None) is None
    assert loss_interval(np.array([0.1, 0.2]), np.zeros(2, dtype=np.int64)) is None, "one group"
