"""Every variant against a loop over images, classes and texts in plain Python, at its limits, and on bad input."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.coder import neighbours, second_round, variants
from coder_core.coder.heuristic import fold_classifier
from coder_core.coder.ranking import predict_topk
from coder_core.coder.second_round import build_second_round
from coder_core.coder.variants import build_euclidean, build_mahalanobis, build_shrunk, build_softmax, build_top_m
from coder_core.errors import ConfigError, FeatureFileError
from coder_core.method_texts import METHOD_KINDS, kinds_of_method
from coder_core.methods import METHODS, VARIANTS, build_classifier

SIZES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=7)
BUILDERS = [build_top_m, build_softmax, build_euclidean, build_mahalanobis, build_shrunk, build_second_round]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def grouped(table, text_embeddings):
    """Per class its naming and its descriptive vectors, from the rows of the table."""
    vector_of = dict(zip(table.unique_texts(), text_embeddings.double().tolist(), strict=True))
    groups = [([], []) for _ in range(table.class_count)]
    for row in table:
        if row.kind != "template":
            groups[row.class_id][row.kind not in ("class_name", "synonym")].append(vector_of[row.text])
    return groups


def top_m(similarities, name, m):
    best = sorted(similarities, reverse=True)[:m]
    return (sum(best) + name) / (len(best) + 1)


def softmax(similarities, name, sharpness):
    weights = [math.exp(sharpness * value) for value in similarities]
    pooled = dot(weights, similarities) / sum(weights) if weights else 0
    return (len(weights) * pooled + name) / (len(weights) + 1)


def shrunk(similarities, name, weight):
    return (1 - weight) * sum(similarities) / len(similarities) + weight * name if similarities else name


def distance(a, b):
    return -math.dist(a, b)


CASES = {
    "top_m": (build_top_m, dot, partial(top_m, m=variants.TOP_M)),
    "top_1": (partial(build_top_m, m=1), dot, partial(top_m, m=1)),
    "softmax": (build_softmax, dot, partial(softmax, sharpness=variants.SHARPNESS)),
    "euclidean": (build_euclidean, distance, partial(top_m, m=99)),
    "shrunk": (build_shrunk, dot, partial(shrunk, weight=variants.NAME_WEIGHT)),
}


@pytest.mark.parametrize("case", sorted(CASES))
@given(sizes=SIZES, image_count=st.integers(0, 3))
@settings(deadline=None, max_examples=20)
def test_equals_a_loop_over_images_classes_and_texts(case_of, images_of, case, sizes, image_count):
    build, similarity, score = CASES[case]
    table, layout, text_embeddings = case_of(sizes)
    images = images_of(image_count)
    expected = [
        [
            100 * score([similarity(image, text) for text in texts], max(similarity(image, name) for name in names))
            for names, texts in grouped(table, text_embeddings)
        ]
        for image in images.double().tolist()
    ]
    actual = build(text_embeddings, layout).logits(images)
    torch.testing.assert_close(actual, torch.tensor(expected).reshape(image_count, len(sizes)), atol=5e-4, rtol=0)


@given(sizes=SIZES)
@settings(deadline=None, max_examples=20)
def test_at_their_limits_variants_are_the_paper_s_score(case_of, images_of, sizes):
    _, layout, text_embeddings = case_of(sizes)
    images = images_of(4)
    paper = fold_classifier(text_embeddings, layout).logits(images)
    limits = [
        build_top_m(text_embeddings, layout, m=99),
        build_softmax(text_embeddings, layout, sharpness=0.0),
        build_second_round(text_embeddings, layout, sharpness=1e-9, survivors=99),
    ]
    for classifier in limits:
        torch.testing.assert_close(classifier.logits(images), paper, atol=2e-4, rtol=0)
    isotropic = build_mahalanobis(text_embeddings, layout, shrinkage=1.0).logits(images)
    torch.testing.assert_close(isotropic, build_euclidean(text_embeddings, layout).logits(images), atol=5e-4, rtol=0)


def test_mahalanobis_uses_the_covariance_of_naming_and_descriptive_texts(case_of, images_of):
    table, layout, text_embeddings = case_of([(1, 4, 2), (0, 3, 3), (2, 2, 2), (0, 5, 5)])
    used = sorted({table.unique_texts().index(row.text) for row in table if row.kind != "template"})
    assert len(used) < layout.text_count
    rows = text_embeddings.double().numpy()
    covariance = np.cov(rows[used].T, bias=True)
    scale = np.trace(covariance) / len(covariance)
    inverse = np.linalg.inv(0.7 * covariance / scale + 0.3 * np.eye(len(covariance)))

    def similarity(image, text):
        difference = np.array(image) - np.array(text)
        return -math.sqrt(difference @ inverse @ difference)

    expected = [
        [
            100 * top_m([similarity(image, text) for text in texts], max(similarity(image, n) for n in names), 99)
            for names, texts in grouped(table, text_embeddings)
        ]
        for image in images_of(3).tolist()
    ]
    actual = build_mahalanobis(text_embeddings, layout, shrinkage=0.3).logits(images_of(3))
    torch.testing.assert_close(actual, torch.tensor(expected), atol=2e-3, rtol=0)


def slow_second_round(image, groups, survivors, sharpness):
    """Scores of the survivors, from Python lists."""
    means = []
    for names, texts in groups:
        own = [names[0], *texts]
        means.append([sum(column) / len(own) for column in zip(*own, strict=True)])
    scores = []
    for one in survivors:
        names, texts = groups[one]
        rivals = [means[other] for other in survivors if other != one]
        likeness = [sum(dot(text, rival) for rival in rivals) / max(1, len(rivals)) for text in texts]
        weights = [math.exp(-sharpness * value) for value in likeness]
        pooled = sum(w * dot(image, text) for w, text in zip(weights, texts, strict=True)) / (sum(weights) or 1)
        scores.append((len(texts) * pooled + max(dot(image, name) for name in names)) / (len(texts) + 1))
    return scores


@given(sizes=SIZES, width=st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_the_second_round_equals_a_loop_over_survivors(case_of, images_of, sizes, width):
    table, layout, text_embeddings = case_of(sizes)
    images = images_of(3)
    first = fold_classifier(text_embeddings, layout).logits(images)
    best = predict_topk(first, width)
    classifier = build_second_round(text_embeddings, layout, survivors=width)
    logits = classifier.logits(images)
    groups = grouped(table, text_embeddings)
    for row, image in enumerate(images.double().tolist()):
        survivors = best[row].tolist()
        scores = slow_second_round(image, groups, survivors, second_round.SHARPNESS)
        mean = float(first[row, survivors].mean()) - 100 * sum(scores) / len(scores)
        expected = torch.tensor([100 * score + mean for score in scores])
        torch.testing.assert_close(logits[row, survivors], expected, atol=5e-4, rtol=0)
        others = [class_id for class_id in range(len(sizes)) if class_id not in survivors]
        assert (logits[row, others] < logits[row, survivors].min()).all()
        assert (logits[row, others] <= first[row, others]).all()


@pytest.mark.parametrize("build", BUILDERS)
def test_images_are_scored_in_steps_with_the_same_result(case_of, images_of, monkeypatch, build):
    _, layout, text_embeddings = case_of([(2, 3, 1), (0, 2, 0), (1, 1, 1), (0, 0, 0), (0, 4, 0), (1, 2, 2)])
    classifier = build(text_embeddings, layout)
    whole = classifier.logits(images_of(20))
    for module in (neighbours, second_round):
        monkeypatch.setattr(module, "VALUES_AT_ONCE", 400)
    torch.testing.assert_close(classifier.logits(images_of(20)), whole, atol=2e-4, rtol=0)


@pytest.mark.parametrize("build", BUILDERS)
def test_one_class_no_image_and_a_class_of_one_name(case_of, images_of, build):
    _, layout, text_embeddings = case_of([(0, 0, 0)])
    assert build(text_embeddings, layout).logits(images_of(0)).shape == (0, 1)
    logits = build(text_embeddings, layout).logits(images_of(2))
    assert logits.shape == (2, 1)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("build", BUILDERS)
def test_classes_with_identical_texts_tie_and_the_lower_id_wins(case_of, images_of, build):
    _, layout, text_embeddings = case_of([(1, 2, 1)] * 3, ["goose", "crane", "crane"])
    logits = build(text_embeddings, layout).logits(images_of(40))
    assert torch.equal(logits[:, 1], logits[:, 2])
    assert set(predict_topk(logits, 1).squeeze(1).tolist()) == {0, 1}


@pytest.mark.parametrize("build", BUILDERS)
def test_half_precision_images_are_scored_in_float32(case_of, images_of, build):
    _, layout, text_embeddings = case_of([(2, 3, 1), (0, 2, 0)])
    half = images_of(4).half()
    classifier = build(text_embeddings, layout)
    assert torch.equal(classifier.logits(half), classifier.logits(half.float()))
    assert classifier.logits(half).dtype == torch.float32


@given(sizes=SIZES, order=st.randoms(use_true_random=False), name=st.sampled_from(sorted(VARIANTS)))
@settings(deadline=None, max_examples=25)
def test_permuting_images_or_classes_permutes_the_logits(case_of, images_of, sizes, order, name):
    names = [f"class {position}" for position in range(len(sizes))]
    images, class_order, image_order = images_of(6), list(range(len(sizes))), list(range(6))
    order.shuffle(class_order)
    order.shuffle(image_order)
    _, layout, text_embeddings = case_of(sizes, names)
    logits = build_classifier(name, text_embeddings, layout).logits(images)
    _, layout, text_embeddings = case_of([sizes[i] for i in class_order], [names[i] for i in class_order])
    permuted = build_classifier(name, text_embeddings, layout).logits(images[image_order])
    torch.testing.assert_close(permuted, logits[image_order][:, class_order], atol=2e-3, rtol=0)


@pytest.mark.parametrize("build", BUILDERS)
def test_embeddings_of_other_texts_are_refused(case_of, build):
    _, layout, text_embeddings = case_of([(1, 1, 1)])
    with pytest.raises(FeatureFileError, match="text embeddings for"):
        build(text_embeddings[1:], layout)


@pytest.mark.parametrize(
    ("build", "found"),
    [
        (partial(build_top_m, m=0), "m is 0"),
        (partial(build_mahalanobis, shrinkage=0.0), "the shrinkage is 0.0"),
        (partial(build_shrunk, name_weight=1.5), "the name's weight is 1.5"),
        (partial(build_second_round, survivors=0), "0 survivors"),
        (partial(build_second_round, sharpness=0.0), "a sharpness of 0.0"),
    ],
)
def test_impossible_options_are_refused(case_of, build, found):
    _, layout, text_embeddings = case_of([(1, 1, 1)])
    with pytest.raises(ConfigError, match=found):
        build(text_embeddings, layout)


def test_variants_stand_beside_methods_under_other_names():
    assert not set(VARIANTS) & set(METHODS)
    assert {METHOD_KINDS[name] for name in VARIANTS} == {METHOD_KINDS["coder"]}
    with pytest.raises(ConfigError, match="Did you mean 'coder_softmax'"):
        kinds_of_method("coder_softmacs")
