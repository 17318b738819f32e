"""The budget: a hard stop for dollars, while many calls are under way.

Before every call its worst case is set aside (each byte of the question a token, the longest answer allowed); after
it, the real cost takes its place. A call that does not fit waits while others are under way, because they nearly always
cost less than was set aside; when none is, nothing more fits and the budget is spent. So the limit is never passed, and
not missed by more than one call's worst case. What a call cost whose answer was lost on the line nobody says: it counts
as free here, and not on the provider's bill.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Budget", "BudgetSpentError", "Reservation"]


class BudgetSpentError(Exception):
    """The next call might pass the limit."""


class Reservation:
    """What one call has set aside; `settle` says what it really cost."""

    def __init__(self) -> None:
        self.cost_usd = 0.0

    def settle(self, cost_usd: float) -> None:
        """Add what the call cost; without it, it cost nothing."""
        self.cost_usd += cost_usd


class Budget:
    """Dollars of one purchase, for one event loop.

    Args:
        max_cost_usd: The limit; None for none.
    """

    def __init__(self, max_cost_usd: float | None) -> None:
        self.max_cost_usd = max_cost_usd
        self.spent_usd = 0.0
        self._reserved_usd = 0.0
        self._under_way = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def reserve(self, worst_usd: float) -> AsyncIterator[Reservation]:
        """Set the worst case of one call aside while it is under way.

        Raises:
            BudgetSpentError: It does not fit, and no other call is under way that might make room.
        """
        reservation = Reservation()
        if self.max_cost_usd is None:
            yield reservation
            self.spent_usd += reservation.cost_usd
            return
        async with self._changed:
            await self._changed.wait_for(lambda: self._fits(worst_usd) or self._under_way == 0)
            if not self._fits(worst_usd):
                raise BudgetSpentError
            self._reserved_usd += worst_usd
            self._under_way += 1
        try:
            yield reservation
        finally:
            await self._release(worst_usd, reservation.cost_usd)

    async def _release(self, worst_usd: float, cost_usd: float) -> None:
        async with self._changed:
            self._under_way -= 1
            self._reserved_usd -= worst_usd
            self.spent_usd += cost_usd
            self._changed.notify_all()

    def _fits(self, worst_usd: float) -> bool:
        return self.spent_usd + self._reserved_usd + worst_usd <= (self.max_cost_usd or 0.0)
