"""Tasks: care of a store that lives for months."""

from prefect import task
from prefect.logging import get_run_logger

from coder_core.care.compaction import Compaction, compact_store
from coder_core.specs import Runtime
from coder_core.storage.store import Store
from tasks.policy import STEP_POLICY


@task(task_run_name="compact-ledgers", **STEP_POLICY)
def compact_ledgers(runtime: Runtime, *, is_dry_run: bool) -> Compaction:
    """Merge the small parts of every ledger; killed at any moment, nothing is lost."""
    done = compact_store(Store(runtime.store), is_dry_run=is_dry_run)
    for line in str(done).splitlines():
        get_run_logger().info("%s", line)
    return done
