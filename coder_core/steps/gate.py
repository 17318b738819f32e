"""Step 8c, where the spec asks for it: the gate's threshold, chosen on a validation data set.

The validation images go the way of the test images (embeddings, CODER, a rerank of every one of them); then a grid of
thresholds is a grid of comparisons. The choice and the whole search are recorded with the result.
"""

from coder_core.errors import LabelLeakError
from coder_core.evaluation.predictions import RERANK_METHOD
from coder_core.evaluation.threshold import GATE_ALL, choose_threshold
from coder_core.specs import Runtime
from coder_core.steps.dataset import read_labels
from coder_core.steps.predictions import read_predictions
from coder_core.steps.workplace import Handle, open_store
from coder_core.storage.artifacts import Artifact, ArtifactStore

__all__ = ["GATE_ALL", "Gate", "TriedThreshold", "choose_gate", "refuse_test_images"]


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


def refuse_test_images(images: Artifact, validation_images: Artifact, runtime: Runtime) -> None:
    """Refuse validation images that are test images.

    Args:
        images: Image embeddings of the evaluation; images are compared by their content.
        validation_images: Those of the validation data set.
        runtime: Where the store is.

    Raises:
        LabelLeakError: An image stands in both.
    """
    artifacts = open_store(runtime)
    validation = _keys(artifacts, validation_images)
    shared = _keys(artifacts, images).keys() & validation.keys()
    if shared:
        raise LabelLeakError(
            f"{len(shared)} validation images are test images as well, {validation[min(shared)]!r} for one.",
            "validation",
            "Choose on images that are not in the data set under test.",
        )


def _keys(artifacts: ArtifactStore, embeddings: Artifact) -> dict[str, str]:
    table = artifacts.read(embeddings, ["key", "image_id"])
    return {key: name for key, name in zip(*(column.to_pylist() for column in table.columns), strict=True) if key}
