"""Text ablation: what a class gains from more texts, and from each kind of text.

The paper claims that denser neighbours classify better. Here that is measured: random subsets of every class's
descriptions, by number and by kind, several draws each (`ablation_plan`), from the text embeddings at hand. The score
is linear in the image, so the classifier of a subset is folded once, before any image is read, and all of them score
each chunk of images while it is in memory. Ours.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int64
from torch import Tensor

from coder_core.coder.classifier import LOGIT_SCALE
from coder_core.coder.heuristic import FoldedClassifier, fold_classifier
from coder_core.coder.pairs import CANDIDATES
from coder_core.coder.ranking import DEFAULT_THRESHOLD, is_gated, predict_topk, probabilities_of
from coder_core.coder.reranking import FoldedPairs, fold_pairs, rerank
from coder_core.errors import DatasetError
from coder_core.evaluation.ablation_plan import AblationSetting, sample_layout
from coder_core.evaluation.intervals import wilson_interval
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.predictions import STORED_CLASSES
from coder_core.loops import each
from coder_core.results.schema import AblationRow
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, TextKind
from coder_core.texts.text_layout import TextLayout

__all__ = ["ImageChunk", "ablate"]

ImageChunk = tuple[Sequence[str], Tensor]
"""Image ids and their `(images, dim)` L2-normalised embeddings."""


def ablate(
    chunks: Iterable[ImageChunk],
    text_embeddings: Float[Tensor, "texts dim"],
    layout: TextLayout,
    *,
    labels: LabelTable,
    settings: Sequence[AblationSetting],
    seed: int = 0,
    threshold: float = DEFAULT_THRESHOLD,
    candidates: int = CANDIDATES,
    logit_scale: float = LOGIT_SCALE,
) -> list[AblationRow]:
    """Classify a data set from every subset of texts.

    Args:
        chunks: Image ids and embeddings, one chunk at a time; read once.
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Of all texts.
        labels: The true classes of all images.
        settings: The subsets; made by `plan_ablation`.
        seed: Decides the random subsets.
        threshold: The rerank's gate, for settings with one-to-one texts.
        candidates: How many of the best classes compete in it.
        logit_scale: Factor from score to logit; matters to the gate only.

    Returns:
        One row per setting, in order. Memory is one classifier per setting, and one chunk's logits.

    Raises:
        DatasetError: There is no image, one has no label, or a label is no class of the layout.
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    second_look = _SecondLook(fold_pairs(text_embeddings, layout), threshold, candidates)
    layouts = [sample_layout(layout, setting, seed=seed) for setting in each(settings)]
    classifiers = [fold_classifier(text_embeddings, part, logit_scale=logit_scale) for part in each(layouts)]
    sizes = np.zeros(layout.class_count, dtype=np.int64)
    hits = np.zeros((len(settings), 2, layout.class_count), dtype=np.int64)
    for image_ids, images in each(chunks):
        label_ids = _checked_labels(labels, image_ids, layout.class_count)
        sizes += np.bincount(label_ids, minlength=layout.class_count)
        for own_hits, setting, classifier in each(zip(hits, settings, classifiers, strict=True)):
            own_look = second_look if TextKind.ONE_TO_ONE in setting.kinds else None
            own_hits += _hits(_best_classes(images, classifier, own_look), label_ids, len(sizes))
    if not sizes.any():
        raise DatasetError("there are 0 images.", "ablation", "Classify at least one image.")
    return [_row(setting, part, own, sizes) for setting, part, own in zip(settings, layouts, hits, strict=True)]


class _SecondLook(NamedTuple):
    """What a rerank is made with."""

    pairs: FoldedPairs
    threshold: float
    candidates: int


def _best_classes(
    images: Float[Tensor, "images dim"], classifier: FoldedClassifier, second_look: _SecondLook | None
) -> Int[Tensor, "images best"]:
    logits = classifier.logits(images)
    top_ids = predict_topk(logits, STORED_CLASSES)
    if second_look is None:
        return top_ids
    gated = is_gated(probabilities_of(logits, top_ids), threshold=second_look.threshold)
    reranked = rerank(images, top_ids, gated, second_look.pairs, candidates=second_look.candidates)
    return top_ids.gather(1, reranked.order)


def _hits(
    top_ids: Int[Tensor, "images best"], label_ids: Int64[np.ndarray, " images"], class_count: int
) -> Int64[np.ndarray, "2 classes"]:
    """Count, by true class, the images whose best class is right, and those with the true class among the best."""
    is_hit = top_ids.cpu().numpy() == label_ids[:, None]
    found = (is_hit[:, 0], is_hit.any(axis=1))
    return np.stack([np.bincount(label_ids[mask], minlength=class_count) for mask in found])


def _checked_labels(labels: LabelTable, image_ids: Sequence[str], class_count: int) -> Int64[np.ndarray, " images"]:
    label_ids = labels.label_ids_of(image_ids)
    bad = np.flatnonzero((label_ids < 0) | (label_ids >= class_count))
    if len(bad):
        raise DatasetError(
            f"the label {int(label_ids[bad[0]])} is not in 0..{class_count - 1}.",
            f"image {image_ids[bad[0]]!r}",
            "Use the class list that the data set was labelled with.",
        )
    return label_ids


def _row(
    setting: AblationSetting,
    layout: TextLayout,
    hits: Int64[np.ndarray, "2 classes"],
    sizes: Int64[np.ndarray, " classes"],
) -> AblationRow:
    n, right, right5 = int(sizes.sum()), int(hits[0].sum()), int(hits[1].sum())
    has_images = sizes > 0
    return AblationRow(
        kinds="+".join(setting.kinds),
        texts_per_class=setting.texts_per_class,
        draw=setting.draw,
        mean_texts=float(layout.segments(DESCRIPTIVE_KINDS).counts.mean()),
        n=n,
        top1=right / n,
        ci_low=wilson_interval(right, n).low,
        ci_high=wilson_interval(right, n).high,
        top5=right5 / n,
        mean_per_class_accuracy=float((hits[0][has_images] / sizes[has_images]).mean()),
    )
