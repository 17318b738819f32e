import re
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from coder_core.atg.generation_report import merge_reports
from coder_core.atg.generator import Generated, estimate_generation, generate_phrases
from coder_core.atg.generator_spec import GeneratorSpec
from coder_core.atg.questions import chunk_class_ids, plan_questions
from coder_core.classes import ClassList
from coder_core.errors import ConfigError
from coder_core.llm.chat_replies import Answer, Usage
from coder_core.llm.chat_requests import Sampling
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.completions import judge_answer
from coder_core.llm.direct_completions import DirectCompletions
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.llm.pricing import find_price, load_prices, worst_cost_usd
from coder_core.texts.bank import source_of
from coder_core.texts.domains import find_domain, load_domains
from coder_core.texts.kinds import TextKind
from coder_core.texts.sentences import build_texts
from tests.coder_core.atg.llm_server import Call, LlmServer, completion, serving

Make = Callable[..., LlmRuntime]
ALL = (TextKind.ATTRIBUTE, TextKind.ANALOGOUS_CLASS, TextKind.SYNONYM, TextKind.ONE_TO_ONE)
SPEC = GeneratorSpec(model="gpt-4o-mini", kinds=ALL)
CLASSES = ClassList(("lion", "tiger_shark", "crane", "crane", "puma"))


class World:
    """A ledger, a server, and a way to generate with both."""

    def __init__(self, server: LlmServer, ledger: CompletionLedger, make_runtime: Make) -> None:
        self.server, self.ledger, self.make_runtime = server, ledger, make_runtime

    def generate(self, classes: ClassList = CLASSES, spec: GeneratorSpec = SPEC, **options: object) -> Generated:
        source = DirectCompletions(self.ledger, self.make_runtime(self.server.url))
        return generate_phrases(classes, spec, ledger=self.ledger, **{"source": source, "similarity": None, **options})


@pytest.fixture
def world(ledger: CompletionLedger, make_runtime: Make) -> World:
    with serving(LlmServer()) as server:
        yield World(server, ledger, make_runtime)


def test_all_kinds_come_back_as_a_bank_in_class_order(world: World) -> None:
    bank, report = world.generate(pairs=[(1, 0), (0, 1), (0, 4)])
    assert len(bank.classes) == 5
    assert bank.classes[1].attributes[0] == "attribute 0 of tiger shark 0"
    assert bank.classes[2] == bank.classes[3]  # one name, one account
    assert sorted(bank.one_to_one) == [(0, 1), (0, 4), (1, 0), (4, 0)]
    assert source_of(bank.classes[0].synonyms[0]) == "llm:gpt-4o-mini"
    assert len(world.server.calls) == report.calls == 3 * 4 + 2
    assert (report.generated, report.reused, report.failed) == (3 * 5 + 2, 0, ())
    texts = build_texts(CLASSES, bank, find_domain("general", load_domains()))
    assert {row.kind for row in texts} == {*ALL, TextKind.CLASS_NAME, TextKind.TEMPLATE}


def test_nothing_is_paid_twice(world: World) -> None:
    first = world.generate(pairs=[(0, 1)])
    calls = len(world.server.calls)

    again = world.generate(pairs=[(1, 0)])
    assert again.bank == first.bank
    assert (again.report.generated, again.report.reused) == (0, first.report.generated)
    other = world.generate(ClassList(("puma", "lion", "crane")), pairs=[(0, 1)])  # shares names, other ids
    assert len(world.server.calls) == calls + 1  # the new pair
    assert other.bank.classes[1] == first.bank.classes[0]

    world.generate(ClassList((*CLASSES.names, "okapi")), pairs=[(0, 1)])
    new = world.server.calls[calls + 1 :]
    assert sorted((call.kind, call.names) for call in new) == [
        ("analogous_class", ("okapi",)),
        ("attribute", ("okapi",)),
        ("synonym", ("okapi",)),
    ]

    calls = len(world.server.calls)
    changed = SPEC.model_copy(
        update={"prompt_sets": {"general": {"synonym": {"example": {"class": "a", "items": ["b"]}}}}}
    )
    world.generate(spec=changed, pairs=[(0, 1)])
    assert {call.kind for call in world.server.calls[calls:]} == {"synonym"}
    calls = len(world.server.calls)
    world.generate(spec=SPEC.model_copy(update={"sampling": Sampling(seed=1)}), pairs=[(0, 1)])
    assert len(world.server.calls) == calls + 13


def test_nothing_bought_is_read_from_the_ledger_alone(world: World) -> None:
    world.generate(ClassList(("lion", "puma")), pairs=[(0, 1)])
    calls = len(world.server.calls)
    bank, report = world.generate(source=None, pairs=[(0, 4), (0, 1)])
    assert len(world.server.calls) == calls
    assert bank.classes[0].attributes
    assert not bank.classes[1].attributes
    assert report.reused == 3 * 2 + 1
    assert {text.class_name for text in report.failed if text.rival_id is None} == {"tiger_shark", "crane"}
    assert {text.fault for text in report.failed} == {"unanswered"}


def test_chunks_add_up_to_the_whole(world: World) -> None:
    chunks = chunk_class_ids(CLASSES, size=2)
    assert chunks == ((0, 1), (2, 3, 4))
    parts = [world.generate(class_ids=chunk) for chunk in chunks]
    assert not parts[0].bank.classes[4].attributes
    merged = merge_reports([part.report for part in parts])
    assert merged.calls == len(world.server.calls) == 3 * 4
    whole = world.generate(source=None)
    assert len(world.server.calls) == 3 * 4
    assert not whole.report.failed
    assert merged.generated == whole.report.reused == 3 * 5
    assert all(texts.attributes and texts.analogous_classes and texts.synonyms for texts in whole.bank.classes)


def test_two_classes_of_one_name_cannot_be_told_apart(world: World) -> None:
    _, report = world.generate(pairs=[(2, 3)])
    [text] = report.failed
    assert (text.kind, text.class_id, text.rival_id, text.fault) == (TextKind.ONE_TO_ONE, 2, 3, "same_name")
    assert "one_to_one of crane / crane" in str(report)


def test_the_report_says_per_class_which_kinds_are_missing(world: World) -> None:
    def script(call: Call) -> str | None:
        is_pair_of_lion = call.kind == "one_to_one" and call.names == ("crane", "lion")
        return "refusal" if "puma" in call.names or is_pair_of_lion or call.kind == "synonym" else None

    world.server.script = script
    classes = ClassList(("lion", "puma", "crane"))
    _, report = world.generate(classes, pairs=[(0, 1), (0, 2), (1, 2)])
    assert report.has_failures
    everything = ("attribute", "analogous_class", "synonym", "one_to_one")
    expected = [
        (0, "lion", ("synonym", "one_to_one")),
        (1, "puma", everything),
        (2, "crane", ("synonym", "one_to_one")),
    ]
    assert [(row.class_id, row.class_name, row.kinds) for row in report.classes_without_texts] == expected
    assert report.generated == 4

    world.server.script = lambda call: [] if call.kind == "synonym" else None
    _, healed = world.generate(classes, pairs=[(0, 1), (0, 2), (1, 2)])
    assert not healed.has_failures
    assert healed.classes_without_texts == ()  # "there are no synonyms" is an answer
    assert healed.classes_told_apart == (0, 1, 2)
    parts = merge_reports([report, world.generate(classes, pairs=[(0, 1)]).report])
    assert [row.kinds[-1] for row in parts.classes_without_texts] == ["synonym", "synonym", "one_to_one"]


def test_a_report_in_which_all_failed_is_short_and_says_so(world: World) -> None:
    world.server.script = lambda _call: "error_500"
    classes = ClassList(tuple(f"class {number}" for number in range(60)))
    _, report = world.generate(classes, GeneratorSpec(model="m", kinds=(TextKind.ATTRIBUTE,)))
    assert report.has_failures
    assert (report.generated, report.reused, len(report.failed)) == (0, 0, 60)
    assert len(report.classes_without_texts) == 60
    assert len(str(report).splitlines()) == 4  # counts, why it ended, and the two reasons
    assert re.search(r"attribute of class \d+, class \d+, class \d+ and \d+ more: server_error: HTTP 500", str(report))


def test_a_dry_run_says_what_it_would_cost_and_asks_nobody(world: World) -> None:
    runtime = world.make_runtime(world.server.url)
    estimate = estimate_generation(CLASSES, SPEC, ledger=world.ledger, runtime=runtime, pairs=[(0, 1)])
    assert (estimate.calls, estimate.reused, estimate.max_further_calls) == (13, 0, 4 * 5)
    assert estimate.is_priced
    assert estimate.completion_tokens == 14 * 90  # one answer of two lists
    assert 10 < estimate.prompt_tokens / 13 < 400
    price = find_price(SPEC.model, load_prices())
    assert estimate.cost_usd == pytest.approx(price.cost_usd(estimate.prompt_tokens, estimate.completion_tokens))
    worst = (worst_cost_usd(request, price, max_tokens=512) for request in plan_questions(CLASSES, SPEC).requests)
    assert estimate.cost_usd < sum(worst)
    assert "13 calls (0 answers are held)" in str(estimate)
    assert not world.server.calls
    world.generate(ClassList(("lion",)))
    later = estimate_generation(CLASSES, SPEC, ledger=world.ledger, runtime=runtime, pairs=[(0, 1)])
    assert (later.calls, later.reused) == (10, 3)


def test_a_account_of_the_whole_list_leaves_one_part(world: World) -> None:
    for name in ("lion", "puma", "okapi"):
        world.generate(ClassList((name,)))
    assert len(world.ledger.store.list("ledgers/completions")) == 1


def test_reading_what_was_bought_needs_no_client() -> None:
    program = "import sys, coder_core.atg.generator; print({'openai', 'torch', 'prefect'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


def test_a_model_that_thinks_aloud_is_understood_and_what_it_never_finished_is_asked_again(world: World) -> None:
    classes, spec = ClassList(("frog",)), GeneratorSpec(model="m", kinds=(TextKind.ATTRIBUTE,))
    thoughts = "<think>\n- I should not mention its habitat {pond}\n"
    world.server.script = lambda call: completion(thoughts + ("" if call.number < 2 else "</think>\n- long green legs"))
    bank, report = world.generate(classes, spec)
    assert bank.classes[0].attributes == ("long green legs",)
    assert (report.calls, report.bad_answers) == (3, 2)
    [row] = world.ledger.table().to_pylist()
    assert row["answer"].startswith(thoughts)  # the ledger keeps what came
    limits = [call.body["max_tokens"] for call in world.server.calls]
    assert limits == [512, 1024, 2048]  # unfinished thoughts need more room


def test_an_answer_held_from_before_that_no_reader_can_use_is_asked_for_again(world: World) -> None:
    classes, spec = ClassList(("frog",)), GeneratorSpec(model="m", kinds=(TextKind.ATTRIBUTE,))
    [request] = plan_questions(classes, spec).requests
    answer = Answer("<think>\n- I should not mention its habitat", "stop", "m", Usage(100, 50))
    row, problem = judge_answer(request, answer, None, is_structured=True)
    assert row is not None
    assert problem is not None
    world.ledger.append([row])  # as an earlier version did
    estimate = estimate_generation(classes, spec, ledger=world.ledger, runtime=world.make_runtime(world.server.url))
    assert (estimate.calls, estimate.reused) == (1, 0)
    first, second = world.generate(classes, spec), world.generate(classes, spec)
    assert first.bank == second.bank
    assert first.bank.classes[0].attributes[0] == "attribute 0 of frog 0"
    assert (first.report.generated, second.report.reused, len(world.server.calls)) == (1, 1, 1)


def test_wrong_ids_are_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="class id 5"):
        world.generate(class_ids=[5])
    with pytest.raises(ConfigError, match="class id -1"):
        world.generate(pairs=[(0, -1)])


def cosine_of(pairs: dict[tuple[str, str], float]) -> Callable[..., np.ndarray]:
    """A similarity that is 0.5 but where it is told otherwise."""

    def similarity(texts_a: Sequence[str], texts_b: Sequence[str]) -> np.ndarray:
        return np.array([[pairs.get((a, b), 0.5) for b in texts_b] for a in texts_a], dtype=np.float32)

    return similarity


NAMES = ("Cat", "Lynx", "Sea wolf", "Ocelot", "Margay", "Serval")


def named(rounds: dict[str, list[list[str]]]) -> Callable[[Call], list[str] | None]:
    """Answer the analogues of a class round by round."""
    asked: dict[str, int] = {}

    def script(call: Call) -> list[str] | None:
        if call.kind != "analogous_class":
            return None
        name = call.names[0]
        asked[name] = asked.get(name, -1) + 1
        return rounds[name][min(asked[name], len(rounds[name]) - 1)]

    return script


ANALOGUES = GeneratorSpec(model="m", kinds=(TextKind.ANALOGOUS_CLASS,))


def test_an_analogue_like_another_class_is_dropped_and_asked_for_again(world: World) -> None:
    classes = ClassList(("lion", "puma", "tiger_shark"))
    world.server.script = named(
        {
            "lion": [["Pumas", "Cat", "Lions", "Lynx", "Sea wolf"], ["Cat", "Ocelot", "Hill cat"], ["Margay"]],
            "puma": [["Lynx", "Cat"]],
            "tiger shark": [["Sea wolf"]],
        }
    )
    near = {("Sea wolf", "tiger shark"): 0.95, ("Hill cat", "puma"): 0.91, ("Lynx", "lion"): 0.9}
    bank, report = world.generate(classes, ANALOGUES, similarity=cosine_of(near))
    assert bank.classes[0].analogous_classes == ("Cat", "Lynx", "Ocelot", "Margay")
    assert bank.classes[1].analogous_classes == ("Lynx", "Cat")  # 0.9 does not exceed 0.9
    assert bank.classes[2].analogous_classes == ("Sea wolf",)  # like its own class, and that is allowed
    asked = [(call.names[0], call.excluded) for call in world.server.calls if call.names == ("lion",)]
    assert asked == [
        ("lion", ""),
        ("lion", "Cat, Lynx, Pumas, Sea wolf"),
        ("lion", "Cat, Hill cat, Lynx, Ocelot, Pumas, Sea wolf"),
    ]
    assert (report.analogues_dropped, report.further_questions, report.generated) == (3, 2, 3)

    calls = len(world.server.calls)
    again = world.generate(classes, ANALOGUES, similarity=cosine_of(near))
    assert again.bank == bank
    assert len(world.server.calls) == calls


def test_asking_again_is_bounded_and_stops_when_nothing_new_comes(world: World) -> None:
    endless = [[f"puma {number}"] for number in range(20)]
    world.server.script = named({"lion": endless, "puma": [["Lion cat"], ["Lion cat"]]})
    near = {(f"puma {number}", "puma"): 0.99 for number in range(20)} | {("Lion cat", "lion"): 0.99}
    bank, report = world.generate(ClassList(("lion", "puma")), ANALOGUES, similarity=cosine_of(near))
    assert [call.names[0] for call in world.server.calls].count("lion") == 1 + 5
    assert [call.names[0] for call in world.server.calls].count("puma") == 1 + 1
    assert not bank.classes[0].analogous_classes
    assert [text.reason for text in report.failed] == [
        "all 6 analogues are too similar to other classes.",
        "all 1 analogues are too similar to other classes.",
    ]
    none = world.generate(
        ClassList(("lion", "puma")),
        ANALOGUES.model_copy(update={"analogue_rounds": 0}),
        similarity=cosine_of(near),
    )
    assert none.report.further_questions == 0


def test_a_failed_further_question_leaves_what_is_there(world: World) -> None:
    first = named({"lion": [["Puma", "Cat"]], "puma": [["Cat"]]})
    world.server.script = lambda call: "refusal" if call.excluded else first(call)
    bank, report = world.generate(ClassList(("lion", "puma")), ANALOGUES)
    assert bank.classes[0].analogous_classes == ("Cat",)
    assert not report.failed
    assert report.bad_answers == 3


def test_a_similarity_of_the_wrong_shape_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="expected shape"):
        world.generate(spec=ANALOGUES, similarity=lambda a, _b: np.zeros((len(a), 1)))
