"""Accuracies by hand, Wilson's interval against scipy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import binomtest, t

from coder_core.classes import ClassList
from coder_core.errors import DatasetError
from coder_core.evaluation import intervals
from coder_core.evaluation.intervals import student_quantile, wilson_interval
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.metrics import evaluate, mean_per_class_accuracy, top1, top5
from coder_core.evaluation.score_intervals import share_interval
from coder_core.evaluation.spread import measure_spread

CLASSES = ClassList(("a", "b", "c", "d"))
TOP = [[0, 1, 2, 3], [0, 1, 2, 3], [1, 0, 2, 3], [2, 1, 0, 3], [1, 3, 0, 2]]
TRUTH = [0, 0, 0, 2, 0]


def test_four_classes_by_hand(predictions_of, labels_of):
    rows = evaluate(predictions_of(TOP), labels_of(TRUTH), CLASSES)
    assert [(row.method, row.metric, row.n, row.protocol) for row in rows] == [
        ("coder", "top1", 5, "honest"),
        ("coder", "top5", 5, "honest"),
        ("coder", "mean_per_class_accuracy", 5, "honest"),
    ]
    assert [row.value for row in rows] == [3 / 5, 1.0, (2 / 4 + 1 / 1) / 2]
    assert all(0 <= row.ci_low <= row.value <= row.ci_high <= 1 for row in rows)
    assert (rows[0].ci_low, rows[0].ci_high) == pytest.approx(wilson_interval(3, 5))


def test_top5_looks_at_five_places():
    ids = np.tile(np.arange(7, dtype=np.int32), (7, 1))
    truth = np.arange(7)
    assert top1(ids, truth) == 1 / 7
    assert top5(ids, truth) == 5 / 7


def test_mean_per_class_accuracy_ignores_classes_without_images():
    ids = np.array([[1], [1], [3], [0]], dtype=np.int32)
    assert mean_per_class_accuracy(ids, np.array([1, 1, 1, 3])) == (2 / 3 + 0) / 2


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipys(counts):
    hits, n = counts
    expected = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_normal_quantile_is_scipys_to_the_last_digit():
    assert float(ndtri((1 + intervals.CONFIDENCE) / 2)) == intervals.NORMAL_QUANTILE


@pytest.mark.parametrize("freedom", [1.0, 2.5, 30.0, 1e7])
def test_the_quantile_of_student_is_scipys(freedom):
    assert student_quantile(freedom) == pytest.approx(t(freedom).ppf(0.975), rel=1e-6)


def test_two_classes_one_all_right_one_all_wrong_have_an_interval_with_width(predictions_of, labels_of):
    mean = evaluate(predictions_of([[0, 1]] * 20), labels_of([0] * 10 + [1] * 10), ClassList(("a", "b")))[2]
    assert (mean.metric, mean.value) == ("mean_per_class_accuracy", 0.5)
    four_of_twenty = 0.5 * 3.84 / 10
    assert mean.ci_low == pytest.approx(0.5 - four_of_twenty, abs=0.05)
    assert mean.ci_high == pytest.approx(0.5 + four_of_twenty, abs=0.05)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_top1_is_the_mean_of_hits_and_bounds_hold(pairs):
    ids, truth = np.array([[a] for a, _ in pairs], dtype=np.int32), np.array([b for _, b in pairs])
    assert top1(ids, truth) == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    low, high = share_interval(measure_spread((ids[:, 0] == truth).astype(np.int64), truth))
    assert 0 <= low < high <= 1


def test_one_class_is_always_right(predictions_of, labels_of):
    rows = evaluate(predictions_of([[0], [0]]), labels_of([0, 0]), ClassList(("only",)))
    assert [row.value for row in rows] == [1.0, 1.0, 1.0]


def test_the_order_of_labels_does_not_matter(predictions_of, labels_of):
    labels = labels_of(TRUTH)
    shuffled = LabelTable(labels.image_ids[::-1], labels.label_ids[::-1], "test")
    assert evaluate(predictions_of(TOP), shuffled, CLASSES) == evaluate(predictions_of(TOP), labels, CLASSES)


def test_permuting_labels_leaves_predictions_as_they_are(predictions_of, labels_of):
    predictions = predictions_of(TOP)
    before = (predictions.image_ids, predictions.top_ids.tobytes(), predictions.top_probabilities.tobytes())
    values = [evaluate(predictions, labels_of(truth), CLASSES)[0].value for truth in (TRUTH, TRUTH[::-1], [3] * 5)]
    assert values == [3 / 5, 1 / 5, 0.0]
    assert before == (predictions.image_ids, predictions.top_ids.tobytes(), predictions.top_probabilities.tobytes())


def test_no_image_is_an_error(predictions_of, labels_of):
    with pytest.raises(DatasetError, match="0 predictions"):
        evaluate(predictions_of([]), labels_of([]), CLASSES)


@pytest.mark.parametrize("bad", [4, -1])
def test_a_label_out_of_range_is_named_with_its_row(predictions_of, labels_of, bad):
    with pytest.raises(DatasetError, match=rf"'image 3' \(row 3\).*label {bad} is not in 0..3"):
        evaluate(predictions_of(TOP), labels_of([0, 0, 0, bad, bad]), CLASSES)


def test_a_predicted_class_out_of_range_is_named(predictions_of, labels_of):
    with pytest.raises(DatasetError, match=r"row 2.*predicted class 9"):
        evaluate(predictions_of([[0, 1, 2, 3], [0, 1, 2, 3], [0, 9, 1, 2]]), labels_of([0, 0, 0]), CLASSES)


def test_too_few_kept_classes_for_top5_are_refused(predictions_of, labels_of):
    with pytest.raises(DatasetError, match=r"keep 1 class per image.*needs 4"):
        evaluate(predictions_of([[0], [1]]), labels_of([0, 1]), CLASSES)
