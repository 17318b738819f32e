"""p-values where images come in groups: crops of one photograph, frames of one film, one patient's scans.

Such images are no independent draws: ten crops of a photograph that a method gets right are hardly more evidence than
one. What is independent are the groups. Intervals are over groups, then (`measure_spread`), and a p-value comes from
flipping the sign of whole groups (a randomisation test: under the hypothesis that two methods are alike, either may
have had the other's images).
"""

import numpy as np
from jaxtyping import Int

from coder_core.evaluation.spread import Groups
from coder_core.loops import each

__all__ = ["group_numbers", "sign_flip_p"]

VALUES_AT_ONCE = 4_000_000
"""Signs of groups in work per step (32 MiB): bounds the memory whatever the number of groups."""

FLIPS = 10_000
"""Random sign flips: a p-value of 0.05 is known to 0.002."""

SEED = 0
"""Any fixed number: the p-value must not change from run to run."""


def group_numbers(names: list[str]) -> Groups:
    """Number the groups: equal names, equal numbers, from 0."""
    return np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64).reshape(-1)


def sign_flip_p(signs: Int[np.ndarray, " images"], groups: Groups, *, flips: int = FLIPS, seed: int = SEED) -> float:
    """Compute the two-sided p of "no method is better" by flipping whole groups.

    Args:
        signs: `(images,)`: 1 gained, -1 lost, 0 neither.
        groups: `(images,)` numbers of their groups.
        flips: Random flips; the observed one counts as a further one, so that no p is 0.
        seed: Same seed, same p.

    Returns:
        In [1 / (flips + 1), 1].
    """
    nets = np.bincount(groups, weights=signs)
    nets = nets[nets != 0]
    observed = abs(nets.sum())
    rng, beyond = np.random.default_rng(seed), 0
    step = max(1, VALUES_AT_ONCE // max(1, len(nets)))
    for start in each(range(0, flips, step)):
        drawn = rng.integers(0, 2, size=(min(step, flips - start), len(nets))) * 2 - 1
        beyond += int((np.abs(drawn @ nets) >= observed - 1e-9).sum())
    return (beyond + 1) / (flips + 1)
