"""Every method's classifier, taken apart, written to bytes, and put together again: the same logits to the last bit."""

import json
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch.nn.functional import normalize

from coder_core.baselines.control_texts import CONTROLS, build_control
from coder_core.classes import ClassList
from coder_core.classifiers import (
    CLASSIFIERS,
    FusedClassifier,
    PooledClassifier,
    RerankClassifier,
    TemperedClassifier,
    TransductiveClassifier,
    predict_with,
    restore_classifier,
)
from coder_core.coder.classifier import ClassifierState, LinearClassifier
from coder_core.coder.heuristic import fold_classifier
from coder_core.coder.reranking import fold_pairs
from coder_core.coder.variants import build_mahalanobis, build_shrunk, build_softmax, build_top_m
from coder_core.evaluation.predicting import build_predictions, rerank_predictions
from coder_core.few_shot.cache_adapter import Cache
from coder_core.few_shot.discriminant import Discriminant
from coder_core.few_shot.examples import Support, Validation
from coder_core.few_shot.few_shot_methods import FEW_SHOT_METHODS, plan_methods
from coder_core.few_shot.fitting import ChoosesItself, Fitted
from coder_core.few_shot.nearest_mean import NearestMean
from coder_core.few_shot.text_metric import fit_metric
from coder_core.methods import METHODS, VARIANTS, build_classifier
from coder_core.texts.bank import ClassTexts, TextBank
from coder_core.texts.domains import load_domains
from coder_core.texts.text_layout import build_layout

from .coder.text_cases import DIM, embed_texts, make_case, make_images
from .slow_classifiers import slow_logits, slow_rerank

NAMES = sorted({**METHODS, **VARIANTS})
SIZES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=7)
GENERIC_TEXTS = normalize(make_images(40, seed=5) + 0.7 * make_images(1, seed=6), dim=1)
METRIC = fit_metric(GENERIC_TEXTS)


def through_bytes(state):
    """What a store does: tensors to safetensors, all else to JSON text, and back."""
    text = json.dumps({"kind": state.kind, "settings": state.settings}, allow_nan=False)
    return ClassifierState(
        **json.loads(text), tensors=load(save({name: part.clone() for name, part in state.tensors.items()}))
    )


def bits(logits):
    return logits.dtype, logits.shape, logits.contiguous().numpy().tobytes()


def check(classifier, images):
    """The same bits after a round trip, and the same numbers from the state alone."""
    state = classifier.state()
    again = restore_classifier(through_bytes(state))
    logits = classifier.logits(images)
    assert type(again) is type(classifier) is CLASSIFIERS[state.kind]
    assert bits(again.logits(images)) == bits(logits)
    assert again.shape == classifier.shape == (logits.shape[1], DIM)
    if len(images):
        np.testing.assert_allclose(slow_logits(state, images), logits, atol=2e-3, rtol=2e-5)
    once_more = again.state()
    assert (once_more.kind, once_more.settings) == (state.kind, state.settings)
    assert {name: bits(tensor) for name, tensor in once_more.tensors.items()} == {
        name: bits(tensor) for name, tensor in state.tensors.items()
    }


def clustered(each, seed, classes=4):
    labels = torch.arange(classes).repeat_interleave(each)
    return normalize(make_images(classes, seed=77)[labels] + 0.8 * make_images(len(labels), seed=seed), dim=1), labels


def support_of(each, classes=4):
    rows, labels = clustered(each, 1, classes)
    return Support(rows, labels, classes)


def pairs_of(classes, seed=3):
    """Pairs of classes with texts in two, one or no direction."""
    ordered = list(permutations(range(classes), 2))
    layout_pairs = {pair: np.array([2 * i, 2 * i + 1]) for i, pair in enumerate(ordered) if i % 5 != 2}
    layout = make_case([(0, 0, 0)])[1]
    layout = type(layout)(classes, 2 * len(ordered), {}, layout_pairs)
    return fold_pairs(make_images(2 * len(ordered), seed=seed), layout)


def one_of_each_kind():
    """A classifier of every kind."""
    _, layout, texts = make_case([(1, 2, 1), (0, 3, 0), (2, 0, 0), (0, 1, 2)])
    zero_shot, support = LinearClassifier(make_images(4, seed=21)), support_of(3)
    built = [build_classifier(name, texts, layout) for name in ("clip", "coder", "coder_softmax", "coder_second_round")]
    few_shot = [
        planned.method.prepare(support)
        for planned in plan_methods(
            ("nearest_mean", "tip_adapter", "text_discriminant", "gda", "proker", "neighbour_distribution"),
            GENERIC_TEXTS,
            zero_shot=None,
        ).values()
    ]
    alone = [scorer.classifier(scorer.default) for scorer in few_shot]
    pooled = PooledClassifier(alone[0], 0.5, PooledClassifier(zero_shot, 2.0))
    fused = FusedClassifier(zero_shot, alone[0], 3.0)
    tempered = TemperedClassifier(built[1], 2.5)
    directions = make_images(DIM + 1, seed=31).double()
    transductive = TransductiveClassifier(
        stage1=built[1],
        bias=torch.tensor([0.5, -1.0, 0.0, 2.0], dtype=torch.float64),
        temperature=3.0,
        space=METRIC.space(0.5),
        offset=0.1 * directions[0],
        weights=directions[1:, :4].contiguous(),
    )
    return [*built, *alone, pooled, tempered, transductive, fused, RerankClassifier(built[1], pairs_of(4))]


KINDS = {classifier.kind: classifier for classifier in one_of_each_kind()}


def test_every_kind_is_registered_under_its_own_name():
    assert KINDS.keys() == CLASSIFIERS.keys()
    assert all(CLASSIFIERS[kind] is type(classifier) for kind, classifier in KINDS.items())


@pytest.mark.parametrize("name", NAMES)
@given(sizes=SIZES, image_count=st.integers(0, 4), is_half=st.booleans())
@settings(deadline=None, max_examples=15)
def test_every_zero_shot_method_and_variant(name, sizes, image_count, is_half):
    _, layout, texts = make_case(sizes)
    images = make_images(image_count)
    check(build_classifier(name, texts, layout, logit_scale=30.0), images.half() if is_half else images)


@pytest.mark.parametrize(
    "build",
    [
        lambda texts, layout: build_top_m(texts, layout, m=1),
        lambda texts, layout: build_softmax(texts, layout, sharpness=0.0),
        lambda texts, layout: build_mahalanobis(texts, layout, shrinkage=0.7),
        lambda texts, layout: build_shrunk(texts, layout, name_weight=0.0),
    ],
)
def test_variants_with_other_settings(build):
    _, layout, texts = make_case([(2, 3, 1), (0, 2, 0), (1, 0, 0)])
    check(build(texts, layout), make_images(5))


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_every_control(name):
    classes = ClassList(("crane", "goose", "owl"))
    bank = TextBank(tuple(ClassTexts(attributes=(f"a {word}", f"{word}s")) for word in ("beak", "neck", "wing")))
    table = build_control(name, classes, bank, domain=load_domains()["bird"], seed=0)
    check(fold_classifier(embed_texts(table.unique_texts()), build_layout(table)), make_images(6))


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW_SHOT_METHODS)
@given(is_fused=st.booleans(), shots=st.sampled_from([1, 3]), is_validated=st.booleans(), image_count=st.integers(0, 4))
@settings(deadline=None, max_examples=8)
def test_every_few_shot_method(name, is_fused, shots, is_validated, image_count):
    zero_shot = LinearClassifier(make_images(4, seed=21)) if is_fused else None
    planned = plan_methods([name], GENERIC_TEXTS, zero_shot=zero_shot)[name]
    fitted = Fitted.fit(planned.method, support_of(shots), zero_shot=zero_shot, search_weights=planned.weights)
    selected = fitted.select(Validation(*clustered(5, 31)) if is_validated else None)
    images = make_images(image_count, seed=8)
    check(selected.classifier, images)
    if isinstance(fitted.scorer, ChoosesItself):
        return
    expected = fitted.scorer.classifier(selected.choice.settings).logits(images)
    if zero_shot is not None:
        expected = zero_shot.logits(images) + selected.choice.settings["weight"] * expected
    assert bits(selected.classifier.logits(images)) == bits(expected)


@pytest.mark.parametrize("gamma", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("method", [NearestMean, Cache, Discriminant])
def test_a_state_holds_one_gamma_and_gives_the_scores_of_that_gamma(method, gamma):
    gammas = (0.25, 0.0, 1.0)
    scorer, images = method(METRIC, gammas).prepare(support_of(3)), make_images(5, seed=9)
    for found in scorer.scored(images):
        if found.settings["gamma"] == gamma:
            classifier = scorer.classifier(found.settings)
            check(classifier, images)
            torch.testing.assert_close(classifier.logits(images), found.scores, atol=0, rtol=0)
    alone = method(METRIC, (gamma,)).prepare(support_of(3))
    assert classifier.state().tensors.keys() == alone.classifier(alone.default).state().tensors.keys()
    assert sum(tensor.numel() for tensor in classifier.state().tensors.values()) <= 2 * DIM * DIM + 20 * DIM


@pytest.mark.parametrize(
    ("centre", "is_cosine", "strength", "shrinkage"), [*product([True, False], [True, False], [0.0, 2.0], [0.1, 0.9])]
)
def test_discriminants_of_every_setting(centre, is_cosine, strength, shrinkage):
    texts, chosen = make_images(4, seed=21), {"gamma": 0.5, "shrinkage": shrinkage, "strength": strength}
    method = Discriminant(METRIC, (0.5,), centre=centre, is_cosine=is_cosine, class_texts=texts)
    classifier = method.prepare(support_of(4)).classifier(chosen)
    assert ("offset" in classifier.state().tensors) is centre
    check(classifier, make_images(5, seed=9))


@pytest.mark.parametrize("is_min_max", [True, False])
@pytest.mark.parametrize("beta", [0.1, 5.5, 1000.0])
def test_caches_of_every_setting(is_min_max, beta):
    scorer = Cache(METRIC, (0.5,), is_min_max=is_min_max).prepare(support_of(3))
    check(scorer.classifier({"gamma": 0.5, "beta": beta}), make_images(5, seed=9))


@pytest.mark.slow
@given(
    name=st.sampled_from(NAMES),
    sizes=SIZES,
    threshold=st.sampled_from([0.0, 0.3, 2.0]),
    candidates=st.integers(2, 5),
    image_count=st.integers(0, 6),
)
@settings(deadline=None, max_examples=40)
def test_the_rerank_of_any_first_stage(name, sizes, threshold, candidates, image_count):
    _, layout, texts = make_case(sizes)
    stage1, pairs, images = build_classifier(name, texts, layout), pairs_of(len(sizes)), make_images(image_count)
    ids = [f"image {row}" for row in range(image_count)]
    classifier = RerankClassifier(stage1, pairs, threshold, candidates)
    check(classifier, images)
    assert bits(classifier.logits(images)) == bits(stage1.logits(images))
    first = build_predictions(stage1.logits(images), ids, method="coder")
    expected = rerank_predictions(first, images, pairs, threshold=threshold, candidates=candidates)
    again = restore_classifier(through_bytes(classifier.state()))
    for found in (
        classifier.predict(images, ids),
        predict_with(classifier, images, ids, method="coder_rerank"),
        predict_with(again, images, ids, method="coder_rerank"),
    ):
        assert contents(found) == contents(expected)


def contents(predictions):
    arrays = (predictions.top_ids, predictions.top_probabilities, *predictions.details.values())
    names = (predictions.image_ids, predictions.method, predictions.protocol, tuple(predictions.details))
    return (*names, *((array.dtype, array.shape, array.tobytes()) for array in arrays))


def test_the_rerank_decides_as_a_loop_over_its_state():
    _, layout, texts = make_case([(1, 2, 1), (0, 3, 0), (2, 0, 0), (0, 1, 2), (1, 4, 0), (0, 0, 0), (0, 2, 2)])
    images, ids = make_images(60), [str(row) for row in range(60)]
    classifier = RerankClassifier(fold_classifier(texts, layout, logit_scale=10.0), pairs_of(7), threshold=0.2)
    found = restore_classifier(through_bytes(classifier.state()))
    predictions = predict_with(found, images, ids, method="coder_rerank")
    assert predictions.top_ids.tolist() == slow_rerank(classifier.state(), images)
    assert 0 < predictions.details["changed"].sum() < predictions.details["gated"].sum() < 60


@pytest.mark.parametrize("kind", KINDS)
def test_one_function_predicts_with_every_kind(kind):
    classifier, images, ids = KINDS[kind], make_images(7), [str(row) for row in range(7)]
    found = predict_with(classifier, images, ids, method="it", k=3, protocol="other")
    assert (found.method, found.protocol, found.top_ids.shape) == ("it", "other", (7, 3))
    assert set(found.details) == (
        {"gated", "changed", "pairs_wanted", "pairs_missing", "pairs_one_sided"} if kind == "rerank" else set()
    )
    if kind != "rerank":
        expected = build_predictions(classifier.logits(images), ids, method="it", k=3, protocol="other")
        assert contents(found) == contents(expected)


@pytest.mark.parametrize("kind", KINDS)
@given(offset=st.integers(0, 15), is_transposed=st.booleans(), image_count=st.integers(1, 6))
@settings(deadline=None, max_examples=10)
def test_bits_do_not_depend_on_where_or_how_the_numbers_lie(kind, offset, is_transposed, image_count):
    def moved(tensor):
        copy = torch.empty(tensor.numel() + offset, dtype=tensor.dtype)[offset:].view(tensor.shape).copy_(tensor)
        return copy.T.contiguous().T if is_transposed and copy.ndim == 2 else copy

    classifier, images = KINDS[kind], make_images(image_count)
    state = classifier.state()
    again = restore_classifier(state._replace(tensors={name: moved(part) for name, part in state.tensors.items()}))
    assert bits(again.logits(moved(images))) == bits(classifier.logits(images))
