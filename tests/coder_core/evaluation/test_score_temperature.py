"""The temperature of scores: against a slow scan of a written-out likelihood, on any scale, and of few images."""

import math

import pytest
import torch
from torch import Tensor

from coder_core.evaluation.temperature import fit_score_temperature, fit_temperature

CLASSES = 6


def scored(n: int, *, seed: int = 0, signal: float = 1.5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (n,), generator=generator)
    scores = torch.randn(n, CLASSES, generator=generator)
    scores[torch.arange(n), labels] += signal
    return scores, labels


def slow_loss(scores: Tensor, labels: Tensor, temperature: float) -> float:
    """Every image for its label n times and for every class alike once, image by image."""
    n, total = len(labels), 0.0
    for row, label in zip((scores / temperature).double().tolist(), labels.tolist(), strict=True):
        whole = math.log(sum(map(math.exp, row)))
        losses = [whole - value for value in row]
        total += (n * losses[label] + sum(losses) / len(losses)) / (n + 1)
    return total / n


@pytest.mark.parametrize("n", [5, 80])
def test_no_temperature_nearby_or_far_away_is_better(n: int) -> None:
    scores, labels = scored(n)
    found = fit_score_temperature(scores, labels)
    least = slow_loss(scores, labels, found)
    for step in (*range(-20, 21), -0.05, 0.05):
        assert least <= slow_loss(scores, labels, found * 1.1**step) + 1e-9


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_scores_of_any_scale_get_the_same_probabilities(scale: float) -> None:
    """Cosines differ in the third digit, cache hits by hundreds: both are beyond the bounds of `fit_temperature`."""
    scores, labels = scored(200)
    plain, scaled = fit_score_temperature(scores, labels), fit_score_temperature(scale * scores, labels)
    assert scaled == pytest.approx(scale * plain, rel=1e-3)


def test_with_many_images_it_is_the_temperature_of_the_greatest_likelihood() -> None:
    scores, labels = scored(20_000)
    assert fit_score_temperature(scores, labels) == pytest.approx(fit_temperature(scores, labels), rel=2e-3)


@pytest.mark.parametrize("n", [1, 5, 50])
def test_a_few_images_that_are_all_right_promise_nothing(n: int) -> None:
    """One more might be of any class; the likelihood alone would go to its bound and be certain."""
    scores = 10 * torch.eye(CLASSES)[torch.arange(n) % CLASSES]
    labels = torch.arange(n) % CLASSES
    sure = (scores / fit_score_temperature(scores, labels)).softmax(dim=1).amax(dim=1)
    assert sure.tolist() == pytest.approx([1 - (CLASSES - 1) / CLASSES / (n + 1)] * n, rel=1e-3)
    certain = (scores / fit_temperature(scores, labels)).softmax(dim=1).amax(dim=1)
    assert certain.min() > 1 - 1e-6


def test_scores_that_do_not_differ_say_that_any_class_is_as_likely() -> None:
    flat = torch.zeros(4, CLASSES)
    found = fit_score_temperature(flat, torch.zeros(4, dtype=torch.int64))
    assert (flat / found).softmax(dim=1).flatten().tolist() == pytest.approx([1 / CLASSES] * 24)
