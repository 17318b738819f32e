"""Means, discriminants and GDA against textbook formulas, and leaving one out against leaving one out."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from coder_core.coder.classifier import LinearClassifier
from coder_core.errors import ConfigError
from coder_core.few_shot.cache_adapter import Cache
from coder_core.few_shot.discriminant import Discriminant
from coder_core.few_shot.examples import Support, Validation, class_means
from coder_core.few_shot.few_shot_methods import plan_methods
from coder_core.few_shot.fitting import Fitted
from coder_core.few_shot.gda import Gda
from coder_core.few_shot.nearest_mean import NearestMean
from coder_core.few_shot.text_metric import MetricSpace, fit_metric

from .few_shot_world import DIM, clustered, small_support, unit

METRIC = fit_metric(normalize(unit(40, DIM, 5) + 0.7 * unit(1, DIM, 6), dim=1))
TEXTS = unit(4, DIM, 21)
PLAIN = {"metric": None, "gammas": (0.0,), "centre": False, "is_cosine": False}


def test_nearest_mean_is_the_cosine_to_the_mean():
    support, (queries, _) = small_support(), clustered(4, 2, 9)
    found = NearestMean().prepare(support).classifier({"gamma": 0.0}).logits(queries)
    means = torch.stack([support.embeddings[support.label_ids == c].mean(0) for c in range(4)])
    torch.testing.assert_close(found, torch.cosine_similarity(queries[:, None], means[None], dim=2))


def test_plain_discriminant_is_lda():
    support, (queries, _) = small_support(each=6), clustered(4, 2, 9)
    rows, labels = support.embeddings.double().numpy(), support.label_ids.numpy()
    means = np.stack([rows[labels == c].mean(0) for c in range(4)])
    within = sum((rows[labels == c] - means[c]).T @ (rows[labels == c] - means[c]) for c in range(4)) / (24 - 4)
    sigma = 0.7 * within + 0.3 * np.trace(within) / DIM * np.eye(DIM)
    inverse = np.linalg.inv(sigma)
    inverse *= DIM / np.trace(inverse)
    expected = queries.double().numpy() @ inverse @ means.T - np.einsum("cd,de,ce->c", means, inverse, means) / 2
    settings = {"gamma": 0.0, "shrinkage": 0.3, "strength": 0.0}
    found = Discriminant(**PLAIN).prepare(support).classifier(settings).logits(queries)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_one_image_per_class_is_the_nearest_mean_of_the_metric():
    support, (queries, _) = small_support(each=1), clustered(4, 6, 9)
    method = Discriminant(METRIC, (0.5,), centre=False)
    (only,) = method.prepare(support).scored(queries)
    means = NearestMean(METRIC, (0.5,)).prepare(support).classifier({"gamma": 0.5}).logits(queries)
    torch.testing.assert_close(only.scores, means, atol=1e-5, rtol=0)
    assert only.settings["shrinkage"] == 1.0


def refitted(method: Discriminant, support: Support, settings: dict[str, float]) -> torch.Tensor:
    """Score every image by means and covariance without it, inverting the matrix each time.

    What the closed form holds fixed is held fixed here: offset, degrees of freedom, prior size, scale of the inverse.
    """
    space = MetricSpace() if method.metric is None else method.metric.space(settings["gamma"])
    rows, texts = space.map(support.embeddings).double(), space.map(TEXTS).double()
    if method.centre:
        rows = normalize(rows - class_means(rows, support).mean(dim=0), dim=1)
        texts = normalize(texts - texts.mean(dim=0), dim=1)
    labels, freedom = support.label_ids, len(rows) - support.class_count

    def estimates(kept):
        means = torch.stack([rows[kept & (labels == c)].mean(0) for c in range(support.class_count)])
        within = (rows - means[labels])[kept]
        return means, within.T @ within / freedom

    _, whole = estimates(torch.ones(len(rows), dtype=torch.bool))
    prior = whole.trace() / len(whole) * torch.eye(len(whole), dtype=torch.float64)
    mix = settings["shrinkage"]
    scale = len(whole) / torch.linalg.inv((1 - mix) * whole + mix * prior).trace()
    scores = []
    for row in range(len(rows)):
        kept = torch.arange(len(rows)) != row
        means, within = estimates(kept)
        counts = torch.bincount(labels[kept], minlength=support.class_count).double().unsqueeze(1)
        if method.class_texts is not None:
            means = (counts * means + settings["strength"] * texts) / (counts + settings["strength"])
        precision = scale * torch.linalg.inv((1 - mix) * within + mix * prior)
        cross, square = rows[row] @ precision @ means.T, ((means @ precision) * means).sum(1)
        scores.append(cross / square.sqrt() if method.is_cosine else cross - square / 2)
    return torch.stack(scores).float()


@pytest.mark.parametrize("is_cosine", [True, False])
@pytest.mark.parametrize("class_texts", [None, TEXTS])
@pytest.mark.parametrize("centre", [True, False])
def test_leaving_one_out_of_a_discriminant_equals_refitting_it(is_cosine, class_texts, centre):
    support = small_support(each=4)
    method = Discriminant(
        METRIC,
        (0.5,),
        (0.2, 0.7),
        is_cosine=is_cosine,
        class_texts=class_texts,
        strengths=(0.0, 2.0),
        centre=centre,
    )
    for settings, scores in method.prepare(support).leave_one_out_scores():
        torch.testing.assert_close(scores, refitted(method, support, settings), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", [NearestMean(METRIC, (0.5,)), Cache(METRIC, (0.5,), (2.0,))], ids=["mean", "cache"])
def test_leaving_one_out_of_means_and_caches_equals_refitting_them(method):
    support = small_support(each=3)
    (found,) = method.prepare(support).leave_one_out_scores()
    for row in range(len(support.label_ids)):
        kept = torch.arange(len(support.label_ids)) != row
        without = Support(support.embeddings[kept], support.label_ids[kept], 4)
        expected = method.prepare(without).classifier(found.settings).logits(support.embeddings[row : row + 1])
        torch.testing.assert_close(found.scores[row : row + 1], expected, atol=1e-5, rtol=1e-5)


def test_leaving_one_out_of_a_min_max_cache_hides_the_image_from_the_ends_too():
    support = small_support(each=3)
    method = Cache(METRIC, (0.5,), (2.0,), is_min_max=True)
    (found,) = method.prepare(support).leave_one_out_scores()
    kept = torch.arange(12) != 5
    without = Support(support.embeddings[kept], support.label_ids[kept], 4)
    expected = method.prepare(without).classifier(found.settings).logits(support.embeddings[5:6])
    torch.testing.assert_close(found.scores[5:6], expected, atol=1e-5, rtol=1e-5)


def test_gda_is_the_published_formula():
    support, (queries, _) = small_support(each=6), clustered(4, 2, 9)
    rows, labels = support.embeddings.double(), support.label_ids
    means = torch.stack([rows[labels == c].mean(0) for c in range(4)])
    apart = torch.cat([rows[labels == c] - means[c] for c in range(4)])
    covariance = apart.T.cov()
    ridge = (len(apart) - 1) * covariance + covariance.trace() * torch.eye(DIM, dtype=torch.float64)
    precision = DIM * torch.linalg.pinv(ridge)
    bias = np.log(1 / 4) - torch.einsum("cd,de,ce->c", means, precision, means) / 2
    found = Gda().prepare(support).classifier({}).logits(queries)
    torch.testing.assert_close(found, (queries.double() @ precision @ means.T + bias).float(), atol=1e-5, rtol=1e-5)
    assert torch.isfinite(Gda().prepare(small_support(each=1)).classifier({}).logits(queries)).all()


METHODS = {
    "nearest_mean": NearestMean(METRIC, (0.0, 0.5)),
    "tip_adapter": Cache(),
    "discriminant": Discriminant(METRIC, class_texts=TEXTS),
    "gda": Gda(),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("zero_shot", [None, LinearClassifier(TEXTS)], ids=["alone", "fused"])
def test_fit_select_logits(method, zero_shot):
    rows, labels = clustered(4, 10, 31)
    queries, truth = clustered(4, 25, 32)
    selected = Fitted.fit(method, small_support(each=4), zero_shot=zero_shot).select(Validation(rows, labels))
    logits = selected.classifier.logits(queries)
    assert logits.shape == (100, 4)
    assert float((logits.argmax(1) == truth).float().mean()) > 0.6
    assert selected.choice.source == "validation"
    hits = float((selected.classifier.logits(rows).argmax(1) == labels).double().mean())
    assert hits == pytest.approx(selected.choice.accuracy)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(selected.classifier.logits(queries[order]), logits[order], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("each", "source"), [(3, "leave_one_out"), (1, "default")])
def test_without_validation_images_the_choice_says_what_it_was_made_on(each, source):
    method = Discriminant(METRIC, class_texts=TEXTS)
    selected = Fitted.fit(method, small_support(each=each), zero_shot=LinearClassifier(TEXTS)).select(None)
    assert selected.choice.source == source
    assert torch.isfinite(selected.classifier.logits(unit(3, DIM, 4))).all()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_same_image_again_and_again_is_no_division_by_zero(method):
    rows, labels = clustered(4, 1, 1)
    support = Support(rows.repeat_interleave(3, dim=0), labels.repeat_interleave(3), 4)
    selected = Fitted.fit(method, support, zero_shot=LinearClassifier(TEXTS)).select(None)
    assert torch.isfinite(selected.classifier.logits(rows)).all()


def test_zero_shot_weights_of_another_class_list_are_refused():
    with pytest.raises(ConfigError, match="3 zero-shot weights for 4 classes"):
        Fitted.fit(Gda(), small_support(), zero_shot=LinearClassifier(TEXTS[:3]))


def test_an_unknown_method_names_all_there_are():
    with pytest.raises(ConfigError, match=r"unknown few-shot method 'tip'.*nearest_mean, .*text_discriminant"):
        plan_methods(["tip"], TEXTS, zero_shot=None)
