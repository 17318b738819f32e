"""The folded rerank against a per-image loop in plain Python, cases computed by hand, and every kind of bad input."""

from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.coder import reranking
from coder_core.coder.pairs import candidate_keys
from coder_core.coder.reranking import fold_pairs, rerank
from coder_core.errors import FeatureFileError
from coder_core.evaluation.predictions import RerankCounts, count_reranked
from coder_core.texts.text_layout import TextLayout

DIM = 16


def make_layout(by_pair, class_count):
    """Give every ordered pair its number of texts, columns in order."""
    columns, start = {}, 0
    for pair, count in sorted(by_pair.items()):
        columns[pair] = np.arange(start, start + count)
        start += count
    return TextLayout(class_count, text_count=start, by_kind={}, by_pair=columns)


def unit(rows, seed):
    vectors = torch.randn(rows, DIM, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors, dim=1)


def rerank_scores(images, competing, pairs):
    """The scores by which a rerank orders."""
    rows = pairs.find(candidate_keys(competing))
    return reranking._scores(images, competing, rows, pairs.differences)


def slow_scores(image, candidates, by_pair, vectors):
    """One image: candidate by candidate, rival by rival, text by text, in Python floats."""

    def mean_cosine(pair):
        texts = [vectors[column] for column in by_pair[pair].tolist()]
        return sum(sum(a * b for a, b in zip(image, text, strict=True)) for text in texts) / len(texts)

    scores = []
    for one in candidates:
        gains = []
        for rival in candidates:
            if rival != one:
                is_whole = (one, rival) in by_pair and (rival, one) in by_pair
                gains.append(mean_cosine((one, rival)) - mean_cosine((rival, one)) if is_whole else 0.0)
        scores.append(sum(gains) / len(gains) if gains else 0.0)
    return scores


@st.composite
def problems(draw):
    """Classes, texts of some ordered pairs, candidates and gate of some images."""
    classes = draw(st.integers(1, 7))
    ordered = list(permutations(range(classes), 2))
    held = draw(st.dictionaries(st.sampled_from(ordered), st.integers(1, 4))) if ordered else {}
    rows = draw(st.lists(st.permutations(range(classes)), max_size=6))
    gated = draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    top_ids = torch.tensor(rows, dtype=torch.int32).reshape(-1, classes)
    return make_layout(held, classes), top_ids, torch.tensor(gated, dtype=torch.bool), draw(st.integers(0, 999))


def order_and_counts(images, top_ids, gated, folded):
    """What a rerank decided, and what happened."""
    found = rerank(images, top_ids, gated, folded)
    return found.order, count_reranked(found.details)


@given(problems(), st.integers(1, 200))
@settings(deadline=None, max_examples=30)
def test_equals_the_loop_over_images_whatever_the_step(problem, at_once):
    layout, top_ids, gated, seed = problem
    images, texts = unit(len(top_ids), seed), unit(layout.text_count, seed + 1)
    folded = fold_pairs(texts, layout)
    whole = reranking.VALUES_AT_ONCE
    try:
        reranking.VALUES_AT_ONCE = at_once
        order, counts = order_and_counts(images, top_ids, gated, folded)
    finally:
        reranking.VALUES_AT_ONCE = whole
    for row, ids in enumerate(top_ids.tolist()):
        places = order[row].tolist()
        assert sorted(places) == list(range(len(ids)))
        if not gated[row]:
            assert places == sorted(places)
            continue
        scores = slow_scores(images[row].tolist(), ids[:5], layout.by_pair, texts.tolist())
        actual = rerank_scores(images[row : row + 1], top_ids[row : row + 1, :5], folded)
        torch.testing.assert_close(actual, torch.tensor([scores]), atol=2e-6, rtol=0)
        assert all(scores[a] >= scores[b] - 4e-6 for a, b in pairwise(places[:5]))
        assert all(a < b for a, b in pairwise(places[:5]) if scores[a] == scores[b] == 0)
        assert places[5:] == list(range(5, len(ids)))
    assert (counts.images, counts.gated) == (len(top_ids), int(gated.sum()))


@given(problems())
@settings(deadline=None, max_examples=30)
def test_missing_and_one_sided_pairs_are_counted(problem):
    layout, top_ids, gated, seed = problem
    folded = fold_pairs(unit(layout.text_count, 1), layout)
    found = rerank(unit(len(top_ids), seed), top_ids, gated, folded)
    counts = count_reranked(found.details)
    wanted = missing = one_sided = incomplete = 0
    for row in gated.nonzero().squeeze(1).tolist():
        ids = top_ids[row].tolist()
        directions = [
            ((a, b) in layout.by_pair) + ((b, a) in layout.by_pair) for a in ids[:5] for b in ids[:5] if a < b
        ]
        wanted += len(directions)
        missing += directions.count(0)
        one_sided += directions.count(1)
        incomplete += min(directions, default=2) < 2
        assert (found.missing[row], found.one_sided[row]) == (directions.count(0), directions.count(1))
    assert (counts.pairs_wanted, counts.pairs_missing, counts.pairs_one_sided) == (wanted, missing, one_sided)
    assert counts.images_incomplete == incomplete


def test_three_classes_by_hand():
    layout = make_layout({(0, 1): 1, (1, 0): 1, (0, 2): 1, (2, 0): 1, (1, 2): 2, (2, 1): 1}, 3)
    # columns: (0,1) 0; (0,2) 1; (1,0) 2; (1,2) 3 and 4; (2,0) 5; (2,1) 6
    texts = torch.tensor([[1.0, 0], [0, 1], [0.6, 0.8], [1, 0], [0, 1], [-1, 0], [0, -1]])
    image = torch.tensor([[0.6, 0.8]])
    # cosines: .6, .8, 1, (.6 + .8) / 2 = .7, -.6, -.8; margins: 0-1 -.4, 0-2 1.4, 1-2 1.5
    candidates = torch.tensor([[0, 2, 1]])
    scores = rerank_scores(image, candidates, fold_pairs(texts, layout))
    torch.testing.assert_close(scores, torch.tensor([[0.5, -1.45, 0.95]]), atol=1e-6, rtol=0)
    order, counts = order_and_counts(image, candidates, torch.tensor([True]), fold_pairs(texts, layout))
    assert order.tolist() == [[2, 0, 1]]
    assert counts == RerankCounts(1, 1, 1, 3, 0, 0, 0)


def test_decides_as_the_loop_at_size():
    rng = np.random.default_rng(11)
    ordered = list(permutations(range(30), 2))
    held = {ordered[i]: int(rng.integers(1, 6)) for i in rng.choice(len(ordered), size=600, replace=False)}
    layout = make_layout(held, 30)
    images, texts = unit(300, 9), unit(layout.text_count, 10)
    top_ids = torch.from_numpy(np.stack([rng.permutation(30)[:7] for _ in range(300)]))
    order, counts = order_and_counts(images, top_ids, torch.ones(300, dtype=torch.bool), fold_pairs(texts, layout))
    new_ids, vectors = top_ids.gather(1, order).tolist(), texts.tolist()
    for image, old, new in zip(images.tolist(), top_ids.tolist(), new_ids, strict=True):
        scores = slow_scores(image, old[:5], layout.by_pair, vectors)
        places = sorted(range(5), key=lambda place, scores=scores: -scores[place])
        assert new == [old[place] for place in places] + old[5:]
    assert 0 < counts.pairs_missing < counts.pairs_wanted == 3000
    assert counts.changed > 100


def test_a_text_in_one_direction_only_gives_no_advantage():
    layout = make_layout({(1, 0): 3}, 2)
    candidates = torch.tensor([[0, 1]])
    folded = fold_pairs(torch.ones(3, DIM) / DIM**0.5, layout)
    order, counts = order_and_counts(torch.ones(1, DIM) / DIM**0.5, candidates, torch.tensor([True]), folded)
    assert order.tolist() == [[0, 1]]
    assert (counts.pairs_one_sided, counts.pairs_missing, counts.changed) == (1, 0, 0)
    assert len(folded) == 0


def test_classes_with_identical_texts_keep_their_order():
    layout = make_layout(dict.fromkeys(permutations(range(3), 2), 2), 3)
    texts = unit(2, 3).repeat(6, 1)
    order, counts = order_and_counts(
        unit(9, 4), torch.tensor([[2, 0, 1]] * 9), torch.ones(9, dtype=torch.bool), fold_pairs(texts, layout)
    )
    assert order.tolist() == [[0, 1, 2]] * 9
    assert counts.changed == 0


def test_none_gated_moves_nothing_and_all_gated_counts_all():
    layout = make_layout(dict.fromkeys(permutations(range(6), 2), 1), 6)
    folded, images = fold_pairs(unit(30, 5), layout), unit(8, 6)
    top_ids = torch.stack([torch.randperm(6, generator=torch.Generator().manual_seed(row)) for row in range(8)])
    order, counts = order_and_counts(images, top_ids, torch.zeros(8, dtype=torch.bool), folded)
    assert order.tolist() == [list(range(6))] * 8
    assert counts == RerankCounts(8, 0, 0, 0, 0, 0, 0)
    order, counts = order_and_counts(images, top_ids, torch.ones(8, dtype=torch.bool), folded)
    assert (counts.gated, counts.pairs_wanted, counts.images_incomplete) == (8, 80, 0)
    assert (order[:, 5] == 5).all()


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_fewer_than_five_classes_all_compete(classes):
    layout = make_layout(dict.fromkeys(permutations(range(classes), 2), 1), classes)
    folded = fold_pairs(unit(layout.text_count, 7), layout)
    top_ids = torch.arange(classes).repeat(3, 1)
    order, counts = order_and_counts(unit(3, 8), top_ids, torch.ones(3, dtype=torch.bool), folded)
    assert order.sort(dim=1).values.tolist() == top_ids.tolist()
    assert counts.pairs_wanted == 3 * classes * (classes - 1) // 2


def test_no_pair_at_all_is_allowed():
    folded = fold_pairs(torch.empty(0, DIM), make_layout({}, 6))
    order, counts = order_and_counts(unit(2, 0), torch.arange(6).repeat(2, 1), torch.ones(2, dtype=torch.bool), folded)
    assert order.tolist() == [list(range(6))] * 2
    assert (counts.pairs_missing, counts.images_incomplete) == (20, 2)


@given(problems(), st.data())
@settings(deadline=None, max_examples=25)
def test_permuting_images_permutes_the_order_and_parts_add_up(problem, data):
    layout, top_ids, gated, seed = problem
    images, folded = unit(len(top_ids), seed), fold_pairs(unit(layout.text_count, 2), layout)
    order, counts = order_and_counts(images, top_ids, gated, folded)
    rows = torch.tensor(data.draw(st.permutations(range(len(top_ids)))), dtype=torch.int64)
    permuted, same = order_and_counts(images[rows], top_ids[rows], gated[rows], folded)
    assert torch.equal(permuted, order[rows])
    assert same == counts
    cut = data.draw(st.integers(0, len(top_ids)))
    halves = [rerank(images[p], top_ids[p], gated[p], folded) for p in (slice(0, cut), slice(cut, None))]
    parts = [vars(count_reranked(half.details)) for half in halves]
    assert vars(counts) == {name: parts[0][name] + parts[1][name] for name in parts[0]}


def test_half_precision_images_are_scored_in_float32():
    layout = make_layout(dict.fromkeys(permutations(range(3), 2), 2), 3)
    folded, half, ids = fold_pairs(unit(12, 1).half(), layout), unit(4, 2).half(), torch.arange(3).repeat(4, 1)
    assert folded.differences.dtype == torch.float32
    assert torch.equal(rerank_scores(half, ids, folded), rerank_scores(half.float(), ids, folded))


def test_embeddings_of_other_texts_are_refused():
    with pytest.raises(FeatureFileError, match="5 text embeddings for 2 texts"):
        fold_pairs(unit(5, 0), make_layout({(0, 1): 2}, 2))
