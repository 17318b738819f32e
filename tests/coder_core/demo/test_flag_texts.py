"""The text bank of the demonstration is true of the flags and speaks the language that the micro-CLIP knows."""

from importlib.resources import files
from itertools import permutations

import numpy as np
import pytest
import yaml

from coder_core.classes import ClassList
from coder_core.demo.flag_images import flag_names
from coder_core.demo.patterns import flag_designs
from coder_core.texts.bank_file import parse_text_bank
from tests.tools.words import colours_in, names_in, shapes_in
from tools.micro_clip.captions import describe
from tools.micro_clip.contrasts import BANK_PHRASES

BANK = files("coder_core.demo").joinpath("flag_texts.yaml")

BEYOND_THE_LANGUAGE = {"a blue disc on a yellow diamond"}
"""True, in known words, but put together as no training caption is."""


@pytest.fixture(scope="module")
def bank():
    return parse_text_bank(BANK.read_text("utf-8"), place="flag_texts.yaml", classes=ClassList(flag_names()))


@pytest.fixture(params=flag_names())
def flag(request, bank):
    """Name, design and texts of one flag."""
    return request.param, flag_designs()[request.param], bank.classes[flag_names().index(request.param)]


def sayable(design):
    """Every phrase that training captions have for a design."""
    said = set(describe(design))
    return said.union(*(describe(design, np.random.default_rng(seed)) for seed in range(60)))


def test_the_bank_has_every_flag_in_the_order_of_the_table(bank):
    assert tuple(entry["name"] for entry in yaml.safe_load(BANK.read_bytes())["classes"]) == flag_names()
    assert bank.domain == "flag"


def test_attributes_speak_of_colours_and_shapes_that_are_there(flag):
    _, design, texts = flag
    present = {layer.shape for layer in design.layers}
    assert texts.attributes
    for phrase in texts.attributes:
        assert colours_in(phrase) <= set(design.colours()), phrase
        assert all(shapes & present for shapes in shapes_in(phrase)), phrase


def test_attributes_are_what_training_captions_say_of_such_a_design(flag):
    _, design, texts = flag
    known = sayable(design) | BEYOND_THE_LANGUAGE
    for phrase in texts.attributes:
        parts = phrase.split(", ")
        cuts = [(", ".join(parts[:cut]), ", ".join(parts[cut:])) for cut in range(1, len(parts))]
        assert phrase in known or any(set(cut) <= known for cut in cuts), phrase


def test_no_attribute_names_a_country(flag):
    _, _, texts = flag
    assert [phrase for phrase in texts.attributes if names_in(phrase, flag_names())] == []
    assert len(set(texts.attributes)) == len(texts.attributes)


def test_analogues_are_other_flags_of_the_table(flag):
    name, design, texts = flag
    assert texts.analogous_classes
    for analogue in texts.analogous_classes:
        other = flag_designs()[analogue]
        shapes = {layer.shape for layer in other.layers} & {layer.shape for layer in design.layers}
        assert analogue != name
        assert shapes or set(other.colours()) & set(design.colours()), analogue


def test_synonyms_are_other_names(flag):
    name, _, texts = flag
    assert texts.synonyms
    assert not set(texts.synonyms) & set(flag_names())
    assert name not in texts.synonyms


def test_no_two_flags_are_described_alike(bank):
    assert len({texts.attributes for texts in bank.classes}) == len(bank.classes)
    synonyms = [synonym for texts in bank.classes for synonym in texts.synonyms]
    assert len(set(synonyms)) == len(synonyms)


def test_every_flag_has_as_many_texts_as_any_other(bank):
    counts = {(len(texts.attributes), len(texts.analogous_classes)) for texts in bank.classes}
    assert len(counts) == 1


FAMILIES = (
    ("Italy", "Ireland", "Ivory Coast", "Nigeria", "France"),
    ("Poland", "Indonesia", "Austria"),
    ("Denmark", "Norway", "Sweden", "Finland", "Iceland"),
    ("Netherlands", "Russia", "France"),
    ("Mali", "Guinea", "Senegal", "Cameroon"),
    ("China", "Vietnam"),
)
"""Flags that people confuse."""


def test_pairs_are_told_apart_in_both_directions(bank):
    assert set(bank.one_to_one) == {(rival, flag) for flag, rival in bank.one_to_one}
    ids = {name: place for place, name in enumerate(flag_names())}
    wanted = {(ids[one], ids[other]) for family in FAMILIES for one, other in permutations(family, 2)}
    assert wanted <= set(bank.one_to_one)


def test_a_pair_has_a_few_phrases_and_none_twice(bank):
    for phrases in bank.one_to_one.values():
        assert 1 <= len(phrases) <= BANK_PHRASES
        assert len(set(phrases)) == len(phrases)


def test_a_difference_is_true_of_the_flag_and_not_of_its_rival(bank):
    """What stands before "instead of" is said of the flag alone, what stands after it is the rival's."""
    designs = tuple(flag_designs().values())
    for (flag, rival), phrases in bank.one_to_one.items():
        for phrase in phrases:
            own, _, other = phrase.partition(" instead of ")
            assert own in describe(designs[flag]), phrase
            assert own not in describe(designs[rival]), phrase
            assert colours_in(other) <= set(designs[rival].colours()), phrase


def test_no_difference_names_a_country(bank):
    phrases = {phrase for phrases in bank.one_to_one.values() for phrase in phrases}
    assert [phrase for phrase in sorted(phrases) if names_in(phrase, flag_names())] == []


def test_light_blue_is_not_blue():
    assert colours_in("a light blue field, the colours blue and white") == {"light blue", "blue", "white"}
    assert colours_in("a light blue field") == {"light blue"}
