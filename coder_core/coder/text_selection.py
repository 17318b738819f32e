"""Text selection: of the descriptions of a class, those that tell it from its neighbours. Ours.

A description that fits five classes pulls all five towards the same images. How far a text `t` of class `c` speaks of
its own class is read off the encoder's space:

    s(t) = log softmax_c( sharpness * cos(t', u_c) ),       u_c: where class c is

both around their own mean (the modality gap and the common sentence are no meaning), of unit length. `u_c` is the mean
of the class's texts (`coder_selected`, which reads no image) or of its support images (`few_shot.text_choice`). Of
every class the best `kept` of its descriptions stay; names always do. On the demonstration that loses 1.7 points
against all texts (docs/method-variants.md): a text that tells little still tells something.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor
from torch.nn.functional import normalize

from coder_core.coder.classifier import LOGIT_SCALE
from coder_core.coder.heuristic import FoldedClassifier, fold_classifier
from coder_core.coder.vectors import check_text_embeddings, segment_sums
from coder_core.errors import ConfigError
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS, TextKind
from coder_core.texts.text_layout import Segments, TextLayout

__all__ = ["KEPT", "build_selected", "select_texts"]

KEPT = 0.75
"""Share of a class's descriptions that stay."""

SHARPNESS = 20.0
"""As in `variants`: 0.05 of cosine counts e times as much."""


def build_selected(
    text_embeddings: Float[Tensor, "texts dim"], layout: TextLayout, *, logit_scale: float = LOGIT_SCALE
) -> FoldedClassifier:
    """Build CODER on the texts that `select_texts` keeps; see `fold_classifier`.

    Args:
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind.
        logit_scale: Factor from score to logit.

    Raises:
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    return fold_classifier(text_embeddings, select_texts(text_embeddings, layout), logit_scale=logit_scale)


def select_texts(
    text_embeddings: Float[Tensor, "texts dim"],
    layout: TextLayout,
    *,
    kept: float = KEPT,
    class_places: Float[Tensor, "classes dim"] | None = None,
) -> TextLayout:
    """Keep the descriptions that tell their class from the others.

    Args:
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind.
        kept: Share of every class's descriptions that stays, in [0, 1], rounded up; of equals the first.
        class_places: Where the classes are, of any length; default: the mean of their texts.

    Returns:
        The same layout with fewer columns in use; numbers of texts, names and pairs stay as they are.

    Raises:
        ConfigError: The share is not in [0, 1].
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    if not 0 <= kept <= 1:
        raise ConfigError(f"the share of texts is {kept}.", "text selection", "Give one in [0, 1].")
    check_text_embeddings(text_embeddings, layout)
    entries = layout.segments(DESCRIPTIVE_KINDS)
    scores = _scores(text_embeddings, layout, entries, class_places)
    stays = np.zeros(len(entries.columns), dtype=bool)
    for start, end in zip(entries.offsets[:-1].tolist(), entries.offsets[1:].tolist(), strict=True):
        count = int(np.ceil(kept * (end - start)))
        stays[start + np.argsort(-scores[start:end], kind="stable")[:count]] = True
    return replace(layout, by_kind={**layout.by_kind, **_thinned(layout, stays)})


def _scores(
    text_embeddings: Float[Tensor, "texts dim"],
    layout: TextLayout,
    entries: Segments,
    class_places: Float[Tensor, "classes dim"] | None,
) -> Float64[np.ndarray, " entries"]:
    """How far every description speaks of its own class."""
    everything = layout.segments((*NAMING_KINDS, *DESCRIPTIVE_KINDS))
    texts = text_embeddings.cpu().double()
    mean = texts[torch.from_numpy(np.unique(everything.columns))].mean(dim=0)
    if class_places is None:
        sums = segment_sums(text_embeddings, everything).double()
        centres = normalize(sums / torch.from_numpy(everything.counts).double().unsqueeze(1) - mean, dim=1)
    else:
        places = class_places.cpu().double()
        centres = normalize(places - places.mean(dim=0), dim=1)
    own = normalize(texts[torch.from_numpy(entries.columns)] - mean, dim=1)
    scores = torch.log_softmax(SHARPNESS * own @ centres.T, dim=1)
    found = scores.gather(1, torch.from_numpy(entries.class_ids).unsqueeze(1)).squeeze(1)
    return np.asarray(found.numpy(), dtype=np.float64)


def _thinned(layout: TextLayout, stays: Bool[np.ndarray, " entries"]) -> dict[TextKind, Segments]:
    """The descriptive kinds without what does not stay; `stays` goes class by class, in each kind by kind."""
    counts = [np.diff(layout.by_kind[kind].offsets) for kind in DESCRIPTIVE_KINDS]
    kinds = np.tile(np.arange(len(counts)), layout.class_count)
    kind_of = np.repeat(kinds, np.stack(counts, axis=1).reshape(-1))
    class_of = np.repeat(np.arange(layout.class_count), np.sum(counts, axis=0))
    found: dict[TextKind, Segments] = {}
    for place, kind in enumerate(DESCRIPTIVE_KINDS):
        own = stays[kind_of == place]
        sizes = np.bincount(class_of[kind_of == place][own], minlength=layout.class_count)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        found[kind] = Segments(layout.by_kind[kind].columns[own], offsets)
    return found
