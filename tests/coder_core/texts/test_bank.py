"""The bank refuses what cannot be, and remembers where phrases came from."""

import pickle

import pytest

from coder_core.classes import ClassList
from coder_core.errors import TextBankError
from coder_core.texts.bank import (
    DEFAULT_SOURCE,
    ClassTexts,
    Phrase,
    TextBank,
    clean_phrase,
    empty_bank,
    source_of,
    unique_phrases,
)


def test_plain_strings_make_a_bank():
    bank = TextBank(classes=(ClassTexts(attributes=("a tail",)), ClassTexts()), one_to_one={(1, 0): ("no tail",)})
    assert bank.classes[0].attributes == ("a tail",)
    assert source_of(bank.classes[0].attributes[0]) == DEFAULT_SOURCE


def test_pairs_are_sorted_whatever_order_they_came_in():
    pairs = {(2, 0): ("x",), (0, 1): ("y",), (0, 2): ("z",)}
    bank = TextBank(classes=(ClassTexts(),) * 3, one_to_one=pairs)
    assert list(bank.one_to_one) == [(0, 1), (0, 2), (2, 0)]
    assert bank.one_to_one == pairs


@pytest.mark.parametrize("pair", [(0, 0), (0, 2), (-1, 0)])
def test_a_pair_that_is_none_is_refused(pair):
    with pytest.raises(TextBankError, match="two different classes"):
        TextBank(classes=(ClassTexts(),) * 2, one_to_one={pair: ("x",)})


def test_a_blank_phrase_is_refused_with_its_place():
    with pytest.raises(TextBankError, match=r"classes\[1\]\.synonyms\[1\].*blank"):
        TextBank(classes=(ClassTexts(), ClassTexts(synonyms=("ensign", " "))))
    with pytest.raises(TextBankError, match=r"one_to_one\(0, 1\)\[0\].*blank"):
        TextBank(classes=(ClassTexts(),) * 2, one_to_one={(0, 1): ("\n",)})


def test_the_empty_bank_has_every_class():
    assert empty_bank(ClassList(("a", "b"))).classes == (ClassTexts(), ClassTexts())


def test_a_phrase_is_a_string_that_knows_its_source():
    phrase = Phrase("a long tail", "llm:gpt-4o")
    assert phrase == "a long tail"
    assert hash(phrase) == hash("a long tail")
    assert source_of(phrase) == "llm:gpt-4o"
    assert source_of(clean_phrase(Phrase("  a \n tail ", "human"))) == "human"
    copy = pickle.loads(pickle.dumps(phrase))  # noqa: S301 - our own bytes: phrases travel between processes
    assert (copy, source_of(copy)) == (phrase, "llm:gpt-4o")


def test_unique_phrases_keeps_the_first_spelling():
    assert unique_phrases(["Red  stripe", "red stripe ", "blue", "RED STRIPE"]) == ("Red stripe", "blue")
