"""Classifiers as artifacts: what a method has made of the texts, taken apart into numbers.

Prediction reads nothing else. So any method of a run can classify further images, and a classifier can leave the store.
"""

import json
from typing import TYPE_CHECKING, ClassVar

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.pipeline.artifact_handle import ArtifactHandle
from coder_core.pipeline.artifact_types import ClassifierArtifact, TextEmbeddingsArtifact, TextsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import ONE_PART, Output
from coder_core.pipeline.step import ArtifactStep
from coder_core.specs import RERANK
from coder_core.steps.embed_texts import read_text_embeddings
from coder_core.steps.write_texts import read_text_table

if TYPE_CHECKING:
    import pyarrow as pa

    from coder_core.coder.classifier import Classifier, ClassifierState


class BuildClassifier(ArtifactStep[ClassifierArtifact]):
    """Build the classifier of a zero-shot method from texts alone.

    Raises:
        ConfigError: The texts lack a kind that the method cannot do without.
    """

    loop_free: ClassVar[str] = "a few matrix products over the texts"

    method: str
    texts: TextsArtifact
    text_embeddings: TextEmbeddingsArtifact
    encoder: IdentifiedEncoder
    logit_scale: float

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"build_{self.method}"

    def make(self, context: Context, output: Output) -> ClassifierArtifact:
        """Fold the texts, as the method does."""
        import torch

        from coder_core.methods import build_classifier
        from coder_core.texts.text_layout import build_layout

        layout = build_layout(read_text_table(context, self.texts))
        vectors = torch.from_numpy(read_text_embeddings(context, self.text_embeddings, self.encoder))
        built = build_classifier(self.method, vectors, layout, logit_scale=self.logit_scale)
        output.write(classifier_table(built.state()))
        return output.finish(ClassifierArtifact, method=self.method)


class BuildRerank(ArtifactStep[ClassifierArtifact]):
    """Build CODER*: the stage-1 classifier, and the texts that tell pairs of classes apart."""

    loop_free: ClassVar[str] = "a few matrix products over the texts"

    stage1: ClassifierArtifact
    texts: TextsArtifact
    text_embeddings: TextEmbeddingsArtifact
    encoder: IdentifiedEncoder
    threshold: float
    candidates: int

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"build_{RERANK}"

    def make(self, context: Context, output: Output) -> ClassifierArtifact:
        """Fold the pairs, and put both stages together."""
        import torch

        from coder_core.classifiers import RerankClassifier
        from coder_core.coder.reranking import fold_pairs
        from coder_core.texts.text_layout import build_layout

        layout = build_layout(read_text_table(context, self.texts))
        vectors = torch.from_numpy(read_text_embeddings(context, self.text_embeddings, self.encoder))
        built = RerankClassifier(
            stage1=read_classifier(context, self.stage1),
            pairs=fold_pairs(vectors, layout),
            threshold=self.threshold,
            candidates=self.candidates,
        )
        output.write(classifier_table(built.state()))
        return output.finish(ClassifierArtifact, method=RERANK)


def read_classifier(context: Context, artifact: ArtifactHandle, part: str = ONE_PART) -> "Classifier":
    """Put a classifier together again; an artifact may hold several, one in each part."""
    from coder_core.classifiers import restore_classifier

    return restore_classifier(_state_of(context.read_part(artifact, part)))


def classifier_table(state: "ClassifierState") -> "pa.Table":
    """A classifier's state as rows: one with its kind and settings, and one per tensor."""
    import pyarrow as pa

    rows = [("", state.kind, json.dumps(state.settings).encode())]
    for name, tensor in state.tensors.items():
        array = tensor.cpu().contiguous().numpy()
        rows.append((name, json.dumps([array.dtype.str, *array.shape]), array.tobytes()))
    names, forms, contents = zip(*rows, strict=True)
    columns = [pa.array(names, pa.string()), pa.array(forms, pa.string()), pa.array(contents, pa.large_binary())]
    return pa.table(columns, names=["name", "form", "content"])


def _state_of(table: "pa.Table") -> "ClassifierState":
    import numpy as np
    import torch

    from coder_core.coder.classifier import ClassifierState

    (_, kind, settings), *tensors = zip(*(column.to_pylist() for column in table.columns), strict=True)
    arrays = {}
    for name, form, content in tensors:
        dtype, *shape = json.loads(form)
        arrays[name] = torch.from_numpy(np.frombuffer(content, dtype=np.dtype(dtype)).reshape(shape).copy())
    return ClassifierState(kind=kind, settings=json.loads(settings), tensors=arrays)
