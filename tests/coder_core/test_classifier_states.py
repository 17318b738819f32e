"""States of classifiers that are damaged, or fit nothing, are refused with the reason."""

import os
import subprocess
import sys

import pytest
import torch

from coder_core.classifiers import (
    CLASSIFIERS,
    FusedClassifier,
    RerankClassifier,
    restore_classifier,
)
from coder_core.coder.classifier import ClassifierState
from coder_core.coder.pairs import pair_keys
from coder_core.coder.reranking import NO_KEY, FoldedPairs
from coder_core.errors import ClassifierStateError, StoreError
from coder_core.methods import build_classifier

from .coder.text_cases import DIM, make_case, make_images
from .test_classifiers import KINDS, bits, check, pairs_of, through_bytes


def every_tensor():
    return [(kind, name) for kind, classifier in KINDS.items() for name in classifier.state().tensors]


def changed(kind, *, tensors=None, settings=None):
    """A state with some pieces replaced; an ellipsis takes a piece out."""
    state = KINDS[kind].state()
    new = [{**old, **(replaced or {})} for old, replaced in ((state.tensors, tensors), (state.settings, settings))]
    kept = [{name: value for name, value in pieces.items() if value is not ...} for pieces in new]
    return ClassifierState(kind, kept[1], kept[0])


@pytest.mark.parametrize(("kind", "name"), every_tensor())
def test_a_tensor_that_is_missing_or_damaged_is_refused(kind, name):
    tensor = KINDS[kind].state().tensors[name]
    with pytest.raises(ClassifierStateError, match="is missing"):
        restore_classifier(changed(kind, tensors={name: ...}))
    wrong = [tensor.unsqueeze(0), tensor.int()]
    if tensor.is_floating_point():
        for number in (torch.nan, torch.inf):
            damaged = tensor.clone()
            damaged.view(-1)[-1] = number
            with pytest.raises(ClassifierStateError, match="not finite"):
                restore_classifier(changed(kind, tensors={name: damaged}))
    else:
        wrong.append(tensor.double())
    for other in wrong:
        with pytest.raises(ClassifierStateError, match=r"is torch.* of shape .*, expected"):
            restore_classifier(changed(kind, tensors={name: other}))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_too_much_or_of_another_kind_is_refused(kind):
    state = KINDS[kind].state()
    with pytest.raises(ClassifierStateError, match="it holds 'more', which it should not"):
        restore_classifier(changed(kind, tensors={"more": torch.zeros(1)}))
    with pytest.raises(ClassifierStateError, match="it holds 'more', which it should not"):
        restore_classifier(changed(kind, settings={"more": 1}))
    with pytest.raises(ClassifierStateError, match="was expected"):
        CLASSIFIERS[kind].from_state(state._replace(kind="another"))
    with pytest.raises(ClassifierStateError, match=r"unknown kind 'another'.*There are: linear, folded"):
        restore_classifier(state._replace(kind="another"))
    assert issubclass(ClassifierStateError, StoreError)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, classifier in KINDS.items() for name in classifier.state().settings]
)
@pytest.mark.parametrize("value", [..., "three", [1, "2"], {"kind": 3, "settings": {}}, {"kind": "linear"}])
def test_a_setting_that_is_missing_or_of_another_type_is_refused(kind, name, value):
    with pytest.raises(ClassifierStateError, match=name):
        restore_classifier(changed(kind, settings={name: value}))


def test_a_setting_that_may_not_be_null_or_infinite_is_refused():
    state = KINDS["linear"].state()
    for value, found in ((None, "'logit_scale' is null"), (float("nan"), "is nan, expected float"), (True, "is True")):
        with pytest.raises(ClassifierStateError, match=found):
            restore_classifier(state._replace(settings={"logit_scale": value}))
    assert restore_classifier(state._replace(settings={"logit_scale": 7})).logit_scale == 7.0


@pytest.mark.parametrize(
    ("kind", "pieces", "problem"),
    [
        ("folded", {"settings": {"rank_sizes": [4, 1, 2]}}, "ranks of"),
        ("folded", {"settings": {"rank_sizes": [4, 2, 1, 0]}}, "a rank is empty"),
        ("folded", {"tensors": {"columns": torch.tensor([0, 1, 2, 2])}}, "two have the same"),
        ("neighbours", {"tensors": {"naming": torch.full((4, 1), 99)}}, "a column is not in 0"),
        ("neighbours", {"tensors": {"descriptive": torch.full((4, 1), -1)}}, "a column is not in 0"),
        ("neighbours", {"settings": {"name_weight": 2.0}}, "the name's weight is 2.0"),
        (
            "neighbours",
            {"settings": {"pooling": {"kind": "pooling", "settings": {"name": "x", "parameter": 1.0}}}},
            "'x'",
        ),
        ("second_round", {"settings": {"survivors": 0}}, "0 survivors"),
        ("cache", {"tensors": {"label_ids": torch.full((12,), 4)}}, "a label is not in 0..3"),
        ("cache", {"settings": {"beta": 0.0}}, "beta is 0.0"),
        ("cache", {"tensors": {"label_ids": torch.zeros(11, dtype=torch.int64)}}, r"shape \(11,\), expected Int64"),
        ("gda", {"tensors": {"bias": torch.zeros(5).double()}}, r"shape \(5,\), expected Float64"),
        ("second_round", {"tensors": {"likeness": torch.zeros(9, 4)}}, "9 rows of likeness"),
        (
            "discriminant",
            {"tensors": {"space.axes": torch.eye(3).double(), "space.scales": torch.ones(3).double()}},
            "3 dim",
        ),
        ("fused", {"tensors": {"zero_shot.weights": torch.eye(DIM)}}, "its parts have"),
        ("rerank", {"tensors": {"pairs.keys": torch.arange(7)}}, "its keys do not ascend"),
        ("rerank", {"tensors": {"pairs.directions": torch.full((7,), 2)}}, "neither 0, 1 nor 2"),
        ("rerank", {"settings": {"threshold": -0.1}}, "a threshold of -0.1"),
    ],
)
def test_pieces_that_do_not_fit_each_other_are_refused(kind, pieces, problem):
    with pytest.raises(ClassifierStateError, match=problem):
        restore_classifier(changed(kind, **pieces))


def test_parts_of_other_dimensions_are_refused():
    keys = torch.cat([pair_keys(torch.tensor([0]), torch.tensor([1])), torch.tensor([NO_KEY])])
    other = RerankClassifier(KINDS["folded"], FoldedPairs(keys, torch.ones(2, DIM + 1), torch.tensor([2, 0])))
    with pytest.raises(ClassifierStateError, match=f"its pairs have {DIM + 1} dimensions, its first stage {DIM}"):
        restore_classifier(other.state())


def test_a_part_may_be_fused_or_reranked_itself():
    _, layout, texts = make_case([(1, 2, 1), (0, 3, 0), (2, 0, 0), (0, 1, 2)])
    reranked = RerankClassifier(KINDS["fused"], pairs_of(4), threshold=2.0)
    check(FusedClassifier(reranked, build_classifier("coder_top_m", texts, layout), 0.5), make_images(5))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("kind", ["linear", "folded", "neighbours", "second_round", "rerank"])
def test_a_classifier_is_restored_on_a_device(kind):
    images, state = make_images(7).cuda(), KINDS[kind].state()
    there, again = (restore_classifier(through_bytes(state), device="cuda") for _ in range(2))
    assert bits(there.logits(images).cpu()) == bits(again.logits(images).cpu())
    torch.testing.assert_close(there.logits(images).cpu(), KINDS[kind].logits(images.cpu()), atol=1e-2, rtol=0)


WITHOUT_CHECKS = """
import torch
from coder_core.classifiers import restore_classifier
from coder_core.coder.classifier import ClassifierState
from coder_core.errors import ClassifierStateError

weights = torch.zeros(2, 5).double()
for bias in (torch.zeros(3).double(), torch.zeros(2), torch.zeros(2).double()):
    try:
        print(restore_classifier(ClassifierState("gda", {}, {"weights": weights, "bias": bias})).shape)
    except ClassifierStateError as error:
        print(error.problem)
"""


@pytest.mark.slow
def test_states_are_checked_in_use_as_they_are_in_tests():
    """Here the signatures of all functions are checked by a hook of the tests; a state has to be without it."""
    environment = os.environ | {"JAXTYPING_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_CHECKS], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout.splitlines() == [
        "its tensor 'bias' is torch.float64 of shape (3,), expected Float64[Tensor, 'classes'] beside the others.",
        "its tensor 'bias' is torch.float32 of shape (2,), expected Float64[Tensor, 'classes'] beside the others.",
        "ClassifierShape(class_count=2, dim=5)",
    ]
