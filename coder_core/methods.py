"""The methods by name: which texts each needs and how its classifier is built.

This is the one place that knows both CODER and the baselines; neither knows this file, and the baselines only use
CODER's building blocks. A new zero-shot method is one line in `METHODS`; a variant of CODER's score, which is ours and
no part of the method, is one in `VARIANTS`. Both are built and used alike.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from jaxtyping import Float
from torch import Tensor

from coder_core.baselines.clip import build_clip, build_clip_ensemble
from coder_core.baselines.vcd import build_vcd
from coder_core.coder.classifier import LOGIT_SCALE, Classifier
from coder_core.coder.heuristic import fold_classifier
from coder_core.coder.second_round import build_second_round
from coder_core.coder.variants import build_euclidean, build_mahalanobis, build_shrunk, build_softmax, build_top_m
from coder_core.errors import ConfigError
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS, TextKind
from coder_core.texts.layout import TextLayout

__all__ = ["METHODS", "VARIANTS", "Builder", "Method", "build_classifier", "find_method", "kinds_of_methods"]


class Builder(Protocol):
    """Builds a classifier from texts alone."""

    def __call__(
        self, text_embeddings: Float[Tensor, "texts dim"], layout: TextLayout, *, logit_scale: float
    ) -> Classifier:
        """Build the classifier."""
        ...


class Method(NamedTuple):
    """One zero-shot method.

    Args:
        build: Its builder.
        kinds: The kinds of text that its score reads.
    """

    build: Builder
    kinds: tuple[TextKind, ...]


METHODS: Mapping[str, Method] = {
    "clip": Method(build_clip, (TextKind.CLASS_NAME,)),
    "clip_ensemble": Method(build_clip_ensemble, (TextKind.TEMPLATE,)),
    "vcd": Method(build_vcd, (TextKind.CLASS_NAME, TextKind.ATTRIBUTE)),
    "coder": Method(fold_classifier, (*NAMING_KINDS, *DESCRIPTIVE_KINDS)),
}

VARIANTS: Mapping[str, Method] = {
    name: Method(build, METHODS["coder"].kinds)
    for name, build in (
        ("coder_top_m", build_top_m),
        ("coder_softmax", build_softmax),
        ("coder_euclidean", build_euclidean),
        ("coder_mahalanobis", build_mahalanobis),
        ("coder_shrunk", build_shrunk),
        ("coder_second_round", build_second_round),
    )
}
"""CODER's score with one thing changed (see `coder.variants`); `coder` itself is the default."""


def find_method(name: str) -> Method:
    """Look a method or a variant up by name.

    Raises:
        ConfigError: There is no such method; names the nearest one and all there are.
    """
    known = {**METHODS, **VARIANTS}
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise ConfigError(f"unknown method {name!r}.", "methods", f"{hint}There are: {', '.join(known)}.")


def kinds_of_methods(names: Iterable[str]) -> tuple[TextKind, ...]:
    """Collect the kinds of text that several methods need, in the order of `TextKind`."""
    needed = frozenset(kind for name in names for kind in find_method(name).kinds)
    return tuple(kind for kind in TextKind if kind in needed)


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
    return find_method(method).build(text_embeddings, layout, logit_scale=logit_scale)
