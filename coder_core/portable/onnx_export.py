"""The text side as one matrix in ONNX, where a method is linear: embeddings in, logits and probabilities out.

Any runtime can then classify what any implementation of the encoder has embedded.
"""

from typing import TYPE_CHECKING, NamedTuple

from coder_core.errors import ConfigError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from coder_core.coder.classifier import Classifier

OPSET = 17
IR_VERSION = 8
"""Of 2022: every runtime in use reads both."""


class LinearForm(NamedTuple):
    """`logits = embeddings @ weights`; weights `(dim, classes)`, scale and temperature folded in."""

    weights: "Float[Tensor, 'dim classes']"


def linear_form(classifier: "Classifier") -> LinearForm | None:
    """The one matrix that a classifier is; None where it is none (synonyms make a maximum, few-shot makes more)."""
    from coder_core.classifiers import TemperedClassifier
    from coder_core.coder.classifier import LinearClassifier
    from coder_core.coder.heuristic import FoldedClassifier

    if isinstance(classifier, TemperedClassifier):
        inner = linear_form(classifier.inner)
        return None if inner is None else LinearForm(inner.weights / classifier.temperature)
    if isinstance(classifier, LinearClassifier):
        return LinearForm(classifier.weights.T * classifier.logit_scale)
    if isinstance(classifier, FoldedClassifier) and len(classifier.rank_sizes) == 1:
        return LinearForm(classifier.weights[classifier.columns].T * classifier.logit_scale)
    return None


def encode_onnx(classifier: "Classifier", *, method: str) -> bytes:
    """Write a linear classifier as an ONNX model.

    Args:
        classifier: Any; calibrated or not.
        method: For messages.

    Returns:
        A model with the input `image_embeddings` (images, dim), L2-normalised float32, and the outputs `logits` and
        `probabilities` (images, classes).

    Raises:
        ConfigError: The method is not linear, or the package onnx is not installed.
    """
    form = linear_form(classifier)
    if form is None:
        problem = f"{method!r} is not linear: it is no single matrix."
        raise ConfigError(problem, "--onnx", "Methods that are: clip, clip_ensemble, vcd, and coder without synonyms.")
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError as error:
        raise ConfigError("the package onnx is not installed.", "--onnx", "pip install 'coder-eval[onnx]'") from error
    weights = form.weights.float().contiguous().cpu().numpy()
    dim, classes = weights.shape
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["image_embeddings", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "classifier",
        [value("image_embeddings", TensorProto.FLOAT, ["images", dim])],
        [value(name, TensorProto.FLOAT, ["images", classes]) for name in ("logits", "probabilities")],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
