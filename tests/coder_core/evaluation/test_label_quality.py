"""Label errors, doubles and outliers that were planted, and slow loops that say the same."""

import numpy as np
import pytest

from coder_core.evaluation.label_quality import find_label_issues, find_near_duplicates, find_outliers


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_label_errors_are_found_by_hand_computed_thresholds() -> None:
    """Mean p(0) over images labelled 0 is (0.9 + 0.7 + 0.1) / 3 = 0.567; of class 1 it is (0.8 + 0.2) / 2 = 0.5."""
    labels = np.array([0, 0, 0, 1, 1, -1])
    predicted = np.array([0, 0, 1, 1, 0, 0])
    probability = np.array([0.9, 0.7, 0.85, 0.8, 0.55, 0.99])
    true_probability = np.array([0.9, 0.7, 0.1, 0.8, 0.2, 0.0])
    issues = find_label_issues(labels, predicted, probability, true_probability)
    assert issues.tolist() == [2], "row 4 is surer of class 0 than of its label, but no surer than 0.567"
    probability[4] = 0.6
    assert find_label_issues(labels, predicted, probability, true_probability).tolist() == [2, 4], "surest first"


def test_planted_label_errors_come_first() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 100)
    predicted, probability = labels.copy(), rng.uniform(0.6, 0.9, 400)
    planted = rng.choice(400, 12, replace=False)
    labels[planted] = (labels[planted] + 1) % 4
    probability[planted] = 0.95
    true_probability = np.where(predicted == labels, probability, 0.02)
    assert set(find_label_issues(labels, predicted, probability, true_probability)) == set(planted)


def test_without_images_there_is_nothing() -> None:
    none, empty = np.zeros(0, np.int64), np.zeros(0)
    assert find_label_issues(none, none, empty, empty).tolist() == []
    assert find_outliers(np.zeros((0, 8), np.float32), none)[0].tolist() == []
    assert find_near_duplicates(np.zeros((0, 8), np.float32), least_cosine=0.9) == []


@pytest.mark.parametrize("dim", [8, 300])
def test_near_duplicates_are_those_that_a_whole_matrix_shows(dim: int) -> None:
    rng = np.random.default_rng(1)
    rows = unit(rng.standard_normal((400, dim)))
    others = unit(
        np.concatenate(
            [rng.standard_normal((300, dim)), rows[:50] + 0.08 / np.sqrt(dim) * rng.standard_normal((50, dim))]
        )
    )
    found = find_near_duplicates(rows, others, least_cosine=0.99, most=10_000)
    cosines = rows.astype(np.float64) @ others.astype(np.float64).T
    expected = {(int(row), int(other)) for row, other in np.argwhere(cosines >= 0.99)}
    assert {(pair.row, pair.other) for pair in found} == expected
    assert len(expected) >= 50
    assert all(pair.cosine == pytest.approx(cosines[pair.row, pair.other], abs=1e-6) for pair in found)
    assert [pair.cosine for pair in found] == sorted((pair.cosine for pair in found), reverse=True)


def test_within_one_set_each_pair_comes_once_and_the_nearest_ones_first() -> None:
    rows = unit(np.random.default_rng(2).standard_normal((200, 100)))
    rows[150:] = rows[:50]
    found = find_near_duplicates(rows, least_cosine=0.999)
    assert sorted((pair.row, pair.other) for pair in found) == [(row, row + 150) for row in range(50)]
    assert len(find_near_duplicates(rows, least_cosine=0.999, most=7)) == 7


def test_an_image_unlike_its_class_is_the_farthest_outlier_and_small_classes_are_left_out() -> None:
    rng = np.random.default_rng(3)
    means = unit(rng.standard_normal((3, 64)))
    labels = np.array([0] * 40 + [1] * 40 + [2] * 4)
    rows = unit(means[labels] + 0.05 * rng.standard_normal((84, 64)))
    rows[17] = means[1]
    rows[81] = means[0]
    order, scores = find_outliers(rows, labels)
    assert order[0] == 17
    assert scores[0] < -3 < scores[1]
    assert not set(order) & {80, 81, 82, 83}


def test_outlier_scores_are_those_of_a_loop_over_images() -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, 60)
    rows = unit(rng.standard_normal((60, 16)))
    cosines = np.empty(60)
    for row in range(60):
        rest = [other for other in range(60) if other != row and labels[other] == labels[row]]
        mean = rows[rest].astype(np.float64).mean(0)
        cosines[row] = rows[row] @ mean / np.linalg.norm(mean)
    order, scores = find_outliers(rows, labels)
    for row, score in zip(order, scores, strict=True):
        own = cosines[labels == labels[row]]
        assert score == pytest.approx((cosines[row] - own.mean()) / own.std(), abs=1e-4)
