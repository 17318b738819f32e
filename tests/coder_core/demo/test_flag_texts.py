"""The text bank of the demonstration is true of the flags and speaks the language that the micro-CLIP knows."""

from importlib.resources import files

import numpy as np
import pytest

from coder_core.classes import ClassList
from coder_core.demo.captions import describe
from coder_core.demo.images import flag_names
from coder_core.demo.patterns import flag_designs
from coder_core.texts.bank_file import class_names_of_bank, parse_text_bank
from tests.coder_core.demo.words import colours_in, names_in, shapes_in

BANK = files("coder_core.demo").joinpath("flag_texts.yaml")
pytestmark = pytest.mark.skipif(not BANK.is_file(), reason="coder_core/demo/flag_texts.yaml is not written yet")

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
    assert class_names_of_bank(BANK.read_text("utf-8"), place="flag_texts.yaml") == flag_names()
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


def test_light_blue_is_not_blue():
    assert colours_in("a light blue field, the colours blue and white") == {"light blue", "blue", "white"}
    assert colours_in("a light blue field") == {"light blue"}
