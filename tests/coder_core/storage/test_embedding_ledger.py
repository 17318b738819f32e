import numpy as np
import pytest

from coder_core.errors import StoreError
from coder_core.storage.embedding_ledger import EmbeddingLedger
from coder_core.storage.ledger import Ledger
from coder_core.storage.store import Store


def vectors_of(keys: list[str], dim: int = 4) -> np.ndarray:
    return np.stack([np.random.default_rng(ord(key)).standard_normal(dim, dtype=np.float32) for key in keys])


def test_vectors_come_back_in_the_asked_order(store: Store) -> None:
    ledger = EmbeddingLedger(store, "text_embeddings", "encoder", 4)
    assert ledger.append(["a", "b"], vectors_of(["a", "b"])) == 2
    assert ledger.append(["c"], vectors_of(["c"]).astype(np.float64)) == 1
    assert ledger.missing(["d", "b"]) == ["d"]
    found = ledger.read(["c", "a", "c", "b"])
    assert found.dtype == np.float32
    assert np.array_equal(found, vectors_of(["c", "a", "c", "b"]))
    assert EmbeddingLedger(store, "text_embeddings", "another encoder", 4).keys() == set()


def test_half_precision_is_stored_as_given_and_widened_when_read(disk_store: Store) -> None:
    half = vectors_of(["a", "b"]).astype(np.float16)
    ledger = EmbeddingLedger(disk_store, "n", "e", 4)
    ledger.append(["a", "b"], half)
    ledger.append(["c"], vectors_of(["c"]))
    assert str(Ledger(disk_store, "n", "e").read(["a"]).schema.field("vector").type).startswith("fixed_size_list<")
    assert "halffloat" in str(Ledger(disk_store, "n", "e").read(["a"]).schema.field("vector").type)
    for _ in range(2):
        expected = np.concatenate([vectors_of(["c"]), half[[1]].astype(np.float32)])
        assert np.array_equal(ledger.read(["c", "b"]), expected)
        ledger.compact()


def test_no_keys_give_no_rows(disk_store: Store) -> None:
    ledger = EmbeddingLedger(disk_store, "n", "e", 4)
    assert ledger.append([], np.empty((0, 4), dtype=np.float32)) == 0
    assert ledger.read([]).shape == (0, 4)
    assert disk_store.list() == []


@pytest.mark.parametrize(
    ("vectors", "problem"),
    [
        (np.zeros((2, 5), np.float32), r"expected vectors of shape \(2, 4\), found \(2, 5\)"),
        (np.zeros((3, 4), np.float32), r"expected vectors of shape \(2, 4\), found \(3, 4\)"),
        (np.zeros(8, np.float32), r"found \(8,\)"),
        (np.zeros((2, 4), int), "expected floating point"),
        (np.array([[0, 0, 0, 0], [0, np.nan, 0, 0]], np.float32), r"1 of 2 vectors .* row 1 \('b'\)"),
        (np.array([[np.inf, 0, 0, 0]] * 2, np.float16), r"2 of 2 vectors .* row 0 \('a'\)"),
        (np.full((2, 4), 1e300), r"2 of 2 vectors"),
    ],
)
def test_vectors_that_do_not_fit_are_refused_and_nothing_is_written(
    disk_store: Store, vectors: np.ndarray, problem: str
) -> None:
    with pytest.raises(StoreError, match=problem):
        EmbeddingLedger(disk_store, "n", "e", 4).append(["a", "b"], vectors)
    assert disk_store.list() == []


def test_another_dimension_under_the_same_key_is_named(disk_store: Store) -> None:
    EmbeddingLedger(disk_store, "n", "e", 4).append(["a"], vectors_of(["a"]))
    with pytest.raises(StoreError, match="have length 4, expected 8"):
        EmbeddingLedger(disk_store, "n", "e", 8).read(["a"])


@pytest.mark.slow
def test_no_flipped_byte_of_a_part_ever_gives_another_vector(disk_store: Store) -> None:
    keys = ["a", "b", "c"]
    EmbeddingLedger(disk_store, "n", "e", 4).append(keys, vectors_of(keys))
    [part] = disk_store.list()
    content = disk_store.read_bytes(part)
    refused = 0
    for at in range(0, len(content), 3):
        disk_store.write_bytes(part, content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        try:
            assert np.array_equal(EmbeddingLedger(disk_store, "n", "e", 4).read(keys), vectors_of(keys))
        except StoreError:
            refused += 1
    assert refused > len(content) / 9


def test_every_truncated_part_is_refused_with_its_name(disk_store: Store) -> None:
    EmbeddingLedger(disk_store, "n", "e", 4).append(["a"], vectors_of(["a"]))
    [part] = disk_store.list()
    content = disk_store.read_bytes(part)
    for length in range(0, len(content), 29):
        disk_store.write_bytes(part, content[:length])
        with pytest.raises(StoreError) as error:
            EmbeddingLedger(disk_store, "n", "e", 4).read(["a"])
        assert error.value.place == disk_store.url(part)
        assert error.value.remedy
