"""Care of a store: verification, repair, compaction and collection, on every kind of store."""

import os
import signal
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from coder_core.care import collection
from coder_core.care.collection import collect_garbage
from coder_core.care.repairing import repair_store
from coder_core.care.store_compaction import compact_store
from coder_core.care.verifying import verify_store
from coder_core.errors import StoreError
from coder_core.results.result_tables import ResultTables
from coder_core.results.schema import ArtifactRow
from coder_core.results.warehouse import Warehouse
from coder_core.storage import file_infos
from coder_core.storage.artifacts import ArtifactPayload, ArtifactStore
from coder_core.storage.ledger import Ledger
from coder_core.storage.manifest import Artifact
from coder_core.storage.store import Store
from tests.coder_core.results.result_rows import flip, old_run, paths, publish
from tests.coder_core.results.store_state import wait_for_the_next_second

pytestmark = pytest.mark.slow

NONE = timedelta(0)
MONTH = timedelta(days=30)


def ledger_row(key: str) -> pa.Table:
    return pa.table({"key": [key], "value": [f"value of {key}"]})


def write_artifact(store: Store, kind: str, seed: int = 1, inputs: dict[str, str] | None = None) -> Artifact:
    payload = ArtifactPayload(kind=kind, step_version=1, spec={"seed": seed}, inputs=inputs or {})
    writer = ArtifactStore(store).writer(payload)
    writer.write_part("part-0", pa.table({"row": [seed, 2]}))
    return writer.commit()


def publish_from(store: Store, run_id: str, artifacts: list[Artifact]) -> None:
    rows = [ArtifactRow(step="s", kind=made.kind, key=made.key, rows=made.rows) for made in artifacts]
    publish(store, run_id, artifacts=rows)


@pytest.fixture
def full_store(store: Store) -> Store:
    """Two artifacts of which a run was made, three ledger parts, and one published run."""
    bank = write_artifact(store, "text_bank")
    publish_from(store, "run-1", [write_artifact(store, "texts", inputs={"bank": bank.key})])
    for key in "abc":
        Ledger(store, "completions", "all").append(ledger_row(key))
    return store


def test_a_sound_store_is_clean_and_everything_was_counted(full_store: Store) -> None:
    found = verify_store(full_store)
    assert found.findings == ()
    seen = found.checked
    assert (seen.artifacts, seen.artifact_parts, seen.ledger_parts, seen.runs, seen.result_parts) == (2, 2, 3, 1, 5)
    assert "0 damaged, 0 leftovers" in str(found)


def test_every_damaged_file_is_named_and_repair_moves_it_aside(full_store: Store) -> None:
    harmed = [
        *paths(full_store, "texts/")[:1],
        paths(full_store, "text_bank/")[-1],
        paths(full_store, "ledgers/")[1],
        *paths(full_store, "quarantine/"),
    ]
    for path in harmed:
        flip(full_store, path)
    assert [finding.path for finding in verify_store(full_store).damage] == sorted(harmed)
    assert all("store verify --repair" in finding.remedy for finding in verify_store(full_store).damage)
    repaired = repair_store(full_store)
    assert [finding.path for finding in repaired.damage] == sorted(harmed)
    assert all("damaged/" in finding.remedy for finding in repaired.damage)
    assert verify_store(full_store).damage == []
    assert len(Ledger(full_store, "completions", "all").keys()) == 2
    assert Warehouse(full_store).query("SELECT count(*) FROM runs").rows == [(0,)]
    assert ArtifactStore(full_store).find(ArtifactPayload(kind="texts", step_version=1, spec={"seed": 1})) is None


def test_a_missing_part_is_damage_and_parts_nobody_knows_are_not(disk_store: Store) -> None:
    made = write_artifact(disk_store, "texts")
    publish_from(disk_store, "run-1", [made])
    folder = f"artifacts/texts/{made.key}"
    disk_store.write_bytes(f"{folder}/part-9.parquet", b"of another batch size")
    disk_store.write_bytes(f"artifacts/texts/{'0' * 64}/part-0.parquet", b"of an interrupted run")
    disk_store.write_bytes(f"tables/metrics/run-2.{'0' * 64}.parquet", b"of an interrupted run")
    disk_store.write_bytes(f"tables/metrics/run-1.{'0' * 64}.parquet", b"of an interrupted attempt")
    disk_store.write_bytes("notes.txt", b"a user's")
    Path(disk_store.root, ".0123.writing").write_bytes(b"half")
    disk_store.delete(f"{folder}/part-0.parquet")
    (gone,) = paths(disk_store, "tables/quarantine/")
    disk_store.delete(gone)
    found = verify_store(disk_store)
    assert [finding.path for finding in found.damage] == [
        f"{folder}/part-0.parquet",
        gone,
    ]
    assert len(found.findings) - len(found.damage) == 6
    assert all("\n" not in str(finding) for finding in found.findings)


def test_a_run_from_before_there_were_records_is_said_to_be_unchecked(disk_store: Store) -> None:
    old_run(disk_store, "old")
    disk_store.delete(paths(disk_store, ".json")[0])
    publish(disk_store, "run-1")
    for _ in range(2):
        [finding] = [found for found in verify_store(disk_store).findings if found.severity != "leftover"]
        assert finding.severity == "unchecked"
        assert Warehouse(disk_store).query("SELECT count(*) FROM predictions").rows == [(4,)]
        compact_store(disk_store)


def test_every_file_of_a_run_of_the_first_version_is_checked(disk_store: Store) -> None:
    old_run(disk_store, "old")
    assert verify_store(disk_store).findings == ()
    harmed = paths(disk_store, "predictions/")
    for path in harmed:
        flip(disk_store, path)
    assert [finding.path for finding in verify_store(disk_store).damage] == harmed
    repair_store(disk_store)
    assert ResultTables(disk_store).published() == []
    assert verify_store(disk_store).damage == []


def test_compaction_says_what_it_does_and_is_idempotent(full_store: Store) -> None:
    before = full_store.list()
    planned = compact_store(full_store, is_dry_run=True)
    assert "would merge 3 of 3 parts into 1" in str(planned)
    assert full_store.list() == before
    done = compact_store(full_store)
    assert "merged 3 of 3 parts into 1" in str(done)
    assert len(paths(full_store, "ledgers/")) == 1
    keys = sorted("abc")
    assert Ledger(full_store, "completions", "all").read(keys).to_pylist() == [
        row for key in keys for row in ledger_row(key).to_pylist()
    ]
    assert [row.merged for row in compact_store(full_store).partitions] == [0]
    assert verify_store(full_store).findings == ()


COMPACT_FOR_EVER = """
import sys
from coder_core.storage import ledger
from coder_core.care.store_compaction import compact_store
from coder_core.storage.store import Store
print("ready", flush=True)
while True:
    compact_store(Store(sys.argv[1]))
"""


@pytest.mark.thorough
def test_kill_9_while_compacting_loses_no_row_and_shows_none_twice(disk_store: Store) -> None:
    keys: list[str] = []
    for number in range(5):
        command = [sys.executable, "-c", COMPACT_FOR_EVER, disk_store.root]
        with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            for at in range(12):
                keys.append(f"{number}-{at}")
                Ledger(disk_store, "completions", "all").append(ledger_row(keys[-1]))
            time.sleep(0.013 * number)
            os.kill(process.pid, signal.SIGKILL)
        found = Ledger(disk_store, "completions", "all").read(keys)
        assert found.column("key").to_pylist() == keys
        assert verify_store(disk_store).damage == []
    compact_store(disk_store)
    assert len(disk_store.list("ledgers")) == 1
    assert Ledger(disk_store, "completions", "all").read(keys).column("key").to_pylist() == keys


def test_collection_is_a_dry_run_unless_asked_and_keeps_what_is_needed(full_store: Store) -> None:
    old = write_artifact(full_store, "texts", seed=7)
    full_store.write_bytes(f"tables/metrics/run-2.{'0' * 64}.parquet", b"never published")
    full_store.write_bytes(f"tables/metrics/run-1.{'0' * 64}.parquet", b"of an interrupted attempt")
    full_store.write_bytes(f"artifacts/texts/{'0' * 64}/part-0.parquet", b"never finished")
    full_store.write_bytes("writable-" + uuid.uuid4().hex, b"")
    full_store.write_bytes("notes.txt", b"a user's")
    needed = [path for path in full_store.list() if old.key not in path and "run-2" not in path]
    needed = [path for path in needed if "0" * 64 not in path and not path.startswith("writable-")]
    wait_for_the_next_second(full_store)
    planned = collect_garbage(full_store, NONE, is_forced=True)
    assert len(planned.collected) == 5
    assert "nothing was removed: add --delete" in str(planned)
    assert len(full_store.list()) == len(needed) + 6
    done = collect_garbage(full_store, NONE, is_dry_run=False, is_forced=True)
    assert [item.path for item in done.collected] == [item.path for item in planned.collected]
    assert full_store.list() == needed
    assert verify_store(full_store).damage == []
    assert collect_garbage(full_store, NONE, is_dry_run=False, is_forced=True).collected == ()


def test_nothing_young_is_removed(full_store: Store) -> None:
    write_artifact(full_store, "texts", seed=7)
    before = full_store.list()
    done = collect_garbage(full_store, MONTH, is_dry_run=False)
    assert (done.collected, done.kept_young) == ((), 1)
    assert "1 more are younger than 30 days" in str(done)
    assert full_store.list() == before


def test_an_age_at_which_a_run_may_still_be_going_is_refused(disk_store: Store) -> None:
    with pytest.raises(StoreError, match=r"may belong to a run that is still going.*--force"):
        collect_garbage(disk_store, timedelta(hours=23))


def set_age(store: Store, part: str, age: timedelta) -> None:
    written_at = (datetime.now(UTC) - age).timestamp()
    for path in paths(store, part):
        os.utime(Path(store.root, path), (written_at, written_at))


def test_a_group_is_as_old_as_its_youngest_file(disk_store: Store) -> None:
    for number in range(2):
        disk_store.write_bytes(f"artifacts/texts/{'0' * 64}/part-{number}.parquet", b"")
    set_age(disk_store, "part-0", 2 * MONTH)
    assert collect_garbage(disk_store, MONTH).collected == ()
    set_age(disk_store, "part-1", MONTH + timedelta(days=1))
    [item] = collect_garbage(disk_store, MONTH).collected
    assert (len(item.files), round(item.age_days)) == (2, 31)


@pytest.mark.parametrize("age", [-MONTH, timedelta(days=20_000)], ids=["from the future", "from 1971"])
def test_a_time_that_cannot_be_is_no_age(disk_store: Store, age: timedelta) -> None:
    made = write_artifact(disk_store, "texts")
    set_age(disk_store, made.key, age)
    done = collect_garbage(disk_store, MONTH, is_dry_run=False)
    assert (done.collected, done.kept_young) == ((), 1)


@pytest.mark.parametrize("ahead", [2 * MONTH, -2 * MONTH])
def test_a_wrong_clock_of_this_machine_removes_nothing_young(
    disk_store: Store, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    write_artifact(disk_store, "texts")

    class WrongClock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # noqa: ARG003
            return datetime.now(UTC) + ahead

    monkeypatch.setattr(collection, "datetime", WrongClock)
    assert collect_garbage(disk_store, MONTH, is_dry_run=False).collected == ()
    assert len(disk_store.list()) == 2


def test_what_a_young_artifact_was_made_from_is_kept(disk_store: Store) -> None:
    """A run that is still going found the old one in the store and made the young one from it."""
    old = write_artifact(disk_store, "images")
    unneeded = write_artifact(disk_store, "images", seed=2)
    for made in (old, unneeded):
        set_age(disk_store, made.key, 2 * MONTH)
    write_artifact(disk_store, "predictions", inputs={"images": old.key})
    [item] = collect_garbage(disk_store, MONTH).collected
    assert item.path.endswith(unneeded.key)


def test_a_run_that_goes_on_meanwhile_keeps_its_parts(disk_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = f"artifacts/texts/{'0' * 64}"
    disk_store.write_bytes(f"{folder}/part-0.parquet", b"")
    set_age(disk_store, "part-0", 2 * MONTH)
    layout_of = collection.read_layout

    def write_meanwhile(files: object) -> object:
        disk_store.write_bytes(f"{folder}/part-1.parquet", b"")
        return layout_of(files)  # type: ignore[arg-type]

    monkeypatch.setattr(collection, "read_layout", write_meanwhile)
    assert collect_garbage(disk_store, MONTH, is_dry_run=False).collected == ()
    assert len(disk_store.list()) == 2


# ---- compacted runs


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"mtime": 1.7e9}, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ({"created": datetime(2026, 1, 1, tzinfo=UTC)}, datetime(2026, 1, 1, tzinfo=UTC)),
        ({"LastModified": "2026-01-01T00:00:00+02:00"}, datetime(2025, 12, 31, 22, tzinfo=UTC)),
        ({"updated": "yesterday"}, None),
        ({"mtime": 1e30}, None),
        ({}, None),
    ],
)
def test_every_file_systems_word_for_the_last_write_is_read(info: dict[str, object], expected: datetime | None) -> None:
    assert file_infos.read_time(info) == expected
