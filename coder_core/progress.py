"""Progress of long steps: a bar on a terminal, a line now and then elsewhere."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

LOG_EVERY_SECONDS = 15.0

logger = logging.getLogger(__name__)


class Progress:
    """Counts what is done of a total and shows it."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self._shown = time.monotonic()
        self._bar = tqdm(total=total, desc=label, unit=f" {unit}", leave=False) if sys.stderr.isatty() else None

    def advance(self, count: int) -> None:
        """Add to what is done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._shown > LOG_EVERY_SECONDS:
            self._shown = time.monotonic()
            logger.info("%s: %d of %d %s", self.label, self.done, self.total, self.unit)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def track(label: str, *, total: int, unit: str) -> Iterator[Progress]:
    """Show the progress of a block; silent when there is nothing to do."""
    progress = Progress(label, total, unit)
    try:
        yield progress
    finally:
        progress.close()
