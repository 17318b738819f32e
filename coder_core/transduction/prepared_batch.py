"""A batch as expectation maximisation reads it: each image's row, and what stage 1 says of it.

It is read part by part, once an iteration; what images bring is kept where that is little, and computed anew where it
is not, so memory does not grow with the batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from jaxtyping import Float, Float32, Float64
from torch import Tensor
from torch.nn.functional import one_hot

from coder_core.coder.classifier import Classifier
from coder_core.few_shot.text_metric import MetricSpace
from coder_core.loops import each
from coder_core.transduction.batch_discriminant import Statistics
from coder_core.transduction.batch_settings import BatchSettings
from coder_core.transduction.image_batch import BatchSurvey, KnownRows, Parts, centre_rows, take_sample, usable_parts

KEPT_NUMBERS = 2**27
"""What a batch brings into an iteration is kept in memory up to so many numbers: 512 MB. 50,000 images of 512
dimensions and 1,000 classes bring 0.76e8 of them."""


class PreparedImages(NamedTuple):
    """What images bring into every iteration.

    Args:
        rows: Centred unit rows.
        own: Log-probabilities of stage 1.
    """

    rows: Float32[Tensor, "rows dim"]
    own: Float32[Tensor, "rows classes"]


@dataclass(frozen=True, eq=False)
class PreparedBatch:
    """A batch, and what is known before anything is learnt from it.

    Attributes:
        parts: Gives the batch, part by part, each time it is called.
        stage1: The classifier that it stands on.
        space: The text metric.
        texts: Of each class, in that metric: unit vectors about their mean; None where the classes have no words.
        known: Images whose class is known, beside the batch.
        survey: What a first look at all images has found.
        settings: The method's constants.
        kept: What images bring into an iteration, where all of it has been computed and is kept.
    """

    parts: Parts
    stage1: Classifier
    space: MetricSpace
    texts: Float64[Tensor, "classes dim"] | None
    known: KnownRows | None
    survey: BatchSurvey
    settings: BatchSettings
    kept: list[PreparedImages] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        """Whether all that the batch brings into an iteration is kept in memory."""
        return self.survey.images * sum(self.stage1.shape) <= KEPT_NUMBERS

    def sample(self) -> PreparedImages:
        """Images from all over the batch; all of a small one, which is read once and for all then."""
        sample = self.prepare(take_sample(self.parts, self.survey))
        if self.is_kept and len(sample.rows) == self.survey.images:
            self.kept.append(sample)
        return sample

    def prepared(self) -> Iterator[PreparedImages]:
        """Go through the batch once, part by part; what is kept is computed the first time only."""
        if self.kept:
            yield from each(self.kept)
            return
        found = []
        for part in usable_parts(self.parts, self.stage1.shape.dim):
            prepared = self.prepare(part)
            found += [prepared] if self.is_kept else []
            yield prepared
        self.kept.extend(found)

    def prepare(self, embeddings: Float[Tensor, "rows dim"]) -> PreparedImages:
        """What some images bring into every iteration."""
        return PreparedImages(self.rows(embeddings), self.stage1.logits(embeddings).float().log_softmax(dim=1))

    def rows(self, embeddings: Float[Tensor, "rows dim"]) -> Float32[Tensor, "rows dim"]:
        """Rows in the metric, about the batch's mean, at unit length."""
        return centre_rows(self.space, embeddings, self.survey.mean)

    def known_statistics(self) -> Statistics:
        """The sums of images whose class is known."""
        statistics = Statistics(*self.stage1.shape)
        if self.known is not None and len(self.known.label_ids):
            shares = one_hot(self.known.label_ids, self.stage1.shape.class_count)
            rows = self.rows(self.known.embeddings)
            statistics.add(rows, shares.to(rows))
        return statistics
