"""Servers as they are: how they are addressed, how they answer, how they start, how they vanish."""

import json
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from coder_core.atg.prompts import load_prompts
from coder_core.atg.questions import TextRequest, ask_about
from coder_core.errors import ConfigError
from coder_core.llm.chat_replies import Usage, read_answer, read_complaint
from coder_core.llm.chat_requests import Sampling
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.completions import Completions
from coder_core.llm.direct_completions import DirectCompletions
from coder_core.llm.faults import Fault, LlmError
from coder_core.llm.http_transport import parse_server_address
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.texts.kinds import TextKind
from tests.coder_core.atg.llm_server import Call, LlmServer, Raw, completion, error, serving

pytestmark = pytest.mark.slow

Make = Callable[..., LlmRuntime]
PROMPT = load_prompts()["general"].prompt(TextKind.ATTRIBUTE)
PRICES = {"m": {"input_usd_per_million": 0, "output_usd_per_million": 1000}}


def questions(count: int) -> list[TextRequest]:
    return [ask_about(f"thing {number}", PROMPT, model="m", sampling=Sampling()) for number in range(count)]


def complete(ledger: CompletionLedger, runtime: LlmRuntime, count: int = 1) -> Completions:
    return DirectCompletions(ledger, runtime).complete(questions(count))


def body_of(message: Any, *, finish_reason: Any = "stop", usage: Any = None) -> Raw:
    counted = {"prompt_tokens": 100, "completion_tokens": 50} if usage is None else usage
    return Raw(
        200, json.dumps({"choices": [{"message": message, "finish_reason": finish_reason}], "usage": counted}).encode()
    )


TAIL = "- long tail\n- large eyes"
PARTS = [
    [{"type": "text", "text": TAIL}],
    [{"type": "text", "text": "- long tail\n"}, {"type": "text", "text": "- large eyes"}],
    [{"type": "thinking", "thinking": [{"type": "text", "text": "- no habitat"}]}, {"type": "text", "text": TAIL}],
    [{"type": "reasoning", "text": "- no habitat"}, {"type": "output_text", "text": TAIL}],
    [{"type": "text", "text": {"value": TAIL}}],
    [{"text": TAIL}],
    [TAIL],
    {"type": "text", "text": TAIL},
    [None, 7, {"type": "image_url", "image_url": {}}, {"type": "text", "text": TAIL}],
]


@pytest.mark.parametrize("content", PARTS)
def test_an_answer_in_parts_is_an_answer(content: Any, ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer(script=lambda _call: body_of({"content": content}))) as server:
        account = complete(ledger, make_runtime(server.url, prices=PRICES))
    assert ledger.usable(questions(1)) == {questions(1)[0].key: (("long tail", "large eyes"),)}
    assert (account.calls, account.cost_usd) == (1, pytest.approx(0.05))


@pytest.mark.parametrize(
    "reply",
    [
        body_of({"content": None, "reasoning_content": "- no habitat"}),
        body_of({"content": [{"type": "thinking", "thinking": "- no habitat"}]}),
        body_of({"content": {"parts": [TAIL]}}),
        body_of("a text in place of the message"),
        body_of([]),
        body_of({"content": 7}, finish_reason=["stop"]),
        Raw(200, b'{"choices": {"0": 1}, "usage": {"prompt_tokens": 100, "completion_tokens": 50}}'),
        Raw(200, b'{"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 50}}'),
        Raw(200, b'{"error": "overloaded", "usage": {"prompt_tokens": 100, "completion_tokens": 50}}'),
        Raw(200, b'{"output": [], "usage": {"input_tokens": 100, "output_tokens": 50}}'),
    ],
)
def test_what_was_paid_for_counts_whatever_came(reply: Raw, ledger: CompletionLedger, make_runtime: Make) -> None:
    """Also against the limit in dollars, and for good: the ledger can be added up."""
    with serving(LlmServer(script=lambda _call: reply)) as server:
        runtime = make_runtime(server.url, prices=PRICES, max_cost_usd=1.3, max_attempts=2, max_bad_answers=2)
        account = complete(ledger, runtime, 10)
        paid = 0.05 * len(server.calls)
    assert not account.generated
    assert account.cost_usd == pytest.approx(paid)
    assert sum(ledger.failure_table()["cost_usd"].to_pylist()) == pytest.approx(paid)
    assert paid <= 1.3


def test_a_later_reader_finds_what_was_paid_for(ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer(script=lambda _call: completion("FROG long tail"))) as server:
        complete(ledger, make_runtime(server.url, max_bad_answers=1))
        assert ledger.missing(questions(1)) == questions(1)

        class LaterRequest(TextRequest):
            def read(self, answer: str, *, is_held: bool = False) -> Any:
                return ((answer.removeprefix("FROG "),),)

        later = LaterRequest("m", PROMPT, Sampling(), questions(1)[0].inputs)
        assert ledger.usable([later]) == {later.key: (("long tail",),)}
        assert DirectCompletions(ledger, make_runtime(server.url)).complete([later]).calls == 0


@pytest.mark.parametrize("names_param", [True, False])
@pytest.mark.parametrize("knows_schema", [True, False])
@pytest.mark.parametrize("limit_name", [None, "max_tokens", "max_completion_tokens"])
def test_any_mixture_of_what_a_server_does_not_know_is_learnt_once(
    names_param: bool, knows_schema: bool, limit_name: str | None, ledger: CompletionLedger, make_runtime: Make
) -> None:
    server = LlmServer(names_param=names_param, knows_schema=knows_schema, limit_name=limit_name)
    with serving(server):
        account = complete(ledger, make_runtime(server.url, max_attempts=1), 20)
    assert len(account.generated) == 20
    assert len(server.calls) <= 20 + 3
    if knows_schema:
        assert "response_format" in server.calls[-1].body


def test_a_refusal_that_is_not_about_the_form_changes_nothing_for_others(
    ledger: CompletionLedger, make_runtime: Make
) -> None:
    script = lambda call: error(400, "the prompt is too long") if call.names == ("thing 3",) else None  # noqa: E731
    with serving(LlmServer(script=script)) as server:
        account = complete(ledger, make_runtime(server.url, concurrency=1), 10)
        forms = [("response_format" in call.body, "max_tokens" in call.body) for call in server.calls]
    assert [problem.fault for problem in account.problems.values()] == [Fault.REJECTED]
    assert len(account.generated) == 9
    assert set(forms[7:]) == {(True, True)}


@pytest.mark.parametrize(
    ("given", "prefix"),
    [
        ("http://127.0.0.1:{port}", "/v1"),
        ("http://127.0.0.1:{port}/", "/v1"),
        ("http://127.0.0.1:{port}/v1", "/v1"),
        ("http://127.0.0.1:{port}/v1/", "/v1"),
        ("http://127.0.0.1:{port}/v1/chat/completions", "/v1"),
        ("http://127.0.0.1:{port}/v1/chat/completions/", "/v1"),
        ("127.0.0.1:{port}", "/v1"),
        ("127.0.0.1:{port}/v1", "/v1"),
        ("localhost:{port}/v1", "/v1"),
        (" 'http://localhost:{port}/v1' ", "/v1"),
        ("HTTP://LOCALHOST:{port}", "/v1"),
        ("http://0.0.0.0:{port}", "/v1"),
        ("http://127.0.0.1:{port}/api/openai", "/api/openai"),
        ("http://127.0.0.1:{port}/openai/v1?api-version=2026-01-01", "/openai/v1"),
    ],
)
def test_an_address_may_be_written_as_people_write_it(
    given: str, prefix: str, ledger: CompletionLedger, make_runtime: Make
) -> None:
    with serving(LlmServer(prefix=prefix)) as server:
        assert len(complete(ledger, make_runtime(given.format(port=server.port))).generated) == 1


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("api.openai.com/v1", "https://api.openai.com/v1"),
        ("api.example.com", "https://api.example.com/v1"),
        ("gpu-box:8000", "http://gpu-box:8000/v1"),
        ("192.168.1.7:8000", "http://192.168.1.7:8000/v1"),
        ("[::1]:8000", "http://[::1]:8000/v1"),
        ("https://user:pass@api.example.com/v1#x", "https://api.example.com/v1"),
    ],
)
def test_a_missing_scheme_is_chosen_for_the_sake_of_the_key(given: str, url: str) -> None:
    assert parse_server_address(given).url == url


@pytest.mark.parametrize(
    "given", ["ftp://host/v1", "http://", "http://host:99999/v1", "http://[::1", "a b", "", "http://a..b"]
)
def test_what_is_no_address_is_refused_in_one_line(given: str) -> None:
    with pytest.raises(ConfigError, match="is not an address") as refusal:
        parse_server_address(given)
    assert "\n" not in str(refusal.value)


def test_a_user_in_the_address_is_sent_as_one(
    ledger: CompletionLedger, make_runtime: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(LlmServer()) as server:
        url = f"http://me:pass%20word@127.0.0.1:{server.port}/v1"
        with pytest.raises(ConfigError, match="only one can be sent"):
            complete(ledger, make_runtime(url))
        monkeypatch.delenv("OPENAI_API_KEY")
        assert len(complete(ledger, make_runtime(url)).generated) == 1
        assert server.calls[0].authorization == "Basic bWU6cGFzcyB3b3Jk"


@pytest.mark.parametrize("status", [502, 503])
def test_a_server_that_is_loading_its_model_is_waited_for(
    status: int, ledger: CompletionLedger, make_runtime: Make, caplog: pytest.LogCaptureFixture
) -> None:
    loading = error(status, "Loading model", code="unavailable_error")
    with serving(LlmServer(script=lambda call: loading if call.number < 12 else None)) as server:
        account = complete(ledger, make_runtime(server.url, max_attempts=2), 10)
    assert len(account.generated) == 10
    assert account.calls == 22  # one at a time looked after it
    [told] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "waiting up to 5 s" in told
    assert "Loading model" in told


def test_a_server_that_never_gets_ready_is_one_line(ledger: CompletionLedger, make_runtime: Make) -> None:
    started = time.monotonic()
    with serving(LlmServer(script=lambda _call: error(503, "Loading model"))) as server:  # noqa: SIM117
        with pytest.raises(LlmError, match=r"max_start_seconds\) the server still says: HTTP 503 error Loading model"):
            complete(ledger, make_runtime(server.url, max_start_seconds=0.3), 100)
    assert time.monotonic() - started < 5


def test_a_server_that_is_restarted_is_waited_for(ledger: CompletionLedger, make_runtime: Make) -> None:
    away = range(20, 60)
    script = lambda call: error(503, "Loading model") if call.number in away else None  # noqa: E731
    with serving(LlmServer(script=script)) as server:
        account = complete(ledger, make_runtime(server.url, max_attempts=3, concurrency=8), 60)
    assert len(account.generated) == 60
    assert not account.problems


def test_a_server_that_is_busy_now_and_then_is_not_gone(ledger: CompletionLedger, make_runtime: Make) -> None:
    script = lambda call: error(503, "overloaded") if call.number % 4 == 3 else None  # noqa: E731
    with serving(LlmServer(script=script, delay_seconds=0.01)) as server:
        account = complete(ledger, make_runtime(server.url), 60)
        assert server.most_under_way > 8
    assert len(account.generated) == 60


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "no-such-host.invalid"])
def test_nobody_there_is_one_line_at_the_first_call(host: str, ledger: CompletionLedger, make_runtime: Make) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    source = DirectCompletions(ledger, make_runtime(f"http://{host.format(port=port)}/v1"))
    with pytest.raises(LlmError, match="the server cannot be reached") as refusal:
        source.complete(questions(100))
    assert "\n" not in str(refusal.value)
    assert ledger.failure_table().num_rows == 0


def thinking(call: Call, *, needs: int, hides: bool) -> Raw | None:
    if call.body["max_tokens"] >= needs:
        return None
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": call.body["max_tokens"],
        "completion_tokens_details": {"reasoning_tokens": call.body["max_tokens"]},
    }
    content = "" if hides else "<think>\n- I should not mention its habitat"
    return body_of({"content": content}, finish_reason="length", usage=usage)


@pytest.mark.parametrize("hides", [True, False])
def test_the_room_that_a_thinking_model_needs_is_learnt_once(
    hides: bool, ledger: CompletionLedger, make_runtime: Make
) -> None:
    with serving(LlmServer(script=lambda call: thinking(call, needs=4096, hides=hides))) as server:
        source = DirectCompletions(ledger, make_runtime(server.url))
        account = source.complete(questions(20))
        limits = [call.body["max_tokens"] for call in server.calls]
        assert limits == [512, 1024, 2048, *[4096] * 20]
        source.complete(questions(25))  # the next chunk
        assert [call.body["max_tokens"] for call in server.calls[23:]] == [4096] * 5
    assert len(account.generated) == 20
    assert account.bad_answers == 3


def test_a_model_that_never_comes_to_an_end_is_told_which_setting_helps(
    ledger: CompletionLedger, make_runtime: Make
) -> None:
    with serving(LlmServer(script=lambda call: thinking(call, needs=10**9, hides=True))) as server:
        account = DirectCompletions(ledger, make_runtime(server.url, max_tokens_limit=2048)).complete(questions(5))
        limits = [call.body["max_tokens"] for call in server.calls]
        assert limits == [512, 1024, 2048, 2048, 2048, 2048, 2048]  # shorter ones are paid for once
    [problem] = set(account.problems.values())
    assert problem.fault is Fault.CUT_OFF
    assert problem.detail == (
        "the answer was cut off after 0 characters, 2048 tokens were hidden thoughts. Raise CODER_LLM_MAX_TOKENS_LIMIT."
    )


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5}, Usage(10, 5)),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115},
            Usage(10, 105),
        ),  # thoughts are beside them
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 3}, Usage(10, 5)),
        ({"input_tokens": 10, "output_tokens": 5}, Usage(10, 5)),
        ({"prompt_tokens": 10.0, "completion_tokens": None}, Usage(10, 0)),
        ({"prompt_tokens": -1, "completion_tokens": 5}, None),
        ({"prompt_tokens": True}, None),
        ({"prompt_tokens": 10**12}, None),
        ({"prompt_tokens": "10"}, None),
        ([10, 5], None),
    ],
)
def test_tokens_are_read_leniently_and_never_believed_blindly(usage: Any, counted: Usage | None) -> None:
    assert read_answer(body_of({"content": TAIL}, usage=usage).content).usage == counted


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"error": {"message": "no", "code": "x"}}, "no", "x"),
        ({"error": {"message": "no", "type": "t", "code": 503}}, "no", "503"),
        ({"error": "Model is loading", "estimated_time": 20.0}, "Model is loading", ""),
        ({"detail": "Not Found"}, "Not Found", ""),
        ([{"error": {"message": "no", "status": "X"}}], "no", ""),
        ({"message": "no"}, "no", ""),
        ({"error": {"message": {"a": 1}}}, '{"error": {"message": {"a": 1}}}', ""),
        (7, "7", ""),
    ],
)
def test_an_error_is_read_in_every_shape(body: Any, message: str, code: str) -> None:
    found = read_complaint(json.dumps(body).encode())
    assert (found.message, found.code) == (message, code)
