"""One-to-one rerank, CODER's second stage: texts that tell two classes apart decide between the best few.

For a gated image and its best classes, with `o_ij` the MEAN embedding of the texts O(i|j) that tell i from j,

    s_i = mean over rivals j of [ f(x) . o_ij - f(x) . o_ji ]

A mean of cosines is one dot product, and what i gains over j, j loses to i: so one vector per UNORDERED pair is kept,
`o_low - o_high`, and an image with five candidates needs ten rows of that matrix and one batched product, whatever the
number of texts. Source: Yi et al., CVPR 2024, one-to-one rerank; the folding is an identity.

Both or none: a pair counts only where texts exist in BOTH directions. Cosines of texts with images share a large offset
(the modality gap), so a lone O(i|j) would hand that offset to whichever class happens to have texts. A pair with no
texts, or with one direction only, contributes 0, as in the released code, and is counted.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Int64
from numpy.typing import NDArray
from torch import Tensor

from coder_core.coder.pairs import CANDIDATES, candidate_keys, pair_keys
from coder_core.coder.storable import Storable
from coder_core.coder.vectors import check_text_embeddings
from coder_core.loops import each
from coder_core.texts.text_layout import Columns, TextLayout

__all__ = ["FoldedPairs", "Reranked", "fold_pairs", "rerank"]

IMAGES_AT_ONCE = 8_192
"""Images whose candidates are looked up together: enough to be worth a call, 16 MiB of embeddings."""

VALUES_AT_ONCE = 2_097_152
"""Values gathered per step (8 MiB of float32, 409 images of 512 dimensions), into one buffer that all steps share.
Measured, 50,000 images: 0.1 s on two idle cores, here as at an eighth of it; on busy ones 0.2 s here, 0.4 s at a half
(every step waits for its threads) and 0.3 s at twice as much. Without the shared buffer 0.15 s."""

BOTH = 2
"""Directions that a pair needs texts in to count."""

NO_KEY = torch.iinfo(torch.int64).max
"""The key of "no such pair": above every pair's, so the sorted keys end with it."""


@dataclass(frozen=True, eq=False)
class FoldedPairs(Storable):
    """The one-to-one texts of all pairs of classes, one vector per unordered pair.

    Args:
        keys: `pair_keys`, ascending, of all pairs with texts in some direction; `NO_KEY` at the end.
        differences: Float32 `o_low - o_high` of every key; zeros where a direction is missing, and at the end.
        directions: In how many directions every key has texts: 2, 1, and 0 at the end.
    """

    kind: ClassVar[str] = "folded_pairs"

    keys: Int64[Tensor, " pairs_and_none"]
    differences: Float32[Tensor, "pairs_and_none dim"]
    directions: Int64[Tensor, " pairs_and_none"]

    def __len__(self) -> int:
        return int((self.directions == BOTH).sum())

    def find(self, keys: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        """Find the rows of pairs; the last row where a pair has no text."""
        places = torch.searchsorted(self.keys, keys)
        return torch.where(torch.take(self.keys, places) == keys, places, len(self.keys) - 1)

    def find_problem(self) -> str | None:
        """Keys that do not ascend to `NO_KEY`, or numbers of directions that there are not."""
        if self.keys[-1:].tolist() != [NO_KEY] or not bool((self.keys[1:] > self.keys[:-1]).all()):
            return "its keys do not ascend to that of no pair"
        if self.directions[-1] != 0 or not bool(((self.directions >= 0) & (self.directions <= BOTH)).all()):
            return "a pair has texts in neither 0, 1 nor 2 directions"
        return None


class Reranked(NamedTuple):
    """The outcome of a rerank.

    Args:
        order: `(images, best)`: which of the given places stands at each place now; 0, 1, 2, ... where nothing moved.
            `top_ids.gather(1, order)` are the new ids, and the same gather keeps every class with its probability.
        gated: `(images,)`: which were looked at again.
        missing: `(images,)`: comparisons of each that had no text at all; 0 where it was not looked at.
        one_sided: `(images,)`: those that had texts in one direction only.
        comparisons: How many every gated image asks for: ten with five candidates.
    """

    order: Int[Tensor, "images best"]
    gated: Bool[Tensor, " images"]
    missing: Int[Tensor, " images"]
    one_sided: Int[Tensor, " images"]
    comparisons: int

    @property
    def details(self) -> dict[str, NDArray[np.generic]]:
        """What happened, image by image: `(images,)` columns that stand beside the predictions.

        `gated` and `changed` (the best class is another one now) are flags; `pairs_wanted` are the comparisons that the
        image asks for (ten with five candidates, 0 where it was not looked at), `pairs_missing` those without a text in
        either direction, `pairs_one_sided` those with texts in one direction only (int32).
        """
        gated = self.gated.cpu().numpy()
        return {
            "gated": gated,
            "changed": (self.order[:, 0] != 0).cpu().numpy(),
            "pairs_wanted": gated * np.int32(self.comparisons),
            "pairs_missing": self.missing.cpu().numpy().astype(np.int32),
            "pairs_one_sided": self.one_sided.cpu().numpy().astype(np.int32),
        }


def fold_pairs(text_embeddings: Float[Tensor, "texts dim"], layout: TextLayout) -> FoldedPairs:
    """Fold the one-to-one texts of every pair of classes into one vector.

    Args:
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns tell which class from which rival; no pairs at all are allowed.

    Returns:
        Differences of mean texts in float32, on the device of the embeddings.

    Raises:
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    check_text_embeddings(text_embeddings, layout)
    held = {pair: columns for pair, columns in each(layout.by_pair.items(), every=1024) if len(columns)}
    pairs = sorted({(min(pair), max(pair)) for pair in held})
    directions = torch.tensor([(pair in held) + (pair[::-1] in held) for pair in pairs] + [0])
    whole = (directions == BOTH).nonzero().squeeze(1)
    differences = text_embeddings.new_zeros((len(pairs) + 1, text_embeddings.shape[1]), dtype=torch.float32)
    if len(whole):
        both = [pairs[row] for row in whole.tolist()]
        difference = _mean_texts(text_embeddings, [held[pair] for pair in both])
        difference -= _mean_texts(text_embeddings, [held[pair[::-1]] for pair in both])
        differences[whole.to(differences.device)] = difference
    ids = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)
    keys = torch.cat([pair_keys(ids[:, 0], ids[:, 1]), torch.tensor([NO_KEY])])
    return FoldedPairs(keys.to(differences.device), differences, directions.to(differences.device))


def rerank(
    image_embeddings: Float[Tensor, "images dim"],
    top_ids: Int[Tensor, "images best"],
    gated: Bool[Tensor, " images"],
    pairs: FoldedPairs,
    *,
    candidates: int = CANDIDATES,
) -> Reranked:
    """Order the candidates of gated images by their one-to-one scores; leave everything else as it is.

    Only the order changes. Probabilities stay those of stage 1, each with its class: a one-to-one score is a sum of
    cosine differences over a handful of rivals and has no temperature under which it would be a probability.
    Source: Yi et al., CVPR 2024, one-to-one rerank.

    Args:
        image_embeddings: L2-normalised rows, any float type, on the device of the pairs.
        top_ids: Stage-1 classes, best first, on the same device; all different within a row.
        gated: Which images to look at again, made by `is_gated`.
        pairs: Made by `fold_pairs`.
        candidates: How many of the best compete; where there are fewer, all do.

    Returns:
        The new order, and what was missing for it. Equal scores keep the order of stage 1 (where the lower class id
        won ties).
    """
    order = torch.arange(top_ids.shape[1], device=top_ids.device).repeat(len(top_ids), 1)
    missing, one_sided = (torch.zeros(len(top_ids), dtype=torch.int64, device=top_ids.device) for _ in range(2))
    uncertain = gated.nonzero().squeeze(1)
    # Images of one best class ask for the same pairs: one after the other, those stay in the cache (1.5 times as fast).
    uncertain = uncertain.index_select(0, torch.argsort(top_ids[uncertain, 0]))
    for images in each(torch.split(uncertain, IMAGES_AT_ONCE)):
        competing = top_ids.index_select(0, images)[:, :candidates]
        rows = pairs.find(candidate_keys(competing))
        scores = _scores(image_embeddings.index_select(0, images), competing, rows, pairs.differences)
        places = torch.sort(scores, dim=1, descending=True, stable=True).indices
        order[images, : competing.shape[1]] = places
        directions = pairs.directions[rows]
        missing[images], one_sided[images] = (directions == 0).sum(dim=1), (directions == 1).sum(dim=1)
    competitors = min(candidates, top_ids.shape[1])
    return Reranked(order, gated, missing, one_sided, math.comb(competitors, 2))


def _scores(
    image_embeddings: Float[Tensor, "images dim"],
    competing: Int[Tensor, "images candidates"],
    rows: Int[Tensor, "images places"],
    differences: Float[Tensor, "pairs_and_none dim"],
) -> Float[Tensor, "images candidates"]:
    """Score every candidate against its rivals: a gather and a batched product, one step at a time.

    Returns:
        Float32 differences of cosines averaged over the rivals; 0 for a candidate without rivals or texts.
    """
    (count, width), dim = competing.shape, image_embeddings.shape[1]
    margins = differences.new_zeros(rows.shape)
    step = max(1, VALUES_AT_ONCE // max(1, dim * rows.shape[1]))
    gathered = differences.new_empty((min(step, count), rows.shape[1], dim))
    for start in each(range(0, count if width > 1 else 0, step)):
        part = slice(start, start + step)
        images = image_embeddings[part].float().unsqueeze(1)
        own = gathered[: len(images)]
        torch.index_select(differences, 0, rows[part].reshape(-1), out=own.flatten(0, 1))
        torch.matmul(images, own.transpose(1, 2), out=margins[part].unsqueeze(1))
    first, second = torch.triu_indices(width, width, offset=1, device=competing.device)
    is_lower = competing.index_select(1, first) < competing.index_select(1, second)
    gains = torch.nn.functional.one_hot(first, width) - torch.nn.functional.one_hot(second, width)
    return torch.where(is_lower, margins, -margins) @ gains.float() / max(1, width - 1)


def _mean_texts(text_embeddings: Float[Tensor, "texts dim"], columns: list[Columns]) -> Float[Tensor, "pairs dim"]:
    """Average the texts of every ordered pair.

    In float32: a mean of a few unit vectors, exact to 1e-8, is ten times as fast as sums in float64.
    """
    device = text_embeddings.device
    starts = torch.from_numpy(np.cumsum([0, *(len(part) for part in columns[:-1])]))
    flat = torch.from_numpy(np.concatenate(columns))
    return torch.nn.functional.embedding_bag(flat.to(device), text_embeddings.float(), starts.to(device), mode="mean")
