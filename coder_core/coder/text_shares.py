"""Why this class and not that one: the contribution of every text to a decision, adding up exactly to its margin.

A margin is a weighted sum of cosines, `sum_t w_t cos(x, t)`, so every text has a share of it. Cosines of any text with
any image have a common level (about 0.25 for CLIP), against which raw products would only say that all texts of the
winner speak for it. The weights of a margin add up to 0 (each class, and each direction of a pair, weighs 1), so any
level can be subtracted from all cosines without changing the sum; with the mean of the two sides subtracted, a text of
the winner that fits the image worse than usual speaks against it, as it should.

    contribution_t = w_t * (cos(x, t) - level)        sum over t = margin, exactly (float64)

Only one naming text of a class counts, the nearest; the others contribute nothing and are not listed.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.coder.classifier import LOGIT_SCALE
from coder_core.coder.vectors import check_text_embeddings
from coder_core.errors import ConfigError
from coder_core.loops import each
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS, TextKind
from coder_core.texts.text_layout import TextLayout

__all__ = ["Contribution", "Explanation", "explain_coder", "explain_means", "explain_rerank"]


class Contribution(NamedTuple):
    """What one text adds to the margin.

    Args:
        column: The text, as an index into `TextTable.unique_texts()`.
        class_id: The class it speaks for.
        rival_id: The class it tells it from (one-to-one texts only).
        kind: Its kind.
        cosine: Its similarity to the image.
        weight: Factor from cosine to margin: above 0 where fitting the image better helps the winner.
        contribution: `weight * (cosine - level)`: above 0 where the text speaks for the winner.
    """

    column: int
    class_id: int
    rival_id: int | None
    kind: TextKind
    cosine: float
    weight: float
    contribution: float


class Explanation(NamedTuple):
    """One decision between two classes.

    Args:
        winner: The class whose score is explained.
        runner_up: The class it is compared with.
        margin: The winner's score minus the runner-up's: a difference of logits for CODER, of one-to-one scores
            (cosines) for the rerank. Below 0 where the "winner" lost.
        level: The cosine that is subtracted from all: their mean by size of weight, the middle between both sides.
        contributions: Largest size first, ties by column, then class, then rival; they add up to the margin.
    """

    winner: int
    runner_up: int
    margin: float
    level: float
    contributions: tuple[Contribution, ...]


class _Entry(NamedTuple):
    """A text in a margin, before the image is looked at."""

    column: int
    class_id: int
    rival_id: int | None
    kind: TextKind


def explain_coder(
    image_embedding: Float[Tensor, " dim"],
    text_embeddings: Float[Tensor, "texts dim"],
    layout: TextLayout,
    *,
    winner: int,
    runner_up: int,
    logit_scale: float = LOGIT_SCALE,
) -> Explanation:
    """Explain the difference of two classes' logits under the heuristic classifier.

    Source of the score: Yi et al., CVPR 2024, heuristic classifier.

    Args:
        image_embedding: L2-normalised.
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind.
        winner: The class whose score is explained, the best of the image as a rule.
        runner_up: The class it is compared with.
        logit_scale: Factor from score to logit.

    Raises:
        ConfigError: The two are the same class, or one is not in the layout.
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    check_text_embeddings(text_embeddings, layout)
    _check_sides(winner, runner_up, range(layout.class_count))
    weights: dict[_Entry, float] = defaultdict(float)
    for class_id, scale in ((winner, logit_scale), (runner_up, -logit_scale)):
        entries = _entries_of(class_id, DESCRIPTIVE_KINDS, layout)
        names = _entries_of(class_id, NAMING_KINDS, layout)
        nearest = names[int(_cosines(image_embedding, text_embeddings, names).argmax())]  # the first of equals
        for entry in (*entries, nearest):
            weights[entry] += scale / (len(entries) + 1)
    return _explain(image_embedding, text_embeddings, weights, sides=(winner, runner_up))


def explain_means(
    image_embedding: Float[Tensor, " dim"],
    text_embeddings: Float[Tensor, "texts dim"],
    layout: TextLayout,
    *,
    kind: TextKind,
    winner: int,
    runner_up: int,
    logit_scale: float = LOGIT_SCALE,
) -> Explanation:
    """Explain the difference of two classes' logits where a class is the mean of its texts of one kind.

    CLIP by name (kind `class_name`) and VCD (kind `attribute`; a class without any is its name) are such methods.

    Args:
        image_embedding: L2-normalised.
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind.
        kind: The texts that count.
        winner: The class whose score is explained.
        runner_up: The class it is compared with.
        logit_scale: Factor from score to logit.

    Raises:
        ConfigError: The two are the same class, or one is not in the layout.
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    check_text_embeddings(text_embeddings, layout)
    _check_sides(winner, runner_up, range(layout.class_count))
    weights: dict[_Entry, float] = defaultdict(float)
    for class_id, scale in ((winner, logit_scale), (runner_up, -logit_scale)):
        entries = _entries_of(class_id, (kind,), layout) or _entries_of(class_id, (TextKind.CLASS_NAME,), layout)
        for entry in entries:
            weights[entry] += scale / len(entries)
    return _explain(image_embedding, text_embeddings, weights, sides=(winner, runner_up))


def explain_rerank(
    image_embedding: Float[Tensor, " dim"],
    text_embeddings: Float[Tensor, "texts dim"],
    layout: TextLayout,
    *,
    candidates: Sequence[int],
    winner: int,
    runner_up: int,
) -> Explanation:
    """Explain the difference of two candidates' one-to-one scores.

    Source of the score: Yi et al., CVPR 2024, one-to-one rerank; pairs without texts in both directions count nothing.

    Args:
        image_embedding: L2-normalised.
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns tell which class from which rival.
        candidates: All classes that competed for the image, all different.
        winner: The candidate whose score is explained.
        runner_up: The candidate it is compared with.

    Returns:
        The explanation; empty, with a margin of 0, where no pair of either has texts.

    Raises:
        ConfigError: The two are the same class, or one is not among the candidates.
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    check_text_embeddings(text_embeddings, layout)
    _check_sides(winner, runner_up, candidates)
    weights: dict[_Entry, float] = defaultdict(float)
    for class_id, sign in ((winner, 1.0), (runner_up, -1.0)):
        for entry, weight in _texts_against_rivals(class_id, candidates, layout):
            weights[entry] += sign * weight
    return _explain(image_embedding, text_embeddings, weights, sides=(winner, runner_up))


def _texts_against_rivals(
    class_id: int, candidates: Sequence[int], layout: TextLayout
) -> Iterator[tuple[_Entry, float]]:
    """Yield the texts of one candidate's score and their weights; those between two candidates belong to both."""
    share = 1 / max(1, len(candidates) - 1)
    for rival in each(candidates):
        forth, back = (layout.by_pair.get(pair, ()) for pair in ((class_id, rival), (rival, class_id)))
        if len(forth) and len(back):
            yield from ((_Entry(int(c), class_id, rival, TextKind.ONE_TO_ONE), share / len(forth)) for c in forth)
            yield from ((_Entry(int(c), rival, class_id, TextKind.ONE_TO_ONE), -share / len(back)) for c in back)


def _explain(
    image_embedding: Float[Tensor, " dim"],
    text_embeddings: Float[Tensor, "texts dim"],
    weights: Mapping[_Entry, float],
    *,
    sides: tuple[int, int],
) -> Explanation:
    """Share a margin out among its texts."""
    entries = list(weights)
    factors = torch.tensor(list(weights.values()), dtype=torch.float64)
    cosines = _cosines(image_embedding, text_embeddings, entries)
    level = float((factors.abs() * cosines).sum() / factors.abs().sum()) if entries else 0.0
    shares = (factors * (cosines - level)).tolist()
    made = [
        Contribution(*entry, cosine, factor, share)
        for entry, cosine, factor, share in zip(entries, cosines.tolist(), factors.tolist(), shares, strict=True)
    ]
    made.sort(key=lambda one: (-abs(one.contribution), one.column, one.class_id, one.rival_id or 0))
    return Explanation(*sides, float((factors * cosines).sum()), level, tuple(made))


def _entries_of(class_id: int, kinds: Sequence[TextKind], layout: TextLayout) -> list[_Entry]:
    columns = ((column, kind) for kind in kinds for column in layout.columns(class_id, (kind,)).tolist())
    return [_Entry(column, class_id, None, kind) for column, kind in each(columns, every=64)]


def _cosines(
    image_embedding: Float[Tensor, " dim"], text_embeddings: Float[Tensor, "texts dim"], entries: Sequence[_Entry]
) -> Float[Tensor, " entries"]:
    columns = torch.tensor([entry.column for entry in entries], dtype=torch.int64, device=text_embeddings.device)
    return text_embeddings[columns].cpu().double() @ image_embedding.cpu().double()


def _check_sides(winner: int, runner_up: int, known: Sequence[int]) -> None:
    missing = [class_id for class_id in (winner, runner_up) if class_id not in known]
    if missing or winner == runner_up:
        found = f"class {missing[0]} did not compete" if missing else f"class {winner} stands on both sides"
        raise ConfigError(f"{found}.", "explanation", "Name two different classes that were scored for the image.")
