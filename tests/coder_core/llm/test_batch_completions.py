import json
from collections.abc import Callable

import pytest

from coder_core.atg.generator import generate_phrases
from coder_core.atg.generator_spec import GeneratorSpec
from coder_core.atg.questions import TextRequest, plan_questions
from coder_core.classes import ClassList
from coder_core.errors import StoreError
from coder_core.llm.batch_completions import BatchCompletions
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.completions import Completions
from coder_core.llm.direct_completions import DirectCompletions
from coder_core.llm.faults import Fault, LlmError
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.texts.kinds import TextKind
from tests.coder_core.atg.llm_server import LlmServer, error, serving

pytestmark = pytest.mark.slow

Make = Callable[..., LlmRuntime]
SPEC = GeneratorSpec(
    model="gpt-4o-mini", kinds=(TextKind.ATTRIBUTE, TextKind.SYNONYM, TextKind.ANALOGOUS_CLASS, TextKind.ONE_TO_ONE)
)
CLASSES = ClassList(("lion", "tiger shark", "crane", "puma"))
PAIRS = [(0, 3)]


def requests(classes: ClassList = CLASSES) -> list[TextRequest]:
    return plan_questions(classes, SPEC, pairs=PAIRS).requests


def make_source(ledger: CompletionLedger, runtime: LlmRuntime, **options: object) -> BatchCompletions:
    return BatchCompletions(ledger, runtime, **{"poll_seconds": 0.001, "max_wait_seconds": 10.0, **options})


def complete(ledger: CompletionLedger, runtime: LlmRuntime, **options: object) -> Completions:
    return make_source(ledger, runtime, **options).complete(requests())


def test_a_batch_gives_the_same_bank_as_single_calls_at_half_the_price(
    ledger: CompletionLedger, make_runtime: Make
) -> None:
    with serving(LlmServer()) as server:
        runtime = make_runtime(server.url)
        bank, report = generate_phrases(
            CLASSES, SPEC, ledger=ledger, source=make_source(ledger, runtime), similarity=None, pairs=PAIRS
        )
        assert len(server.batch_api.batches) == server.batch_api.uploads == 1
        other = CompletionLedger(ledger.store.__class__(f"{ledger.store.root}-other"))
        single = generate_phrases(
            CLASSES, SPEC, ledger=other, source=DirectCompletions(other, runtime), similarity=None, pairs=PAIRS
        )
    assert bank == single.bank
    assert report.generated == 13
    assert report.cost_usd == pytest.approx(single.report.cost_usd / 2)
    assert set(ledger.table().column("is_batch").to_pylist()) == {True}
    assert report.calls < 10


def test_further_questions_about_analogues_go_into_further_batches(
    ledger: CompletionLedger, make_runtime: Make
) -> None:
    answers = {"": ["Pumas", "Cat"], "Cat, Pumas": ["Ocelot"]}
    spec = GeneratorSpec(model="gpt-4o-mini", kinds=(TextKind.ANALOGOUS_CLASS,))
    with serving(LlmServer(script=lambda call: answers.get(call.excluded, ["Lynx"]))) as server:
        source = make_source(ledger, make_runtime(server.url))
        bank, _ = generate_phrases(ClassList(("lion", "puma")), spec, ledger=ledger, source=source, similarity=None)
        assert len(server.batch_api.batches) == 2
    assert bank.classes[0].analogous_classes == ("Cat", "Ocelot")
    assert bank.classes[1].analogous_classes == ("Cat",)


def test_a_restart_goes_on_with_the_open_batch(ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer()) as server:
        server.batch_api.is_stuck = True
        first = complete(ledger, make_runtime(server.url), max_wait_seconds=0.01)
        assert first.stop is not None
        assert first.stop.fault is Fault.STOPPED
        assert "run again later" in first.stop.detail
        assert len(first.generated) == 0
        server.batch_api.is_stuck = False
        second = complete(ledger, make_runtime(server.url))
        assert len(second.generated) == 13
        assert len(server.batch_api.batches) == server.batch_api.uploads == 1
        assert len(server.calls) == 13
        third = complete(ledger, make_runtime(server.url))
        assert (len(third.reused), third.calls) == (13, 0)


@pytest.mark.parametrize("failing_calls", [1, 2])
def test_a_crash_after_the_provider_created_the_batch_does_not_create_another(
    failing_calls: int, ledger: CompletionLedger, make_runtime: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the provider's answer and our writing it down."""
    saved: list[str] = []
    save = BatchCompletions(ledger, make_runtime("http://x/v1")).folder.__class__.save

    def dying(folder: object, document: object) -> None:
        saved.append(document.state)  # type: ignore[attr-defined]
        if len(saved) == 1 + failing_calls:
            raise StoreError("the disk is full.")
        save(folder, document)  # type: ignore[arg-type]

    with serving(LlmServer()) as server:
        monkeypatch.setattr("coder_core.llm.batch_records.BatchFolder.save", dying)
        with pytest.raises(StoreError):
            complete(ledger, make_runtime(server.url))
        monkeypatch.undo()
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        assert len(complete(ledger, make_runtime(server.url)).generated) == 13
        assert len(server.batch_api.batches) == 1
        assert len(server.calls) == 13


def test_what_failed_is_asked_again_and_then_listed(ledger: CompletionLedger, make_runtime: Make) -> None:
    def script(call: object) -> str | None:
        if "puma" in call.names and call.kind == "attribute":  # type: ignore[attr-defined]
            return "refusal"
        return "cut_off" if call.number < 5 else None  # type: ignore[attr-defined]

    with serving(LlmServer(script=script)) as server:
        account = complete(ledger, make_runtime(server.url))
        assert len(server.batch_api.batches) == 3
        limits = [call.body["max_tokens"] for call in server.calls]
    assert sorted(limits) == [512] * 14 + [1024] * 5
    [problem] = account.problems.values()
    assert problem.fault is Fault.REFUSAL
    assert len(account.generated) == 12
    assert account.bad_answers == ledger.failure_table().num_rows == 4 + 3


def test_lines_that_are_lost_or_refused_are_found_out(ledger: CompletionLedger, make_runtime: Make) -> None:
    def script(call: object) -> object:
        is_long = "puma" in call.names and call.kind == "attribute"  # type: ignore[attr-defined]
        return error(400, "too long", param="messages") if is_long else None

    with serving(LlmServer(script=script)) as server:
        server.batch_api.lost_lines = 2
        account = complete(ledger, make_runtime(server.url, max_bad_answers=2))
    assert len(account.generated) == 10
    assert sorted(problem.fault for problem in account.problems.values()) == [
        Fault.REJECTED,
        Fault.UNANSWERED,
        Fault.UNANSWERED,
    ]


def test_a_server_without_schema_costs_one_batch_more(ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer(knows_schema=False)) as server:
        assert len(complete(ledger, make_runtime(server.url)).generated) == 13
        assert len(server.batch_api.batches) == 2


@pytest.mark.parametrize("state", ["failed", "expired", "cancelled"])
def test_a_batch_that_ends_badly_is_repeated_a_bounded_number_of_times(
    state: str, ledger: CompletionLedger, make_runtime: Make
) -> None:
    with serving(LlmServer()) as server:
        server.batch_api.final_state = state
        server.batch_api.lost_lines = 13
        server.batch_api.error_code = "invalid_model"
        account = complete(ledger, make_runtime(server.url))
        assert len(server.batch_api.batches) == 3
    assert len(account.problems) == 13
    assert {problem.fault for problem in account.problems.values()} == {Fault.UNANSWERED}
    assert all(state in problem.detail for problem in account.problems.values())


def test_a_batch_with_too_many_tokens_is_halved(ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer()) as server:
        server.batch_api.most_lines = 4
        account = complete(ledger, make_runtime(server.url))
        sizes = [
            len(server.batch_api.files[batch["input_file_id"]].splitlines())
            for batch in server.batch_api.batches.values()
        ]
    assert sizes == [13, 6, 3, 3, 3, 3, 1]
    assert len(account.generated) == 13


def test_the_client_is_patient_and_then_says_how_to_go_on(ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer()) as server:
        server.batch_api.fail_next = [500, 503, 429]
        assert len(complete(ledger, make_runtime(server.url)).generated) == 13
        server.batch_api.fail_next = [500] * 100
        other = CompletionLedger(ledger.store.__class__(f"{ledger.store.root}-other"))
        with pytest.raises(LlmError, match="run again to go on with it"):
            complete(other, make_runtime(server.url))
        server.batch_api.fail_next = []
        assert len(complete(other, make_runtime(server.url)).generated) == 13
        assert server.batch_api.uploads == 2


def test_a_batch_that_the_provider_forgot_is_closed(ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer()) as server:
        server.batch_api.is_stuck = True
        complete(ledger, make_runtime(server.url), max_wait_seconds=0.01)
        server.batch_api.is_stuck = False
        server.batch_api.batches["batch_0"]["id"] = "gone"
        server.batch_api.batches["gone"] = server.batch_api.batches.pop("batch_0")
        assert len(complete(ledger, make_runtime(server.url)).generated) == 13


def test_the_budget_cuts_the_batch(ledger: CompletionLedger, make_runtime: Make) -> None:
    prices = {
        "gpt-4o-mini": {"input_usd_per_million": 0, "output_usd_per_million": 1000}
    }  # 0.256 at worst, 0.025 really
    with serving(LlmServer()) as server:
        account = complete(ledger, make_runtime(server.url, max_cost_usd=1.1, prices=prices))
        assert len(server.batch_api.batches) == 4
    assert account.cost_usd == pytest.approx(13 * 0.025)
    with serving(LlmServer()) as server:
        other = CompletionLedger(ledger.store.__class__(f"{ledger.store.root}-other"))
        account = complete(other, make_runtime(server.url, max_cost_usd=0.3, prices=prices))
    assert account.stop is not None
    assert account.stop.fault is Fault.OVER_BUDGET
    assert 0 < account.cost_usd <= 0.3
    assert len(account.generated) == other.table().num_rows


def test_a_provider_that_is_away_for_a_while_is_waited_for(ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer()) as server:
        source = make_source(ledger, make_runtime(server.url, max_attempts=2))
        server.batch_api.fail_after = {3: [503] * 12}  # the file and the batch are there; it is looked at
        assert len(source.complete(requests()).generated) == 13
        assert len(server.batch_api.batches) == 1
    with pytest.raises(LlmError, match="the server cannot be reached") as refusal:
        complete(CompletionLedger(ledger.store.__class__(f"{ledger.store.root}-other")), make_runtime(server.url))
    assert "\n" not in str(refusal.value)


def test_a_server_without_batches_says_so(ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer(key="sk-something-else")) as server, pytest.raises(LlmError, match="HTTP 401"):
        complete(ledger, make_runtime(server.url))


def test_damaged_records_are_named(ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer()) as server:
        server.batch_api.is_stuck = True
        complete(ledger, make_runtime(server.url), max_wait_seconds=0.01)
        [path] = [path for path in ledger.store.list("batches") if path.endswith(".requests.json")]
        good = ledger.store.read_bytes(path)
        ledger.store.write_bytes(path, json.dumps({"model": 1}).encode())
        with pytest.raises(StoreError, match="damaged"):
            complete(ledger, make_runtime(server.url), max_wait_seconds=0.01)
        ledger.store.write_bytes(path, good)
        [state] = [path for path in ledger.store.list("batches") if path.endswith(".state.json")]
        ledger.store.write_bytes(state, b"{")
        with pytest.raises(StoreError, match="damaged"):
            complete(ledger, make_runtime(server.url), max_wait_seconds=0.01)


def test_the_key_is_in_no_document(ledger: CompletionLedger, api_key: str, make_runtime: Make) -> None:
    with serving(LlmServer(key=api_key)) as server:
        assert len(complete(ledger, make_runtime(server.url)).generated) == 13
    assert all(api_key.encode() not in ledger.store.read_bytes(path) for path in ledger.store.list())
