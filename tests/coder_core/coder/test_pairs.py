"""Counting confused pairs against Counter and combinations, and what a budget buys against sets of pairs."""

from collections import Counter
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.coder import pairs
from coder_core.coder.pairs import count_pairs, pair_keys, select_pairs, tabulate_budget
from coder_core.errors import ConfigError
from coder_core.results.schema import PairBudgetRow
from tests.rows import rows_of

CLASSES = 8
budget_row = rows_of(PairBudgetRow)


@st.composite
def cases(draw):
    """Candidates of some images, their gate, and how many compete."""
    width = draw(st.integers(1, 6))
    rows = draw(st.lists(st.permutations(range(CLASSES)), max_size=12))
    gated = draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    top_ids = torch.tensor([row[:width] for row in rows], dtype=torch.int32).reshape(-1, width)
    return top_ids, torch.tensor(gated, dtype=torch.bool), draw(st.integers(1, 6))


def slow_pairs(top_ids, gated, candidates):
    """The pairs of every gated image, as sorted tuples."""
    rows = [row[:candidates] for row, is_in in zip(top_ids.tolist(), gated.tolist(), strict=True) if is_in]
    return [[tuple(sorted(pair)) for pair in combinations(row, 2)] for row in rows]


@given(cases(), st.integers(1, 3))
@settings(deadline=None, max_examples=30)
def test_counting_equals_a_counter_whatever_the_block(case, block):
    top_ids, gated, candidates = case
    counter = Counter(pair for image in slow_pairs(*case) for pair in image)
    expected = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    whole = pairs.IMAGES_AT_ONCE
    try:
        pairs.IMAGES_AT_ONCE = block
        counts = count_pairs(top_ids, gated, candidates=candidates)
    finally:
        pairs.IMAGES_AT_ONCE = whole
    assert [tuple(pair) for pair in counts.class_ids.tolist()] == [pair for pair, _ in expected]
    assert counts.counts.tolist() == [count for _, count in expected]


@given(cases(), st.lists(st.integers(0, 40), max_size=4).map(sorted))
@settings(deadline=None, max_examples=30)
def test_a_budget_buys_what_sets_of_pairs_say(case, steps):
    top_ids, gated, candidates = case
    counts = count_pairs(top_ids, gated, candidates=candidates)
    ranked = [tuple(pair) for pair in counts.class_ids.tolist()]
    images = slow_pairs(*case)
    uses = sum(len(image) for image in images)
    expected = []
    for step in steps:
        bought = set(ranked[:step])
        settled = sum(pair in bought for image in images for pair in image)
        touched = sum(not bought.isdisjoint(image) for image in images)
        complete = sum(bought.issuperset(image) for image in images if image)
        share = settled / uses if uses else 0
        expected.append(budget_row(len(bought), settled, share, touched, complete, len(images)))
    assert tabulate_budget(counts, top_ids, gated, steps=steps, candidates=candidates) == expected


def test_three_images_by_hand():
    top_ids = torch.tensor([[3, 1, 2], [1, 3, 0], [0, 2, 1]])
    counts = count_pairs(top_ids, torch.tensor([True, True, False]))
    assert counts.class_ids.tolist() == [[1, 3], [0, 1], [0, 3], [1, 2], [2, 3]]
    assert counts.counts.tolist() == [2, 1, 1, 1, 1]
    assert tabulate_budget(counts, top_ids, torch.tensor([True, True, False]), steps=[0, 1, 3, 9]) == [
        budget_row(0, 0, 0.0, 0, 0, 2),
        budget_row(1, 2, 2 / 6, 2, 0, 2),
        budget_row(3, 4, 4 / 6, 2, 1, 2),
        budget_row(5, 6, 1.0, 2, 2, 2),
    ]


def test_pairs_are_chosen_by_frequency_and_what_is_held_costs_nothing():
    counts = count_pairs(torch.tensor([[3, 1, 2], [1, 3, 0]]), torch.tensor([True, True]))
    assert select_pairs(counts, budget=2) == [(1, 3), (0, 1)]
    assert select_pairs(counts, budget=9) == [(1, 3), (0, 1), (0, 3), (1, 2), (2, 3)]
    assert select_pairs(counts, budget=2, held=[(1, 3), (3, 1), (0, 1)]) == [(0, 1), (0, 3)]
    assert select_pairs(counts, budget=0) == []


def test_a_negative_budget_is_refused():
    counts = count_pairs(torch.tensor([[3, 1]]), torch.tensor([True]))
    with pytest.raises(ConfigError, match="the budget is -1 pairs"):
        select_pairs(counts, budget=-1)


def test_nothing_gated_and_one_class_make_no_pairs():
    assert len(count_pairs(torch.tensor([[0, 1], [1, 0]]), torch.tensor([False, False]))) == 0
    one = count_pairs(torch.tensor([[0], [0]]), torch.tensor([True, True]))
    assert len(one) == 0
    assert tabulate_budget(one, torch.tensor([[0]]), torch.tensor([True]), steps=[5]) == [budget_row(0, 0, 0, 0, 0, 1)]


def test_keys_sort_as_pairs_and_ignore_the_order():
    first, second = torch.tensor([5, 1, 2**31 - 1, 0]), torch.tensor([1, 5, 7, 9])
    keys = pair_keys(first, second)
    assert keys[0] == keys[1]
    ordered = sorted(range(4), key=lambda row: sorted((int(first[row]), int(second[row]))))
    assert torch.argsort(keys, stable=True).tolist() == ordered
