"""The few-shot search: 500 x 50 settings of a cache, against the obvious loop that recomputes what does not change.

Both sides search the same space on the same 1,128 validation images: 47 classes x 16 shots, CODERs over 8,505 texts.
The loop scores one setting at a time from the CODERs, as the released code does; it is timed on some settings and
scaled up (all 25,000 would take hours), and both must agree on the best of those settings.
"""

import time
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from coder_core.coder.classifier import LinearClassifier
from coder_core.few_shot.cache_adapter import Cache
from coder_core.few_shot.examples import Support, Validation
from coder_core.few_shot.fitting import Fitted
from coder_core.few_shot.text_metric import fit_metric

CLASSES, SHOTS, VALIDATION, TEXTS, DIM = 47, 16, 1_128, 8_505, 512
WEIGHTS = tuple(0.05 * (step + 1) for step in range(500))
BETAS = tuple(0.2 * (step + 1) for step in range(50))
LOOPED_WEIGHTS, LOOPED_BETAS = WEIGHTS[::100], BETAS[::10]


def make_rows(count: int, centres: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Draw unit rows around class centres, and their labels; noisy enough that no method gets all of them right."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(centres)
    return normalize(centres[labels] + 0.14 * torch.randn(count, DIM, generator=generator), dim=1), labels


def search_once(
    support: Support, validation: Validation, texts: Tensor, zero_shot: LinearClassifier, grid: tuple
) -> dict:
    """Search by this project."""
    weights, betas = grid
    method = Cache(fit_metric(texts, is_centred=False), (1.0,), betas)
    return Fitted.fit(method, support, zero_shot=zero_shot, search_weights=weights).select(validation).choice.settings


def loop(support: Support, validation: Validation, texts: Tensor, zero_shot: LinearClassifier, grid: tuple) -> dict:
    """Search setting by setting, from the texts every time."""
    weights, betas = grid
    best, chosen = -1.0, {}
    for beta, weight in product(betas, weights):
        keys = normalize(support.embeddings @ texts.T, dim=1)
        affinity = normalize(validation.embeddings @ texts.T, dim=1) @ keys.T
        cached = torch.exp(-beta * (1 - affinity)) @ one_hot(support.label_ids, CLASSES).float()
        logits = zero_shot.logits(validation.embeddings) + weight * cached
        accuracy = float((logits.argmax(dim=1) == validation.label_ids).double().mean())
        if accuracy > best:
            best, chosen = accuracy, {"beta": beta, "weight": weight}
    return chosen


def main() -> None:
    """Time both sides and compare their choices."""
    generator = torch.Generator().manual_seed(0)
    centres = normalize(torch.randn(CLASSES, DIM, generator=generator), dim=1)
    texts = normalize(torch.randn(TEXTS, DIM, generator=generator) + 0.5, dim=1)
    support = Support(*make_rows(CLASSES * SHOTS, centres, 1), CLASSES)
    validation = Validation(*make_rows(VALIDATION, centres, 2))
    zero_shot = LinearClassifier(normalize(centres + 0.1 * torch.randn(CLASSES, DIM, generator=generator), dim=1))
    inputs = (support, validation, texts, zero_shot)

    started = time.perf_counter()
    search_once(*inputs, (WEIGHTS, BETAS))
    ours = time.perf_counter() - started
    sample = (LOOPED_WEIGHTS, LOOPED_BETAS)
    started = time.perf_counter()
    looped = loop(*inputs, sample)
    settings = len(LOOPED_WEIGHTS) * len(LOOPED_BETAS)
    per_setting = (time.perf_counter() - started) / settings
    whole = per_setting * len(WEIGHTS) * len(BETAS)
    found = search_once(*inputs, sample)
    print(f"one pass over {len(WEIGHTS) * len(BETAS):,} settings: {ours:.2f} s, decompositions included")
    print(f"loop: {per_setting:.3f} s per setting, measured on {settings}; {whole:,.0f} s for all")
    print(f"ratio: {whole / ours:,.0f} times")
    same = all(abs(found[name] - value) < 1e-9 for name, value in looped.items())
    print(f"best of the {settings} settings: {looped} by the loop, {'the same' if same else found} by the search")


if __name__ == "__main__":
    main()
