"""Variants of the heuristic score: how the similarities of a class's texts become one number. All of them are ours.

Each changes one thing of the paper's score (the mean cosine of a class's descriptions and its best name) and keeps the
rest: which texts of a class count may be decided image by image (`top_m`, `softmax`), the similarity may be a negative
distance (`euclidean`, `mahalanobis`), the name may weigh more (`shrunk`). `second_round` is in a module of its own. The
constants are starting points and were tuned on nothing. Method names: `methods.VARIANTS`.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.coder.classifier import LOGIT_SCALE
from coder_core.coder.neighbours import NeighbourClassifier, Pooling, pad_columns
from coder_core.coder.vectors import check_text_embeddings
from coder_core.errors import ConfigError
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS
from coder_core.texts.text_layout import TextLayout

__all__ = ["build_euclidean", "build_mahalanobis", "build_shrunk", "build_softmax", "build_top_m"]

TOP_M = 3
"""Nearest texts of a class that count: about half of the six or so descriptions a class has."""

SHARPNESS = 20.0
"""Inverse temperature of the softmax over the texts of one class: 0.05 of cosine, about the spread within a class,
makes a text count e times as much."""

NAME_WEIGHT = 0.5
"""The name against all descriptions together; the paper's is 1 / (|A_c| + 1), about 0.14 with six."""

COVARIANCE_SHRINKAGE = 0.1
"""Share of the isotropic covariance: that of a few hundred texts in 512 dimensions has no inverse."""

EVEN = Pooling("softmax_mean", 0.0)
"""The paper's pool: the plain mean."""


def build_top_m(
    text_embeddings: Float[Tensor, "texts dim"],
    layout: TextLayout,
    *,
    logit_scale: float = LOGIT_SCALE,
    m: int = TOP_M,
) -> NeighbourClassifier:
    """Build the score in which only the m descriptive texts of a class nearest to the image count.

    Args:
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind.
        logit_scale: Factor from score to logit.
        m: At least 1; a class with fewer texts counts them all, so a large m is the paper's score.

    Raises:
        ConfigError: m is below 1.
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    if m < 1:
        raise ConfigError(f"m is {m}.", "variant top_m", "Let at least one text count.")
    return _build(text_embeddings, layout, logit_scale=logit_scale, pooling=Pooling("mean_of_best", float(m)))


def build_softmax(
    text_embeddings: Float[Tensor, "texts dim"],
    layout: TextLayout,
    *,
    logit_scale: float = LOGIT_SCALE,
    sharpness: float = SHARPNESS,
) -> NeighbourClassifier:
    """Build the score in which a class's descriptive texts count the more, the nearer they are to the image.

    Args:
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind.
        logit_scale: Factor from score to logit.
        sharpness: Weights are the softmax of `sharpness * cosine` within a class: 0 is the paper's score, a large one
            leaves the nearest text alone.

    Raises:
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    return _build(text_embeddings, layout, logit_scale=logit_scale, pooling=Pooling("softmax_mean", float(sharpness)))


def build_euclidean(
    text_embeddings: Float[Tensor, "texts dim"], layout: TextLayout, *, logit_scale: float = LOGIT_SCALE
) -> NeighbourClassifier:
    """Build the score with the negative Euclidean distance as similarity.

    Of unit vectors it is -sqrt(2 - 2 cosine): one text is ranked as by the cosine, the mean over several is not.

    Args:
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind.
        logit_scale: Factor from score to logit.

    Raises:
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    return _build(text_embeddings, layout, logit_scale=logit_scale, is_distance=True)


def build_mahalanobis(
    text_embeddings: Float[Tensor, "texts dim"],
    layout: TextLayout,
    *,
    logit_scale: float = LOGIT_SCALE,
    shrinkage: float = COVARIANCE_SHRINKAGE,
) -> NeighbourClassifier:
    """Build the score with the negative Mahalanobis distance under the covariance of the texts as similarity.

    Args:
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind.
        logit_scale: Factor from score to logit.
        shrinkage: Share of the isotropic covariance in (0, 1]; 1 is the Euclidean distance.

    Raises:
        ConfigError: The shrinkage is not in (0, 1].
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    if not 0 < shrinkage <= 1:
        raise ConfigError(f"the shrinkage is {shrinkage}.", "variant mahalanobis", "Give a share above 0, at most 1.")
    check_text_embeddings(text_embeddings, layout)
    columns = np.unique(layout.segments((*NAMING_KINDS, *DESCRIPTIVE_KINDS)).columns)
    neighbours = text_embeddings[torch.from_numpy(columns).to(text_embeddings.device)]
    whitening = _whitening_of(neighbours, shrinkage)
    return _build(text_embeddings, layout, logit_scale=logit_scale, is_distance=True, whitening=whitening)


def build_shrunk(
    text_embeddings: Float[Tensor, "texts dim"],
    layout: TextLayout,
    *,
    logit_scale: float = LOGIT_SCALE,
    name_weight: float = NAME_WEIGHT,
) -> NeighbourClassifier:
    """Build the score that is shrunk towards the name, by the same share whatever the number of descriptions.

    Args:
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind.
        logit_scale: Factor from score to logit.
        name_weight: Share of the best naming similarity in [0, 1]: 1 is the name alone, 0 the descriptions alone.

    Raises:
        ConfigError: The share is not in [0, 1].
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    if not 0 <= name_weight <= 1:
        raise ConfigError(f"the name's weight is {name_weight}.", "variant shrunk", "Give a share from 0 to 1.")
    return _build(text_embeddings, layout, logit_scale=logit_scale, name_weight=name_weight)


def _build(
    text_embeddings: Float[Tensor, "texts dim"],
    layout: TextLayout,
    *,
    logit_scale: float,
    pooling: Pooling = EVEN,
    whitening: Float[Tensor, "dim dim"] | None = None,
    is_distance: bool = False,
    name_weight: float | None = None,
) -> NeighbourClassifier:
    check_text_embeddings(text_embeddings, layout)
    texts = text_embeddings.float()
    return NeighbourClassifier(
        texts=texts if whitening is None else texts @ whitening,
        descriptive=pad_columns(layout.segments(DESCRIPTIVE_KINDS), absent=layout.text_count).to(texts.device),
        naming=pad_columns(layout.segments(NAMING_KINDS), absent=layout.text_count).to(texts.device),
        pooling=pooling,
        whitening=whitening,
        is_distance=is_distance,
        name_weight=name_weight,
        logit_scale=logit_scale,
    )


def _whitening_of(text_embeddings: Float[Tensor, "texts dim"], shrinkage: float) -> Float[Tensor, "dim dim"]:
    """Invert the square root of the shrunk text covariance; scaled so that an isotropic one is left alone."""
    rows = text_embeddings.cpu().double()
    centred = rows - rows.mean(dim=0)
    covariance = centred.T @ centred / len(rows)
    scale = float(covariance.trace()) / len(covariance)
    identity = torch.eye(len(covariance), dtype=torch.float64)
    shrunk = (1 - shrinkage) * covariance / scale + shrinkage * identity if scale > 0 else identity
    values, vectors = torch.linalg.eigh(shrunk)
    whitening: Tensor = vectors * values.rsqrt() @ vectors.T
    return whitening.float().to(text_embeddings.device)
