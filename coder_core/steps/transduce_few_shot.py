"""What a batch teaches few-shot classifiers: support images are images whose class is known, all others are unlabelled.

What comes out of one draw are classifiers in the place of those that it was fitted on, one part each, so a draw goes on
as before: predicted, measured, summed up over draws, asked about new images.
"""

from typing import TYPE_CHECKING

from coder_core.pipeline.artifact_types import FewShotFitsArtifact, ImageEmbeddingsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.specs import TransductionName, row_name
from coder_core.steps.build_classifier import classifier_table, read_classifier
from coder_core.steps.fit_few_shot import OfDraw, draw_class_texts, text_vectors
from coder_core.steps.fit_transduction import batch_found, metric_space, read_batch
from coder_core.steps.write_texts import read_text_table

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from coder_core.coder.classifier import Classifier
    from coder_core.few_shot.examples import Validation
    from coder_core.few_shot.text_metric import MetricSpace
    from coder_core.transduction.image_batch import KnownRows, Parts
    from coder_core.transduction.transduced import Transduced


class TransduceFewShot(OfDraw):
    """Let a batch of unlabelled images move the classifiers of one draw. Labels of the batch do not exist here.

    Where the draw chose settings on validation images, these choose the temperature of stage 1 as well: its logits
    count as log-probabilities.

    Raises:
        ConfigError: The texts that shall make the metric do not vary.
    """

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
        found = {}
        for name, (method, stage1) in context.each(rows.items(), "fitting", total=len(rows), unit="methods"):
            transduced = teach(method, stage1)
            output.write_part(name, classifier_table(transduced.classifier.state()))
            found[name] = batch_found(stage1, transduced)
        return output.finish(
            FewShotFitsArtifact,
            shots=self.shots,
            seed=self.seed,
            dropped=self.fits.dropped,
            choices={name: self.fits.choices[stage1] for name, (_, stage1) in rows.items()},
            found=found,
        )

    def _teacher(self, context: Context) -> "_Teacher":
        from coder_core.coder.vectors import normalise
        from coder_core.texts.text_layout import build_layout
        from coder_core.transduction.image_batch import KnownRows

        read = self.read_draw(context)
        support, validation = read.pool.support(read.draw), read.pool.validation(read.draw)
        vectors = text_vectors(context, self).float()
        texts = draw_class_texts(self, vectors, build_layout(read_text_table(context, self.texts)))
        return _Teacher(
            context,
            self,
            parts=read_batch(context, self.images, self.encoder),
            known=KnownRows(support.embeddings, support.label_ids),
            validation=validation,
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
        validation: "Validation | None",
        class_texts: "Float[Tensor, 'classes dim'] | None",
        space: "MetricSpace | None",
    ) -> None:
        self._context, self._step = context, step
        self._parts, self._known, self._validation = parts, known, validation
        self._class_texts, self._space = class_texts, space

    def __call__(self, method: TransductionName, stage1: str) -> "Transduced":
        """Let the batch move one few-shot method."""
        from coder_core.transduction.fit_batch import fit_batch
        from coder_core.transduction.stated_prior import describe_prior

        below = self._stage1(stage1)
        if method != "batch_discriminant":
            return describe_prior(self._parts, below, assumes_balance=method == "sinkhorn")
        return fit_batch(self._parts, below, class_texts=self._class_texts, space=self._space, known=self._known)

    def _stage1(self, name: str) -> "Classifier":
        """A few-shot method, its temperature chosen on the draw's validation images where its settings were."""
        from coder_core.classifiers import TemperedClassifier
        from coder_core.evaluation.temperature import fit_temperature

        fits = self._step.fits
        classifier = read_classifier(self._context, fits, name)
        if self._validation is None or fits.choices[name].source != "validation":
            return classifier
        logits = classifier.logits(self._validation.embeddings).float()
        return TemperedClassifier(classifier, fit_temperature(logits, self._validation.label_ids))
