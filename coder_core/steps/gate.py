"""Step 8c, where the spec asks for it: the gate's threshold, chosen on a validation data set.

The validation images go the way of the test images (embeddings, CODER, a rerank of every one of them); then a grid of
thresholds is a grid of comparisons. The choice and the whole search are recorded with the result.
"""

from collections.abc import Sequence

from coder_core.errors import DatasetError, LabelLeakError
from coder_core.evaluation.predictions import RERANK_METHOD
from coder_core.evaluation.threshold import GATE_ALL, choose_threshold
from coder_core.specs import Runtime
from coder_core.steps.dataset import read_classes, read_labels
from coder_core.steps.predictions import read_predictions
from coder_core.steps.workplace import Handle, open_store
from coder_core.storage.artifacts import Artifact, ArtifactStore

__all__ = ["GATE_ALL", "Gate", "TriedThreshold", "check_validation", "choose_gate"]


class TriedThreshold(Handle):
    """What one threshold would have done on the validation images."""

    threshold: float
    images_gated: int
    top1: float


class Gate(Handle):
    """A threshold and where it comes from: `constant`, or `validation` with the search."""

    threshold: float
    source: str
    n: int = 0
    tried: tuple[TriedThreshold, ...] = ()


def choose_gate(stage1: Artifact, reranked: Artifact, labels: Artifact, runtime: Runtime) -> Gate:
    """Choose the threshold by top-1 accuracy on the validation images.

    Args:
        stage1: CODER's predictions of them.
        reranked: The same, with every image looked at again (`GATE_ALL`).
        labels: Their labels.
        runtime: Where the store is.
    """
    artifacts = open_store(runtime)
    choice = choose_threshold(
        read_predictions(artifacts, stage1, "coder"),
        read_predictions(artifacts, reranked, RERANK_METHOD),
        read_labels(artifacts, labels, "validation"),
    )
    tried = tuple(TriedThreshold(**row._asdict()) for row in choice.rows)
    return Gate(threshold=choice.threshold, source=choice.split, n=choice.n, tried=tried)


def check_validation(
    classes: Artifact, validation_classes: Artifact, images: Artifact, validation_images: Artifact, runtime: Runtime
) -> None:
    """Refuse validation images that are test images, or of other classes.

    Args:
        classes: The classes of the evaluation.
        validation_classes: Those of the validation data set: the same names in the same order.
        images: Image embeddings of the evaluation; images are compared by their content.
        validation_images: Those of the validation data set.
        runtime: Where the store is.

    Raises:
        DatasetError: The class lists differ.
        LabelLeakError: An image stands in both.
    """
    artifacts = open_store(runtime)
    names, others = (read_classes(artifacts, handle).names for handle in (classes, validation_classes))
    if names != others:
        difference = _first_difference(names, others)
        raise DatasetError(f"its class list is another one ({difference}).", "validation", "Give the same, in order.")
    shared = _keys(artifacts, images).keys() & _keys(artifacts, validation_images).keys()
    if shared:
        example = _keys(artifacts, validation_images)[min(shared)]
        raise LabelLeakError(
            f"{len(shared)} validation images are test images as well, {example!r} for one.",
            "validation",
            "Choose on images that are not in the data set under test.",
        )


def _keys(artifacts: ArtifactStore, embeddings: Artifact) -> dict[str, str]:
    table = artifacts.read(embeddings, ["key", "image_id"])
    return {key: name for key, name in zip(*(column.to_pylist() for column in table.columns), strict=True) if key}


def _first_difference(names: Sequence[str], others: Sequence[str]) -> str:
    if len(names) != len(others):
        return f"{len(others)} classes instead of {len(names)}"
    place = next(place for place, (a, b) in enumerate(zip(names, others, strict=True)) if a != b)
    return f"class {place} is {others[place]!r} instead of {names[place]!r}"
