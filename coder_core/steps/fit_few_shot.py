"""Few-shot, beside zero-shot: methods that see a few labelled images per class, draw after draw.

Every method is fitted on the support of a draw, selected on its validation images and given the temperature that suits
them. What comes out is a classifier like any other, which `predict_few_shot` has classify the test images; their labels
do not exist here.
"""

from typing import TYPE_CHECKING, ClassVar

from coder_core.pipeline.artifact_types import FewShotChoice, FewShotFitsArtifact, TextEmbeddingsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.specs import FewShotSpec, TextFeaturesFile
from coder_core.steps.build_classifier import classifier_table
from coder_core.steps.embed_texts import read_text_embeddings
from coder_core.steps.few_shot_draw import OfDraw, ReadDraw, class_texts_of, text_vectors, zero_shot_classifier
from coder_core.steps.write_texts import read_text_table
from coder_core.texts.kinds import TextKind

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from coder_core.few_shot.fitting import Selected
    from coder_core.texts.text_layout import TextLayout

METRIC_KINDS = (TextKind.CLASS_NAME, TextKind.ATTRIBUTE, TextKind.ANALOGOUS_CLASS)
"""Kinds of text that make the few-shot metric (Yi et al., CVPR 2024, CODER-Adapter)."""


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


def plan_draws(spec: FewShotSpec) -> list[tuple[int, int]]:
    """Every number of shots with every seed."""
    return [(shots, spec.seed + draw) for shots in spec.shots for draw in range(spec.draws)]


def _select(context: Context, step: FitFewShot, read: ReadDraw) -> "dict[str, Selected]":
    from coder_core.few_shot.few_shot_methods import plan_methods
    from coder_core.few_shot.pool import select_methods
    from coder_core.texts.text_layout import build_layout

    layout = build_layout(read_text_table(context, step.texts))
    vectors = text_vectors(context, step)
    zero_shot = zero_shot_classifier(step, vectors, layout)
    methods = plan_methods(
        step.methods,
        _metric_vectors(step, vectors, layout),
        zero_shot=zero_shot,
        class_texts=class_texts_of(zero_shot, vectors, layout),
        vocabulary=_vocabulary(context, step),
    )
    return select_methods(read.pool, read.draw, methods, zero_shot=zero_shot)


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
