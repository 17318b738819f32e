from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from coder_core.atg.prompts import load_prompts
from coder_core.atg.questions import TextRequest, ask_about, ask_about_pair, ask_again
from coder_core.llm.chat_requests import Sampling
from coder_core.texts.kinds import TextKind

PROMPTS = load_prompts()["general"]


def ask(name: str = "lemur", kind: TextKind = TextKind.ATTRIBUTE, **options: object) -> TextRequest:
    return ask_about(name, PROMPTS.prompt(kind), **{"model": "m", "sampling": Sampling(), **options})


def test_the_key_holds_what_decides_the_answer_and_nothing_else() -> None:
    keys = {
        ask().key,
        ask("lemurs").key,
        ask(kind=TextKind.SYNONYM).key,
        ask(model="n").key,
        ask(sampling=Sampling(temperature=0)).key,
        ask(sampling=Sampling(temperature=1)).key,
        ask(sampling=Sampling(top_p=1)).key,
        ask(sampling=Sampling(seed=1)).key,
        replace(ask(), prompt=load_prompts({"general": {"system": "x"}})["general"].prompt(TextKind.ATTRIBUTE)).key,
    }
    assert len(keys) == 9
    assert all(len(key) == 64 for key in keys)
    assert ask("ring_tailed  lemur").key == ask("ring tailed lemur").key


def test_a_pair_is_one_request_in_either_order() -> None:
    prompt = PROMPTS.prompt(TextKind.ONE_TO_ONE)
    pairs = [ask_about_pair(*names, prompt, model="m", sampling=Sampling()) for names in (("b", "a"), ("a", "b"))]
    assert pairs[0].key == pairs[1].key
    assert pairs[0].subject.names == ("a", "b")


def test_asking_again_depends_on_what_was_named_but_not_on_its_order() -> None:
    first = ask(kind=TextKind.ANALOGOUS_CLASS)
    again = ask_again(first, ["cat", "bear"], 2)
    assert again.key == ask_again(again, ["bear", "cat"], 2).key
    assert len({first.key, again.key, ask_again(first, ["cat"], 2).key, ask_again(first, ["cat", "bear"], 1).key}) == 4
    assert again.subject == first.subject


def test_the_body_says_what_is_set_and_leaves_the_rest_to_the_server() -> None:
    plain = ask().body(max_tokens=7, is_structured=False)
    assert sorted(plain) == ["max_tokens", "messages", "model"]
    rich = ask(sampling=Sampling(temperature=0, seed=3)).body(
        max_tokens=7, is_structured=True, limit_name="max_completion_tokens"
    )
    assert rich["max_completion_tokens"] == 7
    assert rich["temperature"] == 0
    assert rich["seed"] == 3
    assert rich["response_format"]["json_schema"]["strict"] is True


@given(st.text(min_size=1, max_size=30).filter(lambda name: name.strip(" _\n\t\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0")))
def test_any_class_name_can_be_asked_about(name: str) -> None:
    request = ask(name)
    assert request.key == ask(name).key
    request.body(max_tokens=5, is_structured=True)["messages"][-1]["content"].encode("utf-8")


def test_a_file_name_without_utf8_form_can_be_asked_about() -> None:
    content = ask("caf\udce9").body(max_tokens=5, is_structured=True)["messages"][-1]["content"]
    assert b"caf" in content.encode("utf-8")


def test_keys_do_not_change_from_version_to_version() -> None:
    """Whoever changes these makes every user buy every text again."""
    example = {"class": "a", "items": ["b"]}
    pair_example = {**example, "rival": "c", "rival_items": ["d"]}
    prompts = load_prompts(
        {
            "general": {
                "system": "s",
                "list_form": "l",
                "json_form": "j",
                "attribute": {"question": "What is {class}?", "example": example},
                "one_to_one": {"question": "{class} or {rival}?", "example": pair_example},
            }
        }
    )["general"]
    options = {"model": "m", "sampling": Sampling(temperature=0.5)}
    single = ask_about("Lemur", prompts.prompt(TextKind.ATTRIBUTE), **options)
    pair = ask_about_pair("lion", "puma", prompts.prompt(TextKind.ONE_TO_ONE), **options)
    assert single.key == "f98d89b07a86b09b863b139d9f6554fc0dac4bf2e00cfbd07a84600f1b796128"
    assert ask_again(single, ["x", "y"], 2).key == "c98013ee116751bfd2b15768e792514866c05c6a59a71f577e930ba65b8b9eb7"
    assert pair.key == "8e696bb835f6c716bcec0346e28dc8ac5b12ee5acf3213382007587dd8ecf26a"
