"""Every rule of repair, on phrases that were found in published files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.texts.bank import PhraseKind
from coder_core.texts.published.repair import RULES, Action, Rule, repair_phrase

SUBJECT, FLAG = Rule.SUBJECT_AND_VERB, Rule.NOT_A_NOUN_PHRASE

REPAIRED = [
    ("Laysan Albatross", "It is a seabird.", "a seabird.", [SUBJECT]),
    ("Laysan Albatross", "which has It is a seabird", "a seabird", [SUBJECT]),
    ("Laysan Albatross", "It has long, webbed feet.", "long, webbed feet.", [SUBJECT]),
    ("Laysan Albatross", "It is white with black wings.", "white with black wings.", [SUBJECT, FLAG]),
    ("Birman", "A pet Birman typically has medium to long fur.", "medium to long fur.", [SUBJECT]),
    ("Birman", "Birman cats are large, fluffy cats", "large, fluffy cats", [SUBJECT, FLAG]),
    ("wheaten terrier", "A 'wheaten terrier' is a small terrier", "a small terrier", [SUBJECT]),
    ("Sphynx", "A pet Sphynx looks like a hairless cat.", "a hairless cat.", [SUBJECT]),
    ("grooved", "Grooved surfaces have long depressions.-", "long depressions.", [Rule.RAGGED_END, SUBJECT]),
    ("pantry", "  May have shelves ", "shelves", [SUBJECT]),
    ("mousse", "it may have a whipped cream topping,", "a whipped cream topping", [Rule.RAGGED_END, SUBJECT]),
    ("pita", "with a long crust", "a long crust", [SUBJECT]),
    ("scaly", "Generally darkerFor matted:", "Generally darker", [Rule.GLUED_COMMENT, FLAG]),
    ("747", "tail finOverall, these features help.", "tail fin", [Rule.GLUED_COMMENT]),
    ("747", "long and slenderQ: What are useful visual features?", "long and slender", [Rule.GLUED_COMMENT]),
    ("lab", "ventilation systemPhysics Laboratory:", "ventilation system", [Rule.GLUED_COMMENT]),
    ("pan", "- a handle", "a handle", [Rule.LIST_MARKER]),
    ("pan", "3. a handle", "a handle", [Rule.LIST_MARKER]),
    ("pan", "a\x00 handle\ud800", "a handle", [Rule.UNPRINTABLE]),
    ("pan", "usually made of iron", "usually made of iron", [FLAG]),
    ("pan", "Its handles are long", "Its handles are long", [FLAG]),
    ("cuckoo", "The cuckoo's bill is longer than its head.", "The cuckoo's bill is longer than its head.", [FLAG]),
]  # fmt: skip
UNTOUCHED = [
    "a long, hooked bill",
    "2-3 feet in length",
    "1.5 m long",
    '"Rainier" badge on the rear hatch',
    "wide 'O' shape",
]
UNTOUCHED += [
    "Has",
    "it is",
    "The ears of Birman are erect",
    "Ram ProMaster logo",
    "iPhone-like shape",
    "hamburger bun is",
]


@pytest.mark.parametrize(("name", "before", "after", "rules"), REPAIRED, ids=[row[1][:30] for row in REPAIRED])
def test_what_can_be_repaired_is(name, before, after, rules):
    found = repair_phrase(before, PhraseKind.ATTRIBUTE, name)
    assert found.phrase == after
    assert list(found.rules) == rules


@pytest.mark.parametrize("phrase", UNTOUCHED)
def test_what_is_well_formed_or_cannot_be_understood_is_kept_as_it_is(phrase):
    assert repair_phrase(f"  {phrase} ", PhraseKind.ATTRIBUTE, "hamburger").phrase == phrase


DROPPED = [
    ("", PhraseKind.ATTRIBUTE, Rule.BLANK),
    (" ., ", PhraseKind.ATTRIBUTE, Rule.BLANK),
    ("Pleated: ", PhraseKind.ONE_TO_ONE, Rule.LEAD_IN),
    ("Samoyeds are visually similar to:", PhraseKind.ANALOGOUS_CLASS, Rule.LEAD_IN),
    ("I'm sorry, but I'm not familiar with that.", PhraseKind.ATTRIBUTE, Rule.CHAT),
    ("so here are some visual features", PhraseKind.ATTRIBUTE, Rule.CHAT),
    ("one two three four five six seven eight nine ten eleven twelve more", PhraseKind.SYNONYM, Rule.CHAT),
    ("leopard_cat", PhraseKind.SYNONYM, Rule.OWN_NAME),
    ("The Leopard-Cat", PhraseKind.ANALOGOUS_CLASS, Rule.OWN_NAME),
]


@pytest.mark.parametrize(("phrase", "kind", "rule"), DROPPED)
def test_what_describes_nothing_is_dropped(phrase, kind, rule):
    found = repair_phrase(phrase, kind, "Leopard cat")
    assert found.phrase is None
    assert found.rules[-1] is rule


def test_names_lose_their_underscores_and_are_no_noun_phrases_to_repair():
    assert repair_phrase("piano_accordion", PhraseKind.SYNONYM, "accordion").phrase == "piano accordion"
    assert repair_phrase("with_strings", PhraseKind.SYNONYM, "accordion").phrase == "with strings"


KINDS = st.sampled_from([PhraseKind.ATTRIBUTE, PhraseKind.ANALOGOUS_CLASS, PhraseKind.SYNONYM, PhraseKind.ONE_TO_ONE])


@given(st.text(max_size=60), KINDS, st.text(min_size=1, max_size=10).filter(str.strip))
def test_whatever_comes_in_what_is_kept_is_clean_and_adds_no_word(text, kind, name):
    found = repair_phrase(text, kind, name)
    if found.phrase is None:
        assert RULES[found.rules[-1]].action is Action.DROPPED
    else:
        assert found.phrase == " ".join(found.phrase.split()) != ""
        assert found.phrase.replace(" ", "") in "".join(text.split()) or "_" in text or not text.isprintable()


def test_every_rule_is_explained():
    assert set(RULES) == set(Rule)
    assert all(text.explanation for text in RULES.values())
