"""The index of keys against a plain dictionary, and against keys that agree in half of their bits."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.storage.key_index import LONGEST_BUCKET, KeyIndex, Places, digest_keys, run_of

KEYS = st.sampled_from(
    [hashlib.sha256(bytes([number])).hexdigest() for number in range(40)] + ["a", "é", "", "f" * 64, "F" * 64, "g" * 64]
)
PARTS = st.lists(st.lists(KEYS, max_size=12), max_size=8)


def column(keys: list[str]) -> pa.Array:
    return pa.array(keys, type=pa.string())


def pairs(places: Places) -> list[tuple[int, int]]:
    return list(zip(places.parts.tolist(), places.rows.tolist(), strict=True))


@given(PARTS, st.sets(st.integers(0, 7)), st.lists(KEYS, max_size=20))
def test_the_index_finds_what_a_dictionary_finds(parts: list[list[str]], gone: set[int], asked: list[str]) -> None:
    index = KeyIndex()
    for number, keys in enumerate(parts):
        index = index.add([run_of(number, column(keys))])
    index = index.drop(gone)
    held = {(number, row): key for number, keys in enumerate(parts) for row, key in enumerate(keys)}
    held = {place: key for place, key in held.items() if place[0] not in gone}
    assert len(index) == len(held)
    for key, place in zip(asked, pairs(index.locate(column(asked))), strict=True):
        assert held.get(place) == (key if key in held.values() else None)


def test_keys_that_agree_in_their_first_half_are_told_apart() -> None:
    keys = ["0" * 16 + f"{number:016x}" + "0" * 32 for number in range(50)]
    places = KeyIndex().add([run_of(0, column(keys[::-1]))]).locate(column(keys))
    assert [keys[::-1][row] for row in places.rows.tolist()] == keys


def test_adding_everything_at_once_or_one_by_one_finds_the_same() -> None:
    keys = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(300)]
    one_by_one = KeyIndex()
    for number, key in enumerate(keys):
        one_by_one = one_by_one.add([run_of(number, column([key]))])
    at_once = KeyIndex().add([run_of(number, column([key])) for number, key in enumerate(keys)])
    assert pairs(one_by_one.locate(column(keys))) == pairs(at_once.locate(column(keys)))
    assert len(one_by_one._runs) < 10


def test_digests_are_the_first_128_bits_also_of_a_slice() -> None:
    keys = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(9)]
    digests = digest_keys(column(keys)[3:7])
    assert [int(high) << 64 | int(low) for high, low in zip(*digests, strict=True)] == [
        int(key[:32], 16) for key in keys[3:7]
    ]
    assert digests.high.dtype == np.uint64


@pytest.mark.parametrize("common", ["", "ab", "f" * 16], ids=["even", "uneven", "one number"])
def test_keys_of_any_spread_are_found_among_thousands(common: str) -> None:
    hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(6000)]
    keys = [common + key[len(common) :] for key in hashes]
    index = KeyIndex()
    for number in range(5):
        index = index.add([run_of(number, column(keys[1000 * number : 1000 * number + 1000]))])
    assert all((run.starts is None) == bool(common) for run in index._runs if len(run.high) > 256 * LONGEST_BUCKET)
    found = pairs(index.locate(column(keys)))
    assert found[:5000] == [divmod(place, 1000) for place in range(5000)]
    assert set(found[5000:]) == {(-1, -1)}
