"""Ids in one block of memory: they behave as a tuple of texts does, in every order and every alphabet."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core import image_ids
from coder_core.fingerprint import key_of, key_of_columns
from coder_core.image_ids import ImageIds, RowNumbers

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
LISTS = st.lists(TEXTS, max_size=30)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_ids, "BLOCK_ROWS", 4)


@given(texts=LISTS, start=st.integers(-35, 35), stop=st.integers(-35, 35), others=LISTS)
def test_ids_are_a_sequence_of_texts(texts: list[str], start: int, stop: int, others: list[str]) -> None:
    ids = ImageIds.of(texts)
    assert list(ids) == texts
    assert ids == tuple(texts)
    assert (ids == ImageIds.of(others)) == (texts == others)
    assert (ids == tuple(others)) == (texts == others)
    part = ids[start:stop]
    assert list(part) == texts[start:stop]
    assert part == ImageIds.of(texts[start:stop])
    assert list(ids[start:stop:-2]) == texts[start:stop:-2]
    assert list(ImageIds.join([part, ids, ImageIds.of(others)])) == [*texts[start:stop], *texts, *others]
    assert [ids[place] for place in range(-len(texts), len(texts))] == texts + texts
    assert ids.is_unique == (len(set(texts)) == len(texts))


@given(texts=LISTS, others=LISTS, is_sorted=st.booleans())
def test_ids_are_found(texts: list[str], others: list[str], is_sorted: bool) -> None:
    known = list(dict.fromkeys(texts))
    wanted = [*others, *known[::2]]
    if is_sorted:
        known, wanted = sorted(known), sorted(set(wanted))
    row_of = {text: row for row, text in enumerate(known)}
    expected = [row_of.get(text, -1) for text in wanted]
    assert ImageIds.of(known).find(wanted).tolist() == expected
    assert ImageIds.of(known).find(ImageIds.of(wanted)).tolist() == expected


def test_many_ids_of_few_blocks_are_found() -> None:
    known = [f"{row:05d}" for row in range(0, 300, 3)]
    wanted = [f"{row:05d}" for row in range(0, 300, 9)]
    ids = ImageIds.of(known)
    assert ids.is_ascending
    assert np.array_equal(ids.find(wanted), np.arange(0, 100, 3))
    assert ids.find(["00000", "00001"]).tolist() == [0, -1]


@pytest.mark.parametrize("texts", [["b", "a"], ["a", "a"], ["a", "a\0"], ["a", "b" * 2000]])
def test_where_order_is_not_known_ids_are_looked_up(texts: list[str]) -> None:
    ids = ImageIds.of(texts)
    assert not ids.is_ascending
    assert ids.find(texts).tolist() == [texts.index(text) for text in texts] or len(set(texts)) < len(texts)
    assert ids.is_unique == (len(set(texts)) == len(texts))


def test_ids_are_no_key_and_say_what_they_are() -> None:
    ids = ImageIds.of(f"image {row}" for row in range(5))
    with pytest.raises(TypeError, match="unhashable"):
        hash(ids)
    assert repr(ids) == "ImageIds('image 0', 'image 1', 'image 2', ...; 5)"
    assert ids != "image 0"
    with pytest.raises(IndexError):
        ids[5]


def test_rows_without_ids_have_numbers() -> None:
    rows = RowNumbers(range(12))
    assert (len(rows), rows[3], rows[-1]) == (12, "000000003", "000000011")
    assert list(rows[9:20]) == ["000000009", "000000010", "000000011"]
    assert list(rows)[:2] == ["000000000", "000000001"]


@pytest.mark.parametrize("rows", [range(0), range(12), range(99_998, 100_012, 3), range(10**9 - 2, 10**9 + 2)])
def test_numbers_of_rows_are_written_as_one_by_one(rows: range) -> None:
    numbers = RowNumbers(rows)
    assert list(numbers.written()) == [f"{row:09d}" for row in rows]
    assert json.loads(f"[{numbers.quoted()}]") == list(numbers)
    assert key_of_columns(numbers) == key_of([list(numbers)])
