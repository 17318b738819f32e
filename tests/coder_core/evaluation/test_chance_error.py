"""The calibration error by chance: against every outcome there is, against draws, and by formula."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.evaluation.calibration import calibration_error_by_chance, expected_calibration_error
from coder_core.evaluation.chance_error import error_by_chance

CHANCES = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=8)


def slow_mean_error(confidences: np.ndarray, bins: int) -> float:
    """The mean error over all ways in which images can be right and wrong, each as likely as its probabilities say."""
    total = 0.0
    for outcome in product([False, True], repeat=len(confidences)):
        likely = math.prod(p if hit else 1 - p for p, hit in zip(confidences.tolist(), outcome, strict=True))
        total += likely * expected_calibration_error(confidences, np.array(outcome), bins=bins)
    return total


@given(CHANCES, st.sampled_from([1, 3, 15]))
@settings(deadline=None, max_examples=25)
def test_equals_the_mean_over_every_outcome(confidences: list[float], bins: int) -> None:
    numbers = np.array(confidences, dtype=np.float32)
    found = calibration_error_by_chance(numbers, bins=bins)
    assert found == pytest.approx(slow_mean_error(numbers, bins), abs=1e-7)


@pytest.mark.parametrize(("n", "sureness"), [(30, 0.3), (400, 0.6), (3000, 0.02)])
def test_a_perfect_predictor_shows_this_error_on_average(n: int, sureness: float) -> None:
    """In three regimes: few images, many, and a bin of images that are all but certain."""
    rng = np.random.default_rng(1)
    confidences = 1 - sureness * rng.random(n)
    drawn = [expected_calibration_error(confidences, rng.random(n) < confidences) for _ in range(1000)]
    spread = np.std(drawn) / math.sqrt(len(drawn))
    assert calibration_error_by_chance(confidences) == pytest.approx(np.mean(drawn), abs=4 * spread)


def test_exact_sums_and_the_normal_formula_meet() -> None:
    """The mean deviation of a binomial by de Moivre's formula: 2 v P(v), v the least whole number above its mean."""
    for n in (99, 101):  # variances of just below and just above 25
        above = n // 2 + 1
        deviation = 2 * above * math.comb(n, above) / 2**n / 2
        found = error_by_chance(np.full(n, 0.5), np.zeros(n, dtype=np.int64))
        assert found == pytest.approx(deviation / n, rel=0.004)


def test_certain_images_make_no_error_by_chance_and_more_images_make_less() -> None:
    assert calibration_error_by_chance(np.ones(9)) == 0
    assert calibration_error_by_chance(np.full(1, 0.8)) == pytest.approx(2 * 0.8 * 0.2)
    few, many = (calibration_error_by_chance(np.full(n, 0.8)) for n in (100, 10_000))
    assert many == pytest.approx(few / 10, rel=0.01)
