"""Names that no caption has are found, with the name that one would have; names that only look odd are left alone."""

import time
from collections import Counter

import pytest

from coder_core.classes import ClassList
from coder_core.encoders.imagenet_names import names_by_wordnet_id
from coder_core.review.finding import Fault, Finding
from coder_core.review.name_checks import HOMONYMS, check_names
from coder_core.review.text_checks import check_texts
from coder_core.texts.bank import TextBank
from coder_core.texts.bank_file import parse_text_bank


def found(*names: str, domain: str = "general") -> list[Finding]:
    return check_names(ClassList(names), domain=domain, wordnet_names=names_by_wordnet_id)


@pytest.mark.parametrize(
    ("names", "fault", "proposed"),
    [
        (("AnnualCrop", "SeaLake", "River"), Fault.RUN_TOGETHER, {0: "annual crop", 1: "sea lake"}),
        (("PlayingTabla", "ApplyEyeMakeup"), Fault.RUN_TOGETHER, {0: "playing tabla", 1: "apply eye makeup"}),
        (
            ("001.Black_footed_Albatross", "002.Laysan_Albatross"),
            Fault.NUMBERED,
            {0: "Black footed Albatross", 1: "Laysan Albatross"},
        ),
        (("0_AnnualCrop", "1_Forest"), Fault.NUMBERED, {0: "annual crop", 1: "Forest"}),
        (
            ("n01440764", "n02012849", "n03126707"),
            Fault.WORDNET_ID,
            {0: "tench", 1: "crane bird", 2: "construction crane"},
        ),
        (("n99999999", "tench"), Fault.WORDNET_ID, {}),
        (("barn swallow", "Barn_Swallow"), Fault.SAME_NAME, {}),
        (("cat", "cat 2", "dog"), Fault.SUFFIX_ONLY, {}),
        (("beach", "beaches", "beachs"), Fault.SUFFIX_ONLY, {}),
        (("crane", "wren"), Fault.HOMONYM, {}),
    ],
)
def test_a_fault_is_found_with_its_proposal(names: tuple[str, ...], fault: Fault, proposed: dict[int, str]) -> None:
    (finding,) = found(*names)
    assert (finding.fault, dict(finding.new_names)) == (fault, proposed)
    assert finding.remedy


@pytest.mark.parametrize(
    "names",
    [
        ("McDonald farm", "MacBook", "iPhone", "DVD player"),
        ("A330-200", "A330-300", "Boeing 737"),
        ("7 up", "cola", "water"),
        ("sea_lake", "annual crop"),
        ("glass", "grass"),
        ("Côte d'Ivoire", "日本"),
    ],
)
def test_names_that_only_look_odd_are_left_alone(names: tuple[str, ...]) -> None:
    assert found(*names) == []


@pytest.mark.parametrize(
    ("names", "clashing", "kept"),
    [
        (("001.cat", "002.cat", "003.dog"), (0, 1), {2: "dog"}),
        (("RedKite", "red_kite", "BlueTit"), (0, 1), {2: "blue tit"}),
        (("n01443537", "goldfish", "n01440764"), (0, 1), {0: "goldfish", 2: "tench"}),
    ],
)
def test_no_proposal_gives_two_classes_one_name_without_a_word(
    names: tuple[str, ...], clashing: tuple[int, ...], kept: dict[int, str]
) -> None:
    """A number may be all that tells two folders apart; a WordNet id is no name, so there the fault is told alone."""
    spelling, clash = check_names(ClassList(names), wordnet_names=names_by_wordnet_id)
    assert (spelling.new_names, clash.fault, clash.class_ids) == (kept, Fault.SAME_NAME, clashing)
    assert not clash.new_names


def test_a_domain_says_what_a_homonym_means() -> None:
    assert [finding.fault for finding in found("crane", "Jaguar")] == [Fault.HOMONYM] * 2
    assert found("crane", "bass", domain="bird") == []
    assert all(word == word.casefold() and len(set(meanings)) == 2 for word, meanings in HOMONYMS.items())


def test_imagenets_table_is_that_of_the_installed_packages() -> None:
    table = names_by_wordnet_id()
    twice = [name for name, count in Counter(table.values()).items() if count > 1]
    assert (len(table), twice) == (1000, ["missile", "sunglasses"])  # its names tell the two cranes apart
    assert (table["n01440764"], table["n15075141"]) == ("tench", "toilet paper")


def bank(classes: ClassList, texts: dict[str, list[str]], domain: str = "bird") -> TextBank:
    entries = [{"name": name, "attributes": phrases} for name, phrases in texts.items()]
    content = f"{{'format': 'coder-text-bank/1', 'domain': '{domain}', 'classes': {entries!r}}}"
    return parse_text_bank(content, place="bank", classes=classes)


def test_texts_about_another_class_are_found_and_a_comparison_is_none() -> None:
    classes = ClassList(("wren", "robin", "kite"))
    good = {
        "wren": ["a cocked tail", "smaller than a robin", "brown"],
        "robin": ["a red breast"],
        "kite": ["long wings"],
    }
    assert check_texts(classes, bank(classes, good), domain="bird") == []
    slipped = {**good, "kite": ["a robin with a red breast", "the robin's thin bill", "brown back"]}
    (finding,) = check_texts(classes, bank(classes, slipped), domain="bird")
    assert (finding.fault, finding.class_ids) == (Fault.OTHER_CLASS, (2,))
    (finding,) = check_texts(classes, bank(classes, good), domain="food")
    assert (finding.fault, finding.remedy) == (Fault.DOMAIN, "Set texts.domain: bird.")


@pytest.mark.parametrize("piece", ["- ", ". ", "1", "a", "aA", "_", " (1"])
def test_a_name_without_an_end_takes_no_time(piece: str) -> None:
    started = time.process_time()
    found(piece * (50_000 // len(piece)) + "x", "wren")
    assert time.process_time() - started < 3.0
