"""The gate: a strict threshold on the gap of two probabilities."""

import pytest
import torch

from coder_core.coder.gate import DEFAULT_THRESHOLD, is_gated, softmax_gap
from coder_core.errors import ConfigError

TOP = torch.tensor([[0.5, 0.25, 0.125], [0.375, 0.375, 0.25], [1.0, 0.0, 0.0]])


def test_the_gap_is_the_lead_of_the_best():
    assert softmax_gap(TOP).tolist() == [0.25, 0.0, 1.0]


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
