"""One question against a server that does one thing wrong."""

import asyncio
import time
from collections.abc import Callable

import pytest

from coder_core.atg.names import NameSet
from coder_core.atg.prompts import load_prompts
from coder_core.atg.questions import TextRequest, ask_about
from coder_core.errors import ConfigError
from coder_core.llm.chat_requests import Sampling
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.completions import Completions
from coder_core.llm.direct_completions import DirectCompletions
from coder_core.llm.faults import Fault, LlmError
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.texts.kinds import TextKind
from tests.coder_core.atg.llm_server import FAULTS, LlmServer, Raw, error, serving

Make = Callable[..., LlmRuntime]
PROMPTS = load_prompts()["general"]
FAULT_OF = {
    "late": Fault.TIMEOUT,
    "too_many": Fault.RATE_LIMITED,
    "too_many_retry_after": Fault.RATE_LIMITED,
    "error_500": Fault.SERVER_ERROR,
    "error_503": Fault.UNAVAILABLE,
    "closed_half_way": Fault.CONNECTION,
    "closed_at_once": Fault.CONNECTION,
    "html": Fault.NOT_A_COMPLETION,
    "invalid_json": Fault.NOT_A_COMPLETION,
    "not_a_completion": Fault.NOT_A_COMPLETION,
    "wrong_schema": Fault.UNUSABLE,
    "empty_choices": Fault.EMPTY_CHOICES,
    "refusal": Fault.REFUSAL,
    "content_filter": Fault.CONTENT_FILTER,
    "cut_off": Fault.CUT_OFF,
    "other_class": Fault.WRONG_CLASS,
    "one_long_line": Fault.TOO_LONG,
}


def questions(count: int = 1, model: str = "gpt-4o-mini") -> list[TextRequest]:
    prompt = PROMPTS.prompt(TextKind.ATTRIBUTE)
    others = NameSet(["some other thing"])
    options = {"model": model, "sampling": Sampling(), "others": others}
    return [ask_about(f"thing {number}", prompt, **options) for number in range(count)]


def patience(fault: str) -> float:
    """Short where lateness is the fault, long where a busy machine must not look like a late server."""
    return 0.3 if fault == "late" else 20.0


def complete(ledger: CompletionLedger, runtime: LlmRuntime, requests: list[TextRequest]) -> Completions:
    return DirectCompletions(ledger, runtime).complete(requests)


def test_the_table_of_faults_is_whole() -> None:
    assert set(FAULT_OF) == set(FAULTS)


@pytest.mark.slow
@pytest.mark.parametrize("is_structured", [True, False])
@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_leads_to_another_call_and_then_to_the_answer(
    name: str, is_structured: bool, ledger: CompletionLedger, make_runtime: Make
) -> None:
    first = 0 if is_structured else 1  # one call shows that the server knows no schema
    server = LlmServer(
        script=lambda call: name if call.number in (first, first + 1) else None,
        late_seconds=0.6,
        knows_schema=is_structured,
    )
    with serving(server):
        account = complete(ledger, make_runtime(server.url, timeout_seconds=patience(name)), questions(1))
    assert len(account.generated) == 1
    assert not account.problems
    assert len(server.calls) == account.calls == first + 3
    assert sum(server.good.values()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(FAULTS) - {"error_503"}))
def test_a_fault_that_stays_ends_as_a_problem_and_nothing_is_stored_as_good(
    name: str, ledger: CompletionLedger, make_runtime: Make
) -> None:
    server = LlmServer(script=lambda _call: name, late_seconds=0.6)
    with serving(server):
        account = complete(
            ledger, make_runtime(server.url, timeout_seconds=patience(name), max_attempts=4), questions(1)
        )
    fault = FAULT_OF[name]
    [problem] = account.problems.values()
    assert problem.fault is fault
    is_bad_answer = fault in {
        Fault.UNUSABLE,
        Fault.REFUSAL,
        Fault.CONTENT_FILTER,
        Fault.CUT_OFF,
        Fault.WRONG_CLASS,
        Fault.TOO_LONG,
    }
    assert len(server.calls) == account.calls == (3 if is_bad_answer else 4)
    assert ledger.missing(questions(1)) == questions(1)
    paid = 3 if is_bad_answer else 4 if name == "empty_choices" else 0
    assert ledger.failure_table().num_rows == account.bad_answers == paid
    assert account.cost_usd > 0 if paid else account.cost_usd == 0


def test_a_cut_off_answer_gets_more_room_each_time(ledger: CompletionLedger, make_runtime: Make) -> None:
    server = LlmServer(script=lambda call: "cut_off" if call.number < 2 else None)
    with serving(server):
        complete(ledger, make_runtime(server.url, max_tokens=100), questions(1))
    assert [call.body["max_tokens"] for call in server.calls] == [100, 200, 400]
    assert ledger.table().column("attempt").to_pylist() == [3]


def test_the_last_chance_of_a_bad_answer_is_without_a_schema(ledger: CompletionLedger, make_runtime: Make) -> None:
    server = LlmServer(script=lambda call: "wrong_schema" if "response_format" in call.body else None)
    with serving(server):
        account = complete(ledger, make_runtime(server.url), questions(3))
    assert len(account.generated) == 3
    assert len(server.calls) == 9


def test_a_server_without_schema_is_noticed_with_one_call(ledger: CompletionLedger, make_runtime: Make) -> None:
    server = LlmServer(knows_schema=False, delay_seconds=0.05)
    with serving(server):
        account = complete(ledger, make_runtime(server.url), questions(20))
    assert len(account.generated) == 20
    assert len(server.calls) == 21
    assert not any("response_format" in call.body for call in server.calls[1:])


def test_a_server_with_another_name_for_the_limit_is_understood(ledger: CompletionLedger, make_runtime: Make) -> None:
    server = LlmServer(limit_name="max_completion_tokens")
    with serving(server):
        account = complete(ledger, make_runtime(server.url), questions(5))
    assert len(account.generated) == 5
    assert len(server.calls) == 6
    assert all("response_format" in call.body for call in server.calls)


def test_a_400_about_something_else_is_final_for_that_question_alone(
    ledger: CompletionLedger, make_runtime: Make
) -> None:
    def script(call: object) -> Raw | None:
        wants = "thing 1" in call.names  # type: ignore[attr-defined]
        return error(400, "too long", code="context_length_exceeded", param="messages") if wants else None

    server = LlmServer(script=script)
    with serving(server):
        account = complete(ledger, make_runtime(server.url), questions(4))
    assert [problem.fault for problem in account.problems.values()] == [Fault.REJECTED]
    assert len(account.generated) == 3
    assert len(server.calls) == 4


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (error(401, "bad key"), "Check OPENAI_API_KEY"),
        (error(403, "not yours"), "Check OPENAI_API_KEY"),
        (error(404, "no such model", code="model_not_found"), "Check the model's name"),
        (error(429, "pay first", code="insufficient_quota"), "pay first"),
    ],
)
def test_what_no_further_question_can_mend_stops_at_once_and_keeps_what_was_bought(
    reply: Raw, words: str, ledger: CompletionLedger, make_runtime: Make
) -> None:
    server = LlmServer(script=lambda call: reply if call.number >= 10 else None)
    with serving(server), pytest.raises(LlmError, match=words) as refusal:
        complete(ledger, make_runtime(server.url, concurrency=4), questions(100))
    assert len(server.calls) <= 10 + 4
    assert ledger.table().num_rows == 10 <= len(server.good)
    assert "10 answers came before and are kept." in str(refusal.value)


def test_without_a_key_a_local_server_answers_and_another_asks_for_one(
    ledger: CompletionLedger, make_runtime: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with serving(LlmServer()) as server:
        assert len(complete(ledger, make_runtime(server.url), questions(2)).generated) == 2
    with serving(LlmServer(key="sk-other-0123456789")) as server:
        with pytest.raises(LlmError, match="Set OPENAI_API_KEY: this server wants a key"):
            complete(ledger, make_runtime(server.url), questions(4))
        assert len(server.calls) == 0  # it was refused before it was counted as a completion


def test_a_server_that_answers_nobody_is_left_alone(ledger: CompletionLedger, make_runtime: Make) -> None:
    server = LlmServer(script=lambda call: "error_500" if call.number >= 5 else None)
    with serving(server):
        account = complete(ledger, make_runtime(server.url, max_attempts=2, max_failures_in_a_row=3), questions(200))
    assert account.stop is not None
    assert account.stop.fault is Fault.STOPPED
    assert len(server.calls) <= 5 + 2 * (16 + 3)
    assert len(account.generated) + len(account.problems) == 200


def test_nobody_listens(ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer()) as server:
        url = server.url
    with pytest.raises(LlmError, match="the server cannot be reached: Connection refused") as refusal:
        complete(ledger, make_runtime(url), questions(100))
    assert refusal.value.place == url
    assert "\n" not in str(refusal.value)


@pytest.mark.slow
def test_retry_after_is_obeyed_by_all(ledger: CompletionLedger, make_runtime: Make) -> None:
    script = lambda call: error(429, "slow down", retry_after="0.4") if call.number == 3 else None  # noqa: E731
    server = LlmServer(script=script, delay_seconds=0.02)
    started = time.monotonic()
    with serving(server):
        account = complete(ledger, make_runtime(server.url, concurrency=2), questions(30))
    assert time.monotonic() - started > 0.4 + 28 * 0.01
    assert len(account.generated) == 30
    assert len(server.calls) == 31


def test_a_wait_beyond_patience_stops_the_run_cleanly(ledger: CompletionLedger, make_runtime: Make) -> None:
    script = lambda call: error(429, "come back tomorrow", retry_after="86400") if call.number >= 4 else None  # noqa: E731
    server = LlmServer(script=script)
    with serving(server):
        account = complete(ledger, make_runtime(server.url, concurrency=1), questions(30))
    assert account.stop is not None
    assert "86400 s" in account.stop.detail
    assert ledger.table().num_rows == len(account.generated) == 4
    assert len(server.calls) == 5


@pytest.mark.slow
def test_the_users_limit_is_kept(ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer()) as server:
        started = time.monotonic()
        complete(ledger, make_runtime(server.url, requests_per_minute=1_200), questions(30))
        assert time.monotonic() - started >= (30 - 20) / 20 * 0.9


@pytest.mark.slow
def test_the_limit_that_the_server_states_is_kept(ledger: CompletionLedger, make_runtime: Make) -> None:
    stated = {"limit": "600", "remaining": "0", "reset": "60s"}  # ten a second from now on
    headers = {f"x-ratelimit-{part}-requests": value for part, value in stated.items()}
    with serving(LlmServer(headers=headers)) as server:
        started = time.monotonic()
        assert len(complete(ledger, make_runtime(server.url), questions(8)).generated) == 8
        assert time.monotonic() - started >= 0.6


def test_concurrency_is_bounded(ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer(delay_seconds=0.02)) as server:
        complete(ledger, make_runtime(server.url, concurrency=5), questions(40))
        assert server.most_under_way == 5


def test_the_budget_stops_cleanly_with_everything_bought_kept(ledger: CompletionLedger, make_runtime: Make) -> None:
    price = {"m": {"input_usd_per_million": 100, "output_usd_per_million": 1000}}  # 0.06 a call
    with serving(LlmServer()) as server:
        runtime = make_runtime(server.url, max_cost_usd=2.0, prices=price)
        account = complete(ledger, runtime, questions(200, model="m"))
        bought = len(account.generated)
        assert account.stop is not None
        assert account.stop.fault is Fault.OVER_BUDGET
        assert account.cost_usd == pytest.approx(bought * 0.06)
        assert 0.5 < account.cost_usd <= 2.0
        assert ledger.table().num_rows == bought
        assert len(account.generated) + len(account.problems) == 200
        with pytest.raises(ConfigError, match="price of 'unheard-of' is not known"):
            complete(ledger, runtime, questions(1, model="unheard-of"))


def test_an_unknown_price_is_said(ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer()) as server:
        account = complete(ledger, make_runtime(server.url), questions(1, model="unheard-of"))
    assert account.cost_usd == 0
    assert not account.is_priced
    assert ledger.table().column("is_priced").to_pylist() == [False]


def test_tokens_are_estimated_where_the_server_does_not_count(ledger: CompletionLedger, make_runtime: Make) -> None:
    content = b'{"choices": [{"message": {"content": "thing 0:\\n- long tail\\n- large eyes"}}], "usage": null}'
    with serving(LlmServer(script=lambda _call: Raw(200, content))) as server:
        complete(ledger, make_runtime(server.url), questions(1))
    [row] = ledger.table().to_pylist()
    assert not row["is_usage_reported"]
    assert 50 < row["prompt_tokens"] < 400
    assert row["completion_tokens"] == 9


def test_it_works_inside_a_running_event_loop(ledger: CompletionLedger, make_runtime: Make) -> None:
    async def notebook(url: str) -> Completions:
        return complete(ledger, make_runtime(url), questions(3))

    with serving(LlmServer()) as server:
        assert len(asyncio.run(notebook(server.url)).generated) == 3


def test_rows_hold_what_a_reader_needs(ledger: CompletionLedger, make_runtime: Make) -> None:
    [request] = questions(1)
    with serving(LlmServer()) as server:
        DirectCompletions(ledger, make_runtime(server.url)).complete([request])
    [row] = ledger.table().to_pylist()
    assert row["key"] == request.key
    assert row["model"] == "gpt-4o-mini"
    assert row["served_model"] == "test-model-2026-01-01"
    assert row["kind"] == "attribute"
    assert row["prompt_version"] == request.prompt.version
    assert row["inputs"] == '{"class_name":"thing 0"}'
    assert row["finish_reason"] == "stop"
    assert (row["prompt_tokens"], row["completion_tokens"], row["attempt"]) == (100, 50, 1)
    assert row["cost_usd"] == pytest.approx((100 * 0.15 + 50 * 0.6) / 1e6)
    assert row["created_at"].tzinfo is not None


def test_the_address_and_the_key_are_checked_at_the_door(
    ledger: CompletionLedger, make_runtime: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="is not an address"):
        complete(ledger, make_runtime("ftp://localhost:8000"), questions(1))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret\nsk-secret")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY") as refusal:
        complete(ledger, make_runtime("http://localhost:1/v1"), questions(1))
    assert "sk-secret" not in str(refusal.value)
