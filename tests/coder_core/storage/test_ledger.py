import multiprocessing
import pickle
import uuid
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.errors import StoreError
from coder_core.storage import ledger as ledger_module
from coder_core.storage import tables
from coder_core.storage.ledger import Ledger
from coder_core.storage.store import Store

KEYS = st.text(alphabet="abcdef", min_size=1, max_size=2)
STEPS = st.lists(
    st.tuples(st.just("append"), st.lists(KEYS, max_size=6)) | st.tuples(st.just("compact"), st.just([])), max_size=8
)


def rows(keys: list[str]) -> pa.Table:
    """Rows whose value is decided by their key, as everything in a ledger is."""
    return pa.table(
        {"key": pa.array(keys, pa.string()), "value": pa.array([f"value of {key}" for key in keys], pa.string())}
    )


def test_rows_come_back_in_the_asked_order_with_repeats(store: Store) -> None:
    ledger = Ledger(store, "texts", "partition")
    assert ledger.keys() == set()
    assert ledger.append(rows(["a", "b"])) == 2
    assert ledger.append(rows(["c", "a"])) == 1
    assert ledger.keys() == {"a", "b", "c"}
    assert ledger.missing(["x", "a", "y", "x"]) == ["x", "y"]
    found = ledger.read(["c", "a", "c", "b"])
    assert found.to_pydict() == rows(["c", "a", "c", "b"]).to_pydict()
    assert ledger.read(["b"], ["value"]).to_pydict() == {"value": ["value of b"]}
    assert Ledger(store, "texts", "other").keys() == set()


@given(STEPS, st.lists(KEYS, max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_ledger_is_a_dictionary_whoever_writes_it(steps: list[tuple[str, list[str]]], asked: list[str]) -> None:
    store = Store(f"memory://{uuid.uuid4().hex}")
    reader = Ledger(store, "n", "p")
    expected: set[str] = set()
    for number, (step, keys) in enumerate(steps):
        writer = Ledger(store, "n", "p") if number % 2 else reader
        if step == "append":
            writer.append(rows(keys))
        else:
            writer.compact()
        expected |= set(keys)
    assert reader.missing(asked) == list(dict.fromkeys(key for key in asked if key not in expected))
    known = [key for key in asked if key in expected]
    assert reader.read(known).column("key").to_pylist() == known
    assert Ledger(store, "n", "p").keys() == expected


def test_a_repeated_append_writes_nothing_new(store: Store) -> None:
    for _ in range(2):
        Ledger(store, "n", "p").append(rows(["a", "b", "a"]))
    assert len(store.list()) == 1
    Ledger(store, "n", "p").append(rows([]))
    assert len(store.list()) == 1


def test_a_reader_sees_parts_that_others_add_and_merge(store: Store) -> None:
    reader, writer = Ledger(store, "n", "p"), Ledger(store, "n", "p")
    writer.append(rows(["a", "b"]))
    assert reader.read(["a"]).num_rows == 1
    writer.append(rows(["c"]))
    assert reader.read(["c", "a"]).num_rows == 2
    assert writer.compact() == 2
    assert len(store.list()) == 1
    assert reader.read(["b", "c", "a"]).column("key").to_pylist() == ["b", "c", "a"]


def test_missing_keys_are_counted_and_the_first_is_named(disk_store: Store) -> None:
    ledger = Ledger(disk_store, "n", "p")
    ledger.append(rows(["a"]))
    with pytest.raises(StoreError, match=r"2 of 3 keys are not in this ledger, the first is 'x'"):
        ledger.read(["a", "x", "y"])


def test_no_keys_give_an_empty_table_with_the_ledgers_columns(disk_store: Store) -> None:
    ledger = Ledger(disk_store, "n", "p")
    assert ledger.read([]).num_rows == 0
    ledger.append(rows(["a"]))
    assert ledger.read([]).schema.names == ["key", "value"]
    assert ledger.read([], ["value"]).to_pydict() == {"value": []}


def test_concurrent_threads_lose_nothing(store: Store) -> None:
    ledger = Ledger(store, "n", "p")
    keys = [f"k{number:02d}" for number in range(24)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda at: ledger.append(rows(keys[at : at + 4])), range(0, 24, 2)))
    assert ledger.keys() == set(keys)
    assert ledger.read(keys).to_pydict() == rows(keys).to_pydict()


def _append_and_compact(ledger: Ledger, number: int) -> None:
    for at in range(4):
        ledger.append(rows([f"p{number}-{at}", f"shared-{at}"]))
        ledger.compact()


@pytest.mark.slow
def test_processes_that_append_and_compact_at_once_lose_nothing(disk_store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_append_and_compact, args=(Ledger(disk_store, "n", "p"), number)) for number in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    expected = {f"p{number}-{at}" for number in range(3) for at in range(4)} | {f"shared-{at}" for at in range(4)}
    assert Ledger(disk_store, "n", "p").keys() == expected


def test_a_crash_between_merge_and_delete_is_harmless(disk_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(disk_store, "n", "p")
    ledger.append(rows(["a"]))
    ledger.append(rows(["b"]))
    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete", _crash)
        with pytest.raises(KeyboardInterrupt):
            ledger.compact()
    assert len(disk_store.list()) == 3
    again = Ledger(disk_store, "n", "p")
    assert again.keys() == {"a", "b"}
    assert again.read(["b", "a", "b"]).num_rows == 3
    assert again.compact() == 2
    assert again.read(["b", "a"]).to_pydict() == rows(["b", "a"]).to_pydict()


def _crash(*_arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_merge_that_gives_an_old_part_again_does_not_delete_it(disk_store: Store) -> None:
    Ledger(disk_store, "n", "p").append(rows(["a", "b"]))
    [first] = disk_store.list()
    content = disk_store.read_bytes(first)
    disk_store.delete(first)
    Ledger(disk_store, "n", "p").append(rows(["a"]))
    disk_store.write_bytes(first, content)
    Ledger(disk_store, "n", "p").compact()
    assert Ledger(disk_store, "n", "p").keys() == {"a", "b"}


def test_large_parts_are_not_merged_again(disk_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMPACT_ROWS", 4)
    ledger = Ledger(disk_store, "n", "p")
    for number in range(7):
        ledger.append(rows([f"{number}a", f"{number}b"]))
    assert ledger.compact() > 0
    assert len(ledger.keys()) == 14
    assert ledger.compact() in {0, 1}
    assert ledger.compact() == 0


def test_rows_are_found_across_row_groups(disk_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "GROUP_BYTES", 3 * 2 * tables.NOMINAL_BYTES)
    ledger = Ledger(disk_store, "n", "p")
    keys = [f"k{number:02d}" for number in range(10)]
    ledger.append(rows(keys))
    asked = ["k09", "k00", "k04", "k04", "k03", "k02"]
    assert ledger.read(asked).to_pydict() == rows(asked).to_pydict()


def test_a_ledger_travels_without_its_cache(disk_store: Store) -> None:
    ledger = Ledger(disk_store, "n", "p")
    ledger.append(rows(["a"] + [f"k{number}" for number in range(500)]))
    assert len(pickle.dumps(ledger)) < 1_000
    assert pickle.loads(pickle.dumps(ledger)).read(["a"]).num_rows == 1  # noqa: S301 (our own bytes)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (pa.table({"id": ["a"]}), "needs a string column 'key'"),
        (pa.table({"key": [1]}), "needs a string column 'key'"),
        (pa.table({"key": pa.array(["a", None])}), "1 of 2 keys are null"),
    ],
)
def test_rows_without_a_key_are_refused(disk_store: Store, table: pa.Table, problem: str) -> None:
    with pytest.raises(StoreError, match=problem):
        Ledger(disk_store, "n", "p").append(table)
    assert disk_store.list() == []


def test_a_foreign_file_in_the_folder_is_named(disk_store: Store) -> None:
    disk_store.write_bytes("ledgers/n/p/foreign.parquet", b"PAR1 and then nothing")
    with pytest.raises(StoreError, match="damaged") as error:
        Ledger(disk_store, "n", "p").keys()
    assert error.value.place.endswith("ledgers/n/p/foreign.parquet")
