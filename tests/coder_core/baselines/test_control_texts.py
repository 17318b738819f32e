"""Every control takes away what it says and nothing else; random ones are the same for the same seed."""

import re
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coder_core.baselines.clip import build_clip
from coder_core.baselines.control_texts import CONTROLS, build_control, derange
from coder_core.baselines.waffle import random_phrases
from coder_core.classes import ClassList
from coder_core.coder.heuristic import fold_classifier
from coder_core.errors import ConfigError, TextBankError
from coder_core.texts.bank import ClassTexts, TextBank, empty_bank
from coder_core.texts.domains import load_domains
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS
from coder_core.texts.sentences import build_texts
from coder_core.texts.text_layout import build_layout

CLASSES = ClassList(("crane", "snow goose", "crane", "owl"))
BANK = TextBank(
    (
        ClassTexts(attributes=("a long neck", "Cranes fly; a crane's legs are long"), analogous_classes=("heron",)),
        ClassTexts(attributes=("a beak like other snow geese",), synonyms=("Anser",)),
        ClassTexts(attributes=("a steel arm", "a cabin", "a hook", "an ANSER engine")),
        ClassTexts(synonyms=("night bird",)),
    ),
    one_to_one={(0, 1): ("grey feathers",)},
)
DOMAIN = load_domains()["bird"]
CODER = build_texts(CLASSES, BANK, DOMAIN, kinds=(*NAMING_KINDS, *DESCRIPTIVE_KINDS))
COUNTS = {0: 3, 1: 1, 2: 4}


def control(name, seed=0, classes=CLASSES, bank=BANK):
    return build_control(name, classes, bank, domain=DOMAIN, seed=seed)


def named(table):
    return [row for row in table if row.kind in NAMING_KINDS]


def described(table):
    return [row for row in table if row.kind in DESCRIPTIVE_KINDS]


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_a_control_is_a_table_that_coder_can_score(name):
    table = control(name)
    assert [row.class_id for row in table] == sorted(row.class_id for row in table)
    firsts = {row.class_id: row for row in reversed(table.rows)}
    assert {row.kind for row in firsts.values()} == {"class_name"}
    assert {row.source for row in described(table)} == {f"control:{name}"}
    layout = build_layout(table)
    vectors = torch.randn(layout.text_count, 8, generator=torch.Generator().manual_seed(0))
    assert fold_classifier(vectors, layout).logits(vectors[:2]).shape == (2, 4)
    assert control(name) == table


@pytest.mark.parametrize("name", ["waffle", "characters", "shuffled", "repeated_names"])
def test_names_and_synonyms_stay_as_they_are(name):
    assert named(control(name)) == named(CODER)


@pytest.mark.parametrize("name", ["waffle", "characters", "repeated_names", "nameless"])
def test_every_class_has_as_many_descriptions_as_before(name):
    assert Counter(row.class_id for row in described(control(name))) == COUNTS


def test_waffle_says_the_same_of_every_class():
    table = described(control("waffle", seed=3))
    phrases = {class_id: [row.phrase for row in table if row.class_id == class_id] for class_id in COUNTS}
    assert all(phrases[class_id] == phrases[2][:count] for class_id, count in COUNTS.items())
    assert table[3].text == f"a photo of a snow goose, a type of bird which has {table[3].phrase}"
    assert described(control("waffle", seed=4)) != table


def test_random_phrases_are_as_long_as_others_and_alternate():
    phrases = random_phrases(["a long neck", "grey feathers, mostly"], count=6, seed=1)
    words = [phrase.split() for phrase in phrases]
    assert {len(parts) for parts in words} == {3}
    known = {"a", "long", "neck", "grey", "feathers", "mostly"}
    assert all(set(parts) <= known for parts in words[::2])
    assert all(len(word) == 4 for parts in words[1::2] for word in parts)
    assert random_phrases(["a long neck", "grey feathers, mostly"], count=4, seed=1) == phrases[:4]
    with pytest.raises(TextBankError, match="2 phrases hold no word"):
        random_phrases(["?", "..."], count=2, seed=1)


def test_shuffled_gives_every_class_the_descriptions_of_another():
    table = described(control("shuffled", seed=5))
    own = {class_id: {row.phrase for row in described(CODER) if row.class_id == class_id} for class_id in range(4)}
    got = {class_id: {row.phrase for row in table if row.class_id == class_id} for class_id in range(4)}
    assert sorted(map(sorted, own.values())) == sorted(map(sorted, got.values()))
    assert all(not own[class_id] & got[class_id] for class_id in COUNTS)
    assert all(CLASSES.display_names[row.class_id] in row.text for row in table)


def test_names_are_repeated_in_the_prompts_in_turn():
    texts = [row.text for row in described(control("repeated_names")) if row.class_id == 2]
    prompts = [prompt.replace("{class}", "crane") for prompt in DOMAIN.ensemble]
    assert texts == [*prompts, prompts[0]][:4]


def test_one_prompt_repeated_is_clip_itself():
    one = load_domains({"plain": {"ensemble": ["a photo of {class}"], "class_name": "a photo of {class}"}})["plain"]
    bank = TextBank((ClassTexts(attributes=("x", "y")), ClassTexts(), ClassTexts(analogous_classes=("z",))))
    table = build_control("repeated_names", ClassList(("a", "b", "c")), bank, domain=one, seed=0)
    layout = build_layout(table)
    vectors = torch.nn.functional.normalize(torch.randn(3, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    assert layout.text_count == 3
    torch.testing.assert_close(
        fold_classifier(vectors, layout).logits(vectors), build_clip(vectors, layout).logits(vectors)
    )


def test_nameless_texts_never_mention_their_class():
    table = control("nameless")
    assert {row.text for row in named(table)} == {"a photo of a something, a type of bird."}
    for row in table:
        for name in (CLASSES.display_names[row.class_id], *BANK.classes[row.class_id].synonyms):
            assert not re.search(rf"\b{re.escape(name)}s?\b", row.text, re.IGNORECASE)
    texts = [row.text for row in described(table)]
    assert texts[1].endswith("which has something fly; a something's legs are long")
    assert texts[-1].endswith("which has an ANSER engine")  # another class's name is a description


@given(st.integers(2, 60), st.integers(0, 1000))
def test_nobody_keeps_the_own_place(count, seed):
    places = derange(count, seed=seed)
    assert sorted(places) == list(range(count))
    assert all(place != other for place, other in enumerate(places))


def test_one_class_has_no_other():
    bank = TextBank((ClassTexts(attributes=("x",)),))
    with pytest.raises(ConfigError, match="1 class has no other"):
        control("shuffled", classes=ClassList(("owl",)), bank=bank)
    assert len(described(control("waffle", classes=ClassList(("owl",)), bank=bank))) == 1


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_a_bank_without_descriptions_has_nothing_to_control(name):
    with pytest.raises(TextBankError, match=f"control {name}: the bank holds no attribute"):
        control(name, bank=empty_bank(CLASSES))


def test_an_unknown_control_names_all():
    with pytest.raises(ConfigError, match="waffle, characters, shuffled, repeated_names, nameless"):
        control("waffles")
