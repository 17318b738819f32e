"""Text ablation, beside the metrics: what every number and kind of texts is worth. Reads test labels.

Nothing is embedded: images and texts come from the ledgers, subsets of texts are smaller layouts over the same vectors.
Images are read part by part; memory is one classifier per subset.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.errors import TextBankError
from coder_core.fingerprint import NotIdentity
from coder_core.pipeline.artifact_types import (
    AblationArtifact,
    ImageEmbeddingsArtifact,
    LabelsArtifact,
    TextsArtifact,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.step import ArtifactStep
from coder_core.results.schema import AblationRow
from coder_core.specs import AblationSpec
from coder_core.steps.load_dataset import read_labels
from coder_core.steps.predict_images import read_vectors, usable_images
from coder_core.steps.write_texts import read_texts_and_pairs
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, TextKind
from coder_core.texts.sentences import TextTable

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from coder_core.evaluation.ablation_plan import AblationSetting
    from coder_core.evaluation.text_ablation import ImageChunk


class AblateTexts(ArtifactStep[AblationArtifact]):
    """Score CODER on subsets of its texts.

    Raises:
        TextBankError: No class has a descriptive text.
    """

    version: ClassVar[int] = 2

    ablation: AblationSpec
    seed: int
    threshold: float
    candidates: int
    logit_scale: float
    texts: TextsArtifact
    pair_texts: TextsArtifact | None
    images: ImageEmbeddingsArtifact
    labels: LabelsArtifact
    encoder: IdentifiedEncoder
    evaluation: Annotated[str, NotIdentity("says on whose page the result is shown")] = ""

    def make(self, context: Context, output: Output) -> AblationArtifact:
        """Score every subset."""
        from coder_core.evaluation.text_ablation import ablate
        from coder_core.results.arrow_rows import rows_to_arrow
        from coder_core.texts.text_layout import build_layout

        table = self._read_texts(context)
        rows = ablate(
            self._chunks(context),
            self._vectors(context, table),
            build_layout(table),
            labels=read_labels(context, self.labels, "test"),
            settings=plan_settings(table, self.ablation),
            seed=self.seed,
            threshold=self.threshold,
            candidates=self.candidates,
            logit_scale=self.logit_scale,
        )
        output.write(rows_to_arrow(AblationRow, rows))
        return output.finish(AblationArtifact)

    def _read_texts(self, context: Context) -> TextTable:
        table = read_texts_and_pairs(context, self.texts, self.pair_texts)
        if not any(row.kind in DESCRIPTIVE_KINDS for row in table):
            problem = "the bank holds no attribute and no analogous class."
            raise TextBankError(problem, "ablation", "Describe the classes first, or leave `ablation` away.")
        return table

    def _vectors(self, context: Context, table: TextTable) -> "Float[Tensor, 'texts dim']":
        import torch

        from coder_core.embedding.ledgers import open_ledger, text_key

        ledger = open_ledger(context, "text_embeddings", self.encoder)
        return torch.from_numpy(ledger.read([text_key(text) for text in table.unique_texts()]))

    def _chunks(self, context: Context) -> "Iterator[ImageChunk]":
        parts = context.parts(self.images)
        size = lambda part: part.rows  # noqa: E731
        for part in context.each(parts, "ablating texts", total=self.images.rows, unit="images", size=size):
            usable = usable_images(context, self.images, part.name)
            if len(usable):
                yield usable.column("image_id").to_pylist(), read_vectors(context, self.encoder, usable)


def read_ablation(context: Context, ablation: AblationArtifact) -> list[AblationRow]:
    """The rows of an artifact."""
    from coder_core.results.arrow_rows import rows_from_arrow

    return rows_from_arrow(AblationRow, context.read(ablation))


def plan_settings(table: TextTable, ablation: AblationSpec) -> "list[AblationSetting]":
    """The subsets to try: one kind more at a time, as far as there are texts of it."""
    from coder_core.evaluation.ablation_plan import KIND_STEPS, plan_ablation

    known = {row.kind for row in table} | {TextKind.CLASS_NAME}
    steps = dict.fromkeys(tuple(kind for kind in kinds if kind in known) for kinds in KIND_STEPS)
    return plan_ablation(tuple(steps), (*ablation.texts_per_class, None), draws=ablation.draws)
