"""The search over weights against a loop over weights, ties included."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.errors import ConfigError
from coder_core.few_shot.search import Scored, accuracy_over_weights, search

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)


@st.composite
def problems(draw):
    """Small whole numbers: ties of every kind are frequent, and exact."""
    images, classes = draw(st.integers(1, 5)), draw(st.integers(2, 4))
    numbers = st.lists(st.integers(-4, 4), min_size=images * classes, max_size=images * classes)
    logits, scores = (torch.tensor(draw(numbers), dtype=torch.float32).reshape(images, classes) for _ in range(2))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=images, max_size=images))
    return logits, scores, torch.tensor(labels)


def looped(logits, scores, labels, weight):
    return float(((logits + weight * scores).argmax(dim=1) == labels).double().mean())


@given(problems())
@settings(deadline=None, max_examples=50)
def test_one_pass_equals_a_loop_over_the_weights(problem):
    logits, scores, labels = problem
    found = accuracy_over_weights(logits, scores, labels, weights=WEIGHTS)
    np.testing.assert_array_equal(found, [looped(logits, scores, labels, weight) for weight in WEIGHTS])


def test_the_first_of_equals_is_chosen_and_everything_is_recorded():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(60, 5, generator=generator), torch.randint(0, 5, (60,), generator=generator)
    candidates = [Scored({"beta": float(b)}, torch.randn(60, 5, generator=generator)) for b in range(4)]
    choice = search(candidates, labels, zero_shot=logits, weights=WEIGHTS, source="validation")
    table = [[looped(logits, scores, labels, weight) for weight in WEIGHTS] for _, scores in candidates]
    np.testing.assert_array_equal(choice.accuracies, table)
    best = max(max(row) for row in table)
    first = next((b, w) for b, row in enumerate(table) for w, found in zip(WEIGHTS, row, strict=True) if found == best)
    assert choice.settings == {"beta": float(first[0]), "weight": first[1]}
    assert (choice.accuracy, choice.n, choice.source) == (best, 60, "validation")
    again = search([candidates[2]] * 3, labels, zero_shot=logits, weights=WEIGHTS, source="validation")
    assert again.settings["beta"] == 2.0


def test_without_zero_shot_logits_there_is_no_weight_to_choose():
    scores = [Scored({"gamma": 0.0}, torch.eye(3)), Scored({"gamma": 1.0}, torch.eye(3)[[1, 0, 2]])]
    choice = search(scores, torch.tensor([1, 0, 2]), zero_shot=None, weights=WEIGHTS, source="validation")
    assert (choice.settings, choice.accuracy) == ({"gamma": 1.0}, 1.0)


@pytest.mark.parametrize("weights", [(), (-1.0, 0.0), (2.0, 1.0)])
def test_weights_that_do_not_ascend_are_refused(weights):
    with pytest.raises(ConfigError, match=r"few_shot\.weights"):
        search([], torch.tensor([0]), zero_shot=None, weights=weights, source="validation")


def test_nothing_to_try_is_refused():
    with pytest.raises(ConfigError, match="no setting to try"):
        search([], torch.tensor([0]), zero_shot=None, weights=WEIGHTS, source="validation")
