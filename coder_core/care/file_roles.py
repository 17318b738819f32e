"""What every file of a store is, read off its path: the one place where care knows the whole layout.

A file that fits nowhere is somebody else's: it is reported and never touched.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from coder_core.care.store_format import FORMAT_FILE
from coder_core.results.result_paths import parse_generation, parse_merged, parse_run_file
from coder_core.results.schema import RUNS
from coder_core.storage.damaged_files import FOLDER as DAMAGED
from coder_core.storage.file_infos import StoredFile
from coder_core.storage.leases import FOLDER as LEASES
from coder_core.storage.local_files import is_temporary
from coder_core.storage.manifest import FOLDER as ARTIFACTS
from coder_core.storage.manifest import LATEST, MANIFEST
from coder_core.storage.store import PROBE_PREFIX

LEDGERS = "ledgers"
BATCHES = "batches"
"""Open purchases at a provider's Batch API (`atg.batch_documents`, which checks them itself)."""
ANNOUNCEMENTS = "announcements"
"""Class changes that were told to the scheduler (`class_source.announcements`, which removes them itself)."""
REPORTS = "reports"
"""Pages about runs (`report.publish_report`): whoever loses one makes it again."""
_ARTIFACT_FILE = re.compile(rf"(?P<group>{ARTIFACTS}/[^/]+/[0-9a-f]{{64}})/([^/]+\.parquet|{re.escape(MANIFEST)})")
_LEDGER_PART = re.compile(rf"(?P<group>{LEDGERS}/[^/]+/[^/]+)/[^/]+\.parquet")
_PROBE = re.compile(rf"{PROBE_PREFIX}[0-9a-f]{{32}}")


class Role(StrEnum):
    """What a file is to the store."""

    ARTIFACT = "artifact"
    LEDGER = "ledger"
    RESULT = "result"
    MERGED = "merged"
    BATCH = "batch"
    ANNOUNCEMENT = "announcement"
    NOTE = "note"
    DAMAGED = "damaged"
    TEMPORARY = "temporary"
    FOREIGN = "foreign"


_WHOLE_FOLDERS = {
    DAMAGED: Role.DAMAGED,
    BATCHES: Role.BATCH,
    ANNOUNCEMENTS: Role.ANNOUNCEMENT,
    LATEST: Role.NOTE,
    LEASES: Role.NOTE,
    REPORTS: Role.NOTE,
}
"""Whose files need no care: a note says which artifact a step made last, and explains at most why another is made."""


class Layout(NamedTuple):
    """The files of a store by what they are.

    Args:
        artifacts: Folder of an artifact -> its files.
        ledgers: Folder of a ledger's partition -> its parts.
        runs: Run id -> its result files; those of a compacted run do not count any more.
        merged: Merged result files, and the records of their generations.
        damaged: What was moved aside.
        temporary: What killed writers and probes left behind.
        foreign: What is not of this store.
    """

    artifacts: Mapping[str, list[StoredFile]]
    ledgers: Mapping[str, list[StoredFile]]
    runs: Mapping[str, list[StoredFile]]
    merged: list[StoredFile]
    damaged: list[StoredFile]
    temporary: list[StoredFile]
    foreign: list[StoredFile]


def read_layout(files: Iterable[StoredFile]) -> Layout:
    """Sort the files of a store by what they are; within a group they keep their order."""
    groups: dict[Role, dict[str, list[StoredFile]]] = {role: {} for role in Role}
    for file in files:
        role, group = read_role(file.path)
        groups[role].setdefault(group, []).append(file)
    loose = {role: [file for own in groups[role].values() for file in own] for role in Role}
    return Layout(
        artifacts=groups[Role.ARTIFACT],
        ledgers=groups[Role.LEDGER],
        runs=groups[Role.RESULT],
        merged=loose[Role.MERGED],
        damaged=loose[Role.DAMAGED],
        temporary=loose[Role.TEMPORARY],
        foreign=loose[Role.FOREIGN],
    )


def read_role(path: str) -> tuple[Role, str]:
    """Tell what a file is, and the group (artifact, partition or run) that it belongs to."""
    if is_temporary(path) or _PROBE.fullmatch(path):
        return Role.TEMPORARY, ""
    folder, separator, _ = path.partition("/")
    if separator and folder in _WHOLE_FOLDERS:
        return _WHOLE_FOLDERS[folder], ""
    if path == FORMAT_FILE:
        return Role.NOTE, ""
    if match := _ARTIFACT_FILE.fullmatch(path):
        return Role.ARTIFACT, match["group"]
    if match := _LEDGER_PART.fullmatch(path):
        return Role.LEDGER, match["group"]
    if file := parse_run_file(path):
        return Role.RESULT, file.run_id
    if parse_merged(path) or parse_generation(path) is not None:
        return Role.MERGED, ""
    return Role.FOREIGN, ""


def has_manifest(files: Iterable[StoredFile]) -> bool:
    """Tell whether an artifact is finished."""
    return any(file.path.endswith(f"/{MANIFEST}") for file in files)


def has_row(files: Iterable[StoredFile]) -> bool:
    """Tell whether a run's row of `runs` is among its files: then it is published."""
    return any((file := parse_run_file(stored.path)) is not None and file.table == RUNS for stored in files)


def latest_write(files: Iterable[StoredFile]) -> datetime | None:
    """Return when a group was last written; None when the age of any of its files is unknown."""
    times = [file.modified_at for file in files]
    known = [time for time in times if time is not None]
    return max(known) if known and len(known) == len(times) else None
