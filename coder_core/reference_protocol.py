"""The released code's behaviour, for comparison only: the ONE module where it may live.

Everything here reads what honest prediction code cannot see, and marks what it makes `protocol="reference"`; nothing
else in the project imports from here but the step that reranks under `protocol: reference`. Source: the code released
with Yi et al., CVPR 2024 (github.com/YCaigogogo/CVPR24-CODER, commit 89a6400, `classify_zero_shot.py`, `utils.py`).

What is reproduced: its rerank touches an image only where the TRUE label is among the five best. Test labels steer the
predictions, and with them confusions and per-class precision. Top-1 accuracy, at the same threshold, is nevertheless
that of the honest rerank: where the truth is not among the five, no order of the five is right. So the released numbers
are off by their thresholds (one per data set, from nowhere), not by this; a test holds that as an invariant.

What needs no reproduction, because the honest rerank does the same: a pair without texts in both directions contributes
0 (there by a bare `except`, here counted), and ties keep the order of stage 1.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.classifiers import RerankClassifier
from coder_core.coder.classifier import Classifier
from coder_core.coder.pairs import CANDIDATES
from coder_core.coder.ranking import is_gated
from coder_core.coder.reranking import FoldedPairs, rerank
from coder_core.errors import ConfigError
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.predicting import build_predictions, reorder_predictions
from coder_core.evaluation.predictions import REFERENCE, RERANK_METHOD, STAGE1_METHOD, Predictions

__all__ = ["REFERENCE", "REFERENCE_THRESHOLDS", "predict_as_released", "rerank_as_released"]

REFERENCE_THRESHOLDS: Mapping[str, float] = {
    "imagenet": 0.1,
    "imagenet_v2": 0.05,
    "places365": 0.1,
    "caltech101": 0.3,
    "dtd": 0.6,
    "cub200": 0.2,
    "eurosat": 0.3,
    "food101": 0.1,
    "oxford_pets": 0.1,
}
"""The gate's threshold per data set, set by hand in the released code (`get_thres`); it gives no source for them."""


def rerank_as_released(
    stage1: Predictions,
    image_embeddings: Float[Tensor, "images dim"],
    pairs: FoldedPairs,
    labels: LabelTable,
    *,
    threshold: float,
    candidates: int = CANDIDATES,
) -> Predictions:
    """Rerank only gated images whose true class is among the five best, as the released code does.

    Args:
        stage1: CODER's predictions.
        image_embeddings: L2-normalised rows, one per prediction, in the same order.
        pairs: Made by `fold_pairs`.
        labels: The true classes, TEST labels included: this is what the protocol does wrong.
        threshold: The gate's threshold; `REFERENCE_THRESHOLDS` has the released values.
        candidates: How many of the best compete (released: five).

    Returns:
        As `rerank_predictions`, marked `protocol="reference"`.

    Raises:
        ConfigError: The threshold is negative.
        DatasetError: A predicted image has no label.
    """
    truth = torch.tensor(labels.align(stage1)).unsqueeze(1)
    top_ids = torch.from_numpy(stage1.top_ids)
    is_within_reach = (top_ids[:, :candidates] == truth).any(dim=1)
    gated = is_gated(torch.from_numpy(stage1.top_probabilities), threshold=threshold) & is_within_reach
    device = image_embeddings.device
    reranked = rerank(image_embeddings, top_ids.to(device), gated.to(device), pairs, candidates=candidates)
    return reorder_predictions(stage1, reranked, method=RERANK_METHOD, protocol=REFERENCE)


def predict_as_released(
    classifier: Classifier, image_embeddings: Float[Tensor, "images dim"], image_ids: Sequence[str], labels: LabelTable
) -> Predictions:
    """Predict by the first stage of a `RerankClassifier` and rerank as the released code does.

    Args:
        classifier: CODER*.
        image_embeddings: L2-normalised rows.
        image_ids: One per row.
        labels: Test labels included, see `rerank_as_released`.

    Raises:
        ConfigError: The classifier has no second stage.
    """
    if not isinstance(classifier, RerankClassifier):
        raise ConfigError(f"a {classifier.kind} classifier has no second stage.", "protocol", "Use coder_rerank.")
    logits = classifier.stage1.logits(image_embeddings)
    stage1 = build_predictions(logits, image_ids, method=STAGE1_METHOD)
    return rerank_as_released(
        stage1,
        image_embeddings,
        classifier.pairs,
        labels,
        threshold=classifier.threshold,
        candidates=classifier.candidates,
    )
