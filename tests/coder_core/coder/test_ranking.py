"""The best k and their probabilities, against Python's stable sort; ties go to the lower id. The gate is strict."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.coder.ranking import DEFAULT_THRESHOLD, is_gated, predict_topk, probabilities_of
from coder_core.errors import ConfigError

FEW_VALUES = st.sampled_from([-1.0, 0.0, 0.5, 2.0, float("-inf")])


@given(
    st.integers(1, 9).flatmap(lambda n: st.lists(st.lists(FEW_VALUES, min_size=n, max_size=n), min_size=1, max_size=5)),
    st.integers(1, 12),
)
@settings(deadline=None)
def test_equals_a_stable_sort_in_python(rows, k):
    expected = [sorted(range(len(row)), key=lambda class_id, row=row: -row[class_id])[:k] for row in rows]
    assert predict_topk(torch.tensor(rows), k).tolist() == expected


def test_ties_go_to_the_lower_id_even_beyond_the_last_place():
    logits = torch.zeros(3, 400)
    logits[1, 399] = 1.0
    assert predict_topk(logits, 3).tolist() == [[0, 1, 2], [399, 0, 1], [0, 1, 2]]


def test_without_ties_it_is_the_order_of_the_values():
    logits = torch.randn(200, 50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(predict_topk(logits, 50), logits.argsort(dim=1, descending=True))
    assert torch.equal(predict_topk(logits, 4), logits.argsort(dim=1, descending=True)[:, :4])


def test_no_image_and_one_class():
    assert predict_topk(torch.zeros(0, 7), 5).shape == (0, 5)
    assert predict_topk(torch.zeros(2, 1), 5).tolist() == [[0], [0]]


def test_k_below_one_is_refused():
    with pytest.raises(ConfigError, match="k is 0"):
        predict_topk(torch.zeros(2, 3), 0)


def test_probabilities_are_those_of_all_classes():
    logits = torch.tensor([[1.0, 3.0, 2.0], [0.0, 0.0, 0.0]])
    ids = predict_topk(logits, 2)
    total = math.exp(1) + math.exp(2) + math.exp(3)
    expected = torch.tensor([[math.exp(3) / total, math.exp(2) / total], [1 / 3, 1 / 3]])
    torch.testing.assert_close(probabilities_of(logits, ids), expected)


def test_probabilities_of_large_logits_do_not_overflow():
    probabilities = probabilities_of(torch.tensor([[1e4, 0.0]]), torch.tensor([[0, 1]]))
    assert probabilities.tolist() == [[1.0, 0.0]]


TOP = torch.tensor([[0.5, 0.25, 0.125], [0.375, 0.375, 0.25], [1.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.0, [False, False, False]), (0.25, [False, True, False]), (0.26, [True, True, False]), (1.1, [True] * 3)],
)
def test_the_threshold_is_strict_and_reaches_from_none_to_all(threshold, expected):
    assert is_gated(TOP, threshold=threshold).tolist() == expected


def test_one_class_has_no_rival_and_is_never_gated():
    assert is_gated(torch.ones(3, 1), threshold=5.0).tolist() == [False] * 3


@pytest.mark.parametrize("threshold", [-0.1, float("nan")])
def test_a_threshold_that_is_no_gap_is_refused(threshold):
    with pytest.raises(ConfigError, match=f"the threshold is {threshold}"):
        is_gated(TOP, threshold=threshold)


def test_the_default_is_the_stated_constant():
    assert DEFAULT_THRESHOLD == 0.1
