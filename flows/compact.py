"""Compaction as a job: every append to a ledger is a part, and after months of runs there are thousands.

Safe beside runs that are going: readers and writers need not know of it.
"""

from prefect import flow

from coder_core.care.compaction import Compaction
from coder_core.config import load_runtime
from coder_core.specs import Runtime
from tasks.logs import shorten_expected_errors
from tasks.store_care import compact_ledgers


@flow(name="compact")
def compact(runtime: Runtime | None = None, is_dry_run: bool = False) -> Compaction:
    """Merge the small parts of the ledgers of a store.

    Args:
        runtime: Which store; what is not given comes from CODER_* in the environment of the worker.
        is_dry_run: Only say what would be merged.
    """
    shorten_expected_errors()
    return compact_ledgers(runtime or load_runtime(), is_dry_run=is_dry_run)
