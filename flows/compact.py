"""Compaction as a job: every append to a ledger is a part, and every run adds a file to every table.

Safe beside runs that are going: readers and writers need not know of it.
"""

from prefect import flow

from coder_core.care.store_compaction import Compaction
from coder_core.specs import Runtime
from coder_core.steps.compact_store import CompactStore
from tasks.ended_runs import ended_with
from tasks.prefect_runner import call_flow_run, prefect_runner
from tasks.served_runs import served_runtime


@flow(name="compact")
def compact(runtime: Runtime | None = None, is_dry_run: bool = False) -> Compaction:
    """Merge the small parts of the ledgers of a store, and the result tables of old runs.

    Args:
        runtime: Which store; what is not given comes from CODER_* in the environment of the worker.
        is_dry_run: Only say what would be merged.
    """
    call_flow_run("compact")
    with prefect_runner(served_runtime(runtime)) as run:
        found = run(CompactStore(is_dry_run=is_dry_run))
    return ended_with(found, Compaction.describe)
