"""A ledger part that is not what was written: noticed, moved aside, and never a wrong row."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coder_core.storage import tables
from coder_core.storage.embedding_ledger import EmbeddingLedger
from coder_core.storage.ledger import Ledger
from coder_core.storage.refusals import DamagedFileError
from coder_core.storage.store import Store

KEYS = [f"k{number}" for number in range(12)]
VECTORS = np.random.default_rng(0).standard_normal((12, 4)).astype(np.float32)


def rows(keys: list[str]) -> pa.Table:
    return pa.table({"key": pa.array(keys, pa.string()), "value": pa.array([f"value of {key}" for key in keys])})


def flipped(content: bytes, position: int, bit: int = 2) -> bytes:
    return content[:position] + bytes([content[position] ^ (1 << bit)]) + content[position + 1 :]


def only_part(store: Store) -> str:
    [path] = store.list("ledgers")
    return path


@pytest.mark.slow
@example(place=0.00559, bit=1)  # the header of the first page: Arrow reads no row, and says nothing
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=80)
def test_whatever_bit_is_flipped_no_wrong_vector_is_read_and_a_rerun_mends_it(place: float, bit: int) -> None:
    store = Store(f"memory://{np.random.default_rng().integers(2**62)}")
    EmbeddingLedger(store, "image_embeddings", "e", 4).append(KEYS, VECTORS)
    path = only_part(store)
    content = store.read_bytes(path)
    store.write_bytes(path, flipped(content, int(place * len(content)), bit))
    places: list[str] = []
    for _ in range(3):
        ledger = EmbeddingLedger(store, "image_embeddings", "e", 4)
        try:
            missing = ledger.missing(KEYS)
            ledger.append(missing, VECTORS[[KEYS.index(key) for key in missing]])
            np.testing.assert_array_equal(ledger.read(KEYS), VECTORS)
        except DamagedFileError as error:
            places.append(error.place)
        else:
            break
    assert set(places) <= {store.url(path)}
    assert len(places) <= 2
    np.testing.assert_array_equal(ledger.read(KEYS), VECTORS)


def test_rows_of_sound_row_groups_are_kept(disk_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "GROUP_BYTES", 3 * 2 * tables.NOMINAL_BYTES)
    Ledger(disk_store, "completions", "all").append(rows(KEYS))
    path = only_part(disk_store)
    values = pq.read_metadata(Path(disk_store.root, path)).row_group(1).column(1)
    content = disk_store.read_bytes(path)
    disk_store.write_bytes(path, flipped(content, values.data_page_offset + values.total_compressed_size // 2))
    with pytest.raises(DamagedFileError, match=r"moved to damaged/.*run again") as error:
        Ledger(disk_store, "completions", "all").read(KEYS)
    assert error.value.place == disk_store.url(path)
    kept = Ledger(disk_store, "completions", "all")
    assert len(kept.keys()) == 9, "one group of three is lost"
    assert kept.read(sorted(kept.keys())).to_pydict() == rows(sorted(kept.keys())).to_pydict()
    [copy] = disk_store.list("damaged")
    assert copy.endswith(path)


def test_a_compaction_never_merges_a_damaged_part(disk_store: Store) -> None:
    for key in KEYS[:3]:
        Ledger(disk_store, "n", "p").append(rows([key]))
    damaged = disk_store.list("ledgers")[1]
    content = disk_store.read_bytes(damaged)
    at = content.index(b"ARROW:schema")  # the footer: every row can still be read
    disk_store.write_bytes(damaged, flipped(content, at, 0))
    with pytest.raises(DamagedFileError, match="moved to damaged/"):
        Ledger(disk_store, "n", "p").compact()
    assert len(Ledger(disk_store, "n", "p").keys()) == 2
    assert Ledger(disk_store, "n", "p").compact() == 2


def test_a_garbled_answer_of_the_network_is_no_damage(disk_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is right and what was read is wrong: it must stay where it is."""
    Ledger(disk_store, "n", "p").append(rows(KEYS))
    path = only_part(disk_store)
    content = disk_store.read_bytes(path)
    disk_store.write_bytes(path, content[:-20])
    hash_file = Store.hash_file

    def mend_first(store: Store, asked: str) -> str:
        store.write_bytes(asked, content)
        return hash_file(store, asked)

    monkeypatch.setattr(Store, "hash_file", mend_first)
    with pytest.raises(tables.UnexpectedContentError) as error:
        Ledger(disk_store, "n", "p").keys()
    assert not isinstance(error.value, DamagedFileError)
    assert Ledger(disk_store, "n", "p").keys() == set(KEYS)
    assert disk_store.list("damaged") == []


def test_a_part_that_vanishes_between_two_row_groups_gives_no_row_twice(
    disk_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On S3 every row group is a request of its own, and a compaction may come in between."""
    monkeypatch.setattr(tables, "GROUP_BYTES", 3 * 2 * tables.NOMINAL_BYTES)
    Ledger(disk_store, "n", "p").append(rows(KEYS))
    Ledger(disk_store, "n", "p").append(rows(["x"]))
    reader = Ledger(disk_store, "n", "p")
    matches = reader.matches([*KEYS, "x"])
    found = [next(matches)]
    gone = set(disk_store.list("ledgers"))
    Ledger(disk_store, "n", "p").compact()
    monkeypatch.setattr("pyarrow.parquet.ParquetFile.read_row_group", _vanishing(gone, disk_store))
    found += list(matches)
    slots = np.concatenate([match.slots for match in found])
    assert sorted(slots) == list(range(13))


def _vanishing(gone: set[str], store: Store) -> object:
    """Row groups of files that are deleted cannot be read any more, as on S3; a local file stays open."""
    read = pq.ParquetFile.read_row_group
    failures = iter([True])

    def read_row_group(file: pq.ParquetFile, *arguments: object, **options: object) -> pa.Table:
        if next(failures, False) and not gone & set(store.list("ledgers")):
            raise FileNotFoundError("the object is gone")
        return read(file, *arguments, **options)

    return read_row_group
