"""Every check on a small bank with known faults, and against slow references that share no code with it."""

import random
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.classes import ClassList
from coder_core.errors import TextBankError
from coder_core.review.bank_review import EncoderView, count_phrases, find_empty_classes, review_bank
from coder_core.review.encoder_issues import COLUMNS, ROWS, find_near_duplicates, find_too_long, nearest_earlier_texts
from coder_core.review.issues import ISSUES, IssueKind, find_duplicates, find_shared
from coder_core.review.leaks import find_leaks
from coder_core.texts.bank import ClassTexts, Phrase, TextBank, empty_bank
from coder_core.texts.domains import load_domains
from coder_core.texts.kinds import TextKind
from coder_core.texts.sentences import build_texts

NAMES = ("shark", "great white shark", "tench", "crane", "crane", "sea-lion", "glass", "C++")
CLASSES = ClassList(NAMES)
GENERAL = load_domains()["general"]


def bank(texts, pairs=None):
    return TextBank(tuple(texts.get(class_id, ClassTexts()) for class_id in range(len(CLASSES))), pairs or {})


def leaks(texts, pairs=None):
    return [
        (row.class_id, row.text, row.other_class_id, row.other_text) for row in find_leaks(bank(texts, pairs), CLASSES)
    ]


def test_every_issue_is_explained():
    assert set(ISSUES) == set(IssueKind)


def test_phrases_are_counted_by_kind_rival_and_person():
    texts = {3: ClassTexts((Phrase("a", "human"), "b"), ("c",), ("d", Phrase("e", "human"), "f"))}
    counts = count_phrases(bank(texts, {(3, 0): ("x", Phrase("y", "human")), (3, 1): (), (0, 3): ("z",)}))
    assert counts[3] == (3, 2, 0, 1, 3, 2, 1, 3)
    assert counts[0] == (0, 0, 0, 0, 0, 1, 1, 0)
    assert len(counts) == len(CLASSES)


def test_a_class_without_descriptive_phrases_is_empty():
    texts = {0: ClassTexts(("a",)), 1: ClassTexts((), ("b",)), 2: ClassTexts((), (), ("synonym",))}
    assert [row.class_id for row in find_empty_classes(bank(texts))] == [2, 3, 4, 5, 6, 7]


def test_the_longest_name_is_the_one_that_is_named():
    texts = {2: ClassTexts(("like a great white shark", "sharks!", "Sea Lions, SEA_LIONS", "sharkskin", "no name"))}
    assert leaks(texts) == [
        (2, "like a great white shark", 1, "great white shark"),
        (2, "sharks!", 0, "shark"),
        (2, "Sea Lions, SEA_LIONS", 5, "sea lion"),
    ]


def test_a_class_may_say_its_own_names():
    texts = {
        0: ClassTexts(("a shark", "no great white shark")),
        1: ClassTexts(("a great white shark", "a white shark", "a shark"), synonyms=("White Sharks",)),
        3: ClassTexts(("a crane at work",)),
    }
    assert leaks(texts) == [
        (0, "no great white shark", 1, "great white shark"),
        (1, "a shark", 0, "shark"),
    ]


def test_a_pair_may_name_its_rival_and_nobody_else():
    assert leaks({}, {(2, 0): ("smaller than sharks", "no glasses")}) == [(2, "no glasses", 6, "glass")]


def test_two_classes_of_one_name_are_one_leak_and_a_name_without_letters_is_none():
    assert leaks({2: ClassTexts(("a crane", "a c", "??"))}) == [(2, "a crane", 3, "crane"), (2, "a c", 7, "c")]
    assert find_leaks(bank({2: ClassTexts(("++",))}), CLASSES) == []
    assert find_leaks(empty_bank(ClassList(("++", "a"))), ClassList(("++", "a"))) == []


@given(
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(" ".join), min_size=2, max_size=5), st.data()
)
def test_leaks_agree_with_a_scan_by_regular_expressions(names, data):
    classes = ClassList(tuple(names))
    text = " ".join(data.draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8)))
    texts = (ClassTexts((text,)), *([ClassTexts()] * (len(names) - 1)))
    by_length = sorted(set(names), key=lambda name: (-len(name.split()), name))
    mentioned = re.findall("|".join(rf"\b{name}\b" for name in by_length), text)
    expected = list(dict.fromkeys(names.index(name) for name in mentioned if name != names[0]))
    assert [row.other_class_id for row in find_leaks(TextBank(texts), classes)] == expected


def test_repeated_phrases_are_found_once_within_their_class_or_pair():
    texts = {0: ClassTexts(("a  Tail", "fins", "A tail"), ("fins",)), 1: ClassTexts(("fins",), (), ("a tail ",))}
    pairs = {(0, 1): ("grey", "Grey"), (0, 2): ("grey",)}
    found = [(row.class_id, row.kind.value, row.text, row.value) for row in find_duplicates(bank(texts, pairs))]
    assert found == [
        (0, "attribute", "a  Tail", 2.0),
        (0, "attribute", "fins", 2.0),
        (0, "one_to_one", "grey", 2.0),
    ]


def test_attributes_that_several_classes_have_are_shared():
    texts = {
        4: ClassTexts(("Fins", "fins", "a neck")),
        1: ClassTexts(("fins ",)),
        2: ClassTexts(("fins",), ("a neck",)),
    }
    found = [(row.class_id, row.text, row.other_class_id, row.value) for row in find_shared(bank(texts))]
    assert found == [(1, "fins ", 2, 3.0), (2, "fins", 1, 3.0), (4, "Fins", 1, 3.0)]


def test_sentences_longer_than_the_context_are_found_by_the_encoders_own_count():
    texts = bank({0: ClassTexts((" ".join("word" for _ in range(80)), "short"))})
    table = build_texts(CLASSES, texts, GENERAL, kinds=(TextKind.ATTRIBUTE,))
    asked = []

    def count_tokens(sentences):
        asked.append(len(sentences))
        return [len(sentence.split()) + 2 for sentence in sentences]

    rows = find_too_long(table, count_tokens=count_tokens, context_length=77)
    assert [(row.class_id, row.kind, row.value) for row in rows] == [(0, TextKind.ATTRIBUTE, 85.0)]
    assert asked == [len(table.unique_texts())]
    exact = find_too_long(table, count_tokens=count_tokens, context_length=85)
    assert exact == []


def unit_rows(count, dim, seed):
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 2, ROWS - 1, ROWS, ROWS + 1, COLUMNS + ROWS + 3])
def test_the_nearest_earlier_text_is_what_a_slow_search_finds(count):
    embeddings = unit_rows(count, 6, seed=count)
    found = {row.text: row for row in nearest_earlier_texts(embeddings, threshold=0.9)}
    for at in random.Random(0).sample(range(count), min(count, 300)):
        before = embeddings[:at] @ embeddings[at]
        assert (at in found) == bool(at and before.max() >= 0.9)
        if at in found:
            assert found[at].earlier == before.argmax()
            assert found[at].similarity == pytest.approx(before.max(), abs=1e-6)


def test_thousands_of_equal_texts_give_one_row_each_in_little_memory():
    embeddings = np.repeat(unit_rows(1, 64, seed=0), 6_000, axis=0).astype(np.float16)
    tracemalloc.start()
    found = nearest_earlier_texts(embeddings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row.text for row in found] == list(range(1, 6_000))
    assert {row.similarity <= 1 for row in found} == {True}
    assert peak < 64 * 2**20


def test_near_duplicates_name_both_texts_and_their_classes():
    texts = bank({0: ClassTexts(("grey skin", "gray skin")), 2: ClassTexts(("golden",))})
    table = build_texts(CLASSES, texts, GENERAL, kinds=(TextKind.ATTRIBUTE,))
    sentences = table.unique_texts()
    embeddings = unit_rows(len(sentences), 64, seed=1)
    grey, gray, golden = (sentences.index(next(s for s in sentences if word in s)) for word in ("grey", "gray", "gold"))
    embeddings[gray] = embeddings[grey]
    embeddings[golden] = embeddings[grey] * np.float32(0.9) + embeddings[0] * np.float32(0.43)
    rows = find_near_duplicates(table, embeddings, threshold=0.85)
    assert [(row.class_id, row.other_class_id) for row in rows] == [(0, 0), (2, 0)]
    assert rows[0].text == "shark which has gray skin"
    assert rows[0].other_text == "shark which has grey skin"
    with pytest.raises(TextBankError, match="3 embeddings for"):
        find_near_duplicates(table, embeddings[:3])


def test_a_review_has_every_kind_the_gravest_first():
    texts = bank({0: ClassTexts(("fins", "FINS", "a tench")), 1: ClassTexts(("fins",), ("a very long text indeed",))})
    table = build_texts(CLASSES, texts, GENERAL, kinds=(TextKind.ATTRIBUTE,))
    vectors = np.ones((len(table.unique_texts()), 4), np.float32) / 2
    encoder = EncoderView(table, lambda sentences: [len(s.split()) for s in sentences], 5, vectors)
    review = review_bank(texts, CLASSES, encoder=encoder)
    found = list(dict.fromkeys(row.issue for row in review.issues))
    assert found == [kind for kind in ISSUES if kind in found]
    assert set(found) == set(IssueKind)
    assert {row.class_id for row in review.of_class(1)} == {1}
    without = review_bank(texts, CLASSES)
    assert {row.issue for row in without.issues} == set(IssueKind) - {IssueKind.TOO_LONG, IssueKind.NEAR_DUPLICATE}


def test_a_review_of_things_that_do_not_fit_is_refused():
    with pytest.raises(TextBankError, match="the bank has 1 class, the class list 8"):
        review_bank(empty_bank(ClassList(("a",))), CLASSES)
    table = build_texts(ClassList(("a",)), empty_bank(ClassList(("a",))), GENERAL)
    with pytest.raises(TextBankError, match="the table has 1 class"):
        review_bank(bank({}), CLASSES, encoder=EncoderView(table))
