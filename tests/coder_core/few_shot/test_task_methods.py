"""The task's words, the Bayes form, neighbour distributions, kernel ridge and the pool, against slow textbook forms."""

import math

import pytest
import torch
from scipy.optimize import minimize
from torch.nn.functional import normalize, one_hot

from coder_core.classifiers import restore_classifier
from coder_core.coder.classifier import LinearClassifier
from coder_core.errors import ConfigError
from coder_core.few_shot.bayes_discriminant import BayesDiscriminant
from coder_core.few_shot.examples import Support, Validation, class_means
from coder_core.few_shot.expert_pool import RIDGE, TOTAL, fit_weights
from coder_core.few_shot.few_shot_methods import plan_methods
from coder_core.few_shot.fitting import Fitted
from coder_core.few_shot.kernel_ridge import KernelRidge
from coder_core.few_shot.neighbour_distribution import NeighbourDistribution
from coder_core.few_shot.neighbour_ridge import NeighbourRidge
from coder_core.few_shot.task_vocabulary import Vocabulary
from coder_core.few_shot.text_metric import fit_metric

from .few_shot_world import DIM, clustered, small_support, unit

WORDS = normalize(unit(60, DIM, 5) + 0.7 * unit(1, DIM, 6), dim=1)
METRIC = fit_metric(WORDS)
FULL = METRIC.axes.T @ torch.diag(METRIC.variances) @ METRIC.axes


def bayes_parts(support: Support, shrinkage: float) -> tuple[torch.Tensor, ...]:
    """Centred rows, class means, W and the unit prior B, as dense matrices."""
    rows = support.embeddings.double()
    offset = class_means(rows, support).mean(dim=0)
    rows = rows - offset
    means = class_means(rows, support)
    apart = rows - means[support.label_ids]
    scatter = apart.T @ apart / (len(rows) - support.class_count)
    within = (1 - shrinkage) * scatter + shrinkage * scatter.trace() / DIM * torch.eye(DIM, dtype=torch.float64)
    count = float(support.counts[0])
    spread = float((means**2).sum(1).mean())
    size = max(spread - float(scatter.trace()) / count, spread / 10)
    return rows, means, within, FULL * size / FULL.trace(), offset


@pytest.mark.parametrize("prior", [0.25, 1.0])
def test_the_bayes_form_is_the_posterior_predictive_density(prior: float) -> None:
    support, (queries, _) = small_support(each=5), clustered(4, 3, 9)
    _, means, within, unit_prior, offset = bayes_parts(support, 0.5)
    between, noise = prior * unit_prior, within / 5
    gain = between @ torch.linalg.inv(between + noise)
    posterior = means @ gain.T
    cover = within + between - gain @ between
    density = torch.distributions.MultivariateNormal
    expected = torch.stack(
        [density(mean, (cover + cover.T) / 2).log_prob(queries.double() - offset) for mean in posterior], dim=1
    )
    scorer = BayesDiscriminant(METRIC).prepare(support)
    found = scorer.classifier({"shrinkage": 0.5, "strength": 0.0, "prior": prior}).logits(queries).double()
    apart = found - expected
    torch.testing.assert_close(apart - apart.mean(1, keepdim=True), torch.zeros_like(apart), atol=2e-4, rtol=0)


def test_without_an_image_its_own_class_is_scored_by_the_others() -> None:
    """With the identity for W nothing but the own class's mean depends on the image that is left out."""
    support = small_support(each=4)
    rows, means, _, unit_prior, _ = bayes_parts(support, 1.0)
    _, _, within, _, _ = bayes_parts(support, 1.0)
    scorer = BayesDiscriminant(METRIC, shrinkages=(1.0,), priors=(1.0,)).prepare(support)
    found = next(iter(scorer.leave_one_out_scores() or ())).scores
    post = lambda mean, count: unit_prior @ torch.linalg.solve(unit_prior + within / count, mean)  # noqa: E731
    gain = unit_prior @ torch.linalg.inv(unit_prior + within / 4)
    precision = torch.linalg.inv(within + unit_prior - gain @ unit_prior)
    for row in range(0, len(rows), 3):
        label = int(support.label_ids[row])
        centres = torch.stack([post(mean, 4) for mean in means])
        centres[label] = post((4 * means[label] - rows[row]) / 3, 3)
        expected = centres @ precision @ rows[row] - torch.einsum("cd,de,ce->c", centres, precision, centres) / 2
        torch.testing.assert_close(found[row].double(), expected, atol=2e-4, rtol=1e-3)


def test_neighbour_distributions_are_compared_by_their_overlap() -> None:
    support, (queries, _) = small_support(), clustered(4, 2, 9)
    method = NeighbourDistribution(Vocabulary(WORDS), (0.05,), (False,))
    found = method.prepare(support).classifier({"centred": 0.0, "temperature": 0.05}).logits(queries)
    texts = normalize(WORDS - WORDS.mean(0), dim=1)
    describe = lambda image: torch.softmax(texts @ image / 0.05, dim=0).sqrt()  # noqa: E731
    for row, image in enumerate(queries):
        for label in range(4):
            own = torch.stack([describe(x) for x in support.embeddings[support.label_ids == label]]).mean(0)
            assert float(found[row, label]) == pytest.approx(float(describe(image) @ own / own.norm()), abs=1e-4)


@pytest.mark.parametrize("fused", [False, True])
def test_ridge_without_an_image_is_the_ridge_of_the_others(fused: bool) -> None:
    support = small_support(each=3)
    zero_shot = LinearClassifier(unit(4, DIM, 3)) if fused else None
    method = KernelRidge(METRIC, zero_shot, betas=(3.0,), ridges=(0.1,), targets=(0.0,))
    scorer = method.prepare(support)
    found = next(iter(scorer.leave_one_out_scores() or ())).scores
    mapped = METRIC.space(0.5).map(support.embeddings)
    rows = normalize(mapped - class_means(mapped, support).mean(0).float(), dim=1).double()
    kernel = torch.exp(-3.0 * (1 - rows @ rows.T))
    labels = one_hot(support.label_ids, 4).double()
    known = torch.softmax(zero_shot.logits(support.embeddings).double(), 1) if zero_shot else torch.full((1, 4), 0.25)
    for row in range(len(rows)):
        kept = torch.arange(len(rows)) != row
        inverse = torch.linalg.inv(kernel[kept][:, kept] + 0.1 * torch.eye(int(kept.sum()), dtype=torch.float64))
        expected = kernel[row, kept] @ inverse @ (labels - known)[kept]
        torch.testing.assert_close(found[row].double(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("fused", [False, True])
def test_neighbour_ridge_is_the_regression_of_both_likenesses(fused: bool) -> None:
    """Image by image from the kernel's definition; of the support with each image left out in turn, and of others."""
    support, (queries, _) = small_support(each=3), clustered(4, 2, 9)
    zero_shot = LinearClassifier(unit(4, DIM, 3)) if fused else None
    vocabulary = Vocabulary(WORDS)
    method = NeighbourRidge(vocabulary, METRIC.space(0.5), zero_shot, ridges=(0.1,))
    mapped = METRIC.space(0.5).map(support.embeddings)
    offsets = class_means(mapped, support).mean(0).float(), class_means(support.embeddings, support).mean(0).float()
    texts = vocabulary.centred(support).float()

    def alike(one: torch.Tensor, other: torch.Tensor) -> float:
        places = [normalize(METRIC.space(0.5).map(x[None])[0] - offsets[0], dim=0) for x in (one, other)]
        shares = [torch.softmax(texts @ normalize(x - offsets[1], dim=0) / 0.06, dim=0) for x in (one, other)]
        return float((shares[0] * shares[1]).sqrt().sum() + torch.exp(places[0] @ places[1] - 1)) / 2

    def regress(image: torch.Tensor, kept: list[int]) -> torch.Tensor:
        known = support.embeddings[kept]
        kernel = torch.tensor([[alike(a, b) for b in known] for a in known], dtype=torch.float64)
        chances = torch.softmax(zero_shot.logits(known).double(), 1) if zero_shot else torch.full((len(kept), 4), 0.25)
        residuals = one_hot(support.label_ids[kept], 4).double() - chances
        likeness = torch.tensor([alike(image, other) for other in known], dtype=torch.float64)
        return likeness @ torch.linalg.solve(kernel + 0.1 * torch.eye(len(kept), dtype=torch.float64), residuals)

    scorer, rows = method.prepare(support), range(len(support.label_ids))
    found = scorer.classifier({"ridge": 0.1}).logits(queries[:2]).double()
    expected = torch.stack([regress(image, list(rows)) for image in queries[:2]])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    left_out = next(iter(scorer.leave_one_out_scores() or ())).scores.double()
    for row in (0, 7):
        others = regress(support.embeddings[row], [other for other in rows if other != row])
        torch.testing.assert_close(left_out[row], others, atol=1e-4, rtol=0)


def test_words_near_the_images_count_and_the_others_do_not() -> None:
    support = small_support()
    centre = class_means(support.embeddings, support)
    near = normalize(centre + 0.1 * unit(4, DIM, 8), dim=1)
    vocabulary = Vocabulary(torch.cat([WORDS, near]))
    weights = vocabulary.weights(support)
    assert float(weights.sum()) == pytest.approx(1.0)
    assert float(weights[-4:].sum()) > 0.5, "four words among sixty are what the images show"
    assert vocabulary.fit_metric(support, share=0.0) is vocabulary.generic
    kept = vocabulary.nearest(support, count=4)
    torch.testing.assert_close(kept.texts, near)


def test_the_weights_of_a_pool_are_the_minimum_of_their_loss() -> None:
    _, labels = clustered(4, 10, 3)
    generator = torch.Generator().manual_seed(1)
    truth = one_hot(labels, 4).float()
    scores = [truth + noise * torch.randn(40, 4, generator=generator) for noise in (0.5, 0.8, 5.0)]

    def loss(weights):
        logits = sum(w * s for w, s in zip(weights, scores, strict=True)).double()
        pull = sum((w - TOTAL / 3) ** 2 for w in weights) * RIDGE / 2
        return float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum")) + pull

    found = fit_weights(scores, labels).tolist()
    slow = minimize(loss, [1.0] * 3, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 5000})
    assert loss(found) <= slow.fun + 1e-5
    assert found[2] < 0.2 * min(found[:2]), "an expert of noise is hardly heard"


@pytest.mark.parametrize(("each", "source"), [(1, "default"), (2, "leave_one_out"), (3, "leave_one_out")])
def test_the_pool_chooses_on_what_there_is(each: int, source: str) -> None:
    support, (queries, truth) = small_support(each=each), clustered(4, 25, 9)
    (planned,) = plan_methods(["text_pool"], WORDS, zero_shot=None).values()
    selected = Fitted.fit(planned.method, support).select(None)
    assert selected.choice.source == source
    shares = [value for name, value in selected.choice.settings.items() if name.endswith(".shrinkage")]
    assert (1.0 in shares) == (each == 1), "folds of one image have no covariance, the whole support has"
    logits = selected.classifier.logits(queries)
    assert float((logits.argmax(1) == truth).double().mean()) > 0.5
    again = restore_classifier(selected.classifier.state())
    assert torch.equal(again.logits(queries), logits)
    checked = Fitted.fit(planned.method, support).select(Validation(queries, truth))
    probabilities = torch.softmax(checked.classifier.logits(queries), dim=1)
    mean_confidence, accuracy = probabilities.max(1).values.mean(), checked.choice.accuracy
    assert math.isclose(float(mean_confidence), float(accuracy or 0), abs_tol=0.1), "what is fitted is calibrated"


def test_where_nothing_can_be_chosen_zero_shot_logits_weigh_as_much_as_all_others() -> None:
    """With one image of each class and no validation image, its own weight times its own spread, and the others'."""
    zero_shot = LinearClassifier(unit(4, DIM, 3))
    (planned,) = plan_methods(["text_pool"], WORDS, zero_shot=zero_shot).values()
    selected = Fitted.fit(planned.method, small_support(each=1), zero_shot=zero_shot).select(None)
    weights = {name: value for name, value in selected.choice.settings.items() if name.endswith(".weight")}
    assert selected.choice.source == "default"
    assert weights.pop("zero_shot.weight") == pytest.approx(sum(weights.values()))
    assert len(set(weights.values())) == 1
    assert {"neighbour_ridge.weight", "pulled_lda.weight"} < weights.keys()


@pytest.mark.parametrize("method", ["task_discriminant", "text_bayes", "text_pool", "neighbour_distribution"])
def test_texts_that_are_all_equal_give_no_metric(method: str) -> None:
    same = unit(1, DIM, 3).repeat(5, 1)
    (planned,) = plan_methods([method], same, zero_shot=None).values()
    with pytest.raises(ConfigError, match="do not vary"):
        planned.method.prepare(small_support())
