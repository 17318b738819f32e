import pytest

from coder_core.atg.prompts import GENERATED_KINDS, find_prompts, load_prompts
from coder_core.errors import ConfigError
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


@pytest.mark.parametrize(
    ("extra", "place"),
    [
        ({"x": {"attribut": {}}}, "prompts.x.attribut"),
        ({"x": {"attribute": {"question": "no placeholder"}}}, "prompts.x.attribute.question"),
        ({"x": {"attribute": {"question": "{class} {rival}"}}}, "prompts.x.attribute.question"),
        ({"x": {"attribute": {"question": "{class} {"}}}, "prompts.x.attribute.question"),
        ({"x": {"attribute": {"question": ["{class}"]}}}, "prompts.x.attribute.question"),
        ({"x": {"analogous_class": {"again": "{class}"}}}, "prompts.x.analogous_class.again"),
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
