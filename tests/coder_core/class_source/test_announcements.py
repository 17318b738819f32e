"""A change is announced once, and again when its run failed."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest

from coder_core.care.collection import collect_garbage
from coder_core.care.file_roles import Role, read_role
from coder_core.care.repairing import repair_store
from coder_core.care.verifying import verify_store
from coder_core.class_source.announcements import EXPIRY, GRACE, Announcements, Claim, is_due
from coder_core.errors import StoreError
from coder_core.storage.store import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = "a" * 64


@pytest.mark.parametrize(
    ("attempt", "age", "is_under_way", "due"),
    [
        (1, timedelta(0), False, False),
        (1, GRACE, False, True),
        (1, GRACE, True, False),
        (1, timedelta(hours=23), True, False),
        (1, EXPIRY, True, True),
        (4, timedelta(minutes=7), False, False),
        (4, timedelta(minutes=8), False, True),
        (99, timedelta(hours=23), False, False),
        (1, -timedelta(seconds=30), False, False),
        (1, -timedelta(days=400), True, True),
    ],
)
def test_when_a_change_is_announced_again(attempt: int, age: timedelta, is_under_way: bool, due: bool) -> None:
    assert is_due(Claim(attempt, NOW - age), now=NOW, is_under_way=is_under_way) is due


def test_what_was_never_announced_is_due() -> None:
    assert is_due(None, now=NOW, is_under_way=True)


def test_claims_are_counted_and_forgotten(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    announcements = Announcements(store, "animals")
    assert announcements.latest(KEY) is None
    for attempt in (1, 2, 11):
        Announcements(store, "animals-2").claim(KEY, None, now=NOW)
        claimed = announcements.claim(KEY, announcements.latest(KEY), now=NOW + timedelta(minutes=attempt))
        assert announcements.latest(KEY) == claimed
    assert claimed == Claim(3, NOW + timedelta(minutes=11))
    announcements.withdraw(KEY, 3)
    assert announcements.latest(KEY) == Claim(2, NOW + timedelta(minutes=2))
    assert announcements.latest("b" * 64) is None
    assert verify_store(store).findings == (), "announcements are no foreign files"
    announcements.clear()
    assert announcements.latest(KEY) is None
    assert Announcements(store, "animals-2").latest(KEY) is not None


def test_care_of_the_store_knows_claims_and_leaves_them_alone(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    claimed = Announcements(store, "animals").claim(KEY, None, now=NOW)
    for path in tmp_path.rglob("*.json"):
        os.utime(path, (1.75e9, 1.75e9))
    assert {read_role(path)[0] for path in store.list()} == {Role.ANNOUNCEMENT}
    assert verify_store(store).findings == ()
    assert collect_garbage(store, timedelta(days=2), is_dry_run=False).collected == ()
    repair_store(store)
    assert Announcements(store, "animals").latest(KEY) == claimed


def test_of_many_watchers_one_announces(tmp_path: Path) -> None:
    announcements = Announcements(Store(str(tmp_path)), "animals")
    all_have_looked = Barrier(8)

    def claim_what_was_seen(_watcher: int) -> bool:
        last = announcements.latest(KEY)
        all_have_looked.wait(30)
        return announcements.claim(KEY, last, now=NOW) is not None

    with ThreadPoolExecutor(8) as watchers:
        assert sum(watchers.map(claim_what_was_seen, range(8))) == 1
        assert sum(watchers.map(claim_what_was_seen, range(8))) == 1
    assert announcements.latest(KEY) == Claim(2, NOW)


def test_a_damaged_announcement_is_named(tmp_path: Path) -> None:
    announcements = Announcements(Store(str(tmp_path)), "animals")
    announcements.claim(KEY, None, now=NOW)
    path = next(tmp_path.rglob("*.json"))
    path.write_text("{")
    with pytest.raises(StoreError, match=f"{path}: this is no announcement .*Delete it"):
        announcements.latest(KEY)
