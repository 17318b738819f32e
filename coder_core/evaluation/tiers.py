"""Tiers: methods that the images cannot tell apart share a place, not an order that the next sample turns over."""

from collections.abc import Mapping

from coder_core.evaluation.intervals import Interval

__all__ = ["tiers_of"]


def tiers_of(methods: Mapping[str, tuple[float, Interval]]) -> dict[str, int]:
    """Put methods into tiers: one belongs to the tier of the best method whose interval its own overlaps.

    A tier begins with the best method that is in none yet, and takes in all whose interval overlaps with that method's.
    Overlap says too little rather than too much (two intervals may overlap although a paired test finds a
    difference): a tier is a first look, `comparisons` has the tests.

    Args:
        methods: Value and 95 % interval by name.

    Returns:
        By name, from 1, in the order given.
    """
    tiers: dict[str, int] = {}
    waiting = sorted(methods, key=lambda name: -methods[name][0])
    while waiting:
        tier, best = max(tiers.values(), default=0) + 1, methods[waiting[0]][1]
        members = [name for name in waiting if methods[name][1].high >= best.low or name == waiting[0]]
        tiers |= dict.fromkeys(members, tier)
        waiting = [name for name in waiting if name not in tiers]
    return {name: tiers[name] for name in methods}
