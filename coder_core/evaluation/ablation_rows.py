"""Means over the draws of a text ablation. Needs no torch: reports read them too."""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from coder_core.loops import each
from coder_core.results.schema import AblationRow

__all__ = ["AblationSummary", "summarise_draws"]


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
