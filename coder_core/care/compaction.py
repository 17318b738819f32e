"""Compaction: the many small parts of a ledger become few large ones, while runs read and write.

Every append is a part, and a reader has to open every part once; on S3 that is a few round trips each. A merged part is
written before the ones it stands for are removed, and readers drop repeated keys: killed at any moment, and with any
number of runs and compactions at work, no row is ever out of sight. Every part's hash is checked before it is merged.

Result tables stay as they are. A run is published as one unit and never changes; merging runs would need one file that
replaces many in one step, which no object store has. Artifacts stay, too: their manifests name their parts.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict

from coder_core.storage.care.layout import LEDGERS, Role, read_role
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
    is_dry_run: bool

    def __str__(self) -> str:
        verb = "would merge" if self.is_dry_run else "merged"
        lines = [
            f"{row.ledger}/{row.partition}: {verb} {row.merged} of {row.parts} parts into {row.written}"
            for row in self.partitions
            if row.merged
        ]
        whole = sum(not row.merged for row in self.partitions)
        lines.append(f"{whole} of {len(self.partitions)} ledger partitions have nothing to merge")
        return "\n".join(lines)


def compact_store(store: Store, *, is_dry_run: bool = False) -> Compaction:
    """Merge the small parts of every ledger.

    Args:
        store: Whose ledgers.
        is_dry_run: Only say what would be merged.

    Raises:
        DamagedFileError: A part is damaged: it was moved aside, and what was merged before it stays merged.
        StoreError: The store refuses; nothing is lost, and a second call goes on.
    """
    partitions = [_compact(store, *names, is_dry_run=is_dry_run) for names in _partitions(store)]
    return Compaction(store=store.url(), partitions=tuple(partitions), is_dry_run=is_dry_run)


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
