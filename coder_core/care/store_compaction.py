"""Compaction: many small files become few large ones, while runs read and write.

Of ledgers: every append is a part, and a reader has to open every part once; on S3 that is a few round trips each. A
merged part is written before the ones it stands for are removed, and readers drop repeated keys: killed at any moment,
and with any number of runs and compactions at work, no row is ever out of sight. Every part's hash is checked before it
is merged.

Of results: `coder_core.results.run_compaction`. Artifacts stay as they are: their manifests name their parts.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict

from coder_core.care.file_roles import LEDGERS, Role, read_role
from coder_core.results.run_compaction import GRACE, CompactedResults, compact_results
from coder_core.storage.ledger import Ledger
from coder_core.storage.store import Store


class CompactedPartition(BaseModel):
    """What happened, or would happen, to one partition of one ledger.

    Args:
        ledger: E.g. `completions`.
        partition: E.g. the key of an encoder.
        parts: Parts before.
        merged: Small parts among them that were, or would be, merged away.
        written: Larger parts that stand for those.
    """

    model_config = ConfigDict(frozen=True)

    ledger: str
    partition: str
    parts: int
    merged: int
    written: int


class Compaction(BaseModel):
    """The outcome of a compaction of the whole store."""

    model_config = ConfigDict(frozen=True)

    store: str
    partitions: tuple[CompactedPartition, ...]
    results: CompactedResults
    is_dry_run: bool

    def describe(self) -> str:
        """What was done to the ledgers, in one line."""
        verb = "would merge" if self.is_dry_run else "merged"
        merged, written = (sum(getattr(row, name) for row in self.partitions) for name in ("merged", "written"))
        return f"{verb} {merged} small parts of {len(self.partitions)} ledger partitions into {written}"

    def __str__(self) -> str:
        verb = "would merge" if self.is_dry_run else "merged"
        lines = [
            f"{row.ledger}/{row.partition}: {verb} {row.merged} of {row.parts} parts into {row.written}"
            for row in self.partitions
            if row.merged
        ]
        whole = sum(not row.merged for row in self.partitions)
        lines.append(f"{whole} of {len(self.partitions)} ledger partitions have nothing to merge")
        results = self.results
        lines.append(f"results: {verb} {results.merged} of {results.runs} runs; {results.files} merged files")
        lines += [f"results: {reason} It stays as it is." for reason in results.left]
        if results.removed or results.waiting:
            removed = f"{'would remove' if self.is_dry_run else 'removed'} {results.removed}"
            lines.append(f"results: {removed} files that were replaced; {results.waiting} wait for a later compaction")
        return "\n".join(lines)


def compact_store(store: Store, *, is_dry_run: bool = False, grace: timedelta = GRACE) -> Compaction:
    """Merge the small parts of every ledger, and the result tables of published runs.

    Args:
        store: Whose ledgers and results.
        is_dry_run: Only say what would be merged.
        grace: How long result files stay after they have been replaced.

    Raises:
        DamagedFileError: A part is damaged: it was moved aside, and what was merged before it stays merged.
        UnexpectedContentError: A merged result file is damaged.
        StoreError: The store refuses; nothing is lost, and a second call goes on.
    """
    partitions = [_compact(store, *names, is_dry_run=is_dry_run) for names in _partitions(store)]
    results = compact_results(store, grace=grace, is_dry_run=is_dry_run)
    return Compaction(store=store.url(), partitions=tuple(partitions), results=results, is_dry_run=is_dry_run)


def _partitions(store: Store) -> Iterator[tuple[str, str]]:
    """Name every ledger and partition, sorted."""
    roles = (read_role(path) for path in store.list(LEDGERS))
    for folder in sorted({group for role, group in roles if role is Role.LEDGER}):
        yield PurePosixPath(folder).parts[1], PurePosixPath(folder).parts[2]


def _compact(store: Store, name: str, partition: str, *, is_dry_run: bool) -> CompactedPartition:
    ledger = Ledger(store, name, partition)
    plan = ledger.plan_compaction()
    parts = ledger.part_count()
    merged = sum(map(len, plan)) if is_dry_run else ledger.compact(plan)
    return CompactedPartition(ledger=name, partition=partition, parts=parts, merged=merged, written=len(plan))
