import pytest

from coder_core.atg.prompts import GENERATED_KINDS, domain_noun, find_prompts, load_prompts
from coder_core.errors import ConfigError
from coder_core.texts.domains import load_domains
from coder_core.texts.kinds import TextKind

VALUES = {"class": "{rival} & co", "rival": "lynx"}


def test_every_kind_asks_with_a_worked_example_in_the_asked_form() -> None:
    prompts = load_prompts()["general"]
    for kind in GENERATED_KINDS:
        for is_structured in (True, False):
            system, question, example, asked = prompts.prompt(kind).messages(VALUES, is_structured=is_structured)
            assert [system["role"], question["role"], example["role"]] == ["system", "user", "assistant"]
            assert example["content"].startswith("{") == is_structured
            assert "{rival} & co" in asked["content"]  # a brace in a class name is text
            assert "{" not in question["content"]


def test_a_prompt_set_of_ones_own_inherits_and_changes_one_kind_only() -> None:
    asked = "Which looks tell {class} fabric?"
    prompts = load_prompts({"texture": {"attribute": {"question": asked}}})
    assert sorted(prompts) == ["general", "texture"]
    for kind in GENERATED_KINDS:
        is_changed = prompts["general"].prompt(kind).version != prompts["texture"].prompt(kind).version
        assert is_changed == (kind is TextKind.ATTRIBUTE)
    told = prompts["texture"].prompt(TextKind.ATTRIBUTE).messages({"class": "knitted"}, is_structured=False)
    assert told[-1]["content"] == "Which looks tell knitted fabric?"
    changed = load_prompts({"general": {"system": "You are brief."}})
    assert all(
        changed["general"].prompt(kind).version != prompts["general"].prompt(kind).version for kind in GENERATED_KINDS
    )


def test_a_version_depends_on_every_word() -> None:
    example = {"class": "sofa", "items": ["couch", "settee"]}
    versions = {
        load_prompts({"x": {"synonym": part}})["x"].prompt(TextKind.SYNONYM).version
        for part in ({}, {"question": "Names of {class}?"}, {"example": example})
    }
    assert len(versions) == 3


def test_asking_again_names_what_is_known() -> None:
    prompt = load_prompts()["general"].prompt(TextKind.ANALOGOUS_CLASS)
    values = {"class": "lemur", "excluded": "cat, raccoon", "count": "2"}
    asked = prompt.messages(values, is_structured=True)[-1]["content"]
    assert "cat, raccoon" in asked
    assert "2" in asked


def test_a_domain_is_asked_about_in_its_own_words_and_general_as_ever() -> None:
    """The noun is data: every shipped domain has one, and none changes what `general` asks and is known by."""
    assert {name for name in load_domains() if not domain_noun(name)} == {"general"}
    assert domain_noun("one-of-my-own") == ""
    general = load_prompts()["general"]
    for kind in GENERATED_KINDS:
        plain, texture = general.prompt(kind), general.prompt(kind, noun=domain_noun("texture"))
        assert general.prompt(kind, noun=domain_noun("general")).version == plain.version
        assert len({plain.version, texture.version, general.prompt(kind, noun="a bird").version}) == 3
        for values in (VALUES, VALUES | {"excluded": "x", "count": "1"}):
            asked = texture.messages(values, is_structured=True)
            assert "in a photo of a texture" in asked[-1]["content"]
            assert "{noun}" not in asked[-1]["content"]
            assert asked[:-1] == plain.messages(values, is_structured=True)[:-1]  # the worked example stays


def test_the_keys_of_general_are_those_under_which_answers_were_bought() -> None:
    versions = {kind.value: load_prompts()["general"].prompt(kind).version[:16] for kind in GENERATED_KINDS}
    assert versions == VERSIONS


VERSIONS = {
    "attribute": "b7904fc0d7935b9e",
    "analogous_class": "988a863d25c95a55",
    "synonym": "925269885fa9edb0",
    "one_to_one": "02fb5c8f2240f099",
}
"""Of the first release; whoever changes these makes every user buy every text again."""


def test_a_wording_of_ones_own_is_asked_in_every_domain() -> None:
    mine = load_prompts({"general": {"attribute": {"question": "Looks of {class}?"}}})["general"]
    prompt = mine.prompt(TextKind.ATTRIBUTE, noun="a texture")
    assert prompt.messages({"class": "x"}, is_structured=True)[-1]["content"] == "Looks of x?"
    assert prompt.version == mine.prompt(TextKind.ATTRIBUTE).version
    both = {"question": "Looks of {class}?", "in_domain": "Looks of {class}, {noun}?"}
    mine = load_prompts({"general": {"attribute": both}})["general"]
    asked = mine.prompt(TextKind.ATTRIBUTE, noun="a texture").messages({"class": "x"}, is_structured=True)
    assert asked[-1]["content"] == "Looks of x, a texture?"


@pytest.mark.parametrize(
    ("extra", "place"),
    [
        ({"x": {"attribut": {}}}, "prompts.x.attribut"),
        ({"x": {"attribute": {"question": "no placeholder"}}}, "prompts.x.attribute.question"),
        ({"x": {"attribute": {"question": "{class} {rival}"}}}, "prompts.x.attribute.question"),
        ({"x": {"attribute": {"question": "{class} {"}}}, "prompts.x.attribute.question"),
        ({"x": {"attribute": {"question": ["{class}"]}}}, "prompts.x.attribute.question"),
        ({"x": {"analogous_class": {"again": "{class}"}}}, "prompts.x.analogous_class.again"),
        ({"x": {"synonym": {"in_domain": "{class}"}}}, "prompts.x.synonym.in_domain"),
        ({"x": {"one_to_one": {"example": {"class": "a", "items": ["b"]}}}}, "prompts.x.one_to_one.example"),
        ({"x": {"synonym": {"example": {"class": "a", "items": []}}}}, "prompts.x.synonym.example.items"),
        ({"x": "words"}, "prompts.x"),
    ],
)
def test_a_wrong_prompt_is_refused_at_its_place(extra: dict, place: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_prompts(extra)
    assert refusal.value.place == place
    assert refusal.value.problem.endswith(".")
    assert refusal.value.remedy.endswith(".")


def test_unknown_sets_and_kinds_are_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'general'"):
        find_prompts("generel", load_prompts())
    with pytest.raises(ConfigError, match="class_name"):
        load_prompts()["general"].prompt(TextKind.CLASS_NAME)
