"""What a text ablation finds out, as rows, and their means over draws. Needs no torch: reports read them too."""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from coder_core.loops import each

__all__ = ["AblationRow", "AblationSummary", "summarise_draws"]


class AblationRow(NamedTuple):
    """How well one subset of texts classifies.

    Args:
        kinds: The kinds that count, joined by `+`.
        texts_per_class: The limit of descriptive texts per class, None for all.
        draw: Which random subset.
        mean_texts: Descriptive texts per class that there really were, on average.
        n: Images.
        top1: Top-1 accuracy.
        ci_low: Lower end of its 95 % Wilson interval, over images (the spread over draws shows the texts' part).
        ci_high: Upper end.
        top5: Top-5 accuracy.
        mean_per_class_accuracy: Over the classes that have images.
    """

    kinds: str
    texts_per_class: int | None
    draw: int
    mean_texts: float
    n: int
    top1: float
    ci_low: float
    ci_high: float
    top5: float
    mean_per_class_accuracy: float


class AblationSummary(NamedTuple):
    """All draws of one number and choice of texts.

    Args:
        kinds: The kinds that count, joined by `+`.
        texts_per_class: The limit of descriptive texts per class, None for all.
        draws: How many random subsets.
        mean_texts: Descriptive texts per class that there really were, on average.
        top1: Mean of the draws' top-1 accuracies.
        top1_std: Their standard deviation (n - 1), None for a single draw.
    """

    kinds: str
    texts_per_class: int | None
    draws: int
    mean_texts: float
    top1: float
    top1_std: float | None


def summarise_draws(rows: Iterable[AblationRow]) -> list[AblationSummary]:
    """Average over draws; one row per number and choice of texts, in order of first appearance."""
    groups: dict[tuple[str, int | None], list[AblationRow]] = defaultdict(list)
    for row in each(rows):
        groups[row.kinds, row.texts_per_class].append(row)
    return [
        AblationSummary(
            kinds=kinds,
            texts_per_class=number,
            draws=len(group),
            mean_texts=statistics.fmean(row.mean_texts for row in group),
            top1=statistics.fmean(row.top1 for row in group),
            top1_std=statistics.stdev(row.top1 for row in group) if len(group) > 1 else None,
        )
        for (kinds, number), group in groups.items()
    ]
