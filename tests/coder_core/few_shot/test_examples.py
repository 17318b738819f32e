"""Who may see which labels, and which images a draw takes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.errors import DatasetError, LabelLeakError
from coder_core.evaluation.labels import LabelTable
from coder_core.few_shot.draws import draw_examples
from coder_core.few_shot.examples import build_support, build_validation, refuse_shared

from .few_shot_world import unit

IDS = ("a", "b", "c", "d")


def table(labels, split="train"):
    return LabelTable(IDS[: len(labels)], np.array(labels, dtype=np.int64), split)


def test_views_are_averaged_and_normalised_again():
    views = torch.stack([unit(4, 6, 1), unit(4, 6, 2)], dim=1)
    support = build_support(IDS, views, table([0, 1, 1, 0]), class_count=2)
    mean = (views[:, 0] + views[:, 1]) / 2
    torch.testing.assert_close(support.embeddings, mean / mean.norm(dim=1, keepdim=True))
    assert support.counts.tolist() == [2, 2]


@pytest.mark.parametrize("split", ["test", "validation"])
def test_only_train_labels_make_a_support(split):
    with pytest.raises(LabelLeakError, match=f"labels of the split '{split}'"):
        build_support(IDS, unit(4, 6, 1), table([0, 1, 1, 0], split), class_count=2)


@pytest.mark.parametrize("split", ["test", "train"])
def test_only_validation_labels_choose_settings(split):
    with pytest.raises(LabelLeakError, match=f"labels of the split '{split}'"):
        build_validation(IDS, unit(4, 6, 1), table([0, 1, 1, 0], split))


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 0, 2, 2], 3, r"class 1 has no support image \(1 such classes\)"),
        ([0, 0, 0, 0], 1, "of 1 class"),
        ([0, 1, 2, 3], 3, "not in 0..2"),
    ],
)
def test_supports_that_cannot_be_learnt_from_are_refused(labels, classes, message):
    with pytest.raises(DatasetError, match=message):
        build_support(IDS, unit(4, 6, 1), table(labels), class_count=classes)


def test_no_validation_image_is_not_a_validation_set():
    with pytest.raises(DatasetError, match="0 validation images"):
        build_validation((), unit(4, 6, 1)[:0], table([0, 1], "validation"))


def test_test_images_inside_the_support_are_refused():
    support = {"k1": "fox/1.jpg", "k2": "fox/2.jpg"}
    refuse_shared(support, {"k3"}, what="the support set")
    with pytest.raises(LabelLeakError, match=r"1 image of the support set is a test image as well, 'fox/2.jpg'"):
        refuse_shared(support, {"k2", "k3"}, what="the support set")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 4), st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_draws_are_disjoint_balanced_and_nested(labels, shots, seed):
    labels = np.array([*labels, *range(4), *range(4)])
    draw = draw_examples(labels, shots=shots, seed=seed, allow_fewer=True)
    assert not set(draw.support.tolist()) & set(draw.validation.tolist())
    assert sorted([*draw.support.tolist(), *draw.validation.tolist()]) == list(range(len(labels)))
    for class_id in range(4):
        size, taken = int((labels == class_id).sum()), int((labels[draw.support] == class_id).sum())
        assert taken == (shots if size > shots else size - 1)
        assert (class_id in draw.short_classes) == (taken < shots)
    smaller = draw_examples(labels, shots=1, seed=seed)
    assert set(smaller.support.tolist()) <= set(draw.support.tolist())
    again = draw_examples(labels, shots=shots, seed=seed, allow_fewer=True)
    np.testing.assert_array_equal(again.support, draw.support)


def test_more_shots_than_a_class_has_are_refused():
    with pytest.raises(DatasetError, match="class 1 has 2 labelled images, 3 shots"):
        draw_examples(np.array([0, 0, 0, 0, 1, 1]), shots=3, seed=0)
    with pytest.raises(DatasetError, match="class 1 has 0 labelled images"):
        draw_examples(np.array([0, 0, 2]), shots=1, seed=0, allow_fewer=True)


def test_validation_can_be_limited_per_class():
    draw = draw_examples(np.repeat([0, 1], 10), shots=2, seed=0, validation_per_class=3)
    assert (len(draw.support), len(draw.validation)) == (4, 6)
