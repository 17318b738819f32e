"""Let a batch of images, without labels, move an exported classifier, by what the folder holds alone.

The places of the class texts are those of the exported texts, or of a classifier that is one vector per class. A
classifier without either (few-shot, or exported with `--no-texts`) adapts with its run, where its support images are.
"""

from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from coder_core.classifiers import TemperedClassifier, TransductiveClassifier
from coder_core.coder.classifier import Classifier, LinearClassifier
from coder_core.coder.vectors import normalise, segment_sums
from coder_core.errors import ConfigError
from coder_core.few_shot.text_metric import MetricSpace, fit_metric
from coder_core.method_texts import METHOD_KINDS
from coder_core.portable.card import ClassifierCard
from coder_core.portable.text_explanation import texts_of
from coder_core.transduction.batch_evidence import BatchKind
from coder_core.transduction.fit_batch import METRIC_LEVEL, TEXTS_PER_DIMENSION, fit_batch
from coder_core.transduction.image_batch import in_parts


class AdaptedClassifier(NamedTuple):
    """A classifier that a batch has moved, and what the batch was taken for."""

    classifier: Classifier
    batch: str
    reason: str
    has_moved: bool


def adapt_to(
    folder: Path, card: ClassifierCard, classifier: Classifier, images: Float[Tensor, "images dim"]
) -> AdaptedClassifier:
    """Fit the batch discriminant on top of an exported classifier.

    Args:
        folder: Of the classifier.
        card: Its card.
        classifier: What it is.
        images: L2-normalised rows: the whole batch.

    Raises:
        ConfigError: It has learnt from a batch already, or the places of its class texts are not known.
    """
    texts, space = _places(folder, card, classifier)
    found = fit_batch(in_parts(images), classifier, class_texts=texts, space=space)
    return AdaptedClassifier(found.classifier, str(found.kind), found.reason, found.kind is not BatchKind.NOTHING)


def _places(
    folder: Path, card: ClassifierCard, classifier: Classifier
) -> tuple[Float[Tensor, "classes dim"], MetricSpace | None]:
    """One vector per class, and the metric of all texts where they are enough."""
    inner = classifier.inner if isinstance(classifier, TemperedClassifier) else classifier
    if isinstance(inner, TransductiveClassifier):
        raise ConfigError(
            f"{card.method} cannot adapt: a batch has moved it already.", str(folder), "Export its stage 1."
        )
    method = card.method.removesuffix("_calibrated")
    if card.texts and method in METHOD_KINDS:
        vectors, layout = texts_of(folder, card)
        places = normalise(segment_sums(vectors.float(), layout.segments(METHOD_KINDS[method])).float())
        is_enough = len(vectors) >= TEXTS_PER_DIMENSION * vectors.shape[1]
        return places, fit_metric(vectors.float()).saturating(METRIC_LEVEL) if is_enough else None
    if isinstance(inner, LinearClassifier):
        return normalise(inner.weights.float()), None
    raise ConfigError(
        f"{card.method} cannot adapt: the folder does not hold where its classes' texts lie.",
        str(folder),
        "Adapt with the run (coder-eval predict RUN IMAGES --adapt), or export clip, vcd or coder with texts.",
    )
