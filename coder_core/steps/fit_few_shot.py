"""Few-shot, beside zero-shot: methods that see a few labelled images per class, draw after draw.

A draw is one number of shots and one seed: every method is fitted on its support, selected on its validation images
and given the temperature that suits them (`FitFewShot`), and what comes out is a classifier like any other, which
classifies the test images part by part (`PredictFewShot`). Pool labels decide, so they are part of the key; test labels
do not exist here.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.evaluation.predictions import Predictions
from coder_core.pipeline.artifact_types import (
    FewShotChoice,
    FewShotFitsArtifact,
    FewShotPredictionsArtifact,
    ImageEmbeddingsArtifact,
    ImagesArtifact,
    LabelsArtifact,
    TextEmbeddingsArtifact,
    TextsArtifact,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.sharding import Shard, ShardedStep
from coder_core.pipeline.step import ArtifactStep
from coder_core.pipeline.step_inputs import FileInput
from coder_core.pipeline.traits import MODEL, Traits
from coder_core.specs import FewShotSpec, TextFeaturesFile
from coder_core.steps.build_classifier import classifier_table, read_classifier
from coder_core.steps.embed_texts import read_text_embeddings
from coder_core.steps.pool_images import read_pool, with_views
from coder_core.steps.predict_images import COLUMNS, predictions_to_arrow, read_vectors, usable_images
from coder_core.steps.write_texts import read_text_table
from coder_core.texts.kinds import TextKind

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from jaxtyping import Float
    from torch import Tensor

    from coder_core.coder.classifier import Classifier
    from coder_core.few_shot.draws import Draw
    from coder_core.few_shot.fitting import Selected
    from coder_core.few_shot.pool import Pool
    from coder_core.texts.text_layout import TextLayout

VIEWS_VERSION = 1
"""Goes up when `images.augmentation` makes other views."""

UNCALIBRATED = "uncalibrated"
"""The column of probabilities without a temperature."""

METRIC_KINDS = (TextKind.CLASS_NAME, TextKind.ATTRIBUTE, TextKind.ANALOGOUS_CLASS)
"""Kinds of text that make the few-shot metric (Yi et al., CVPR 2024, CODER-Adapter)."""


class OfDraw(ArtifactStep[FewShotFitsArtifact]):
    """A step that reads the labelled images of one draw: the same fields, the same support.

    Raises:
        LabelLeakError: A pool image is a test image, and `drop_shared` is off.
        DatasetError: A class has too few images in the pool.
    """

    traits: ClassVar[Traits] = MODEL

    shots: int
    seed: int
    zero_shot: str
    views: int
    validation_per_class: int | None
    allow_fewer: bool
    drop_shared: bool
    metric_texts: FileInput | None
    texts: TextsArtifact
    text_embeddings: TextEmbeddingsArtifact
    test_images: ImageEmbeddingsArtifact
    pool_images: ImagesArtifact
    pool: ImageEmbeddingsArtifact
    pool_labels: LabelsArtifact
    encoder: IdentifiedEncoder
    logit_scale: float
    views_version: int = VIEWS_VERSION

    def read_draw(self, context: Context) -> "ReadDraw":
        """Draw from the pool; support images stand at the mean of their views."""
        from coder_core.few_shot.draws import draw_examples

        pool = read_pool(context, self)
        draw = draw_examples(
            pool.pool.label_ids,
            shots=self.shots,
            seed=self.seed,
            validation_per_class=self.validation_per_class,
            allow_fewer=self.allow_fewer,
        )
        return ReadDraw(with_views(context, self, pool, draw) if self.views else pool.pool, draw, pool.dropped)


class FitFewShot(OfDraw):
    """Fit, select and calibrate every method on one draw; without validation images, scores stay as they are.

    Raises:
        ConfigError: The texts give no metric.
    """

    version: ClassVar[int] = 4

    methods: tuple[str, ...]
    vocabulary: TextEmbeddingsArtifact | None

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"fit_few_shot_{self.shots}"

    @property
    def title(self) -> str:
        """With shots and seed."""
        return f"fit-few-shot-{self.shots}-{self.seed}"

    def make(self, context: Context, output: Output) -> FewShotFitsArtifact:
        """Write one classifier per method."""
        from coder_core.few_shot.probabilities import calibrate_scores

        read = self.read_draw(context)
        selected, validation = _select(context, self, read), read.pool.validation(read.draw)
        choices = {}
        for name, method in context.each(selected.items(), "keeping", total=len(selected), unit="methods"):
            classifier, choices[name] = method.classifier, _choice_of(method)
            if validation is not None:
                classifier = calibrate_scores(classifier, validation)
                choices[name] = choices[name].with_temperature(classifier.temperature, "validation")
            output.write_part(name, classifier_table(classifier.state()))
        return output.finish(
            FewShotFitsArtifact, shots=self.shots, seed=self.seed, dropped=read.dropped, choices=choices
        )


class PredictFewShot(ShardedStep[FewShotPredictionsArtifact]):
    """Classify the images by every method of a draw: columns `<method>.top_ids` and `<method>.top_probabilities`.

    Where a method has a temperature, `<method>.uncalibrated` are the probabilities of the same classes without it.
    """

    version: ClassVar[int] = 2

    fits: FewShotFitsArtifact
    images: ImageEmbeddingsArtifact
    encoder: IdentifiedEncoder

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"predict_few_shot_{self.fits.shots}"

    @property
    def title(self) -> str:
        """With shots and seed."""
        return f"predict-few-shot-{self.fits.shots}-{self.fits.seed}"

    @property
    def source(self) -> ImageEmbeddingsArtifact:
        """The images."""
        return self.images

    @classmethod
    def make_shard(cls, steps: Sequence[Self], shard: Shard, context: Context, outputs: Sequence[Output]) -> None:
        """Classify one shard."""
        (step,), (output,) = steps, outputs
        classifiers = {name: read_classifier(context, step.fits, name) for name in step.fits.choices}
        per_part = shard.rows // len(shard.parts)
        size = lambda _: per_part  # noqa: E731
        for part in context.each(shard.parts, "classifying", total=shard.rows, unit="images", size=size):
            if output.found_part(part) is None:
                output.write_part(part, _predict_part(context, step, part, classifiers))

    def join(self, context: Context, output: Output) -> FewShotPredictionsArtifact:  # noqa: ARG002
        """All parts are there."""
        fits = self.fits
        calibrated = tuple(name for name, choice in fits.choices.items() if choice.is_calibrated)
        return output.finish(
            FewShotPredictionsArtifact,
            shots=fits.shots,
            seed=fits.seed,
            methods=tuple(fits.choices),
            calibrated=calibrated,
        )


def metric_input(texts: TextFeaturesFile | None) -> FileInput | None:
    """The file of texts that make the metric, as an input: another column is another input."""
    return None if texts is None else FileInput(path=texts.path, columns=(texts.features,))


def plan_draws(spec: FewShotSpec) -> list[tuple[int, int]]:
    """Every number of shots with every seed."""
    return [(shots, spec.seed + draw) for shots in spec.shots for draw in range(spec.draws)]


class FewShotSaid(NamedTuple):
    """What one method of a draw says, and the probabilities of the same classes without its temperature."""

    predictions: Predictions
    uncalibrated: "Float[np.ndarray, 'images best']"


def read_few_shot_predictions(context: Context, artifact: FewShotPredictionsArtifact, method: str) -> FewShotSaid:
    """What one method of a draw says."""
    return few_shot_predictions_in(context.read(artifact, _columns_of(artifact, method)), artifact, method)


def few_shot_predictions_in(table: "pa.Table", artifact: FewShotPredictionsArtifact, method: str) -> FewShotSaid:
    """The same, of rows that were read already."""
    from coder_core.steps.predict_images import predictions_from_arrow
    from coder_core.storage.tables import vectors_from_arrow

    own = table.select(_columns_of(artifact, method)[: len(COLUMNS)]).rename_columns(list(COLUMNS))
    predictions = predictions_from_arrow(own, method)
    if method not in artifact.calibrated:
        return FewShotSaid(predictions, predictions.top_probabilities)
    return FewShotSaid(predictions, vectors_from_arrow(table.column(f"{method}.{UNCALIBRATED}")))


def _columns_of(artifact: FewShotPredictionsArtifact, method: str) -> list[str]:
    """Those of `COLUMNS`, in their order, and the probabilities without a temperature where there is one."""
    image_id, *own = COLUMNS
    more = (UNCALIBRATED,) if method in artifact.calibrated else ()
    return [image_id, *(f"{method}.{name}" for name in (*own, *more))]


class ReadDraw(NamedTuple):
    """Labelled images, which of them are support and validation, and how many were left out as test images."""

    pool: "Pool"
    draw: "Draw"
    dropped: int


def _select(context: Context, step: FitFewShot, read: ReadDraw) -> "dict[str, Selected]":
    from coder_core.few_shot.few_shot_methods import plan_methods
    from coder_core.few_shot.pool import select_methods
    from coder_core.texts.text_layout import build_layout

    layout = build_layout(read_text_table(context, step.texts))
    vectors = text_vectors(context, step)
    zero_shot = _zero_shot(step, vectors, layout)
    methods = plan_methods(
        step.methods,
        _metric_vectors(step, vectors, layout),
        zero_shot=zero_shot,
        class_texts=_class_texts(zero_shot, vectors, layout),
        vocabulary=_vocabulary(context, step),
    )
    return select_methods(read.pool, read.draw, methods, zero_shot=zero_shot)


def text_vectors(context: Context, step: OfDraw) -> "Float[Tensor, 'texts dim']":
    """The vectors of the texts, in their order."""
    import torch

    return torch.from_numpy(read_text_embeddings(context, step.text_embeddings, step.encoder))


def _zero_shot(step: OfDraw, vectors: "Float[Tensor, 'texts dim']", layout: "TextLayout") -> "Classifier | None":
    """The zero-shot classifier to fuse with."""
    from coder_core.methods import build_classifier

    if step.zero_shot == "none":
        return None
    return build_classifier(step.zero_shot, vectors, layout, logit_scale=step.logit_scale)


def draw_class_texts(
    step: OfDraw, vectors: "Float[Tensor, 'texts dim']", layout: "TextLayout"
) -> "Float[Tensor, 'classes dim'] | None":
    """What the draw's methods know of the classes' texts; None for images alone."""
    return _class_texts(_zero_shot(step, vectors, layout), vectors, layout)


def _class_texts(
    zero_shot: "Classifier | None", vectors: "Float[Tensor, 'texts dim']", layout: "TextLayout"
) -> "Float[Tensor, 'classes dim'] | None":
    """One text vector per class: those of a linear zero-shot classifier; beside any other, the class's name."""
    from coder_core.baselines.clip import build_clip
    from coder_core.coder.classifier import LinearClassifier

    if zero_shot is None:
        return None
    return (zero_shot if isinstance(zero_shot, LinearClassifier) else build_clip(vectors, layout)).weights


def _vocabulary(context: Context, step: FitFewShot) -> "Float[Tensor, 'words dim'] | None":
    """The words that a task's own are found among."""
    import torch

    if step.vocabulary is None:
        return None
    return torch.from_numpy(read_text_embeddings(context, step.vocabulary, step.encoder))


def _metric_vectors(
    step: FitFewShot, vectors: "Float[Tensor, 'texts dim']", layout: "TextLayout"
) -> "Float[Tensor, 'texts dim']":
    """The texts that make the metric, each once."""
    import numpy as np
    import torch

    from coder_core.encoders.precomputed import read_text_features

    if step.metric_texts is not None:
        file = TextFeaturesFile(path=step.metric_texts.path, features=step.metric_texts.columns[0])
        return torch.nn.functional.normalize(torch.from_numpy(read_text_features(file)).float(), dim=1)
    return vectors[torch.from_numpy(np.unique(layout.segments(METRIC_KINDS).columns))]


def _choice_of(method: "Selected") -> FewShotChoice:
    choice = method.choice
    return FewShotChoice(
        settings=dict(choice.settings),
        source=choice.source,
        n=choice.n,
        accuracy=choice.accuracy,
        tried=0 if choice.accuracies is None else int(choice.accuracies.size),
    )


def _predict_part(context: Context, step: PredictFewShot, part: str, classifiers: dict[str, Any]) -> "pa.Table":
    usable = usable_images(context, step.images, part)
    vectors, image_ids = read_vectors(context, step.encoder, usable), usable.column("image_id").to_pylist()
    table = usable.select(["image_id"])
    for name, classifier in classifiers.items():
        own = _said(classifier, vectors, image_ids, name)
        for column in own.column_names[1:]:
            table = table.append_column(f"{name}.{column}", own.column(column))
    return table


def _said(
    classifier: "Classifier", vectors: "Float[Tensor, 'images dim']", image_ids: list[str], name: str
) -> "pa.Table":
    """What one method says; where it has a temperature, decisions are those of its scores without it, ties included."""
    import pyarrow as pa
    import torch

    from coder_core.classifiers import TemperedClassifier, predict_with
    from coder_core.coder.ranking import probabilities_of
    from coder_core.evaluation.predicting import build_predictions

    if not isinstance(classifier, TemperedClassifier):
        return predictions_to_arrow(predict_with(classifier, vectors, image_ids, method=name))
    scores = classifier.inner.logits(vectors)
    plain = build_predictions(scores, image_ids, method=name)
    top_ids = torch.from_numpy(plain.top_ids).to(scores.device, torch.int64)
    calibrated = probabilities_of(scores / classifier.temperature, top_ids).float().cpu().numpy()
    table = predictions_to_arrow(replace(plain, top_probabilities=calibrated))
    flat = pa.array(plain.top_probabilities.reshape(-1))
    return table.append_column(UNCALIBRATED, pa.FixedSizeListArray.from_arrays(flat, plain.top_ids.shape[1]))
