"""Questions with pictures, against a real HTTP server: what is sent, its key, what it costs, what is refused."""

import json
import re
from collections.abc import Callable

import pytest

from coder_core.atg.generator import Generated, estimate_generation, generate_phrases
from coder_core.atg.generator_spec import GeneratorSpec
from coder_core.atg.prompts import find_prompts, load_prompts
from coder_core.atg.questions import plan_questions
from coder_core.classes import ClassList
from coder_core.fingerprint import content_hash, key_of
from coder_core.llm import batch_completions
from coder_core.llm.batch_completions import BatchCompletions
from coder_core.llm.chat_requests import Picture
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.completions import CompletionSource
from coder_core.llm.direct_completions import DirectCompletions
from coder_core.llm.faults import LlmError
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.llm.pricing import Price, find_price, load_prices, worst_cost_usd
from coder_core.texts.bank import source_of
from coder_core.texts.kinds import TextKind
from tests.coder_core.atg.batch_server import BatchServer
from tests.coder_core.atg.llm_server import LlmServer, error, serving

Make = Callable[..., LlmRuntime]
CLASSES = ClassList(("lion", '{rival} "; show all', "puma"))
PAIR = [(0, 2), (1, 2)]
SPEC = GeneratorSpec(
    model="gpt-4o", kinds=(TextKind.ATTRIBUTE, TextKind.SYNONYM, TextKind.ONE_TO_ONE), images_per_class=2
)


def picture(content: bytes) -> Picture:
    return Picture(content_hash(content), b"\xff\xd8" + content)


LION, LIONESS, PUMA = picture(b"a lion"), picture(b"a lioness"), picture(b"a puma")
PICTURES = {0: (LION, LIONESS), 2: (PUMA,)}


class World:
    """A ledger, a server, and a way to generate with both."""

    def __init__(self, server: LlmServer, ledger: CompletionLedger, make_runtime: Make) -> None:
        self.server, self.ledger, self.make_runtime = server, ledger, make_runtime

    def generate(self, spec: GeneratorSpec = SPEC, source: CompletionSource | None = None, **options) -> Generated:
        source = source or DirectCompletions(self.ledger, self.make_runtime(self.server.url))
        given = {"pictures": PICTURES, "pairs": PAIR, "similarity": None, **options}
        return generate_phrases(CLASSES, spec, ledger=self.ledger, source=source, **given)


@pytest.fixture
def world(ledger: CompletionLedger, make_runtime: Make) -> World:
    with serving(LlmServer()) as server:
        yield World(server, ledger, make_runtime)


def test_pictures_follow_the_text_of_the_kinds_that_they_help_with(world: World) -> None:
    bank, report = world.generate()
    by_question = {(call.kind, call.names): call for call in world.server.calls}
    shown = {question: call.pictures for question, call in by_question.items() if call.pictures}
    hostile = CLASSES.display_names[1]
    assert shown == {
        ("attribute", ("lion",)): [LION.jpeg, LIONESS.jpeg],
        ("attribute", ("puma",)): [PUMA.jpeg],
        ("one_to_one", ("lion", "puma")): [LION.jpeg, LIONESS.jpeg, PUMA.jpeg],
    }
    text = by_question["one_to_one", ("lion", "puma")].body["messages"][-1]["content"][0]["text"]
    assert "the first 2 show lion, all others show puma" in text
    asked = plan_questions(CLASSES, SPEC, class_ids=[1], pictures={1: (PUMA,)}).requests[0]
    text = asked.messages(is_structured=True)[-1]["content"][0]["text"]
    assert text.count(hostile) == 2, "a name is put into each sentence as it is, and never read as a template"
    assert by_question["attribute", (hostile,)].body["messages"][-1]["content"].startswith("What are useful")
    sources = {name: source_of(texts.attributes[0]) for name, texts in zip(CLASSES.names, bank.classes, strict=True)}
    assert sources == {"lion": "llm:gpt-4o+images", CLASSES.names[1]: "llm:gpt-4o", "puma": "llm:gpt-4o+images"}
    assert source_of(bank.classes[0].synonyms[0]) == "llm:gpt-4o"
    assert {source_of(bank.one_to_one[pair][0]) for pair in ((0, 2), (2, 0))} == {"llm:gpt-4o+images"}
    assert source_of(bank.one_to_one[1, 2][0]) == "llm:gpt-4o"  # one in pictures and not the other: neither
    assert [(few.class_name, few.pictures) for few in report.few_pictures] == [(CLASSES.names[1], 0), ("puma", 1)]
    assert "without a picture" in str(report)
    assert "puma (1)" in str(report)


def test_keys_hold_what_is_shown_and_nothing_else(world: World) -> None:
    world.generate()
    calls = len(world.server.calls)
    again = world.generate(
        source=None, pictures={0: (Picture(LION.content_key), Picture(LIONESS.content_key)), 2: (PUMA,)}
    )
    assert (again.report.generated, len(again.report.failed)) == (0, 0)  # bytes are of no key
    changed = {**PICTURES, 0: (LION, picture(b"another lioness"))}
    world.generate(pictures=changed)
    assert sorted((call.kind, call.names) for call in world.server.calls[calls:]) == [
        ("attribute", ("lion",)),
        ("one_to_one", ("lion", "puma")),
    ]
    table = world.ledger.table()
    assert LION.content_key in "".join(table["inputs"].to_pylist())
    assert "base64" not in json.dumps(table.to_pylist(), default=str)
    assert "base64" not in repr(plan_questions(CLASSES, SPEC, pairs=PAIR, pictures=PICTURES))
    assert repr(LION.jpeg) not in repr(plan_questions(CLASSES, SPEC, pairs=PAIR, pictures=PICTURES))


def test_without_pictures_every_key_is_what_it_was() -> None:
    off = SPEC.model_copy(update={"images_per_class": 0})
    assert [request.key for request in plan_questions(CLASSES, off, pairs=PAIR).requests] == [
        request.key for request in plan_questions(CLASSES, SPEC, pairs=PAIR).requests
    ]
    # from the tree before there were pictures
    assert find_prompts("general", load_prompts()).prompt(TextKind.ATTRIBUTE).version == PROMPT_BEFORE
    assert key_of(GeneratorSpec(model="gpt-4o")) == SPEC_BEFORE
    assert key_of(SPEC) != key_of(off)


PROMPT_BEFORE = "b7904fc0d7935b9e43d3127f8e1dfafa5d5340caef20f2929615ecc39e42a3ea"
SPEC_BEFORE = "76bec0226937f50d253b2fc6c1667a00000bab7016d9d551c7af8bbf94ce416f"


def test_a_budget_keeps_the_first_texts_of_every_kind_and_asks_nobody_again(world: World) -> None:
    whole = world.generate().bank
    calls = len(world.server.calls)
    cut = world.generate(SPEC.model_copy(update={"texts_per_class": 2})).bank
    assert len(world.server.calls) == calls
    assert cut.classes[0].attributes == whole.classes[0].attributes[:2]
    assert {len(phrases) for phrases in cut.one_to_one.values()} == {2}


def test_pictures_have_a_price_before_and_a_limit_while_they_are_shown(world: World) -> None:
    runtime = world.make_runtime(world.server.url)
    plain, shown = (
        estimate_generation(CLASSES, SPEC, ledger=world.ledger, runtime=runtime, pairs=PAIR, pictures=pictures)
        for pictures in ({}, PICTURES)
    )
    assert (plain.pictures, shown.pictures, shown.tokens_per_picture) == (0, 6, 85 + 170)
    told = [
        request.prompt.question.pictured
        for request in plan_questions(CLASSES, SPEC, pairs=PAIR, pictures=PICTURES).requests
    ]
    assert 6 * 255 < shown.prompt_tokens - plain.prompt_tokens < 6 * 255 + sum(len(words or "") for words in told)
    assert "6 pictures of about 255 tokens" in str(shown)
    asked = {len(request.pictures): request for request in plan_questions(CLASSES, SPEC, pictures=PICTURES).requests}
    price = find_price("gpt-4o", load_prices())
    assert price is not None
    free = price.model_copy(update={"picture_tokens": 0})
    costs = [worst_cost_usd(asked[2], each, max_tokens=10) for each in (price, free)]
    assert costs[0] - costs[1] == pytest.approx(2 * 255 * 2.5e-6)
    dear = Price(input_usd_per_million=1, output_usd_per_million=0, picture_tokens=1_000_000)
    limited = world.make_runtime(world.server.url, max_cost_usd=1.5, prices={"gpt-4o": dear})
    report = world.generate(source=DirectCompletions(world.ledger, limited)).report
    assert report.stopped is not None
    assert "max_cost_usd" in report.stopped
    assert not any(call.names == ("lion",) for call in world.server.calls)  # two pictures of a dollar each
    enough = world.make_runtime(world.server.url, max_cost_usd=4, prices={"gpt-4o": dear})
    assert world.generate(source=DirectCompletions(world.ledger, enough)).report.stopped is None


REFUSALS = {
    "openai": error(400, "Invalid content type. image_url is only supported by certain models.", param="messages.[3]"),
    "groq": error(
        400,
        "'messages.3' : for 'role:user' the following must be satisfied: 'messages.3.content' : value must be a string",
    ),
    "ollama": error(400, "this model does not support image input"),
    "llama.cpp": error(500, "image input is not supported - hint: you may need to provide the mmproj"),
    "router": error(404, "No endpoints found that support image input"),
    "fastapi": error(422, "Input should be a valid string: body.messages.3.content"),
    "wordless": error(400, "invalid request"),
    "echo": error(400, "cannot read image data:image/jpeg;base64," + "QUJD" * 20),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_server_that_takes_no_pictures_is_told_in_one_error_and_asked_no_more(name: str, world: World) -> None:
    kinds = {"kinds": (TextKind.SYNONYM, TextKind.ATTRIBUTE)}
    world.server.script = lambda call: REFUSALS[name] if call.pictures else None
    with pytest.raises(LlmError, match=re.escape("set texts.generator.images_per_class to 0")) as refused:
        world.generate(SPEC.model_copy(update=kinds), pairs=[])
    assert "QUJD" not in str(refused.value)
    refusals = [call for call in world.server.calls if call.pictures]
    forms = {json.dumps([sorted(call.body), call.pictures[0].hex()]) for call in refusals}
    assert len(forms) == len(refusals)  # no call was made twice, if one was tried in another form
    assert len(refusals) <= 2
    asked = len(world.server.calls)
    world.server.script = lambda _call: None
    assert not world.generate(SPEC.model_copy(update=kinds), pairs=[]).report.failed
    new = {(call.kind, call.names) for call in world.server.calls[asked:]}
    held = world.server.good.total() - len(world.server.calls[asked:])
    assert len(new) + held == 2 * 3, "what came before the refusal is not asked again"


def test_one_picture_that_is_refused_stops_no_other_question(world: World) -> None:
    """A server that has answered a question with pictures takes pictures: then it is about this one."""
    bad = error(400, "Your input image may contain content that is not allowed by our safety system.")
    answered: list[int] = []

    def script(call):
        if call.names == ("puma",) and call.pictures:
            return bad
        answered.append(call.number)
        return None

    world.server.script = script
    source = DirectCompletions(world.ledger, world.make_runtime(world.server.url, concurrency=1))
    report = world.generate(SPEC.model_copy(update={"kinds": (TextKind.ATTRIBUTE,)}), source, pairs=[]).report
    assert [(text.class_name, text.fault) for text in report.failed] == [("puma", "rejected")]
    assert report.generated == 2


@pytest.mark.slow
def test_a_batch_shows_the_same_and_its_answers_are_the_same_rows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_completions, "MAX_PICTURE_BYTES", 20)  # a file's: lion's two pictures, or puma's and more
    runtime = world.make_runtime(world.server.url)
    batch = BatchCompletions(world.ledger, runtime, poll_seconds=0.01)
    bank = world.generate(source=batch).bank
    shown = {(call.kind, call.names): call.pictures for call in world.server.calls if call.pictures}
    assert shown["one_to_one", ("lion", "puma")] == [LION.jpeg, LIONESS.jpeg, PUMA.jpeg]
    calls = len(world.server.calls)
    assert calls == 3 + 3 + 2
    assert len(world.server.batch_api.batches) > 1
    assert world.generate().bank == bank
    assert len(world.server.calls) == calls


@pytest.mark.slow
def test_a_batch_of_a_model_that_takes_no_pictures_is_not_sent_again(world: World) -> None:
    assert isinstance(world.server.batch_api, BatchServer)
    world.server.script = lambda call: REFUSALS["ollama"] if call.pictures else None
    batch = BatchCompletions(world.ledger, world.make_runtime(world.server.url), poll_seconds=0.01)
    report = world.generate(source=batch).report
    assert report.stopped is not None
    assert "images_per_class to 0" in report.stopped
    assert max(sum(call.question == other.question for other in world.server.calls) for call in world.server.calls) == 1
    assert report.generated == 3 + 1 + 1  # synonyms, and the questions without a picture
