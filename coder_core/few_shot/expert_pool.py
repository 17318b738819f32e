"""Several few-shot methods as one: each is an expert, and their scores are added with weights that fit the images.

    logits(x) = sum over experts of weight_e * score_e(x) / scale_e

The experts' own settings and the weights are chosen by log-likelihood: on validation images, or on the support itself,
fold by fold, by fits that have not seen it (`left_out`). The weights are 0 or more and minimise

    sum over images of -log softmax(logits)[label] + ridge / 2 * |weights - even|^2

which is convex. A log-likelihood tells apart what an accuracy of a few hundred images cannot, and what comes out is
calibrated on the images it was fitted on: `scale` brings every expert's scores to a spread of 1 over the classes, and
the size of the weights is the temperature. Zero-shot logits, where there are any, are one more expert. Ours; a
logarithmic opinion pool (Genest & Zidek, Statistical Science 1986).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from coder_core.classifiers import PooledClassifier
from coder_core.coder.classifier import Classifier
from coder_core.few_shot.examples import Support, Validation
from coder_core.few_shot.fitting import Scorer, Selected
from coder_core.few_shot.left_out import FittedFold, fit_folds, left_out_scores, split_folds
from coder_core.few_shot.search import Choice, Scored, Settings
from coder_core.loops import each

__all__ = ["ExpertPool", "fit_weights", "least_loss"]

RIDGE = 0.1
"""In nats: pulls hardly at all where hundreds of images speak, and keeps the weights in place where a handful do."""

TOTAL = 3.0
"""Sum of even weights: with one class ahead of all by a spread or two, as scores of a few images per class are."""

SHARPNESSES = tuple(2 ** (step / 2 - 1) for step in range(11))
"""0.5 to 16: factors of standardised scores under which an expert's settings are compared."""

SHRINKAGE = "shrinkage"
"""The setting that a support of one image per class leaves open."""

VALUES_AT_MOST = 20_000_000
"""Images x classes that settings and weights are fitted on; of more images, evenly spaced ones are taken."""

ZERO_SHOT = "zero_shot"
"""What the zero-shot logits are called among the experts."""

Scores = Float[Tensor, "images classes"]


@dataclass(frozen=True, eq=False)
class ExpertPool:
    """The method, before it has seen an image.

    Args:
        build: Gives the experts, by name, a support set.
    """

    build: Callable[[Support], Mapping[str, Scorer]]

    def prepare(self, support: Support) -> "PoolScorer":
        """Give every expert the support."""
        return PoolScorer(self.build, support)


class _Best(NamedTuple):
    """An expert under its best settings: standardised scores of the images that the weights are fitted on."""

    settings: Settings
    scores: Scores
    scale: float
    tried: int


class _Evidence(NamedTuple):
    """Images that settings and weights are chosen on, and what every expert says of them under each of its settings."""

    embeddings: Float[Tensor, "images dim"]
    label_ids: Int[Tensor, " images"]
    candidates: Mapping[str, Iterable[Scored]]
    source: str
    folds: Sequence[FittedFold] = ()


class PoolScorer:
    """Experts that have their support. It chooses for itself: `Fitted.select` hands over to `select`."""

    def __init__(self, build: Callable[[Support], Mapping[str, Scorer]], support: Support) -> None:
        self._build = build
        self._experts = build(support)
        self._support = support

    def select(self, validation: Validation | None, zero_shot: Classifier | None) -> Selected:
        """Choose the experts' settings, and fit the weights.

        Args:
            validation: Images to choose on; without any the support itself, in folds that are left out (`left_out`);
                where a class has a single image, stated settings and weights.
            zero_shot: One more expert; None for images alone.
        """
        if validation is not None:
            return self._choose(self._validated(validation), zero_shot)
        if int(self._support.counts.min()) < 2:
            return self._even(zero_shot)
        return self._choose(self._left_out(), zero_shot)

    def _choose(self, evidence: _Evidence, zero_shot: Classifier | None) -> Selected:
        kept = _evenly(len(evidence.label_ids), self._support.class_count)
        labels = evidence.label_ids[kept]
        best = {name: _best_of(found, labels, kept) for name, found in each(evidence.candidates.items())}
        if zero_shot is not None:
            best[ZERO_SHOT] = _best_of([Scored({}, zero_shot.logits(evidence.embeddings))], labels, kept)
        weights = fit_weights([found.scores for found in best.values()], labels)
        if evidence.folds:
            best |= {name: self._of_all(name, best[name], evidence.folds) for name in self._experts}
        return self._selected(best, weights, zero_shot, labels, evidence.source)

    def _validated(self, validation: Validation) -> _Evidence:
        found = {name: expert.scored(validation.embeddings) for name, expert in self._experts.items()}
        return _Evidence(validation.embeddings, validation.label_ids, found, "validation")

    def _left_out(self) -> _Evidence:
        """The support, in folds of every class."""
        support = self._support
        folds = split_folds(support)
        fitted = fit_folds(support, folds, self._build)
        rows = torch.cat([fold.left_out for fold in folds])
        found = left_out_scores(fitted)
        return _Evidence(support.embeddings[rows], support.label_ids[rows], found, "leave_one_out", fitted)

    def _of_all(self, name: str, found: _Best, folds: Sequence[FittedFold]) -> _Best:
        """The settings and the scale of a fit of all images, where they were chosen on fits of fewer.

        Fits of one image of each class have no covariance to shrink: then it is the share stated for the whole support.
        Scales are to each other as spreads over the other classes are, of the images that were fitted on.
        """
        expert, settings = self._experts[name], found.settings
        spreads = [_fitted_spread(fold.experts[name].classifier(settings), fold.part) for fold in folds]
        if settings.get(SHRINKAGE) == 1.0:
            settings = {**settings, SHRINKAGE: expert.default[SHRINKAGE]}
        grown = _fitted_spread(expert.classifier(settings), self._support) * len(spreads) / sum(spreads)
        return found._replace(settings=settings, scale=found.scale * grown)

    def _even(self, zero_shot: Classifier | None) -> Selected:
        """Every expert under its stated settings; spreads are those of the other classes' scores.

        All are of one weight, but zero-shot logits of as much as all others together: what one image of each class says
        is worth about as much (development seeds).
        """
        scorers = {name: (expert.default, expert.classifier(expert.default)) for name, expert in self._experts.items()}
        if zero_shot is not None:
            scorers[ZERO_SHOT] = ({}, zero_shot)
        best = {}
        for name, (settings, classifier) in each(scorers.items()):
            best[name] = _Best(settings, torch.empty(0, 0), _fitted_spread(classifier, self._support), 0)
        weights = torch.full((len(best),), TOTAL / len(best), dtype=torch.float64)
        if zero_shot is not None:
            weights = torch.full((len(best),), TOTAL / 2 / len(self._experts), dtype=torch.float64)
            weights[-1] = TOTAL / 2
        return self._selected(best, weights, zero_shot, None, "default")

    def _selected(
        self,
        best: Mapping[str, _Best],
        weights: Float64[Tensor, " experts"],
        zero_shot: Classifier | None,
        labels: Int[Tensor, " images"] | None,
        source: str,
    ) -> Selected:
        """Put the pool together, and note down what was chosen."""
        settings: dict[str, float] = {}
        pooled: Classifier | None = None
        for (name, found), weight in zip(best.items(), weights.tolist(), strict=True):
            settings |= {f"{name}.{key}": value for key, value in found.settings.items() if key != "weight"}
            settings[f"{name}.weight"] = weight
            if weight > 0:
                expert = zero_shot if name == ZERO_SHOT else None
                expert = expert or self._experts[name].classifier(found.settings)
                pooled = PooledClassifier(expert, weight / found.scale, pooled)
        if pooled is None:
            name, found = next(iter(best.items()))
            pooled = PooledClassifier(self._experts[name].classifier(found.settings), 1 / found.scale, None)
        if labels is None:
            return Selected(pooled, Choice(settings, source, 0, None))
        logits = sum(weight * found.scores for weight, found in zip(weights, best.values(), strict=True))
        accuracy = float((logits.argmax(dim=1) == labels).double().mean())
        tried = np.full((sum(found.tried for found in best.values()), 1), np.nan)
        return Selected(pooled, Choice(settings, source, len(labels), accuracy, (), tried))


def least_loss(scores: Scores, label_ids: Int[Tensor, " images"]) -> float:
    """The mean negative log-likelihood, in nats, of `softmax(sharpness * scores)` under the best of `SHARPNESSES`."""
    own = scores.gather(1, label_ids.unsqueeze(1))
    apart = scores - own
    losses = [float(torch.logsumexp(sharpness * apart, dim=1).mean()) for sharpness in each(SHARPNESSES)]
    return min(losses)


def fit_weights(
    scores: Sequence[Scores], label_ids: Int[Tensor, " images"], *, ridge: float = RIDGE
) -> Float64[Tensor, " experts"]:
    """Fit the weights of a pool.

    Args:
        scores: Of every expert, standardised, of the same images.
        label_ids: The images' classes, at least one image.
        ridge: Pull towards even weights, in nats; above 0, so that the minimum is one point.

    Returns:
        Weights, each 0 or more.
    """
    from scipy.optimize import minimize  # here: it costs every command 0.3 s of loading

    own = label_ids.unsqueeze(1)
    apart = [found - found.gather(1, own) for found in scores]
    even = np.full(len(apart), TOTAL / len(apart))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = sum(weight * found for weight, found in zip(weights.tolist(), apart, strict=True))
        losses = torch.logsumexp(logits, dim=1, keepdim=True)
        shares = torch.exp(logits - losses)
        slopes = np.array([float((shares * found).sum(dtype=torch.float64)) for found in each(apart)])
        pull = weights - even
        return float(losses.sum(dtype=torch.float64) + ridge / 2 * pull @ pull), slopes + ridge * pull

    bounds = [(0, None)] * len(apart)
    found = minimize(loss, even, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 100})
    return torch.from_numpy(np.maximum(found.x, 0.0))


def _best_of(candidates: Iterable[Scored], label_ids: Int[Tensor, " images"], kept: Tensor) -> _Best:
    """The settings of the least loss, the first of equals."""
    best: _Best | None = None
    least, tried = float("inf"), 0
    for settings, scores in each(_of_images(candidates, kept)):
        tried += 1
        scale = _spread(scores)
        scores = scores / scale
        loss = least_loss(scores, label_ids)
        if best is None or loss < least:
            best, least = _Best(settings, scores, scale, 0), loss
    assert best is not None  # noqa: S101 - every scorer has settings
    return best._replace(tried=tried)


def _of_images(candidates: Iterable[Scored], kept: Tensor) -> Iterator[Scored]:
    for settings, scores in candidates:
        yield Scored(settings, scores[kept].float())


def _spread(scores: Scores) -> float:
    """Mean over images of the standard deviation over classes, NaN not counted; 1 where scores do not differ."""
    known = ~scores.isnan()
    count = known.sum(dim=1).clamp(min=1)
    apart = scores.nan_to_num() - (scores.nan_to_num().sum(dim=1) / count).unsqueeze(1)
    spread = float(((apart.square() * known).sum(dim=1) / count).sqrt().mean())
    return spread if spread > torch.finfo(torch.float32).tiny else 1.0


def _fitted_spread(classifier: Classifier, support: Support) -> float:
    """`_spread` of what was fitted on, without an image's own class."""
    scores = classifier.logits(support.embeddings)
    return _spread(scores.scatter(1, support.label_ids.unsqueeze(1), torch.nan))


def _evenly(count: int, class_count: int) -> Int[Tensor, " kept"]:
    """Rows of images to fit on: all, or evenly spaced ones where they are too many."""
    step = max(1, -(-count * class_count // VALUES_AT_MOST))
    return torch.arange(0, count, step)
