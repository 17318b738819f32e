"""CODER on the texts that a few labelled images have chosen: a classifier like any other. Reads support labels."""

from typing import Annotated

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.fingerprint import NotIdentity
from coder_core.pipeline.artifact_types import (
    ChosenTextsArtifact,
    ImageEmbeddingsArtifact,
    LabelsArtifact,
    TextEmbeddingsArtifact,
    TextsArtifact,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.step import ArtifactStep
from coder_core.steps.build_classifier import classifier_table
from coder_core.steps.embed_texts import read_text_embeddings
from coder_core.steps.pool_images import read_pool
from coder_core.steps.write_texts import read_text_table

SUPPORT_SELECTED = "coder_support_selected"
"""The name of the method."""


class ChooseTexts(ArtifactStep[ChosenTextsArtifact]):
    """Choose texts by the support set of one draw, and build CODER on them.

    Raises:
        LabelLeakError: A pool image is a test image, and `drop_shared` is off.
        DatasetError: A class has too few images in the pool.
    """

    shots: int
    seed: int
    allow_fewer: bool
    drop_shared: bool
    texts: TextsArtifact
    text_embeddings: TextEmbeddingsArtifact
    test_images: ImageEmbeddingsArtifact
    pool: ImageEmbeddingsArtifact
    pool_labels: LabelsArtifact
    encoder: IdentifiedEncoder
    logit_scale: float
    label: Annotated[str, NotIdentity("what the step is called among the timings")] = "choose_texts"

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return self.label

    def make(self, context: Context, output: Output) -> ChosenTextsArtifact:
        """Draw the support, choose, and fold what was chosen."""
        import torch

        from coder_core.few_shot.draws import draw_examples
        from coder_core.few_shot.text_choice import choose_texts
        from coder_core.texts.text_layout import build_layout

        pool = read_pool(context, self).pool
        draw = draw_examples(pool.label_ids, shots=self.shots, seed=self.seed, allow_fewer=self.allow_fewer)
        layout = build_layout(read_text_table(context, self.texts))
        vectors = torch.from_numpy(read_text_embeddings(context, self.text_embeddings, self.encoder))
        chosen = choose_texts(vectors, layout, pool.support(draw), logit_scale=self.logit_scale)
        output.write(classifier_table(chosen.classifier.state()))
        return output.finish(ChosenTextsArtifact, method=SUPPORT_SELECTED, kept=chosen.kept, images=chosen.images)
