"""Which pairs of classes deserve one-to-one texts: those that stand together among the candidates of gated images.

With 1,000 classes there are 499,500 unordered pairs, and a language model would have to be asked about each; only a few
thousand ever matter. They are counted on unlabelled images: class ids and the gate go in, no label does. A pair counts
unordered, since one request answers both directions and a rerank needs both. Counting is sparse and runs one block of
images at a time: memory follows the pairs that occur, not classes squared nor images. Ours.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from coder_core.errors import ConfigError
from coder_core.loops import each
from coder_core.results.schema import PairBudgetRow
from coder_core.texts.bank import ClassPair

__all__ = [
    "CANDIDATES",
    "PairCounts",
    "candidate_keys",
    "count_pairs",
    "pair_keys",
    "select_pairs",
    "tabulate_budget",
]

CANDIDATES = 5
"""Classes that compete for a gated image: the five best (Yi et al., CVPR 2024, one-to-one rerank)."""

IMAGES_AT_ONCE = 65_536
"""Images counted at a time: 655,360 pairs of five candidates, 5 MiB of keys."""

KEY_BASE = 2**32
"""More than there are class ids: a key is `lower * KEY_BASE + higher`, so keys sort as pairs do."""


@dataclass(frozen=True, eq=False)
class PairCounts:
    """How often pairs of classes stand together among the candidates of a gated image.

    Args:
        class_ids: `(pairs, 2)`, the lower id first; most frequent first, among equals the lower ids first.
        counts: Gated images that have both classes among their candidates, at least 1.
    """

    class_ids: Int[Tensor, "pairs 2"]
    counts: Int[Tensor, " pairs"]

    def __len__(self) -> int:
        return len(self.counts)


def pair_keys(first: Int[Tensor, "*shape"], second: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Name unordered pairs of classes by one number each, whichever class comes first; the numbers sort as pairs."""
    return torch.minimum(first, second).long() * KEY_BASE + torch.maximum(first, second).long()


def candidate_keys(candidates: Int[Tensor, "images candidates"]) -> Int[Tensor, "images places"]:
    """Name all pairs among the candidates of every image.

    Returns:
        Keys of the pairs of places (0, 1), (0, 2), ..., (1, 2), ...: 10 columns for 5 candidates, 0 for one.
    """
    first, second = torch.triu_indices(candidates.shape[1], candidates.shape[1], offset=1, device=candidates.device)
    return pair_keys(candidates.index_select(1, first), candidates.index_select(1, second))


def count_pairs(
    top_ids: Int[Tensor, "images best"], gated: Bool[Tensor, " images"], *, candidates: int = CANDIDATES
) -> PairCounts:
    """Count the pairs that stand together among the candidates of gated images.

    Args:
        top_ids: Best classes of every image, best first.
        gated: Which images count, made by `is_gated`.
        candidates: How many of the best compete; more than `top_ids` holds means all it holds.

    Returns:
        Only pairs that occur. No gated image, or one class, makes an empty count.
    """
    keys, counts = (torch.empty(0, dtype=torch.int64, device=top_ids.device) for _ in range(2))
    for block in _blocks(top_ids, gated, candidates):
        block_keys, block_counts = torch.unique(block, return_counts=True)
        keys, place = torch.unique(torch.cat([keys, block_keys]), return_inverse=True)
        counts = torch.zeros_like(keys).index_add_(0, place, torch.cat([counts, block_counts]))
    order = torch.argsort(counts, descending=True, stable=True)  # keys ascend, which settles ties
    class_ids = torch.stack([keys // KEY_BASE, keys % KEY_BASE], dim=1)
    return PairCounts(class_ids=class_ids[order], counts=counts[order])


def select_pairs(counts: PairCounts, *, budget: int, held: Collection[ClassPair] = ()) -> list[ClassPair]:
    """Choose the pairs to ask a language model about.

    Args:
        counts: Made by `count_pairs`.
        budget: How many unordered pairs may be asked about, 0 or more.
        held: Ordered pairs that have texts already (`layout.by_pair`, say); a pair is left out, and costs nothing,
            where both of its directions are held.

    Returns:
        Unordered pairs (lower id first), most frequent first, at most `budget`.

    Raises:
        ConfigError: The budget is negative.
    """
    if budget < 0:
        raise ConfigError(f"the budget is {budget} pairs.", "pairs on demand", "Give 0 or more.")
    known = frozenset(held)
    pairs: Iterator[ClassPair] = ((low, high) for low, high in counts.class_ids.tolist())
    return list(islice((pair for pair in each(pairs, every=1024) if not {pair, pair[::-1]} <= known), budget))


def tabulate_budget(
    counts: PairCounts,
    top_ids: Int[Tensor, "images best"],
    gated: Bool[Tensor, " images"],
    *,
    steps: Sequence[int],
    candidates: int = CANDIDATES,
) -> list[PairBudgetRow]:
    """Tell what each step of a budget buys.

    Args:
        counts: Made by `count_pairs` from the same images.
        top_ids: Best classes of every image, best first.
        gated: Which images count.
        steps: Numbers of pairs, ascending; a step beyond the pairs that occur buys just those.
        candidates: As for `count_pairs`.

    Returns:
        One row per step.
    """
    limits = torch.tensor(steps, dtype=torch.int64, device=top_ids.device)
    touched, complete = (torch.zeros(len(steps) + 1, dtype=torch.int64, device=top_ids.device) for _ in range(2))
    keys, positions = torch.sort(pair_keys(counts.class_ids[:, 0], counts.class_ids[:, 1]))
    for block in _blocks(top_ids, gated, candidates):
        ranks = positions[torch.searchsorted(keys, block)]
        touched += _first_step_beyond(ranks.amin(dim=1), limits)
        complete += _first_step_beyond(ranks.amax(dim=1), limits)
    uses = torch.cat([counts.counts.new_zeros(1), counts.counts.cumsum(0)])
    bought = limits.clamp(max=len(counts)).tolist()
    in_all = int(uses[-1])
    return [
        PairBudgetRow(
            pairs=pairs,
            uses=int(uses[pairs]),
            share_of_uses=int(uses[pairs]) / max(1, in_all),
            images_touched=near,
            images_complete=whole,
            images_gated=int(gated.sum()),
        )
        for pairs, near, whole in zip(bought, touched.cumsum(0).tolist(), complete.cumsum(0).tolist(), strict=False)
    ]


def _first_step_beyond(ranks: Int[Tensor, " images"], limits: Int[Tensor, " steps"]) -> Int[Tensor, " steps_and_never"]:
    """Count the images by the first step whose budget reaches beyond their rank; the last entry is "never"."""
    return torch.bincount(torch.searchsorted(limits, ranks, right=True), minlength=len(limits) + 1)


def _blocks(
    top_ids: Int[Tensor, "images best"], gated: Bool[Tensor, " images"], candidates: int
) -> Iterator[Int[Tensor, "block places"]]:
    """Yield the pair keys of gated images, one block at a time; blocks without a pair are left out."""
    blocks = zip(torch.split(top_ids, IMAGES_AT_ONCE), torch.split(gated, IMAGES_AT_ONCE), strict=True)
    for ids, mask in each(blocks):
        keys = candidate_keys(ids[mask, :candidates])
        if keys.numel():
            yield keys
