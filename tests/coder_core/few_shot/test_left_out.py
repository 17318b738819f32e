"""Scores of a support by fits that have not seen it: what is left out, what is fitted, and that they are not biased."""

import pytest
import torch

from coder_core.few_shot.discriminant import Discriminant
from coder_core.few_shot.examples import Support
from coder_core.few_shot.left_out import fit_folds, left_out_scores, split_folds
from coder_core.few_shot.nearest_mean import NearestMean

from .few_shot_world import DIM, small_support, unit


@pytest.mark.parametrize(("counts", "folds"), [([2, 2, 2], 2), ([5, 5, 5], 4), ([1, 3, 9], 4)])
def test_every_image_of_a_class_that_can_spare_it_is_left_out_once(counts: list[int], folds: int) -> None:
    labels = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])
    support = Support(unit(len(labels), DIM, 1), labels, len(counts))
    found = split_folds(support)
    assert len(found) == folds
    left_out = torch.cat([fold.left_out for fold in found])
    spared = [row for row, label in enumerate(labels.tolist()) if counts[label] > 1]
    assert sorted(left_out.tolist()) == spared
    for fold in found:
        assert sorted([*fold.kept.tolist(), *fold.left_out.tolist()]) == list(range(len(labels)))
        assert set(labels[fold.kept].tolist()) == set(range(len(counts))), "every class is still there"


def test_scores_are_those_of_a_fit_without_the_fold() -> None:
    support = small_support(each=3)
    folds = split_folds(support)
    (scored,) = left_out_scores(fit_folds(support, folds, lambda part: {"mean": NearestMean().prepare(part)}))["mean"]
    rows = torch.cat([fold.left_out for fold in folds])
    for place, row in enumerate(rows.tolist()):
        (fold,) = [fold for fold in folds if row in fold.left_out.tolist()]
        means = [support.embeddings[fold.kept][support.label_ids[fold.kept] == label].mean(0) for label in range(4)]
        expected = torch.stack([mean @ support.embeddings[row] / mean.norm() for mean in means])
        torch.testing.assert_close(scored.scores[place], expected, atol=1e-5, rtol=0)


def test_where_labels_mean_nothing_a_fold_is_at_chance_and_a_single_image_left_out_is_below() -> None:
    """Noise, two images of each class: the class that lost its image is of one image and longer than all others."""
    labels = torch.arange(200).repeat_interleave(2)
    support = Support(unit(400, DIM, 5), labels, 200)
    method = Discriminant(None, (0.0,), (1.0,), centre=False, is_cosine=False)
    (one_by_one,) = method.prepare(support).leave_one_out_scores() or ()
    folds = split_folds(support)
    (by_folds,) = left_out_scores(fit_folds(support, folds, lambda part: {"lda": method.prepare(part)}))["lda"]
    rows = torch.cat([fold.left_out for fold in folds])
    assert _place_of_truth(by_folds.scores, labels[rows]) == pytest.approx(0.5, abs=0.05)
    assert _place_of_truth(one_by_one.scores, labels) > 0.7


def _place_of_truth(scores: torch.Tensor, own: torch.Tensor) -> float:
    """The share of classes that are ahead of the true one."""
    return float((scores > scores.gather(1, own.unsqueeze(1))).double().mean())
