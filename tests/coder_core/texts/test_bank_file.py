"""Reading banks: every way a file can be wrong is one clear error, and hostile names are only text."""

import json
import re
from functools import reduce

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coder_core.classes import ClassList, normalise_name
from coder_core.errors import TextBankError
from coder_core.texts.bank import source_of
from coder_core.texts.bank_file import parse_text_bank
from coder_core.texts.edits import merge_banks

FLAGS = ClassList(("Italy", "Ireland", "Côte d'Ivoire"))

GOOD = """
format: coder-text-bank/1
domain: flag
classes:
  - name: ireland
    attributes: [an orange stripe, "green, then white"]
  - name: Côte_d'Ivoire
    attributes: [an orange stripe at the hoist]
    analogous_classes: [Ireland]
  - name: Italy
    attributes: [a red stripe, A  Red stripe, a green stripe]
    synonyms: [Il Tricolore]
one_to_one:
  - {class: Italy, rival: Ireland, phrases: [a red stripe at the fly end]}
  - {class: Ireland, rival: ITALY, phrases: [an orange stripe at the fly end]}
"""


def parse(text, classes=FLAGS):
    return parse_text_bank(text, place="flags.yaml", classes=classes)


def as_json(document):
    return json.dumps(document, ensure_ascii=False)


def test_classes_are_found_by_name_and_brought_into_label_order():
    bank = parse(GOOD)
    assert bank.domain == "flag"
    assert bank.classes[0].attributes == ("a red stripe", "a green stripe")
    assert bank.classes[0].synonyms == ("Il Tricolore",)
    assert bank.classes[1].attributes == ("an orange stripe", "green, then white")
    assert bank.classes[2].analogous_classes == ("Ireland",)
    assert bank.one_to_one == {(0, 1): ("a red stripe at the fly end",), (1, 0): ("an orange stripe at the fly end",)}


def test_yaml_and_json_with_tabs_and_a_byte_order_mark_say_the_same():
    document = {
        "format": "coder-text-bank/1",
        "classes": [{"name": name, "attributes": [f"{name}'s stripes"]} for name in FLAGS],
    }
    text = "\ufeff" + json.dumps(document, indent="\t")
    assert parse(text) == parse(as_json(document))
    assert parse(text).classes[1].attributes == ("Ireland's stripes",)


def test_yaml_in_braces_is_not_mistaken_for_json():
    bank = parse("{format: coder-text-bank/1, classes: [{name: Italy}]}", ClassList(("Italy",)))
    assert bank.classes[0].attributes == ()


def test_the_source_of_a_file_reaches_its_phrases():
    assert source_of(parse(GOOD).classes[0].attributes[0]) == "file"
    assert source_of(parse(GOOD + "source: human\n").classes[0].attributes[0]) == "human"
    assert source_of(parse(GOOD + "source: human\n").one_to_one[0, 1][0]) == "human"


WRONG = {
    "not yaml": ("classes: [", "not readable as YAML or JSON", "line"),
    "impossible date": (GOOD.replace("[Ireland]", "[2020-99-99]"), "not readable", "month"),
    "not a mapping": ("- Italy", "found list", "format: coder-text-bank/1"),
    "empty file": ("", "found nothing", "format: coder-text-bank/1"),
    "repeated key": (GOOD + "domain: pet\n", "'domain' is there twice", "line"),
    "other format": (GOOD.replace("bank/1", "bank/9"), "flags.yaml: format", "coder-text-bank/1"),
    "unknown key": (GOOD.replace("synonyms", "synonym"), "classes[2].synonym: unknown key", "'synonyms'"),
    "missing key": (GOOD.replace("phrases: [a red", "phrase: [a red"), "one_to_one[0]", "phrases"),
    "wrong type": (
        GOOD.replace("a red stripe,", "no,"),
        "classes[2].attributes[0]: expected text, found bool",
        "quotes",
    ),
    "no list": (GOOD.replace("[Ireland]", "Ireland"), "classes[1].analogous_classes", "'Ireland'"),
    "blank phrase": (GOOD.replace("[Il Tricolore]", "['  ']"), "classes[2].synonyms[0]", "blank"),
    "empty attributes": (GOOD.replace("[an orange stripe at the hoist]", "[]"), "classes[1].attributes", "empty"),
    "attributes of nothing": (GOOD.replace("[an orange stripe at the hoist]", ""), "classes[1].attributes", "empty"),
    "unknown class": (GOOD.replace("ireland", "irland"), "classes[0].name: the class 'irland'", "mean 'Ireland'?"),
    "unknown rival": (GOOD.replace("ITALY", "Norway"), "one_to_one[1].rival: the class 'Norway'", "Remove it"),
    "own rival": (GOOD.replace("ITALY", "ireland"), "one_to_one[1].rival", "its own rival"),
    "repeated pair": (GOOD.replace("class: Italy, rival: Ireland", "class: Ireland, rival: Italy"), "[1]", "twice"),
    "repeated class": (GOOD.replace("Côte_d'Ivoire", "IRELAND"), "classes[1].name", "first: classes[0]"),
    "wrong id": (GOOD.replace("name: Italy", "name: Italy\n    id: 2"), "classes[2].id: id 2 is not 'Italy'", "as 0"),
    "bad id": (GOOD.replace("name: Italy", "name: Italy\n    id: '0'"), "classes[2].id", "whole number"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_bad_input_is_one_error_with_place_value_and_remedy(case):
    text, found, remedy = WRONG[case]
    with pytest.raises(TextBankError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith("flags.yaml")
    assert found in message
    assert remedy in message
    assert "\n" not in message
    assert "pydantic" not in message


ODD = [None, 3, True, "zz", [], [[1]], [None], [{"text": 3}], {}, {"zz": 1}]


def told_about(document):
    try:
        parse(as_json(document))
    except TextBankError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("place", ["format", "domain", "classes", "classes.0", "classes.0.attributes", "one_to_one.0"])
def test_a_value_of_another_type_is_told_without_a_validators_words(place, odd):
    document = yaml.safe_load(GOOD)
    *above, last = [int(step) if step.isdecimal() else step for step in place.split(".")]
    reduce(lambda node, step: node[step], above, document)[last] = odd
    assert not re.search("Input should|instance of|valid (list|dict|str)|NoneType|type=", told_about(document))


def test_missing_classes_are_named_up_to_five_and_counted():
    classes = ClassList((*FLAGS.names, *(f"country {i}" for i in range(7))))
    with pytest.raises(TextBankError) as caught:
        parse(GOOD, classes)
    message = str(caught.value)
    assert "7 of 10 classes" in message
    assert "'country 4' and 2 more" in message
    assert "country 5" not in message


def test_attributes_for_some_classes_only_are_refused_and_for_none_allowed():
    classes = ClassList(("a", "b"))
    some = {"format": "coder-text-bank/1", "classes": [{"name": "a", "attributes": ["x"]}, {"name": "b"}]}
    with pytest.raises(TextBankError, match=r"classes\[1\]\.attributes: the class 'b' has no attributes"):
        parse(as_json(some), classes)
    none = {"format": "coder-text-bank/1", "classes": [{"name": "a"}, {"name": "b", "synonyms": []}]}
    assert parse(as_json(none), classes).classes[0].attributes == ()


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, "&a [*a]", "? [a, b]\n: c", "&a {format: *a}", "\0", "- \ud800"],
    ids=["deep yaml", "deep json", "list in itself", "list as key", "mapping in itself", "nul", "surrogate"],
)
def test_what_breaks_parsers_is_an_error_of_ours(text):
    with pytest.raises(TextBankError, match=r"flags\.yaml"):
        parse(text)


def test_classes_may_share_phrases_by_alias():
    bank = parse(
        GOOD.replace("attributes: [an orange stripe at", "attributes: &x [an orange stripe at").replace(
            "synonyms: [Il Tricolore]", "synonyms: *x"
        )
    )
    assert bank.classes[0].synonyms == bank.classes[2].attributes


def test_classes_that_the_list_lacks_are_left_out_and_named():
    more = (
        GOOD
        + "  - {class: Norway, rival: Italy, phrases: [a cross]}\n  - {class: Italy, rival: norway, phrases: [x]}\n"
    )
    more = more.replace("classes:", "classes:\n  - {name: Norway, id: 0, attributes: [a cross]}\n  - name: Peru", 1)
    bank = parse(more)
    assert bank == parse(GOOD)
    assert bank.superfluous == ("Norway", "Peru")
    assert parse(GOOD).superfluous == ()
    assert merge_banks([bank, parse(GOOD)]).superfluous == ("Norway", "Peru")


def test_sentences_are_read_and_count_as_a_description():
    document = {
        "format": "coder-text-bank/1",
        "classes": [{"name": "a", "attributes": ["x"]}, {"name": "b", "sentences": ["A b  is round."]}],
    }
    bank = parse(as_json(document), ClassList(("a", "b")))
    assert bank.classes[1].sentences == ("A b is round.",)
    document["classes"][1]["sentences"] = []
    with pytest.raises(TextBankError, match=r"classes\[1\]\.sentences: the list is empty"):
        parse(as_json(document), ClassList(("a", "b")))


CRANES = ClassList(("crane", "crane"))


def cranes(first, second):
    entries = [{"name": "crane", "attributes": ["a long neck"], **first}]
    entries += [{"name": "crane", "attributes": ["a steel arm"], **second}]
    return as_json({"format": "coder-text-bank/1", "classes": entries})


def test_two_classes_of_one_name_are_told_apart_by_id():
    bank = parse(cranes({"id": 1}, {"id": 0}), CRANES)
    assert [texts.attributes for texts in bank.classes] == [("a steel arm",), ("a long neck",)]
    with pytest.raises(TextBankError, match=r"'crane' 2 times \(ids 0, 1\).*`id`"):
        parse(cranes({}, {"id": 0}), CRANES)
    with pytest.raises(TextBankError, match="twice"):
        parse(cranes({"id": 0}, {"id": 0}), CRANES)


def test_pairs_of_classes_of_one_name_use_ids_too():
    document = json.loads(cranes({"id": 0}, {"id": 1}))
    pair = {"class": "crane", "class_id": 1, "rival": "crane", "rival_id": 0, "phrases": ["an engine"]}
    assert parse(as_json({**document, "one_to_one": [pair]}), CRANES).one_to_one == {(1, 0): ("an engine",)}
    del pair["class_id"]
    with pytest.raises(TextBankError, match=r"one_to_one\[0\]\.class.*`class_id`"):
        parse(as_json({**document, "one_to_one": [pair]}), CRANES)


HOSTILE = st.one_of(
    st.text(min_size=1, max_size=20),
    st.sampled_from(["{class}", "{}", "'", '"', "<b>&amp;</b>", "a\nb", "no", "- x", "# y", "1e3", "\\", "ẞ", "🏴‍☠️"]),
).filter(lambda text: normalise_name(text) != "" and text.strip() != "")


@given(st.dictionaries(HOSTILE, st.lists(HOSTILE, min_size=1, max_size=3), min_size=1, max_size=5))
def test_hostile_names_and_phrases_survive_the_file(entries):
    by_key = {normalise_name(name): name for name in entries}  # one spelling each
    classes = ClassList(tuple(by_key.values()))
    document = {
        "format": "coder-text-bank/1",
        "classes": [{"name": name, "attributes": entries[name]} for name in reversed(classes.names)],
    }
    bank = parse(as_json(document), classes)
    for name, texts in zip(classes, bank.classes, strict=True):
        expected = {" ".join(phrase.split()).casefold() for phrase in entries[name]}
        assert {phrase.casefold() for phrase in texts.attributes} == expected
        assert len(texts.attributes) == len(expected)
