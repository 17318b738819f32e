"""Many methods, one baseline: p-values corrected for how many were tried.

Holm's method is ten lines; the library that has it (statsmodels) would bring pandas and patsy along, and scipy has the
false discovery rate only, which promises less. So it is written here and tested against a case computed by hand.
"""

from collections.abc import Sequence

import numpy as np

__all__ = ["holm"]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the chance of ANY false rejection stays below the level they are compared with.

    The smallest of m is multiplied by m, the next by m - 1, ..., each at least its predecessor and at most 1.
    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 6, 1979.

    Args:
        p_values: In [0, 1], in any order; may be empty.

    Returns:
        Adjusted values, in the order given.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(scaled))
    return [float(value) for value in adjusted]
