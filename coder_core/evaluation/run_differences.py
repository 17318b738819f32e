"""Two runs, method by method: what the later one gains and loses on the images that both have.

Images are matched by id, whatever else differs: the encoder, the texts, the class list. Each run's own labels say what
is right in it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from coder_core.evaluation.class_shifts import MethodPredictions
from coder_core.evaluation.comparisons import holm, mcnemar_p
from coder_core.evaluation.score_intervals import paired_interval
from coder_core.loops import each

__all__ = ["MethodDifference", "compare_methods"]


class MethodDifference(NamedTuple):
    """What became of one method.

    Args:
        method: Of both runs.
        n: Images that both runs have, at least 1.
        before: Share of them that the earlier run gets right, 0..1.
        after: Share that the later run gets right.
        difference: Later minus earlier, -1..1.
        ci_low: Lower end of its paired 95 % interval (Tango's).
        ci_high: Upper end.
        gained: Images that only the later run gets right.
        lost: Images that only the earlier run gets right.
        p_value: McNemar's exact two-sided p.
        p_holm: The same after Holm's correction over the methods.
    """

    method: str
    n: int
    before: float
    after: float
    difference: float
    ci_low: float
    ci_high: float
    gained: int
    lost: int
    p_value: float
    p_holm: float


def compare_methods(
    before: Mapping[str, MethodPredictions], after: Mapping[str, MethodPredictions]
) -> list[MethodDifference]:
    """Compare the methods that two runs have in common, in the order of the earlier one.

    Args:
        before: Method -> its predictions in the earlier run.
        after: The same of the later run.

    Returns:
        Nothing about a method whose runs share no image.
    """
    rows = [_compare(method, before[method], after[method]) for method in each(before) if method in after]
    found = [row for row in rows if row is not None]
    adjusted = holm([row.p_value for row in found])
    return [row._replace(p_holm=p_holm) for row, p_holm in zip(found, adjusted, strict=True)]


def _compare(method: str, before: MethodPredictions, after: MethodPredictions) -> MethodDifference | None:
    row_of = {image_id: row for row, image_id in each(enumerate(after.image_ids), every=4096)}
    pairs = [
        (row, row_of[image_id]) for row, image_id in each(enumerate(before.image_ids), every=4096) if image_id in row_of
    ]
    if not pairs:
        return None
    earlier, later = np.array(pairs, dtype=np.int64).T
    was, now = before.is_correct[earlier].astype(np.int64), after.is_correct[later].astype(np.int64)
    signs = now - was
    gained, lost = int((signs > 0).sum()), int((signs < 0).sum())
    interval = paired_interval(gained, lost, len(signs))
    p_value = float(mcnemar_p(gained, lost))
    return MethodDifference(
        method=method,
        n=len(signs),
        before=float(was.mean()),
        after=float(now.mean()),
        difference=float(signs.mean()),
        ci_low=interval.low,
        ci_high=interval.high,
        gained=gained,
        lost=lost,
        p_value=p_value,
        p_holm=p_value,
    )
