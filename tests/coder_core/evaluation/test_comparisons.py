"""Paired comparisons by hand and against scipy's binomial test; Holm on paper."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from coder_core.classes import ClassList
from coder_core.errors import DatasetError
from coder_core.evaluation.breakdown import confusions, per_class
from coder_core.evaluation.comparisons import compare, correct_comparisons, holm, mcnemar_p
from coder_core.evaluation.metrics import evaluate
from coder_core.evaluation.paired_breakdown import compare_classes, compare_confusions
from coder_core.results.schema import ClassComparisonRow, ConfusionComparisonRow
from tests.rows import rows_of

CLASSES = ClassList(("a", "b", "c"))
TRUTH = [0, 0, 0, 0, 1, 1, 2]
CLIP = [[1, 0, 2], [1, 0, 2], [0, 1, 2], [2, 0, 1], [1, 0, 2], [0, 1, 2], [2, 0, 1]]
CODER = [[0, 1, 2], [2, 1, 0], [0, 1, 2], [0, 1, 2], [1, 0, 2], [1, 0, 2], [1, 0, 2]]
SAME = {"method": "coder", "baseline": "coder", "protocol": "honest"}
class_row = rows_of(ClassComparisonRow, **SAME)
confusion_row = rows_of(ConfusionComparisonRow, **SAME)
ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=25)


def test_seven_images_by_hand(predictions_of, labels_of):
    top1, top5, mean = compare(predictions_of(CLIP, "clip"), predictions_of(CODER), labels_of(TRUTH), CLASSES)
    # clip: right on 2, 4, 6; coder: right on 0, 2, 3, 4, 5
    assert (top1.gained, top1.lost, top1.n, top1.metric) == (3, 1, 7, "top1")
    assert top1.difference == pytest.approx(2 / 7)
    assert top1.p_value == pytest.approx(2 * (1 + 4) / 16)
    assert (top5.difference, top5.gained, top5.lost, top5.p_value) == (0.0, 0, 0, 1.0)
    assert mean.difference == pytest.approx((2 / 4 + 1 / 2 - 1) / 3)
    assert mean.p_value is None
    assert {(row.method, row.baseline, row.protocol, row.p_holm) for row in (top1, top5, mean)} == {
        ("coder", "clip", "honest", None)
    }


@given(ROWS)
@settings(deadline=None, max_examples=20)
def test_differences_are_those_of_the_metrics(predictions_of, labels_of, rows):
    others = {0: [0, 1, 2], 1: [1, 2, 0], 2: [2, 0, 1]}
    clip, coder = (predictions_of([others[row[i]] for row in rows], name) for i, name in ((0, "clip"), (1, "coder")))
    labels = labels_of([row[2] for row in rows])
    values = [[row.value for row in evaluate(each, labels, CLASSES)] for each in (clip, coder)]
    compared = compare(clip, coder, labels, CLASSES)
    assert [row.difference for row in compared] == pytest.approx([b - a for a, b in zip(*values, strict=True)])
    backwards = compare(coder, clip, labels, CLASSES)
    for one, other in zip(compared, backwards, strict=True):
        assert one.difference == pytest.approx(-other.difference)
        assert (one.gained, one.lost, one.p_value) == (other.lost, other.gained, other.p_value)
        assert -1 <= one.ci_low <= one.difference <= one.ci_high <= 1
        assert (one.ci_low, one.ci_high) == pytest.approx((-other.ci_high, -other.ci_low))


@given(st.integers(0, 40), st.integers(0, 40))
@settings(deadline=None)
def test_mcnemar_is_the_binomial_test(gained, lost):
    expected = binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0
    assert float(mcnemar_p(gained, lost)) == pytest.approx(expected, rel=1e-9)


def test_a_method_against_itself_differs_by_nothing_and_seven_images_say_little_more(predictions_of, labels_of):
    top1, top5, mean = compare(predictions_of(CLIP), predictions_of(CLIP), labels_of(TRUTH), CLASSES)
    for row in (top1, top5, mean):
        assert (row.difference, row.gained, row.lost) == (0, 0, 0)
        assert row.ci_high == pytest.approx(-row.ci_low)
    assert top1.ci_high == pytest.approx(3.8415 / (7 + 3.8415), abs=1e-4)
    assert mean.ci_high > top1.ci_high, "its classes have fewer images"


def test_the_order_of_images_does_not_matter(predictions_of, labels_of):
    coder = predictions_of(CODER)
    backwards = replace(
        coder,
        image_ids=coder.image_ids[::-1],
        top_ids=coder.top_ids[::-1],
        top_probabilities=coder.top_probabilities[::-1],
    )
    for function in (compare, compare_classes, compare_confusions):
        expected = function(predictions_of(CLIP), coder, labels_of(TRUTH), CLASSES)
        assert function(predictions_of(CLIP), backwards, labels_of(TRUTH), CLASSES) == expected


def test_other_images_are_refused(predictions_of, labels_of):
    with pytest.raises(DatasetError, match="clip predicted 7 images, coder 6, 'image 6' by the first only"):
        compare(predictions_of(CLIP, "clip"), predictions_of(CODER[:6]), labels_of(TRUTH), CLASSES)
    with pytest.raises(DatasetError, match="clip predicted 6 images, coder 7"):
        compare(predictions_of(CLIP[:6], "clip"), predictions_of(CODER), labels_of(TRUTH), CLASSES)


def test_too_few_kept_classes_are_refused(predictions_of, labels_of):
    with pytest.raises(DatasetError, match="predictions of coder: the predictions keep 1 class"):
        compare(predictions_of(CLIP), predictions_of([row[:1] for row in CODER]), labels_of(TRUTH), CLASSES)


def test_holm_by_hand():
    # sorted .01 .02 .03 .04 .5 -> x5 .05, x4 .08, x3 .09, x2 .08 (at least .09), x1 .5
    assert holm([0.04, 0.01, 0.5, 0.03, 0.02]) == pytest.approx([0.09, 0.05, 0.5, 0.09, 0.08])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_holm_corrects_upwards_and_knows_no_order(p_values, order):
    adjusted = holm(p_values)
    assert all(p <= a <= min(1, p * len(p_values)) + 1e-12 for p, a in zip(p_values, adjusted, strict=True))
    places = list(range(len(p_values)))
    order.shuffle(places)
    assert holm([p_values[place] for place in places]) == [adjusted[place] for place in places]


def test_metrics_and_protocols_are_families_of_their_own(predictions_of, labels_of):
    rows = compare(predictions_of(CLIP, "clip"), predictions_of(CODER), labels_of(TRUTH), CLASSES)
    vcd = [replace(row, method="vcd", p_value=row.p_value and 0.01) for row in rows]
    released = [replace(row, protocol="reference") for row in rows]
    corrected = correct_comparisons([*rows, *vcd, *released])
    assert [row.p_holm for row in corrected if row.metric == "top1"] == pytest.approx([0.625, 0.02, 0.625])
    assert [row.p_holm for row in corrected if row.metric == "mean_per_class_accuracy"] == [None] * 3
    assert [replace(row, p_holm=None) for row in corrected] == [*rows, *vcd, *released]


def test_controls_and_other_contracts_cost_the_methods_nothing(predictions_of, labels_of):
    rows = compare(predictions_of(CLIP, "clip"), predictions_of(CODER), labels_of(TRUTH), CLASSES)
    beside = [replace(row, method="control_waffle", controls="coder", p_value=row.p_value and 0.01) for row in rows]
    against = [replace(row, baseline="coder") for row in beside]
    batch = [replace(row, method="transduction", reads_unlabelled_images=True, p_value=0.2) for row in rows]
    alone = [row.p_holm for row in correct_comparisons(rows)]
    together = correct_comparisons([*rows, *beside, *against, *batch])
    assert [row.p_holm for row in together[:3]] == alone
    assert [row.p_holm for row in together[3:6]] == [None] * 3, "a control beside CLIP answers no question"
    assert [row.p_holm for row in together[6:9]] == [0.01, 0.01, None]
    assert [row.p_holm for row in together[9:]] == [0.2] * 3, "of one member"


def test_classes_by_hand(predictions_of, labels_of):
    rows = compare_classes(predictions_of(CLIP), predictions_of(CODER), labels_of(TRUTH), CLASSES)
    assert rows == [
        class_row(0, "a", 4, 1 / 4, 3 / 4, 2, 0, 0.5, 1.0),
        class_row(1, "b", 2, 1 / 2, 1.0, 1, 0, 1.0, 1.0),
        class_row(2, "c", 1, 1.0, 0.0, 0, 1, 1.0, 1.0),
    ]


def test_confusions_by_hand(predictions_of, labels_of):
    rows = compare_confusions(predictions_of(CLIP), predictions_of(CODER), labels_of(TRUTH), CLASSES)
    assert rows == [
        confusion_row(0, "a", 1, "b", 2, 0, 2, 0, 0.5, 1.0),
        confusion_row(0, "a", 2, "c", 1, 1, 1, 1, 1.0, 1.0),
        confusion_row(1, "b", 0, "a", 1, 0, 1, 0, 1.0, 1.0),
        confusion_row(2, "c", 1, "b", 0, 1, 0, 1, 1.0, 1.0),
    ]


@given(ROWS)
@settings(deadline=None, max_examples=40)
def test_breakdowns_agree_with_those_of_one_method(predictions_of, labels_of, rows):
    clip, coder = (predictions_of([[row[i]] for row in rows], name) for i, name in ((0, "clip"), (1, "coder")))
    labels = labels_of([row[2] for row in rows])
    by_class = {row.class_id: row for row in per_class(coder, labels, CLASSES)}
    for row in compare_classes(clip, coder, labels, CLASSES):
        assert (row.n, row.recall) == (by_class[row.class_id].n, by_class[row.class_id].recall)
    compared = compare_confusions(clip, coder, labels, CLASSES)
    for each, name in ((clip, "n_baseline"), (coder, "n")):
        expected = {(row.class_id, row.predicted): row.count for row in confusions(each, labels, CLASSES)}
        found = {(row.class_id, row.predicted): getattr(row, name) for row in compared}
        assert {pair: n for pair, n in found.items() if n} == expected
    assert all(row.n - row.n_baseline == row.introduced - row.resolved for row in compared)
