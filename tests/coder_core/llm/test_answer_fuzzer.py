"""Thousands of broken answers: phrases, an answer that is of no use, or one error of ours; never anything else."""

import contextlib
import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from coder_core.atg.parsing import MAX_CHARACTERS, Subject, parse_answer
from coder_core.atg.prompts import load_prompts
from coder_core.atg.questions import TextRequest, ask_about, ask_about_pair
from coder_core.llm.batch_completions import BatchCompletions
from coder_core.llm.batch_records import read_lines
from coder_core.llm.chat_replies import Reply, parse_body, read_answer, read_answer_body, read_complaint
from coder_core.llm.chat_requests import Sampling
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.completions import judge_answer
from coder_core.llm.dialects import Dialect, judge_refusal
from coder_core.llm.direct_completions import DirectCompletions
from coder_core.llm.faults import DETAIL_CHARACTERS, Fault, LlmError, Problem
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.llm.pricing import Price
from coder_core.llm.rate_limits import read_limit, read_retry_after
from coder_core.texts.kinds import TextKind
from tests.coder_core.atg.llm_server import LlmServer, Raw, serving

pytestmark = pytest.mark.slow

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))]
CASES = 250
PRICE = Price(input_usd_per_million=1, output_usd_per_million=1)
PROMPTS = load_prompts()["general"]
REQUESTS: list[TextRequest] = [
    *(
        ask_about("lemur", PROMPTS.prompt(kind), model="m", sampling=Sampling())
        for kind in (TextKind.ATTRIBUTE, TextKind.SYNONYM, TextKind.ANALOGOUS_CLASS)
    ),
    ask_about_pair("lion", "puma", PROMPTS.prompt(TextKind.ONE_TO_ONE), model="m", sampling=Sampling()),
]
ANSWERS = [
    '{"class": "lemur", "items": ["long tail", "large eyes"]}',
    '{"answers": [{"class": "lion", "items": ["a mane"]}, {"class": "puma", "items": ["no mane"]}]}',
    "lemur:\n- long tail\n- large eyes",
    "<think>\n- no habitat {a}\n</think>\n- long tail",
    "lion:\n- a mane\n\npuma:\n- no mane",
    "Sure! 1. **long tail**\n2. `large eyes`\n<|channel|>final<|message|>- x",
]
ODD_VALUES: list[Any] = [
    None, True, -1, 0, 1.5, 10**400, -(10**30), float("inf"), float("nan"), "", "x", "\ud83d", "\ufffd", "\x00\u202e",
    [], {}, [[]], [None], {"": ""}, {"type": "text"}, [{"type": "text", "text": 7}], "9" * 3_999, ["a"] * 50,
]  # fmt: skip
TOKENS = [
    '"',
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\\",
    "\\u",
    "\\ud800",
    "null",
    "1e999",
    "9" * 5_000,
    "<think>",
    "</think>",
]
TOKENS += ["\x00", "\xff", "\n- ", "```", "<|channel|>", "&lt;", "◁think▷", "- ", "[THINK]", "```thinking\n", "<!--"]


def body(chance: random.Random) -> dict[str, Any]:
    message = {"role": "assistant", "content": chance.choice(ANSWERS), "refusal": None, "reasoning_content": "hm"}
    return {
        "id": "x",
        "model": "m-1",
        "choices": [{"index": 0, "message": message, "finish_reason": chance.choice(["stop", "length", "tool_calls"])}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}},
    }


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    value[path[0]] = put(value[path[0]], path[1:], new)
    return value


def odd_json(chance: random.Random) -> bytes:
    """A completion in which some fields have odd values."""
    made: Any = body(chance)
    for _ in range(chance.randint(1, 3)):
        made = put(made, chance.choice(list(places(made))), copy.deepcopy(chance.choice(ODD_VALUES)))
    return json.dumps(made).encode()


def odd_bytes(chance: random.Random) -> bytes:
    """A completion whose bytes were cut, repeated, overwritten."""
    content = bytearray(json.dumps(body(chance), ensure_ascii=chance.random() < 0.5).encode())
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(content) + 1)
        match chance.randrange(4):
            case 0:
                content[at:at] = chance.choice(TOKENS).encode("latin-1", "replace")
            case 1:
                del content[at : at + chance.randrange(40)]
            case 2:
                content[at:at] = content[at : at + chance.randrange(200)]
            case _:
                content[at : at + 1] = bytes([chance.randrange(256)])
    return bytes(content)


def odd_text(chance: random.Random) -> str:
    """An answer's text, torn and mixed."""
    text = chance.choice(ANSWERS)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice([*TOKENS, *ANSWERS]) + text[at + chance.randrange(6) :]
    return text


def check_phrases(found: Any, subject: Subject) -> None:
    if isinstance(found, Problem):
        assert len(found.detail) <= 2 * DETAIL_CHARACTERS
        assert "\n" not in str(found)
        return
    assert len(found) == len(subject.names)
    for phrase in (phrase for phrases in found for phrase in phrases):
        phrase.encode("utf-8")
        assert "\ufffd" not in phrase
        assert "think>" not in phrase.lower()
        assert phrase.isprintable()


def check_answer(content: bytes, chance: random.Random) -> None:
    request = chance.choice(REQUESTS)
    row, problem = judge_answer(request, read_answer(content), PRICE, is_structured=True)
    if row is None:
        assert problem is not None
        return
    row.answer.encode("utf-8")
    assert 0 <= row.cost_usd < 100
    if problem is None:
        check_phrases(request.read(row.answer), request.subject)


@pytest.mark.parametrize("seed", SEEDS)
def test_broken_completions_are_values(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(CASES):
        content = odd_json(chance) if chance.random() < 0.5 else odd_bytes(chance)
        check_answer(content, chance)
        complaint = read_complaint(content)
        assert len(complaint.message) <= DETAIL_CHARACTERS
        verdict = judge_refusal(Reply(chance.choice([302, 400, 429, 500]), {}, content), Dialect(), has_key=True)
        assert isinstance(verdict.problem.fault, Fault)


@pytest.mark.parametrize("seed", SEEDS)
def test_broken_texts_are_values(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(CASES):
        request = chance.choice(REQUESTS)
        check_phrases(parse_answer(odd_text(chance), request.subject), request.subject)


@pytest.mark.parametrize("seed", SEEDS)
def test_broken_batch_files_are_values(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(CASES // 8):
        line = {"custom_id": "k", "response": {"status_code": 200, "body": body(chance)}, "error": None}
        lines = []
        for _ in range(8):
            torn: Any = json.loads(json.dumps(line))
            torn = put(torn, chance.choice(list(places(torn))), copy.deepcopy(chance.choice(ODD_VALUES)))
            lines.append(json.dumps(torn).encode())
        content = b"\n".join([*lines, odd_bytes(chance), b"", b"\xff"])
        for found in read_lines(content):
            assert isinstance(found.key, str)
            assert isinstance(found.status, int)
            if isinstance(found.body, dict):
                answer = read_answer_body(found.body, is_utf8=found.is_utf8)
                judge_answer(chance.choice(REQUESTS), answer, PRICE, is_structured=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_broken_headers_are_not_believed(seed: int) -> None:
    chance = random.Random(seed)
    values = [
        "1s",
        "6m0s",
        "-1",
        "1e9",
        "",
        "nan",
        "inf",
        "9" * 400,
        "Thu, 01 Jan 2026 12:00:30 GMT",
        "Thu, 99",
        "½",
        "\uff11",
    ]
    names = [f"x-ratelimit-{part}-requests" for part in ("limit", "remaining", "reset")]
    for _ in range(CASES):
        headers = {name: chance.choice(values) for name in (*names, "retry-after", "retry-after-ms")}
        for seconds in (read_retry_after(headers), (read_limit(headers, "requests") or (0, 0))[1]):
            assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"class":' * 100_000,
        '{"items": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"class": "lemur", "items": [' + "9" * 4_000 + "]}",
        '{"class": "lemur", "items": [' + "9" * 5_000 + "]}",
        *(
            pytest.param(text, marks=pytest.mark.slow)
            for text in (
                "<think>" * 20_000,
                "<think></think>" * 20_000,
                "</think>" * 20_000,
                "&lt;" * 50_000,
                "<|channel|>analysis<|message|>" * 8_000,
                "```thinking\n" * 20_000,
                "<!--" * 50_000,
                "- x" * (MAX_CHARACTERS // 3),
                "◁think▷ [THINK] " * 10_000,
                "Thinking:\nAnswer:\n" * 10_000,
            )
        ),
    ],
)
def test_deep_and_long_answers_are_values_in_no_time(text: str) -> None:
    for request in REQUESTS:
        check_phrases(parse_answer(text, request.subject), request.subject)
    nested = b'{"choices": ' + b"[" * 100_000
    for content in (json.dumps(body(random.Random(0)) | {"x": text[:1000]}).encode(), nested, text.encode()):
        check_answer(content, random.Random(0))


def questions(count: int) -> list[TextRequest]:
    prompt = PROMPTS.prompt(TextKind.ATTRIBUTE)
    return [ask_about(f"thing {number}", prompt, model="m", sampling=Sampling()) for number in range(count)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_server_that_sends_anything_is_survived(
    seed: int, ledger: CompletionLedger, make_runtime: Callable[..., LlmRuntime]
) -> None:
    chance = random.Random(seed)

    def script(_call: object) -> Raw:
        content = odd_json(chance) if chance.random() < 0.5 else odd_bytes(chance)
        headers = {"retry-after": chance.choice(["0", "x", "-1", ""]), "x-ratelimit-limit-tokens": "nan"}
        encoding = chance.choice(["", "", "gzip", "deflate", "br", "gzip, gzip"])
        return Raw(chance.choice([200] * 9 + [400, 500]), content, headers | {"content-encoding": encoding})

    with serving(LlmServer(script=script)) as server:
        runtime = make_runtime(server.url, backoff_seconds=0, max_failures_in_a_row=1000)
        account = DirectCompletions(ledger, runtime).complete(questions(60))
        assert len(server.calls) == account.calls
    assert len(account.generated) + len(account.problems) == 60
    assert ledger.table().num_rows == len(account.generated)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_batch_api_that_sends_anything_is_one_error(
    seed: int, ledger: CompletionLedger, make_runtime: Callable[..., LlmRuntime]
) -> None:
    chance = random.Random(seed)

    def spoil(content: bytes) -> bytes:
        made = parse_body(content)
        if not isinstance(made, dict) or chance.random() < 0.6:
            return content
        return json.dumps(
            put(made, chance.choice(list(places(made))), copy.deepcopy(chance.choice(ODD_VALUES)))
        ).encode()

    with serving(LlmServer()) as server:
        server.batch_api.spoil = spoil
        runtime = make_runtime(server.url, backoff_seconds=0, max_attempts=2)
        for _ in range(6):
            source = BatchCompletions(ledger, runtime, poll_seconds=0, max_wait_seconds=0.2)
            with contextlib.suppress(LlmError):
                source.complete(questions(5))
    keys = {question.key for question in questions(5)}
    kept = ledger.table()["key"].to_pylist()
    assert len(kept) == len(set(kept)), "no answer is kept twice"
    assert set(kept) <= keys, "and none that nobody asked for"
