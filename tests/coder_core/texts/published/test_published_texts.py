"""Published files find their classes by name, whatever is wrong with them, and the report says what did not fit."""

import json

import pytest

from coder_core.classes import ClassList
from coder_core.errors import TextBankError
from coder_core.texts.bank import PhraseKind, source_of
from coder_core.texts.bank_file import parse_text_bank, write_text_bank
from coder_core.texts.domains import load_domains
from coder_core.texts.kinds import TextKind
from coder_core.texts.published.name_matching import Mismatch, parse_aliases
from coder_core.texts.published.published_texts import SharedName, UnmatchedName, read_published_texts
from coder_core.texts.published.repair import Action, Rule
from coder_core.texts.sentences import build_texts

CODER = {
    "dataset": "zoo",
    "class_names": ["crane", "Tree_Frog", "crane"],
    "attribute": [[" a long neck ", "", "A long neck"], ["it is green", 7, None, ["x"]], ["a steel arm"]],
    "analogous_class": [["Heron", "crane"], [], ["Excavator"]],
    "synonym": [{"class_name": "tree frog", "syno": ["tree_toad"]}, {"class_name": "toad", "syno": ["bufo", "b"]}],
    "one_to_one": {
        "crane": {"tree-frog": ["feathers"], "crane": ["an engine"], "Tree Frogs": ["wings"]},
        "The tree frog": {"crane": ["wet skin", "wet skin "]},
        "heron": {"crane": ["grey"]},
    },
    "note": "found on the web",
}
VCD = {"The Tree-Frog": ["It is green.", "which has It has sticky toes"], "crane": ["long legs"], "newt": []}


def read(document, classes=None, **options):
    return read_published_texts(json.dumps(document), place="in/zoo.json", classes=classes, **options)


def test_lists_in_class_order_keep_two_classes_of_one_name_apart():
    classes, bank, _ = read(CODER)
    assert classes.names == ("crane", "Tree_Frog", "crane")
    assert [texts.attributes for texts in bank.classes] == [("a long neck",), ("green",), ("a steel arm",)]
    assert [texts.analogous_classes for texts in bank.classes] == [("Heron",), (), ("Excavator",)]
    assert bank.classes[1].synonyms == ("tree toad",)
    assert {source_of(phrase) for phrase in bank.classes[0].attributes} == {"published:zoo.json"}


def test_where_the_file_has_no_order_both_classes_of_one_name_get_the_texts_and_the_report_says_so():
    report = read(CODER).report
    assert read(CODER).bank.one_to_one == {
        (0, 1): ("feathers",),
        (2, 1): ("feathers",),
        (1, 0): ("wet skin",),
        (1, 2): ("wet skin",),
    }
    assert SharedName("crane / tree-frog", PhraseKind.ONE_TO_ONE, (0, 1, 2)) in report.shared
    assert len(report.shared) == 2


def test_the_report_lists_what_matched_nothing_with_the_nearest_class():
    report = read(CODER).report
    assert set(report.unmatched) == {
        UnmatchedName("toad", PhraseKind.SYNONYM, Mismatch.UNKNOWN, None, 2),
        UnmatchedName("Tree Frogs", PhraseKind.ONE_TO_ONE, Mismatch.UNKNOWN, "Tree_Frog", 1),
        UnmatchedName("heron", PhraseKind.ONE_TO_ONE, Mismatch.UNKNOWN, None, 1),
        UnmatchedName("crane", PhraseKind.ONE_TO_ONE, Mismatch.OWN_RIVAL, "crane", 1),
    }
    assert report.ignored_keys == ("note",)


def test_the_report_counts_and_explains_every_phrase_that_is_gone():
    report = read(CODER).report
    assert [(row.kind.value, row.found, row.kept, row.slots) for row in report.counts] == [
        ("attribute", 8, 3, 3),
        ("analogous_class", 3, 2, 2),
        ("synonym", 3, 1, 1),
        ("one_to_one", 6, 4, 4),
    ]
    dropped = report.rule_counts(Action.DROPPED)
    assert dropped == {Rule.BLANK: 1, Rule.NOT_TEXT: 3, Rule.DUPLICATE: 3, Rule.OWN_NAME: 1}
    assert [(note.class_id, note.before) for note in report.notes if note.rule is Rule.BLANK] == [(0, "")]
    assert report.without == {
        PhraseKind.ATTRIBUTE: (),
        PhraseKind.ANALOGOUS_CLASS: (1,),
        PhraseKind.SYNONYM: (0, 2),
    }
    assert report.without_texts == ()


def test_an_alias_leads_a_name_of_the_file_to_its_class():
    published = read(CODER, alias={"toad": "Tree_Frog", "Tree Frogs": "tree-frog"})
    assert published.bank.classes[1].synonyms == ("tree toad", "bufo", "b")
    assert {row.name for row in published.report.unmatched} == {"heron", "crane"}
    assert published.bank.one_to_one[2, 1] == ("feathers", "wings")
    with pytest.raises(TextBankError, match=r"alias of 'toad': 'tre frog' is no class.*mean 'Tree_Frog'"):
        read(CODER, alias={"toad": "tre frog"})


def test_class_to_list_is_matched_by_name_never_by_the_order_of_keys():
    classes = ClassList(("crane", "tree frog", "newt", "eft"))
    bank, report = read(VCD, classes)[1:]
    reordered = read(dict(reversed(VCD.items())), classes)
    assert reordered.bank == bank
    assert [texts.attributes for texts in bank.classes] == [("long legs",), ("green.", "sticky toes"), (), ()]
    assert report.format == "class_to_list"
    assert report.without_texts == (2, 3)
    with pytest.raises(TextBankError, match="no class list"):
        read(VCD)


def test_a_mapping_whose_keys_claim_one_class_gives_it_to_the_best_spelling():
    keys = {"crane": ["exact"], "Crane": ["case"], "the crane": ["article"]}
    for document in (keys, dict(reversed(keys.items()))):
        bank, report = read(document, ClassList(("crane", "heron")))[1:]
        assert bank.classes[0].attributes == ("exact",)
        assert {row.name for row in report.unmatched} == {"Crane", "the crane"}
    two = read({"Crane": ["x"], "CRANE": ["y"], "eft": ["z"]}, ClassList(("crane", "crane", "eft")))
    assert {row.reason for row in two.report.unmatched} == {Mismatch.REPEATED}
    assert two.report.without_texts == (0, 1)


def test_a_list_that_has_a_name_more_often_than_the_class_list_is_not_guessed_at():
    document = {"class_names": ["crane", "crane", "eft"], "attribute": [["a"], ["b"], ["c"]]}
    bank, report = read(document, ClassList(("eft", "crane")))[1:]
    assert [texts.attributes for texts in bank.classes] == [("c",), ()]
    assert [(row.name, row.reason, row.phrases) for row in report.unmatched] == [("crane", Mismatch.REPEATED, 2)]
    once = read({"class_names": ["crane"], "attribute": [["a"]]}, ClassList(("crane", "eft", "crane")))
    assert [texts.attributes for texts in once.bank.classes] == [("a",), (), ("a",)]
    assert once.report.shared == (SharedName("crane", PhraseKind.ATTRIBUTE, (0, 2)),)


def test_without_repair_phrases_stay_as_the_papers_used_them():
    bank, report = read(VCD, ClassList(("tree frog",)), repair=False)[1:]
    assert bank.classes[0].attributes == ("It is green.", "which has It has sticky toes")
    assert report.notes == ()


CUPL = {
    "crane": ["A crane is a tall grey bird.", "It has long legs", "A  crane is a tall grey bird."],
    "tree frog": ["Tree frogs are green\x1b[31m, and wet,"],
}
ZOO = ClassList(("crane", "tree frog"))


def test_whole_sentences_are_imported_as_they_are():
    bank, report = read(CUPL, ZOO, kind=PhraseKind.SENTENCE)[1:]
    assert [texts.sentences for texts in bank.classes] == [
        ("A crane is a tall grey bird.", "It has long legs"),
        ("Tree frogs are green [31m, and wet,",),
    ]
    assert all(texts.attributes == () for texts in bank.classes)
    notes = [(note.rule, note.class_id) for note in report.notes]
    assert notes == [(Rule.UNNAMED, 0), (Rule.DUPLICATE, 0), (Rule.UNPRINTABLE, 1)]
    assert [row.kind for row in report.counts] == [PhraseKind.SENTENCE]


def test_whole_sentences_are_what_is_embedded_and_count_as_attributes():
    bank = read(CUPL, ZOO, kind=PhraseKind.SENTENCE).bank
    rows = [row for row in build_texts(ZOO, bank, load_domains()["general"]) if row.kind is TextKind.ATTRIBUTE]
    assert [(row.class_id, row.text) for row in rows] == [
        (0, "A crane is a tall grey bird."),
        (0, "It has long legs"),
        (1, "Tree frogs are green [31m, and wet,"),
    ]
    assert {row.source for row in rows} == {"published:zoo.json"}


def test_lists_of_names_are_imported_as_the_kind_that_they_are():
    document = {"crane": ["Grus_grus", "hoist", "crane"], "tree frog": ["tree toad"]}
    synonyms = read(document, ZOO, kind=PhraseKind.SYNONYM).bank
    assert [texts.synonyms for texts in synonyms.classes] == [("Grus grus", "hoist"), ("tree toad",)]
    analogues = read(document, ZOO, kind=PhraseKind.ANALOGOUS_CLASS).bank
    assert [texts.analogous_classes for texts in analogues.classes] == [("Grus grus", "hoist"), ("tree toad",)]
    assert read(document, ZOO).bank.classes[1].attributes == ("tree toad",)
    with pytest.raises(TextBankError, match="a key for every kind of text, and the kind synonym was given"):
        read(CODER, kind=PhraseKind.SYNONYM)
    with pytest.raises(TextBankError, match="one_to_one texts are about pairs"):
        read(document, ZOO, kind=PhraseKind.ONE_TO_ONE)


def test_a_file_without_class_list_names_the_option_that_is_missing():
    with pytest.raises(TextBankError, match=r"no class list.*`--classes CONFIG`"):
        read(VCD)


def test_an_import_that_matches_nothing_is_an_error_that_shows_both_sides():
    with pytest.raises(
        TextBankError, match=r"no.*about a class of the list \('dog', ...\).*'crane' \(unknown\).*--alias"
    ):
        read({"crane": ["x"], "newt": ["y"]}, ClassList(("dog", "cat")))
    with pytest.raises(TextBankError, match=r"no text of it is left \(1 blank, 1 not_text\)"):
        read({"dog": ["", 3]}, ClassList(("dog",)))
    with pytest.raises(TextBankError, match="it has none"):
        read({"class_names": ["dog"]})


def test_aliases_are_read_from_pairs_and_must_be_names_of_the_file():
    assert parse_aliases(["sofa = couch", "a=b=c", "sofa=couch"]) == {"sofa": "couch", "a": "b=c"}
    for wrong in ("sofa", "=couch", "sofa="):
        with pytest.raises(TextBankError, match=r"--alias: expected old=new, found .*sofa=couch"):
            parse_aliases([wrong])
    with pytest.raises(TextBankError, match="'sofa' has two new names"):
        parse_aliases(["sofa=couch", "sofa=settee"])
    with pytest.raises(TextBankError, match=r"alias: the file has no name 'tod'\. Did you mean 'toad'"):
        read(CODER, alias={"tod": "Tree_Frog"})


WRONG = {
    "html": ("<html>Not found</html>", "found str"),
    "cut off": ('{"class_names": ["a", ', "not readable"),
    "empty": ("{}", "texts by class name, found dict"),
    "a list": ("[1]", "found list"),
    "wrong length": ('{"class_names": ["a", "b"], "attribute": [["x"]]}', "attribute: 1 lists for 2 class names"),
    "no list": ('{"class_names": ["a"], "attribute": 3}', "attribute: expected a list with one list per class"),
    "number for texts": ('{"class_names": ["a"], "attribute": [3]}', r"attribute\[0\]: expected a list of texts"),
    "names": ('{"class_names": ["a", 3]}', r"class_names\[1\]: expected a class name, found int 3"),
    "no names": ('{"class_names": []}', "class_names: expected a list of class names"),
    "records": ('{"class_names": ["a"], "synonym": [{"name": "a"}]}', r"synonym\[0\]: expected a record"),
    "pairs": ('{"class_names": ["a"], "one_to_one": [1]}', "one_to_one: expected class -> rival"),
    "rivals": ('{"class_names": ["a"], "one_to_one": {"a": ["x"]}}', r"one_to_one\.a: expected rival -> phrases"),
    "nested": ('{"a": {"b": ["x"]}}', "a: expected a list of texts, found a dict"),
    "no class names": ('{"attribute": [["x"]]}', "attribute: expected a list of texts.*needs `class_names`"),
    "key twice": ('{"crane": ["a"], "crane": ["b"]}', "'crane' is there twice"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_a_file_of_another_shape_is_one_clear_error(case):
    text, message = WRONG[case]
    with pytest.raises(TextBankError, match=message) as caught:
        read_published_texts(text, place="in/zoo.json", classes=ClassList(("a",)))
    assert str(caught.value).startswith("in/zoo.json")
    assert str(caught.value).endswith(".")


def test_empty_and_single_texts_are_coped_with():
    bank = read({"a": "one text", "b": None}, ClassList(("a", "b")))[1]
    assert [texts.attributes for texts in bank.classes] == [("one text",), ()]


def test_what_was_imported_can_be_written_and_read_back():
    classes, bank, _ = read(CODER)
    assert parse_text_bank(write_text_bank(bank, classes), place="bank", classes=classes) == bank
