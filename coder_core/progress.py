"""Progress of long steps: a bar on a terminal, a line now and then elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

LOG_EVERY_SECONDS = 15.0

logger = logging.getLogger(__name__)


def _nothing() -> str:
    return ""


class Progress:
    """Counts what is done of a total and shows it.

    Args:
        label: What is done.
        total: Units in all.
        unit: What is counted.
        note: Says more about the work when it is shown, e.g. how fast a device works; empty for nothing.
    """

    def __init__(self, label: str, total: int, unit: str, note: Callable[[], str] = _nothing) -> None:
        self.label, self.total, self.unit, self._note = label, total, unit, note
        self.done = 0
        self._shown = time.monotonic()
        self._bar = tqdm(total=total, desc=label, unit=f" {unit}", leave=False) if sys.stderr.isatty() else None

    def advance(self, count: int) -> None:
        """Add to what is done."""
        self.done += count
        if self._bar is not None:
            self._bar.set_postfix_str(self._note(), refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._shown > LOG_EVERY_SECONDS:
            self._shown = time.monotonic()
            note = self._note()
            more = f" ({note})" if note else ""
            logger.info("%s: %d of %d %s%s", self.label, self.done, self.total, self.unit, more)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def track(label: str, *, total: int, unit: str, note: Callable[[], str] = _nothing) -> Iterator[Progress]:
    """Show the progress of a block, see `Progress`; silent when there is nothing to do."""
    progress = Progress(label, total, unit, note)
    try:
        yield progress
    finally:
        progress.close()
