"""Score intervals against their definitions: a test that is inverted by brute force, images that are really redrawn."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import t, ttest_ind

from coder_core.evaluation.comparisons import difference_of_signs
from coder_core.evaluation.intervals import wilson_interval
from coder_core.evaluation.score_intervals import difference_interval, mean_interval, paired_interval, share_interval
from coder_core.evaluation.spread import Spread, measure_spread

Z = 1.959963984540054
CLASS_SIZES = np.array([40, 7, 3, 1, 1, 12])
CHANCES = np.array([0.9, 0.6, 0.3, 0.8, 0.4, 0.99])
LABELS = np.repeat(np.arange(6), CLASS_SIZES)


def score_statistic(gained: int, lost: int, n: int, value: float) -> float:
    """Of the hypothesis that the difference is `value`, all else at its likeliest: found by looking, not by formula."""

    def loss(share_lost: float) -> float:
        shares = np.array([share_lost + value, share_lost, 1 - 2 * share_lost - value])
        if (shares < -1e-12).any():
            return float("inf")
        counts = np.array([gained, lost, n - gained - lost])
        return -float((counts[counts > 0] * np.log(np.maximum(shares[counts > 0], 1e-300))).sum())

    bounds = (max(0.0, -value), (1 - value) / 2)
    share_lost = float(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x)
    variance = (2 * share_lost + value - value**2) / n
    return ((gained - lost) / n - value) / np.sqrt(variance)


@pytest.mark.parametrize(("gained", "lost", "n"), [(12, 2, 44), (3, 3, 20), (5, 0, 60), (0, 0, 15), (7, 1, 1300)])
def test_the_paired_interval_ends_where_the_score_test_begins_to_reject(gained: int, lost: int, n: int) -> None:
    low, high = paired_interval(gained, lost, n)
    assert score_statistic(gained, lost, n, low) == pytest.approx(Z, abs=2e-3)
    assert score_statistic(gained, lost, n, high) == pytest.approx(-Z, abs=2e-3)
    assert paired_interval(lost, gained, n) == pytest.approx((-high, -low))


@pytest.mark.parametrize(("hits", "n"), [(0, 9), (1, 9), (9, 9), (730, 1000), (3, 5)])
def test_a_share_of_one_class_has_wilsons_interval(hits: int, n: int) -> None:
    share = hits / n
    spread = Spread(share, share * (1 - share) / n, 0.0, float(n), float("inf"), 1)
    assert share_interval(spread) == pytest.approx(wilson_interval(hits, n), abs=1e-12)


def test_a_difference_in_one_class_has_tangos_interval() -> None:
    signs = np.array([1] * 12 + [-1] * 2 + [0] * 30)
    spread = measure_spread(signs)._replace(variance=float(signs.var() / 44), freedom=float("inf"))
    assert difference_interval(spread, 12 / 44, 2 / 44) == pytest.approx(paired_interval(12, 2, 44), abs=1e-9)
    assert difference_of_signs(signs, None, None) == paired_interval(12, 2, 44)


@pytest.mark.slow
@pytest.mark.thorough
def test_the_variance_is_that_of_really_redrawing_images() -> None:
    """Classes with a single image are pooled, which errs on the wide side; the others' part is without bias."""
    rng = np.random.default_rng(2)
    drawn = rng.random((20_000, len(LABELS))) < CHANCES[LABELS]
    several = np.flatnonzero(CLASS_SIZES[LABELS] > 1)
    for rows, is_wide in ((several, False), (np.arange(len(LABELS)), True)):
        spreads = [measure_spread(hits[rows].astype(np.int64), LABELS[rows]) for hits in drawn[:4000]]
        sums = np.stack([drawn[:, rows[LABELS[rows] == label]].mean(axis=1) for label in np.unique(LABELS[rows])])
        expected = float(sums.mean(axis=0).var())
        found = float(np.mean([spread.variance for spread in spreads]))
        assert 0.97 < found / expected < (1.4 if is_wide else 1.03)
    assert 1 / spreads[0].units == pytest.approx((1 / CLASS_SIZES).sum() / 36)


def test_degrees_of_freedom_are_welchs() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=7), rng.normal(scale=3, size=15)
    spread = measure_spread(np.concatenate([first, second]), np.repeat([0, 1], [7, 15]))
    assert spread.freedom == pytest.approx(ttest_ind(first, second, equal_var=False).df)
    assert spread.variance == pytest.approx((first.var(ddof=1) / 7 + second.var(ddof=1) / 15) / 4)


def test_groups_are_drawn_as_wholes() -> None:
    values, groups = np.array([1.0, 0, 1, 1, 0, 0, 1, 0]), np.array([0, 0, 1, 1, 1, 2, 2, 3])
    sums = np.array([np.sum(values[groups == group] - values.mean()) for group in range(4)])
    spread = measure_spread(values, groups=groups)
    assert spread.variance == pytest.approx((sums**2).sum() * 4 / 3 / 64)
    assert spread.freedom == pytest.approx(3.0)


def test_a_mean_without_skew_has_students_interval() -> None:
    values = np.array([1.0, 2, 3, 4, 5, 6, 7])
    half = float(t(6).ppf(0.975) * values.std(ddof=1) / np.sqrt(7))
    assert mean_interval(measure_spread(values)) == pytest.approx((4 - half, 4 + half))
    low, high = mean_interval(measure_spread(np.array([1.0, 1, 1, 1, 1, 9]))) or (0.0, 0.0)
    assert high - 14 / 6 > 14 / 6 - low > 0
    assert mean_interval(measure_spread(np.full(5, 2.0))) is None


def test_all_right_in_half_of_the_classes_and_wrong_in_the_others_leaves_room_for_four_images() -> None:
    labels = np.repeat(np.arange(20), 10)
    low, high = share_interval(measure_spread((labels % 2).astype(np.int64), labels))
    assert high - 0.5 == pytest.approx(0.5 - low)
    assert high - 0.5 == pytest.approx(Z**2 / 200, rel=0.02)
