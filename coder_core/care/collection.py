"""Collection of what nobody needs any more: by default it only says what it would remove.

Removed are, older than the given age: what killed writers left behind, parts of artifacts without a manifest or unknown
to it, result files of runs that were never published or whose rows are in merged files by now, and artifacts that
neither a published run nor a younger artifact was made from. Merged files that do not count are removed by compaction.
Never removed: rows of ledgers (computed or paid for), open batches, published runs, `damaged/`, foreign files. A group
of files is as old as its youngest file, so a run that still writes keeps all it has written.

Time is the one thing here that cannot be trusted. `now` is the earlier of this machine's clock and the store's own (the
time it gives to a file written just now), a file of unknown or impossible age is young, and so is one from the future:
a clock that is wrong makes collection keep too much. Everything removed can be computed again.
"""

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict

from coder_core.care.file_roles import latest_write, read_layout
from coder_core.care.unneeded import Unneeded, list_unneeded
from coder_core.counted import counted
from coder_core.errors import StoreError
from coder_core.results.result_paths import PUBLICATIONS, TABLES_FOLDER
from coder_core.storage.file_infos import StoredFile
from coder_core.storage.manifest import MANIFEST
from coder_core.storage.store import Store

SAFE_AGE = timedelta(days=1)
"""A run that is still going has parts without a manifest; none of our steps writes nothing for a day."""
FIRST_STORE = datetime(2024, 1, 1, tzinfo=UTC)
"""Before the paper (CVPR 2024) there was no store: an older file was written by a machine whose clock was not set."""


class Collected(BaseModel):
    """Files that belong together and go together.

    Args:
        path: The file, or the folder of several.
        reason: Why nobody needs it.
        files: In the order in which they are removed: a manifest goes before its parts.
        bytes: Their size.
        age_days: Age of the youngest.
        run_id: The run whose files they are.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    reason: str
    files: tuple[str, ...]
    bytes: int
    age_days: float
    run_id: str | None = None

    def __str__(self) -> str:
        files, days = counted(len(self.files), "file"), counted(round(self.age_days), "day")
        return f"{self.path}: {files}, {self.bytes / 1e6:.1f} MB, {days}: {self.reason}"


class Collection(BaseModel):
    """What was, or would be, removed.

    Args:
        store: Whose files.
        older_than_days: The age.
        collected: What is removed.
        kept_young: Groups that nobody needs and that are too young, or of unknown age.
        is_dry_run: Whether nothing was removed.
    """

    model_config = ConfigDict(frozen=True)

    store: str
    older_than_days: float
    collected: tuple[Collected, ...]
    kept_young: int
    is_dry_run: bool

    def __str__(self) -> str:
        size = sum(item.bytes for item in self.collected) / 1e6
        verb = "would remove" if self.is_dry_run else "removed"
        summary = f"{verb} {counted(sum(len(item.files) for item in self.collected), 'file')}, {size:.1f} MB"
        if self.kept_young:
            summary += f"; {self.kept_young} more are younger than {self.older_than_days:g} days, or of unknown age"
        hint = ["nothing was removed: add --delete to remove them"] if self.is_dry_run and self.collected else []
        return "\n".join([*map(str, self.collected), summary, *hint])


def collect_garbage(
    store: Store, older_than: timedelta, *, is_dry_run: bool = True, is_forced: bool = False
) -> Collection:
    """Remove what nobody needs and nobody has written to for some time.

    Args:
        store: Whose files.
        older_than: Least time since the last write.
        is_dry_run: Only say what would be removed.
        is_forced: Allow ages below `SAFE_AGE`, for a store that no run is using.

    Raises:
        StoreError: The age is not safe, or the store refuses; what was removed until then nobody needed.
    """
    if older_than < SAFE_AGE and not is_forced:
        raise StoreError(
            f"Files younger than {SAFE_AGE.days} day may belong to a run that is still going.",
            f"--older-than {older_than}",
            "Take a longer time, or add --force when no run uses this store.",
        )
    now = datetime.now(UTC) if is_dry_run else min(datetime.now(UTC), store.check_writable() or FIRST_STORE)
    files = store.list_files()
    layout = read_layout(files)
    candidates = list(list_unneeded(store, layout, now - older_than))
    old = [item for item in (_age(candidate, now) for candidate in candidates) if item.age_days >= _days(older_than)]
    if not is_dry_run:
        known = frozenset(files)
        revived = _runs_written_since(store, known)
        old = [item for item in old if item.run_id not in revived and _remove(store, item, known)]
    return Collection(
        store=store.url(),
        older_than_days=_days(older_than),
        collected=tuple(old),
        kept_young=len(candidates) - len(old),
        is_dry_run=is_dry_run,
    )


def _runs_written_since(store: Store, known: frozenset[StoredFile]) -> set[str]:
    """Name the runs of which a file was written since the files were listed."""
    now = read_layout([*store.list_files(TABLES_FOLDER), *store.list_files(PUBLICATIONS)])
    return {run_id for run_id, files in now.runs.items() if not known.issuperset(files)}


def _remove(store: Store, item: Collected, known: frozenset[StoredFile]) -> bool:
    """Remove a group of files, unless somebody has written beside them since they were listed."""
    is_folder = item.run_id is None and item.path not in item.files
    folders = {path.rpartition("/")[0] for path in item.files} if is_folder else set()
    if any(file not in known for folder in folders for file in store.list_files(folder)):
        return False
    for path in item.files:
        store.delete(path)
    return True


def _days(time: timedelta) -> float:
    return time / timedelta(days=1)


def _age(group: Unneeded, now: datetime) -> Collected:
    """Describe a group by the age of its youngest file; an unknown or impossible time is no age."""
    times = [file.modified_at or FIRST_STORE for file in group.files]
    written_at = latest_write(group.files)
    age = timedelta(days=-1) if written_at is None or min(times) <= FIRST_STORE else now - written_at
    ordered = sorted(group.files, key=lambda file: (not file.path.endswith(f"/{MANIFEST}"), file.path))
    return Collected(
        path=group.path,
        reason=group.reason,
        files=tuple(file.path for file in ordered),
        bytes=sum(file.size for file in group.files),
        age_days=_days(age),
        run_id=group.run_id,
    )
