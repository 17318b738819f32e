"""The API key must never be seen outside the request's header, whatever the server does with it."""

import gc
import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from coder_core.atg.generator import generate_phrases
from coder_core.atg.generator_spec import GeneratorSpec
from coder_core.classes import ClassList
from coder_core.llm.batch_completions import BatchCompletions
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.direct_completions import DirectCompletions
from coder_core.llm.endpoint import open_endpoint
from coder_core.llm.faults import LlmError
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.storage.store import Store
from coder_core.texts.kinds import TextKind
from tests.coder_core.atg.llm_server import FAULTS, Call, LlmServer, Raw, completion, error, serving

Make = Callable[..., LlmRuntime]
SPEC = GeneratorSpec(model="gpt-4o-mini", kinds=(TextKind.ATTRIBUTE,))
CLASSES = ClassList(tuple(f"thing {number}" for number in range(60)))


def echoing(key: str) -> Callable[[Call], str | Raw | None]:
    """Quote the key in every way a server can."""
    escaped = "".join(f"\\u{ord(sign):04x}" for sign in key)
    answer = {"class": "thing 0", "items": [f"key {key}", "long tail"]}
    replies: list[str | Raw] = [
        error(500, f"internal error near {key}"),
        error(503, f"Bearer {key}", code=key, param=key),
        Raw(500, b"no", reason=f"Not with {key}"),
        Raw(502, f"<html>{key}</html>".encode()),
        Raw(200, f"<html>{key}</html>".encode()),
        error(429, key, retry_after="0.01"),
        completion(None, refusal=f"I will not use {key}"),
        completion(key, finish_reason="length"),
        completion(key, finish_reason=key),
        completion(json.dumps({**answer, "class": key})),
        Raw(200, json.dumps({"error": key}).encode(), {"x-request-id": key, "set-cookie": f"key={key}"}),
        Raw(200, completion("PLACE").content.replace(b"PLACE", f"- key {escaped}\\n- long tail".encode())),
        Raw(200, completion(None, refusal="PLACE").content.replace(b"PLACE", escaped.encode())),
        Raw(200, completion("- a b\n- c d", finish_reason="PLACE").content.replace(b"PLACE", escaped.encode())),
        Raw(500, error(500, "PLACE", code="PLACE").content.replace(b"PLACE", escaped.encode())),
        Raw(400, error(400, "PLACE", param="messages").content.replace(b"PLACE", escaped.encode())),
        completion(f"- key {key}\n- long tail"),
        *FAULTS,
    ]
    return lambda call: replies[call.number % len(replies)]


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def all_rows(ledger: CompletionLedger) -> str:
    return str(ledger.table().to_pylist()) + str(ledger.failure_table().to_pylist())


@pytest.mark.slow
def test_the_key_is_in_no_table_no_log_and_no_report(
    tmp_path: Path,
    api_key: str,
    make_runtime: Make,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    ledger = CompletionLedger(Store(str(tmp_path)))
    with serving(LlmServer(script=echoing(api_key), late_seconds=1.0, key=api_key)) as server:
        runtime = make_runtime(server.url, timeout_seconds=0.5, max_failures_in_a_row=1000)
        source = DirectCompletions(ledger, runtime)
        bank, report = generate_phrases(CLASSES, SPEC, ledger=ledger, source=source, similarity=None)
        assert any(call.authorization == f"Bearer {api_key}" for call in server.calls)
    printed = capsys.readouterr()
    seen = [caplog.text, printed.out, printed.err, str(report), report.model_dump_json(), repr(bank), repr(runtime)]
    seen += [all_rows(ledger), repr(vars(source)), runtime.model_dump_json(), SPEC.model_dump_json()]
    assert not any(api_key in text for text in seen)
    assert "***" in all_rows(ledger)
    assert api_key.encode() not in all_bytes(tmp_path)
    assert caplog.text  # there were logs to look through


def test_the_key_is_in_no_error_nor_in_what_led_to_it(
    ledger: CompletionLedger, api_key: str, make_runtime: Make
) -> None:
    with serving(LlmServer(key="sk-another-key-9876543210")) as server:  # its 401 quotes the header
        source = DirectCompletions(ledger, make_runtime(server.url))
        with pytest.raises(LlmError) as refusal:
            generate_phrases(CLASSES, SPEC, ledger=ledger, source=source, similarity=None)
    told = "".join(traceback.format_exception(refusal.value))
    assert api_key not in told
    assert "Bearer ***" in str(refusal.value)
    error_now: BaseException | None = refusal.value
    while error_now is not None:
        assert api_key not in repr(error_now)
        assert not hasattr(error_now, "request")
        error_now = error_now.__cause__ or error_now.__context__


def test_the_key_is_hidden_in_what_a_batch_brings(tmp_path: Path, api_key: str, make_runtime: Make) -> None:
    ledger = CompletionLedger(Store(str(tmp_path)))
    bodies = echoing(api_key)

    def script(call: Call) -> Raw | None:
        reply = bodies(call)
        is_json = isinstance(reply, Raw) and reply.status and reply.content.startswith(b"{")
        return reply if is_json else None  # type: ignore[return-value]

    with serving(LlmServer(script=script)) as server:
        source = BatchCompletions(ledger, make_runtime(server.url), poll_seconds=0.001)
        _, report = generate_phrases(CLASSES, SPEC, ledger=ledger, source=source, similarity=None)
    assert api_key not in all_rows(ledger) + str(report) + report.model_dump_json()
    assert "***" in all_rows(ledger) + report.model_dump_json()
    assert api_key.encode() not in all_bytes(tmp_path)


def test_an_endpoint_shows_its_address_only(api_key: str) -> None:
    endpoint = open_endpoint(LlmRuntime(base_url="http://127.0.0.1:1/v1"))
    assert repr(endpoint) == "Endpoint('http://127.0.0.1:1/v1')"
    assert api_key not in repr(endpoint)
    gc.collect()


def test_a_stand_in_for_a_key_is_no_secret(
    ledger: CompletionLedger, make_runtime: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "tail")
    with serving(LlmServer(script=lambda _call: ["long tail", "large eyes"])) as server:
        source = DirectCompletions(ledger, make_runtime(server.url))
        bank, _ = generate_phrases(ClassList(("lemur",)), SPEC, ledger=ledger, source=source, similarity=None)
    assert bank.classes[0].attributes == ("long tail", "large eyes")
