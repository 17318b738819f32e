"""Contributions add up to the margin, which is the classifier's own; by hand, by hypothesis and on bad input."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.baselines.control_texts import build_control
from coder_core.classes import ClassList
from coder_core.coder.heuristic import fold_classifier
from coder_core.coder.reranking import fold_pairs, rerank
from coder_core.coder.text_shares import explain_coder, explain_rerank
from coder_core.errors import ConfigError, FeatureFileError
from coder_core.texts.bank import ClassTexts, TextBank
from coder_core.texts.domains import load_domains
from coder_core.texts.text_layout import TextLayout, build_layout

SIZES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 2)), min_size=2, max_size=5)


def total(explanation):
    return sum(one.contribution for one in explanation.contributions)


def margin_of(one, rival, by_pair, layout, cosines):
    """What a class gains over a rival: a difference of mean cosines, where both directions have texts."""
    if (one, rival) not in by_pair or (rival, one) not in by_pair:
        return 0.0
    forth, back = (cosines[torch.from_numpy(layout.by_pair[pair])].mean() for pair in ((one, rival), (rival, one)))
    return float(forth - back)


def pair_layout(by_pair, class_count):
    columns, start = {}, 0
    for pair, count in sorted(by_pair.items()):
        columns[pair] = np.arange(start, start + count)
        start += count
    return TextLayout(class_count, text_count=start, by_kind={}, by_pair=columns)


@given(sizes=SIZES, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_contributions_add_up_to_the_difference_of_the_logits(case_of, images_of, sizes, seed):
    table, layout, texts = case_of(sizes)
    image = images_of(1, seed)[0]
    explained = explain_coder(image, texts, layout, winner=1, runner_up=0)
    assert total(explained) == pytest.approx(explained.margin, abs=1e-9)
    logits = fold_classifier(texts, layout).logits(image.unsqueeze(0))[0].tolist()
    assert explained.margin == pytest.approx(logits[1] - logits[0], abs=1e-4)
    assert sum(one.weight for one in explained.contributions) == pytest.approx(0, abs=1e-9)
    assert len(explained.contributions) == sum(1 + sizes[class_id][1] + sizes[class_id][2] for class_id in (0, 1))
    text_of = table.unique_texts()
    for one in explained.contributions:
        assert any((row.text, row.class_id, row.kind) == (text_of[one.column], one.class_id, one.kind) for row in table)
        assert one.cosine == pytest.approx(float(texts[one.column].double() @ image.double()), abs=1e-12)
    sizes_of = [abs(one.contribution) for one in explained.contributions]
    assert sizes_of == sorted(sizes_of, reverse=True)


@given(sizes=SIZES)
@settings(deadline=None, max_examples=20)
def test_the_other_way_round_everything_changes_sign(case_of, images_of, sizes):
    _, layout, texts = case_of(sizes)
    one, other = (explain_coder(images_of(1)[0], texts, layout, winner=w, runner_up=r) for w, r in ((0, 1), (1, 0)))
    assert one.margin == pytest.approx(-other.margin)
    flipped = {(c.column, c.class_id): -c.contribution for c in other.contributions}
    assert {(c.column, c.class_id): c.contribution for c in one.contributions} == pytest.approx(flipped)


def test_two_classes_by_hand(case_of):
    _, layout, _ = case_of([(0, 1, 0), (1, 0, 0)], ["a", "b"])
    # columns: a's name, a's attribute, a's prompts, b's name, b's synonym, b's prompts
    texts = torch.zeros(layout.text_count, 2)
    a, b = layout.columns(0, ("class_name", "attribute")), layout.columns(1, ("class_name", "synonym"))
    texts[a[0]], texts[a[1]] = torch.tensor([1.0, 0]), torch.tensor([0.6, 0.8])
    texts[b[0]], texts[b[1]] = torch.tensor([0.0, 1]), torch.tensor([0.8, 0.6])
    explained = explain_coder(torch.tensor([1.0, 0.0]), texts, layout, winner=0, runner_up=1)
    # a: (1 + .6) / 2 = .8 against b's better name .8: a tie, every text against the level .8
    assert (explained.margin, explained.level) == (pytest.approx(0, abs=1e-5), pytest.approx(0.8))
    found = {(one.column, one.kind): one.contribution for one in explained.contributions}
    expected = {(a[0], "class_name"): 50 * 0.2, (a[1], "attribute"): 50 * -0.2, (b[1], "synonym"): 0.0}
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_text_that_stands_there_twice_counts_twice(images_of, embed):
    bank = TextBank((ClassTexts(attributes=("x", "y", "z")), ClassTexts(attributes=("w",))))
    plain = load_domains({"plain": {"ensemble": ["the {class}"]}})["plain"]
    table = build_control("repeated_names", ClassList(("a", "b")), bank, domain=plain, seed=0)
    layout, texts = build_layout(table), embed(table.unique_texts())
    explained = explain_coder(images_of(1)[0], texts, layout, winner=0, runner_up=1)
    logits = fold_classifier(texts, layout).logits(images_of(1))[0].tolist()
    assert explained.margin == pytest.approx(logits[0] - logits[1], abs=1e-4)
    assert total(explained) == pytest.approx(explained.margin, abs=1e-9)
    assert max(one.weight for one in explained.contributions) == pytest.approx(50)


@given(st.dictionaries(st.sampled_from(list(permutations(range(6), 2))), st.integers(1, 3)), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_the_rerank_s_contributions_add_up_to_the_difference_of_its_scores(by_pair, seed):
    layout = pair_layout(by_pair, 6)
    random = torch.randn(layout.text_count + 1, 12, generator=torch.Generator().manual_seed(seed))
    vectors = torch.nn.functional.normalize(random, dim=1)
    texts, image, candidates = vectors[1:], vectors[0], [4, 0, 2, 5, 1]
    explained = explain_rerank(image, texts, layout, candidates=candidates, winner=2, runner_up=0)
    scores = {
        one: sum(margin_of(one, rival, by_pair, layout, texts @ image) for rival in candidates) / 4 for one in (2, 0)
    }
    assert explained.margin == pytest.approx(scores[2] - scores[0], abs=2e-6)
    two = rerank(image.unsqueeze(0), torch.tensor([[2, 0]]), torch.tensor([True]), fold_pairs(texts, layout)).order
    between = explain_rerank(image, texts, layout, candidates=[2, 0], winner=2, runner_up=0)
    assert two.tolist() == [[1, 0]] if between.margin < -1e-6 else [[0, 1]]
    assert total(explained) == pytest.approx(explained.margin, abs=1e-12)
    whole = {pair for pair in by_pair if pair[::-1] in by_pair and {0, 2} & set(pair) and 3 not in pair}
    assert {(one.class_id, one.rival_id) for one in explained.contributions} == whole
    assert all(one.kind == "one_to_one" for one in explained.contributions)


def test_the_texts_between_the_two_count_twice():
    layout = pair_layout(dict.fromkeys(permutations(range(3), 2), 1), 3)
    texts = torch.nn.functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    explained = explain_rerank(texts[0], texts, layout, candidates=[0, 1, 2], winner=0, runner_up=1)
    weights = {(one.class_id, one.rival_id): one.weight for one in explained.contributions}
    assert weights == {(0, 1): 1.0, (1, 0): -1.0, (0, 2): 0.5, (2, 0): -0.5, (2, 1): 0.5, (1, 2): -0.5}


def test_no_pair_with_texts_explains_nothing():
    layout = pair_layout({(0, 1): 2}, 3)
    explained = explain_rerank(
        torch.ones(4) / 2, torch.ones(2, 4) / 2, layout, candidates=[0, 1, 2], winner=0, runner_up=1
    )
    assert (explained.margin, explained.contributions) == (0.0, ())


def test_sides_must_have_competed(case_of, images_of):
    _, layout, texts = case_of([(0, 1, 0), (0, 1, 0)])
    image = images_of(1)[0]
    with pytest.raises(ConfigError, match="class 2 did not compete"):
        explain_coder(image, texts, layout, winner=0, runner_up=2)
    with pytest.raises(ConfigError, match="class 1 stands on both sides"):
        explain_coder(image, texts, layout, winner=1, runner_up=1)
    with pytest.raises(ConfigError, match="class 1 did not compete"):
        explain_rerank(image, texts, layout, candidates=[0], winner=0, runner_up=1)
    with pytest.raises(FeatureFileError, match="text embeddings for"):
        explain_coder(image, texts[1:], layout, winner=0, runner_up=1)


def test_half_precision_is_explained_in_float64(case_of, images_of):
    _, layout, texts = case_of([(1, 2, 0), (0, 3, 0)])
    explained = explain_coder(images_of(1)[0].half(), texts.half(), layout, winner=0, runner_up=1)
    assert total(explained) == pytest.approx(explained.margin, abs=1e-9)
