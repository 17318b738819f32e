"""A second round of aggregation over the classes that survive the first. Ours.

The first round is the paper's heuristic over all classes. Among the few that survive it, a text that would fit another
survivor as well says little: in the second round a class's texts are weighted by how UNLIKE the other survivors they
are, and the score is aggregated again,

    w_t = softmax over t in A_c of ( -sharpness * mean over other survivors r of cos(t, u_r) )
    score_c(x) = ( |A_c| * sum_t w_t cos(x, t) + max_{t in S_c} cos(x, t) ) / (|A_c| + 1)

with u_r the mean text of class r. It is the question of the one-to-one rerank, asked of the texts that are there: no
text is written for it and no label is read.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor

from coder_core.coder.classifier import LOGIT_SCALE, ClassifierShape
from coder_core.coder.heuristic import FoldedClassifier, fold_classifier
from coder_core.coder.neighbours import find_bad_columns, pad_columns, similarities_of
from coder_core.coder.pairs import CANDIDATES
from coder_core.coder.ranking import predict_topk
from coder_core.coder.storable import Storable
from coder_core.coder.vectors import repeatable, segment_sums
from coder_core.errors import ConfigError
from coder_core.loops import each
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS, TextKind
from coder_core.texts.text_layout import TextLayout

__all__ = ["SecondRoundClassifier", "build_second_round"]

SHARPNESS = 20.0
"""As in `variants`: 0.05 of cosine makes a text count e times as much."""

VALUES_AT_ONCE = 4_194_304
"""Values in work per step (16 MiB of float32): bounds the temporary memory whatever the number of images."""


@dataclass(frozen=True, eq=False)
class SecondRoundClassifier(Storable):
    """The heuristic classifier, and another look at its best classes, which may help or hurt.

    Args:
        first: The first round.
        texts: The text embeddings.
        descriptive: Columns of the descriptive texts of every class, see `pad_columns`.
        naming: Columns of the naming texts of every class.
        likeness: Product of every text, and of "no text" (0), with the mean text of every class: texts x classes
            floats, 58 MB for ImageNet's.
        survivors: Classes that the second round looks at.
        sharpness: Inverse temperature of the weights.
    """

    kind: ClassVar[str] = "second_round"

    first: FoldedClassifier
    texts: Float32[Tensor, "texts dim"]
    descriptive: Int64[Tensor, "classes places"]
    naming: Int64[Tensor, "classes naming_places"]
    likeness: Float32[Tensor, "texts_and_none classes"]
    survivors: int
    sharpness: float

    @property
    def shape(self) -> ClassifierShape:
        """That of the first round."""
        return self.first.shape

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        """Score every class.

        Args:
            image_embeddings: L2-normalised rows, on the device of the texts; any float type.

        Returns:
            Float32 logits. Survivors have those of the second round, moved together so that their mean is that of the
            first; the others keep theirs, but below every survivor's. Ties go to the lower class id.
        """
        logits = self.first.logits(image_embeddings)
        width = min(self.survivors, logits.shape[1])
        places = self.descriptive.shape[1] * width * width + len(self.texts)
        step = max(1, VALUES_AT_ONCE // places)
        for start in each(range(0, len(logits), step)):
            part = slice(start, start + step)
            survivors = predict_topk(logits[part], width)
            second = self.first.logit_scale * self._scores(repeatable(image_embeddings[part].float()), survivors)
            logits[part] = _put_back(logits[part], survivors, second)
        return logits

    def find_problem(self) -> str | None:
        """Two rounds of different classes or dimensions, columns that are no texts, impossible options."""
        if self.first.shape != ClassifierShape(len(self.naming), self.texts.shape[1]):
            return f"the first round has {self.first.shape}, the second has texts {tuple(self.texts.shape)}"
        if len(self.likeness) != len(self.texts) + 1:
            return f"{len(self.texts)} texts have {len(self.likeness)} rows of likeness"
        if self.survivors < 1 or not self.sharpness > 0:
            return f"{self.survivors} survivors and a sharpness of {self.sharpness}"
        return find_bad_columns(self.descriptive, self.naming, len(self.texts))

    def _scores(
        self, images: Float[Tensor, "images dim"], survivors: Int[Tensor, "images survivors"]
    ) -> Float[Tensor, "images survivors"]:
        similarities = similarities_of(images, self.texts)
        columns, names = self.descriptive[survivors], self.naming[survivors]
        weights = self._weights(columns, survivors)
        is_text = columns < len(self.texts)
        cosines = torch.where(is_text, _take(similarities, columns), 0.0)
        counts = is_text.sum(dim=2)
        descriptive = counts * (weights * cosines).sum(dim=2)
        return (descriptive + _take(similarities, names).amax(dim=2)) / (counts + 1)

    def _weights(
        self, columns: Int[Tensor, "images survivors places"], survivors: Int[Tensor, "images survivors"]
    ) -> Float[Tensor, "images survivors places"]:
        """Weight the texts of every survivor by how unlike the other survivors they are; rows sum to 1, or to 0."""
        width = survivors.shape[1]
        likeness = self.likeness[columns.unsqueeze(3), survivors[:, None, None, :]]
        others = 1.0 - torch.eye(width, device=likeness.device)
        to_others = (likeness * others[:, None, :]).sum(dim=3) / max(1, width - 1)
        to_others = torch.where(columns < len(self.texts), to_others, float("inf"))
        return torch.softmax(-self.sharpness * to_others, dim=2).nan_to_num()


def build_second_round(
    text_embeddings: Float[Tensor, "texts dim"],
    layout: TextLayout,
    *,
    logit_scale: float = LOGIT_SCALE,
    survivors: int = CANDIDATES,
    sharpness: float = SHARPNESS,
) -> SecondRoundClassifier:
    """Build the heuristic classifier with a second round.

    Args:
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind.
        logit_scale: Factor from score to logit.
        survivors: How many of the best classes are looked at again, at least 1; more than there are means all.
        sharpness: Above 0; towards 0 the texts count alike and the second round repeats the first.

    Raises:
        ConfigError: Fewer than one survivor, or a sharpness that is not above 0.
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    if survivors < 1 or not sharpness > 0:
        raise ConfigError(
            f"{survivors} survivors and a sharpness of {sharpness}.",
            "variant second_round",
            "Let at least one class survive, and give a sharpness above 0.",
        )
    first = fold_classifier(text_embeddings, layout, logit_scale=logit_scale)
    texts, absent = text_embeddings.float(), layout.text_count
    kinds = (TextKind.CLASS_NAME, *DESCRIPTIVE_KINDS)
    sizes = torch.from_numpy(layout.segments(kinds).counts).unsqueeze(1)
    means = (segment_sums(text_embeddings, layout.segments(kinds)) / sizes).float().to(texts.device)
    return SecondRoundClassifier(
        first=first,
        texts=texts,
        descriptive=pad_columns(layout.segments(DESCRIPTIVE_KINDS), absent=absent).to(texts.device),
        naming=pad_columns(layout.segments(NAMING_KINDS), absent=absent).to(texts.device),
        likeness=torch.cat([texts @ means.T, texts.new_zeros((1, layout.class_count))]),
        survivors=survivors,
        sharpness=sharpness,
    )


def _take(
    similarities: Float[Tensor, "images texts_and_none"], columns: Int[Tensor, "images survivors places"]
) -> Float[Tensor, "images survivors places"]:
    return similarities.gather(1, columns.flatten(1)).view(columns.shape)


def _put_back(
    logits: Float[Tensor, "images classes"],
    survivors: Int[Tensor, "images survivors"],
    second: Float[Tensor, "images survivors"],
) -> Float[Tensor, "images classes"]:
    """Give survivors their new logits around their old mean, and keep all others below them."""
    first = logits.gather(1, survivors)
    moved = second + (first.mean(dim=1, keepdim=True) - second.mean(dim=1, keepdim=True))
    ceiling = torch.nextafter(moved.amin(dim=1, keepdim=True), moved.new_tensor(float("-inf")))
    return torch.minimum(logits, ceiling).scatter(1, survivors, moved)
