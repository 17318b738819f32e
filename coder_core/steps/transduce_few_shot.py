"""What a batch teaches few-shot classifiers: support images are images whose class is known, all others are unlabelled.

What comes out of one draw are classifiers in the place of those that it was fitted on, one part each, so a draw goes on
as before: predicted, measured, summed up over draws, asked about new images.
"""

from typing import TYPE_CHECKING, ClassVar

from coder_core.pipeline.artifact_types import FewShotChoice, FewShotFitsArtifact, ImageEmbeddingsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.specs import TransductionName, row_name
from coder_core.steps.build_classifier import classifier_table, read_classifier
from coder_core.steps.few_shot_draw import OfDraw, class_texts_of, text_vectors, zero_shot_classifier
from coder_core.steps.fit_transduction import batch_found, metric_space, read_batch
from coder_core.steps.write_texts import read_text_table

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from coder_core.coder.classifier import Classifier
    from coder_core.few_shot.text_metric import MetricSpace
    from coder_core.transduction.image_batch import KnownRows, Parts
    from coder_core.transduction.transduced import Transduced


class TransduceFewShot(OfDraw):
    """Let a batch of unlabelled images move the classifiers of one draw. Labels of the batch do not exist here.

    Stage 1 comes with the temperature that the draw's validation images gave it, for its logits count as
    log-probabilities; what a batch discriminant has made of it is as sure of the batch as it.

    Raises:
        ConfigError: The texts that shall make the metric do not vary.
    """

    version: ClassVar[int] = 2

    fits: FewShotFitsArtifact
    methods: tuple[TransductionName, ...]
    stage1: tuple[str, ...]
    images: ImageEmbeddingsArtifact

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"transduce_few_shot_{self.shots}"

    @property
    def title(self) -> str:
        """With shots and seed."""
        return f"transduce-few-shot-{self.shots}-{self.seed}"

    def make(self, context: Context, output: Output) -> FewShotFitsArtifact:
        """Write one classifier per transduction and few-shot method."""
        rows = {row_name(method, stage1): (method, stage1) for stage1 in self.stage1 for method in self.methods}
        teach = self._teacher(context)
        found, choices = {}, {}
        for name, (method, stage1) in context.each(rows.items(), "fitting", total=len(rows), unit="methods"):
            transduced = teach(method, stage1)
            classifier, choices[name] = teach.calibrated(transduced, stage1, self.fits.choices[stage1])
            output.write_part(name, classifier_table(classifier.state()))
            found[name] = batch_found(stage1, transduced)
        return output.finish(
            FewShotFitsArtifact,
            shots=self.shots,
            seed=self.seed,
            dropped=self.fits.dropped,
            choices=choices,
            found=found,
        )

    def _teacher(self, context: Context) -> "_Teacher":
        from coder_core.coder.vectors import normalise
        from coder_core.texts.text_layout import build_layout
        from coder_core.transduction.image_batch import KnownRows

        read = self.read_draw(context)
        support = read.pool.support(read.draw)
        vectors = text_vectors(context, self).float()
        layout = build_layout(read_text_table(context, self.texts))
        texts = class_texts_of(zero_shot_classifier(self, vectors, layout), vectors, layout)
        return _Teacher(
            context,
            self,
            parts=read_batch(context, self.images, self.encoder),
            known=KnownRows(support.embeddings, support.label_ids),
            class_texts=None if texts is None else normalise(texts.float()),
            space=metric_space(self.metric_texts, vectors),
        )


class _Teacher:
    """What all transductions of a draw have in common."""

    def __init__(
        self,
        context: Context,
        step: TransduceFewShot,
        *,
        parts: "Parts",
        known: "KnownRows",
        class_texts: "Float[Tensor, 'classes dim'] | None",
        space: "MetricSpace | None",
    ) -> None:
        self._context, self._step = context, step
        self._parts, self._known = parts, known
        self._class_texts, self._space = class_texts, space

    def __call__(self, method: TransductionName, stage1: str) -> "Transduced":
        """Let the batch move one few-shot method."""
        from coder_core.transduction.fit_batch import fit_batch
        from coder_core.transduction.stated_prior import describe_prior

        below = read_classifier(self._context, self._step.fits, stage1)
        if method != "batch_discriminant":
            return describe_prior(self._parts, below, assumes_balance=method == "sinkhorn")
        return fit_batch(self._parts, below, class_texts=self._class_texts, space=self._space, known=self._known)

    def calibrated(self, found: "Transduced", stage1: str, choice: FewShotChoice) -> "tuple[Classifier, FewShotChoice]":
        """What a discriminant has made of a calibrated method, as sure of the batch as that was.

        Else it is far too sure (measured: docs/few-shot.md). Validation images could say so where the batch has their
        shares of the classes, and do harm elsewhere.
        """
        from coder_core.transduction.batch_evidence import BatchKind
        from coder_core.transduction.temperature import as_sure_as

        if found.kind is BatchKind.NOTHING:
            return found.classifier, choice  # stage 1, as it was
        if found.kind is BatchKind.STATED or not choice.is_calibrated:
            return found.classifier, choice.with_temperature(1.0, "none")
        below = read_classifier(self._context, self._step.fits, stage1)
        tempered = as_sure_as(below, found.classifier, self._parts)
        return tempered, choice.with_temperature(tempered.temperature, "stage1")
