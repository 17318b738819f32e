import asyncio
import pickle
import time
from collections.abc import Callable

import pytest

from coder_core.atg.prompts import load_prompts
from coder_core.atg.questions import TextRequest, ask_about
from coder_core.errors import StoreError
from coder_core.llm.chat_replies import Answer, Usage
from coder_core.llm.chat_requests import Sampling
from coder_core.llm.completion_ledger import MAX_STORED_CHARACTERS, Completion, CompletionLedger, FailedCompletion
from coder_core.llm.completions import judge_answer
from coder_core.llm.direct_completions import CompletionWriter, DirectCompletions
from coder_core.llm.faults import Fault, Problem
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.storage.store import Store
from coder_core.texts.kinds import TextKind
from tests.coder_core.atg.llm_server import LlmServer, serving

Make = Callable[..., LlmRuntime]
PROMPT = load_prompts()["general"].prompt(TextKind.ATTRIBUTE)


def ask(number: int) -> TextRequest:
    return ask_about(f"thing {number}", PROMPT, model="m", sampling=Sampling())


def completion(number: int, text: str = "- long tail") -> Completion:
    row, _ = judge_answer(ask(number), Answer(text, "stop", "m-1", Usage(3, 4)), None, is_structured=True)
    assert row is not None
    return row


def test_a_ledger_knows_what_is_missing_and_keeps_the_first_answer(ledger: CompletionLedger) -> None:
    assert ledger.append([completion(1, "- first"), completion(2)]) == 2
    assert ledger.append([completion(1, "- second"), completion(3)]) == 1
    assert ledger.append([]) == 0
    assert ledger.missing([ask(4), ask(1), ask(4), ask(5)]) == [ask(4), ask(5)]
    assert ledger.usable([ask(1), ask(9), ask(1)]) == {ask(1).key: (("first",),)}
    assert ledger.usable([ask(9)]) == {}
    [second] = ledger.failure_table().to_pylist()  # it was paid for, too
    assert (second["request_key"], second["answer"], second["fault"]) == (ask(1).key, "- second", "superseded")
    copy = pickle.loads(pickle.dumps(ledger))  # noqa: S301
    assert copy.missing([ask(1), ask(9)]) == [ask(9)]


def test_small_parts_are_merged(ledger: CompletionLedger) -> None:
    for number in range(5):
        ledger.append([completion(number)])
        ledger.append_failures([FailedCompletion(completion(number), Problem(Fault.REFUSAL, "no"))])
    assert len(ledger.store.list()) == 10
    assert ledger.compact() == 10
    assert len(ledger.store.list()) == 2
    assert ledger.table().num_rows == ledger.failure_table().num_rows == 5


def test_bad_answers_are_an_account_of_their_own(ledger: CompletionLedger) -> None:
    bad = completion(1, "x" * 500_000)
    later = bad._replace(attempt=2)
    problem = Problem(Fault.TOO_LONG, "500000 characters.")
    assert ledger.append_failures([FailedCompletion(bad, problem), FailedCompletion(later, problem)]) == 2
    rows = ledger.failure_table().to_pylist()
    assert [(row["request_key"], row["fault"], row["attempt"]) for row in rows] == [
        (ask(1).key, "too_long", 1),
        (ask(1).key, "too_long", 2),
    ]
    assert len(rows[0]["answer"]) == MAX_STORED_CHARACTERS
    assert ledger.missing([ask(1)]) == [ask(1)]
    assert ledger.table().num_rows == 0


def test_every_answer_is_judged_again_by_the_reader_of_today(ledger: CompletionLedger) -> None:
    """What an earlier reader took or refused does not bind a later one."""
    unreadable = "<think>\n- I should not mention its habitat"
    ledger.append([completion(1, unreadable), completion(2, f"{unreadable}\n</think>\n- long tail")])
    unusable = Problem(Fault.UNUSABLE, "an earlier version could not read it")
    cut_off = Problem(Fault.CUT_OFF, "finish_reason length")
    ledger.append_failures([FailedCompletion(completion(3, "- long tail"), unusable)])
    ledger.append_failures([FailedCompletion(completion(4, "- long tail"), cut_off)])
    ledger.append_failures([FailedCompletion(completion(5, "- " + "x" * 3_998), unusable)])  # was itself cut off there
    asked = [ask(number) for number in range(1, 6)]
    tail = (("long tail",),)
    assert ledger.usable(asked) == {ask(2).key: tail, ask(3).key: tail}
    assert ledger.missing(asked) == [ask(1), ask(4), ask(5)]
    later = completion(1, "- round head")
    assert ledger.append([later]) == 0
    assert ledger.usable(asked[:1]) == {ask(1).key: (("round head",),)}
    assert ledger.append([later]) == 0  # a repeated write is one row
    assert ledger.failure_table().num_rows == 4


class BrokenLedger(CompletionLedger):
    """A store that fills up after a while."""

    def append(self, completions: object) -> int:
        written = super().append(completions)  # type: ignore[arg-type]
        raise StoreError("The disk is full.", "somewhere", f"Make room; {written} rows are there.")


def test_a_store_that_refuses_ends_the_account_with_its_reason(make_runtime: Make) -> None:
    ledger = BrokenLedger(Store("memory://broken"))
    with serving(LlmServer(delay_seconds=0.01)) as server, pytest.raises(StoreError, match="disk is full"):
        DirectCompletions(ledger, make_runtime(server.url, concurrency=4)).complete([ask(n) for n in range(200)])
    assert len(server.calls) < 150


class SlowLedger(CompletionLedger):
    """A store that takes its time, and remembers how much it was given at once."""

    sizes: list[int] = []  # noqa: RUF012

    def append(self, completions: object) -> int:
        time.sleep(0.02)
        self.sizes.append(len(completions))  # type: ignore[arg-type]
        return super().append(completions)  # type: ignore[arg-type]


def test_nobody_goes_on_before_the_answer_is_in_the_store() -> None:
    ledger = SlowLedger(Store("memory://slow"))

    async def put(writer: CompletionWriter, numbers: range) -> None:
        for number in numbers:
            writer.add(completion(number))
            await writer.wait_for_room()
            assert ledger.usable([ask(number)])

    async def run() -> None:
        writer = CompletionWriter(ledger)
        writing = asyncio.create_task(writer.run())
        await asyncio.gather(*(put(writer, range(start, start + 5)) for start in range(0, 100, 5)))
        await writer.wait_for_room()  # nothing left to wait for
        writer.close()
        await writing

    asyncio.run(run())
    assert sum(ledger.sizes) == 100
    assert max(ledger.sizes) <= 20
    assert len(ledger.sizes) < 30  # what comes while one part is written becomes the next one
