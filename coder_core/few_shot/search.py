"""The search over settings: every score is computed once, and the weight beside the zero-shot logits costs nothing.

A few-shot method gives scores B under a few inner settings (beta, gamma, shrinkage); with zero-shot logits Z the
decision is `argmax Z + weight * B`. For an image of class y that is right exactly where, for every other class c,

    weight * (B_y - B_c) > Z_c - Z_y

so each rival gives one bound and the right weights are one interval. A grid of any number of weights costs one pass
over B, however fine it is. Ours; the reference recomputes the affinity for each of 75,000
settings.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from numpy.typing import NDArray
from torch import Tensor

from coder_core.errors import ConfigError
from coder_core.loops import each

__all__ = ["Choice", "Scored", "accuracy_over_weights", "search"]

Settings = Mapping[str, float]


class Scored(NamedTuple):
    """Scores of some images under one inner setting."""

    settings: Settings
    scores: Float[Tensor, "images classes"]


class Choice(NamedTuple):
    """The chosen settings and the whole search.

    Args:
        settings: The best; among equals the first, inner settings in their stated order and then the smallest weight.
        source: `validation`, `leave_one_out` (on the support), or `default`: nothing was chosen.
        n: Images it was chosen on.
        accuracy: Top-1 accuracy on them, None for a default.
        tried: Inner settings in order, and the accuracy of every weight beside each, `(inner, weights)`.
    """

    settings: dict[str, float]
    source: str
    n: int
    accuracy: float | None
    tried: tuple[Settings, ...] = ()
    accuracies: NDArray[np.float64] | None = None


def search(
    candidates: Iterable[Scored],
    label_ids: Int[Tensor, " images"],
    *,
    zero_shot: Float[Tensor, "images classes"] | None,
    weights: Sequence[float],
    source: str,
) -> Choice:
    """Choose inner settings and the weight beside the zero-shot logits by top-1 accuracy.

    Args:
        candidates: Scores of the images under every inner setting; read once, one in memory at a time.
        label_ids: Their classes: of validation images, or of the support (leave-one-out).
        zero_shot: Their zero-shot logits, or None: then scores decide alone, and no weight is chosen.
        weights: Weights to try, ascending, each 0 or more.
        source: What the choice is made on.

    Raises:
        ConfigError: There is no candidate, or the weights are not ascending from 0 on.
    """
    _check_weights(weights)
    tried: list[Settings] = []
    rows: list[NDArray[np.float64]] = []
    for settings, scores in each(candidates):
        tried.append(settings)
        if zero_shot is None:
            rows.append(np.array([float((scores.argmax(dim=1) == label_ids).double().mean())]))
        else:
            rows.append(accuracy_over_weights(zero_shot, scores, label_ids, weights=weights))
    if not tried:
        raise ConfigError("there is no setting to try.", "few_shot", "Give at least one.")
    accuracies = np.stack(rows)
    inner, place = np.unravel_index(int(accuracies.argmax()), accuracies.shape)
    settings = dict(tried[int(inner)]) | ({} if zero_shot is None else {"weight": float(weights[int(place)])})
    return Choice(settings, source, len(label_ids), float(accuracies.max()), tuple(tried), accuracies)


def accuracy_over_weights(
    zero_shot: Float[Tensor, "images classes"],
    scores: Float[Tensor, "images classes"],
    label_ids: Int[Tensor, " images"],
    *,
    weights: Sequence[float],
) -> Float64[np.ndarray, " weights"]:
    """Compute the top-1 accuracy of `zero_shot + weight * scores` for every weight, in one pass.

    Args:
        zero_shot: Logits Z.
        scores: Scores B.
        label_ids: True classes, at least one image.
        weights: Ascending, each 0 or more.

    Returns:
        `(weights,)` accuracies; ties go to the lower class id.
    """
    own = label_ids.unsqueeze(1)
    logits, ahead = zero_shot.double(), scores.double()
    needed = logits - logits.gather(1, own)
    gain = ahead.gather(1, own) - ahead
    grid = torch.tensor(weights, dtype=torch.float64, device=logits.device)
    bounds = needed / torch.where(gain == 0, 1.0, gain)
    beats_ties = torch.arange(logits.shape[1], device=logits.device).unsqueeze(0) > own  # the lower id wins a tie
    first = torch.where(beats_ties, torch.searchsorted(grid, bounds), torch.searchsorted(grid, bounds, right=True))
    last = torch.where(beats_ties, torch.searchsorted(grid, bounds, right=True), torch.searchsorted(grid, bounds))
    is_level = gain == 0
    is_won = (needed < 0) | (beats_ties & (needed == 0))
    first = torch.where(gain > 0, first, torch.where(is_level & ~is_won, len(grid), 0)).scatter(1, own, 0)
    last = torch.where(gain < 0, last, len(grid)).scatter(1, own, len(grid))
    starts, ends = first.amax(dim=1), last.amin(dim=1)
    is_ever = starts < ends
    steps = torch.zeros(len(grid) + 1, dtype=torch.int64, device=logits.device)
    steps += torch.bincount(starts[is_ever], minlength=len(grid) + 1)
    steps -= torch.bincount(ends[is_ever], minlength=len(grid) + 1)
    return np.asarray(steps.cumsum(0)[:-1].cpu().numpy() / len(label_ids), dtype=np.float64)


def _check_weights(weights: Sequence[float]) -> None:
    if not weights or min(weights) < 0 or list(weights) != sorted(weights):
        raise ConfigError(
            f"the weights are {list(weights)[:5]}...", "few_shot.weights", "Give ascending numbers, 0 or more."
        )
