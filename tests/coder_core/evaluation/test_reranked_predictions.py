"""CODER* as predictions, its threshold from a validation split, and the released protocol beside the honest one."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

from coder_core import reference_protocol
from coder_core.classes import ClassList
from coder_core.coder.pairs import candidate_keys
from coder_core.coder.ranking import DEFAULT_THRESHOLD
from coder_core.coder.reranking import fold_pairs
from coder_core.errors import ConfigError, DatasetError, LabelLeakError
from coder_core.evaluation import predicting, predictions
from coder_core.evaluation.breakdown import confusions
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.metrics import evaluate
from coder_core.evaluation.predicting import build_predictions, rerank_predictions
from coder_core.evaluation.predictions import count_reranked
from coder_core.evaluation.threshold import GATE_ALL, THRESHOLD_GRID, choose_threshold
from coder_core.reference_protocol import REFERENCE_THRESHOLDS, rerank_as_released
from coder_core.results.schema import ThresholdRow
from coder_core.texts.text_layout import TextLayout
from tests.rows import rows_of

threshold_row = rows_of(ThresholdRow)

CLASSES, DIM, IMAGES = 8, 12, 120
NAMES = ClassList(tuple(f"class {class_id}" for class_id in range(CLASSES)))


def unit(rows, seed):
    vectors = torch.randn(rows, DIM, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors, dim=1)


PAIRS = [pair for place, pair in enumerate(permutations(range(CLASSES), 2)) if place % 9]
LAYOUT = TextLayout(CLASSES, 2 * len(PAIRS), {}, {pair: np.array([2 * i, 2 * i + 1]) for i, pair in enumerate(PAIRS)})
FOLDED = fold_pairs(unit(LAYOUT.text_count, 1), LAYOUT)
EMBEDDINGS = unit(IMAGES, 2)
LOGITS = 6 * EMBEDDINGS @ unit(CLASSES, 3).T
IDS = tuple(f"image {row}" for row in range(IMAGES))
STAGE1 = build_predictions(LOGITS, IDS, method="coder")
TRUTH = (LOGITS + 3 * torch.randn(IMAGES, CLASSES, generator=torch.Generator().manual_seed(4))).argmax(dim=1).numpy()


def labels(label_ids=TRUTH, split="test"):
    return LabelTable(IDS, np.asarray(label_ids), split)


def bits(found):
    return found.image_ids, found.top_ids.tobytes(), found.top_probabilities.tobytes()


def best_by_scores(row):
    """The class whose texts gain most over those of its rivals, rival by rival."""
    ids, image = STAGE1.top_ids[row].tolist(), EMBEDDINGS[row]
    margins = {}
    for one in ids:
        keys = candidate_keys(torch.tensor([[one, rival] for rival in ids if rival != one])).squeeze(1)
        signs = torch.tensor([1.0 if one < rival else -1.0 for rival in ids if rival != one])
        margins[one] = float((signs * (FOLDED.differences[FOLDED.find(keys)] @ image)).mean())
    return max(ids, key=lambda one: margins[one])


def test_gated_images_follow_their_scores_and_others_stay():
    reranked = rerank_predictions(STAGE1, EMBEDDINGS, FOLDED, threshold=0.3)
    counts = count_reranked(reranked.details)
    gaps = STAGE1.top_probabilities[:, 0] - STAGE1.top_probabilities[:, 1]
    best = np.array([best_by_scores(row) for row in range(IMAGES)])
    assert np.array_equal(reranked.top_ids[:, 0], np.where(gaps < 0.3, best, STAGE1.top_ids[:, 0]))
    assert np.array_equal(reranked.top_ids[gaps >= 0.3], STAGE1.top_ids[gaps >= 0.3])
    assert 0 < counts.changed < counts.gated == (gaps < 0.3).sum() < IMAGES
    assert np.array_equal(reranked.details["gated"], gaps < 0.3)
    assert np.array_equal(reranked.details["changed"], reranked.top_ids[:, 0] != STAGE1.top_ids[:, 0])
    assert (reranked.method, reranked.protocol) == ("coder_rerank", "honest")


def test_every_class_keeps_the_probability_of_stage_1():
    reranked = rerank_predictions(STAGE1, EMBEDDINGS, FOLDED, threshold=GATE_ALL)
    for row in range(IMAGES):
        before = dict(zip(STAGE1.top_ids[row], STAGE1.top_probabilities[row], strict=True))
        assert before == dict(zip(reranked.top_ids[row], reranked.top_probabilities[row], strict=True))
    assert (np.diff(reranked.top_probabilities, axis=1) > 0).any()


def test_a_threshold_of_zero_changes_nothing():
    reranked = rerank_predictions(STAGE1, EMBEDDINGS, FOLDED, threshold=0.0)
    assert bits(reranked) == bits(STAGE1)
    assert vars(count_reranked(reranked.details)) == dict.fromkeys(vars(count_reranked(reranked.details)), 0) | {
        "images": IMAGES
    }


def test_as_many_embeddings_as_predictions():
    with pytest.raises(DatasetError, match="119 image embeddings for 120 predictions"):
        rerank_predictions(STAGE1, EMBEDDINGS[1:], FOLDED)


def test_the_threshold_is_the_best_of_the_grid_on_validation():
    reranked = rerank_predictions(STAGE1, EMBEDDINGS, FOLDED, threshold=GATE_ALL)
    choice = choose_threshold(STAGE1, reranked, labels(split="validation"))
    expected = []
    for threshold in THRESHOLD_GRID:
        tried = rerank_predictions(STAGE1, EMBEDDINGS, FOLDED, threshold=threshold)
        gated = int(tried.details["gated"].sum())
        expected.append(threshold_row(threshold, gated, float(np.mean(tried.top_ids[:, 0] == TRUTH))))
    assert list(choice.rows) == expected
    assert choice.threshold == max(expected, key=lambda row: (row.top1, -row.threshold)).threshold
    assert (choice.split, choice.n) == ("validation", IMAGES)


def test_among_equal_thresholds_the_smallest_wins():
    choice = choose_threshold(STAGE1, STAGE1, labels(split="validation"), grid=[0.5, 0.2, 0.3])
    assert choice.threshold == 0.2


@pytest.mark.parametrize("split", ["test", "train"])
def test_a_threshold_is_never_chosen_on_another_split(split):
    with pytest.raises(LabelLeakError, match=f"the split '{split}'"):
        choose_threshold(STAGE1, STAGE1, labels(split=split))


def test_a_choice_needs_a_grid_and_the_same_images():
    with pytest.raises(ConfigError, match=r"the grid of thresholds is \[\]"):
        choose_threshold(STAGE1, STAGE1, labels(split="validation"), grid=[])
    with pytest.raises(ConfigError, match=r"\[-0.1\]"):
        choose_threshold(STAGE1, STAGE1, labels(split="validation"), grid=[-0.1])
    with pytest.raises(DatasetError, match="not of the same images"):
        choose_threshold(STAGE1, replace(STAGE1, image_ids=IDS[::-1]), labels(split="validation"))


def test_one_class_has_no_gap():
    one = build_predictions(LOGITS[:, :1], IDS, method="coder")
    assert choose_threshold(one, one, labels(0 * TRUTH, "validation"), grid=[0.5]).rows[0].images_gated == 0


def test_the_released_protocol_reranks_only_where_the_truth_is_within_reach():
    honest = rerank_predictions(STAGE1, EMBEDDINGS, FOLDED, threshold=0.4)
    released = rerank_as_released(STAGE1, EMBEDDINGS, FOLDED, labels(), threshold=0.4)
    is_near = (STAGE1.top_ids == TRUTH[:, None]).any(axis=1)
    assert np.array_equal(released.top_ids[is_near], honest.top_ids[is_near])
    assert np.array_equal(released.top_ids[~is_near], STAGE1.top_ids[~is_near])
    assert (
        released.details["gated"].sum() < (STAGE1.top_probabilities[:, 0] - STAGE1.top_probabilities[:, 1] < 0.4).sum()
    )
    assert {row.protocol for row in evaluate(released, labels(), NAMES)} == {"reference"}


def test_the_released_protocol_changes_predictions_but_not_accuracy():
    honest = rerank_predictions(STAGE1, EMBEDDINGS, FOLDED, threshold=0.4)
    released = rerank_as_released(STAGE1, EMBEDDINGS, FOLDED, labels(), threshold=0.4)
    values = [[row.value for row in evaluate(each, labels(), NAMES)] for each in (honest, released)]
    assert values[0] == values[1]
    assert not np.array_equal(honest.top_ids, released.top_ids)
    assert confusions(honest, labels(), NAMES) != confusions(released, labels(), NAMES)


def test_permuted_labels_leave_predictions_as_they_are_except_under_the_released_protocol():
    permuted = np.random.default_rng(5).permutation(TRUTH)
    before, after = (rerank_predictions(STAGE1, EMBEDDINGS, FOLDED, threshold=0.4) for _ in range(2))
    assert bits(before) == bits(after)
    released = [
        rerank_as_released(STAGE1, EMBEDDINGS, FOLDED, labels(truth), threshold=0.4) for truth in (TRUTH, permuted)
    ]
    assert bits(released[0]) != bits(released[1])


def test_the_default_threshold_is_the_median_of_the_released_ones():
    assert np.median(list(REFERENCE_THRESHOLDS.values())) == DEFAULT_THRESHOLD
    assert set(REFERENCE_THRESHOLDS.values()) <= set(THRESHOLD_GRID)


def test_honest_modules_know_neither_labels_nor_the_released_protocol():
    for module in (predicting, predictions):
        assert "LabelTable" not in vars(module)
        assert "reference_protocol" not in vars(module)
    assert "LabelTable" in vars(reference_protocol)
