"""The zero-shot methods by name: how the classifier of each is built.

This is the one place that knows both CODER and the baselines; neither knows this file, and the baselines only use
CODER's building blocks. A new method is one line here and one in `method_texts`; a variant of CODER's score, which is
ours and no part of the method, stands in `VARIANTS`. Both are built and used alike.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from coder_core.baselines.clip import build_clip, build_clip_ensemble
from coder_core.baselines.vcd import build_vcd
from coder_core.coder.classifier import LOGIT_SCALE, Classifier
from coder_core.coder.heuristic import fold_classifier
from coder_core.coder.second_round import build_second_round
from coder_core.coder.text_selection import build_selected
from coder_core.coder.variants import build_euclidean, build_mahalanobis, build_shrunk, build_softmax, build_top_m
from coder_core.method_texts import kinds_of_method
from coder_core.texts.text_layout import TextLayout

__all__ = ["METHODS", "VARIANTS", "Builder", "build_classifier"]


@runtime_checkable
class Builder(Protocol):
    """Builds a classifier from texts alone."""

    def __call__(
        self, text_embeddings: Float[Tensor, "texts dim"], layout: TextLayout, *, logit_scale: float
    ) -> Classifier:
        """Build the classifier."""
        ...


METHODS: Mapping[str, Builder] = {
    "clip": build_clip,
    "clip_ensemble": build_clip_ensemble,
    "vcd": build_vcd,
    "coder": fold_classifier,
}

VARIANTS: Mapping[str, Builder] = {
    "coder_top_m": build_top_m,
    "coder_softmax": build_softmax,
    "coder_euclidean": build_euclidean,
    "coder_mahalanobis": build_mahalanobis,
    "coder_shrunk": build_shrunk,
    "coder_second_round": build_second_round,
    "coder_selected": build_selected,
}
"""CODER's score with one thing changed (see `coder.variants`); `coder` itself is the default."""


def build_classifier(
    method: str,
    text_embeddings: Float[Tensor, "texts dim"],
    layout: TextLayout,
    *,
    logit_scale: float = LOGIT_SCALE,
) -> Classifier:
    """Build the classifier of a method.

    Args:
        method: A key of `METHODS` or `VARIANTS`.
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind.
        logit_scale: Factor from similarity to logit.

    Raises:
        ConfigError: Unknown method, or the layout lacks a kind of text that the method cannot do without.
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    kinds_of_method(method)
    build = METHODS.get(method) or VARIANTS[method]
    return build(text_embeddings, layout, logit_scale=logit_scale)
