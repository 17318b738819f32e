"""What a server may send, where it may lead us, and through whom it is asked."""

import gzip
import time
import zlib
from collections.abc import Callable

import pytest

from coder_core.atg.prompts import load_prompts
from coder_core.atg.questions import TextRequest, ask_about
from coder_core.errors import ConfigError
from coder_core.llm.chat_requests import Sampling
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.completions import Completions
from coder_core.llm.direct_completions import DirectCompletions
from coder_core.llm.faults import Fault, LlmError, Problem
from coder_core.llm.http_transport import find_proxy
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.texts.kinds import TextKind
from tests.coder_core.atg.llm_server import LlmServer, Raw, completion, serving

Make = Callable[..., LlmRuntime]
PROMPT = load_prompts()["general"].prompt(TextKind.ATTRIBUTE)
GOOD = completion("- long tail\n- large eyes").content


def questions(count: int) -> list[TextRequest]:
    return [ask_about(f"thing {number}", PROMPT, model="m", sampling=Sampling()) for number in range(count)]


def complete(ledger: CompletionLedger, runtime: LlmRuntime, count: int = 1) -> Completions:
    return DirectCompletions(ledger, runtime).complete(questions(count))


def problem_of(reply: Raw, ledger: CompletionLedger, make_runtime: Make, **options: object) -> Problem:
    with serving(LlmServer(script=lambda _call: reply)) as server:
        quick = {"max_attempts": 2, "max_bad_answers": 2, **options}
        [problem] = complete(ledger, make_runtime(server.url, **quick)).problems.values()
    assert ledger.table().num_rows == 0
    assert "\n" not in str(problem)
    return problem


def packed(content: bytes, *encodings: str) -> Raw:
    for encoding in encodings:
        content = zlib.compress(content) if encoding == "deflate" else gzip.compress(content)
    return Raw(200, content, {"content-encoding": ", ".join(encodings)})


@pytest.mark.parametrize(
    "reply",
    [
        packed(GOOD, "gzip"),
        packed(GOOD, "x-gzip"),
        packed(GOOD, "deflate"),
        Raw(200, zlib.compress(GOOD)[2:-4], {"content-encoding": "deflate"}),
        Raw(200, gzip.compress(GOOD[:50]) + gzip.compress(GOOD[50:]), {"content-encoding": "GZIP"}),
        Raw(200, GOOD, {"content-encoding": "identity"}),
        Raw(200, b"\xef\xbb\xbf" + GOOD),
    ],
)
def test_a_packed_answer_is_unpacked(reply: Raw, ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer(script=lambda _call: reply)) as server:
        assert len(complete(ledger, make_runtime(server.url)).generated) == 1


@pytest.mark.parametrize(
    ("reply", "fault", "words"),
    [
        (
            packed(bytes(4 * 2**30 // 1000), "gzip", "gzip"),
            Fault.TOO_LONG,
            "compressed 2 times, more than max_encodings 1",
        ),
        (packed(GOOD, *["gzip"] * 9), Fault.TOO_LONG, "compressed 9 times"),
        (packed(bytes(20_000_000), "gzip"), Fault.TOO_LONG, "more than max_decoded_bytes 16777216"),
        (Raw(200, bytes(5_000_000)), Fault.TOO_LONG, "more than max_reply_bytes 4194304"),
        (Raw(500, bytes(5_000_000)), Fault.TOO_LONG, "more than max_reply_bytes 4194304"),
        (Raw(200, GOOD, {"content-encoding": "gzip"}), Fault.NOT_A_COMPLETION, "the reply is no gzip"),
        (Raw(200, gzip.compress(GOOD)[:-9], {"content-encoding": "gzip"}), Fault.NOT_A_COMPLETION, "is no gzip"),
        (Raw(200, GOOD, {"content-encoding": "br"}), Fault.NOT_A_COMPLETION, "nobody asked for the encoding 'br'"),
    ],
)
def test_more_than_may_be_sent_is_one_line(
    reply: Raw, fault: Fault, words: str, ledger: CompletionLedger, make_runtime: Make
) -> None:
    started = time.monotonic()
    problem = problem_of(reply, ledger, make_runtime)
    assert time.monotonic() - started < 10
    assert problem.fault is fault
    assert words in problem.detail


def test_the_limits_are_settings(ledger: CompletionLedger, make_runtime: Make) -> None:
    twice = packed(GOOD, "gzip", "gzip")
    with serving(LlmServer(script=lambda _call: twice)) as server:
        assert len(complete(ledger, make_runtime(server.url, max_encodings=2)).generated) == 1
    other = CompletionLedger(ledger.store.__class__(f"{ledger.store.root}-other"))
    many = completion("\n".join(f"- item {number}" for number in range(30)))
    problem = problem_of(many, other, make_runtime, max_answer_lines=29)
    assert problem == Problem(Fault.TOO_LONG, "the answer has more than max_answer_lines 29.")
    assert problem_of(packed(GOOD * 9, "gzip"), other, make_runtime, max_decoded_bytes=1024).fault is Fault.TOO_LONG
    assert other.failure_table().num_rows == 2  # those whose price is known


@pytest.mark.slow
def test_a_reply_that_drips_ends_with_the_time_of_one_call(ledger: CompletionLedger, make_runtime: Make) -> None:
    started = time.monotonic()
    dripping = Raw(200, GOOD, drip_seconds=0.05)
    problem = problem_of(dripping, ledger, make_runtime, timeout_seconds=0.3)
    assert problem == Problem(Fault.TIMEOUT, "no whole answer within timeout_seconds 0.3.")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "content",
    [
        GOOD.replace(b"large", b"lar\xffge"),
        GOOD.replace(b"large", b"lar\xc3"),
        GOOD.replace(b"large", b"lar\\ud83d"),
        GOOD.replace(b"large", b"lar\\ufffd"),
        GOOD.replace(b"large", "lar\ufffd".encode()),
        completion('{"class": "thing 0", "items": ["long tail", "lar\\ud83dge"]}').content,
    ],
)
def test_broken_characters_make_an_answer_unusable(
    content: bytes, ledger: CompletionLedger, make_runtime: Make
) -> None:
    problem = problem_of(Raw(200, content), ledger, make_runtime)
    assert problem == Problem(Fault.UNUSABLE, "the answer is no valid UTF-8.")
    assert ledger.failure_table()["prompt_tokens"].to_pylist() == [100, 100]  # paid for all the same


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_another_server_is_not_followed_and_its_answer_not_kept(
    status: int, ledger: CompletionLedger, make_runtime: Make
) -> None:
    with serving(LlmServer()) as other:
        leading = Raw(status, GOOD, {"location": f"{other.url}/chat/completions"})
        with serving(LlmServer(script=lambda _call: leading)) as server:
            with pytest.raises(LlmError, match="which is not followed") as refusal:
                complete(ledger, make_runtime(server.url), 20)
            assert len(server.calls) == 1
        assert not other.calls
    assert other.url in str(refusal.value)
    assert ledger.table().num_rows == 0


@pytest.mark.parametrize(
    "location", ["https://127.0.0.1:{port}/v1/chat/completions", "//other.example/v1", "http://[", ""]
)
def test_odd_redirects_are_one_line(location: str, ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer()) as server:
        leading = Raw(307, GOOD, {"location": location.format(port=server.port)})
        server.script = lambda _call: leading
        with pytest.raises(LlmError) as refusal:
            complete(ledger, make_runtime(server.url), 5)
    assert "\n" not in str(refusal.value)


def test_the_same_server_may_move_a_path_but_not_for_ever(ledger: CompletionLedger, make_runtime: Make) -> None:
    with serving(LlmServer()) as server:
        once = Raw(308, b"", {"location": "/v1/chat/completions"})
        server.script = lambda call: once if call.number == 0 else None
        assert len(complete(ledger, make_runtime(server.url)).generated) == 1
        server.script = lambda _call: once
        with pytest.raises(LlmError, match="redirects more than 3 times"):
            complete(ledger, make_runtime(server.url), 2)


@pytest.mark.slow
def test_a_limit_that_never_comes_back_is_waited_for_a_bounded_time(
    ledger: CompletionLedger, make_runtime: Make, caplog: pytest.LogCaptureFixture
) -> None:
    stated = {"limit": "60", "remaining": "0", "reset": "99999h"}
    headers = {f"x-ratelimit-{part}-requests": value for part, value in stated.items()}
    started = time.monotonic()
    with serving(LlmServer(headers=headers)) as server:
        account = complete(ledger, make_runtime(server.url, max_wait_seconds=0.5), 40)
    assert time.monotonic() - started < 5
    assert account.stop is not None
    assert account.stop.fault is Fault.RATE_LIMITED
    assert "0 of 60 requests are left" in account.stop.detail
    assert "max_wait_seconds is 0.5" in account.stop.detail
    assert ledger.table().num_rows == len(account.generated) >= 1
    assert not caplog.messages  # half a second is not worth a line


PROXIES = ["socks5://127.0.0.1:9", "http://127.0.0.1:9", "nonsense://", "http://"]


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "127.0.0.2"])  # noqa: S104
def test_a_server_on_this_machine_is_asked_without_a_proxy(
    host: str, variable: str, proxy: str, ledger: CompletionLedger, make_runtime: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, proxy)
    for url in (f"http://{host}:1/v1", "http://[::1]:1/v1", "http://[::ffff:127.0.0.1]/v1", "http://a.localhost/v1"):
        assert find_proxy(url) is None
    if host == "127.0.0.1":
        with serving(LlmServer()) as server:
            assert len(complete(ledger, make_runtime(server.url)).generated) == 1
            assert not server.proxied


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_other_servers_are_asked_through_the_proxy_of_the_environment(
    variable: str, scheme: str, ledger: CompletionLedger, make_runtime: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(LlmServer()) as proxy:
        monkeypatch.setenv(variable, f"{scheme}127.0.0.1:{proxy.port}")
        assert len(complete(ledger, make_runtime("http://llm.invalid:8000/v1"), 3).generated) == 3
        assert set(proxy.proxied) == {"http://llm.invalid:8000/v1/chat/completions"}
        monkeypatch.setenv("NO_PROXY", "llm.invalid")
        with pytest.raises(LlmError, match="the server cannot be reached"):
            complete(ledger, make_runtime("http://llm.invalid:8000/v1"), 4)


@pytest.mark.parametrize(
    "proxy", ["socks5://me:secret@10.0.0.1:1080", "socks5h://x:1", "http://", "http://h:port", "ftp://h"]
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_that_cannot_be_used_is_one_line(
    variable: str, proxy: str, ledger: CompletionLedger, make_runtime: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, proxy)
    with pytest.raises(ConfigError, match="is no proxy that can be used") as refusal:
        complete(ledger, make_runtime("https://llm.invalid/v1"))
    assert refusal.value.place == variable
    assert "secret" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_proxy_that_is_not_there_is_one_line(
    ledger: CompletionLedger, make_runtime: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with pytest.raises(LlmError, match="the proxy cannot be reached") as refusal:
        complete(ledger, make_runtime("http://llm.invalid/v1"), 30)
    assert "\n" not in str(refusal.value)
