"""Care of a store that lives for months, as a step: what a schedule runs."""

import logging
from typing import ClassVar

from coder_core.care.store_compaction import Compaction, compact_store
from coder_core.pipeline.context import Context
from coder_core.pipeline.step import Step

logger = logging.getLogger(__name__)


class CompactStore(Step[Compaction]):
    """Merge small parts; killed at any moment, nothing is lost.

    Raises:
        StoreError: The store refuses; a second call goes on.
    """

    loop_free: ClassVar[str] = "each merge is a step of its own that may be killed"

    is_dry_run: bool = False

    def run(self, context: Context) -> Compaction:
        """Merge, and say what was merged."""
        done = compact_store(context.artifacts.store, is_dry_run=self.is_dry_run)
        for line in str(done).splitlines():
            logger.info("%s", line)
        return done
