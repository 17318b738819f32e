"""Eight hundred questions in a storm of faults, and a kill -9 in the middle."""

import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from coder_core.atg.generator import generate_phrases
from coder_core.atg.generator_spec import GeneratorSpec
from coder_core.atg.questions import plan_questions
from coder_core.classes import ClassList
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.direct_completions import MOST_STRICT_CALLS, DirectCompletions
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.storage.store import Store
from coder_core.texts.kinds import TextKind
from tests.coder_core.atg.llm_server import FAULTS, Call, LlmServer, serving

Make = Callable[..., LlmRuntime]
SPEC = GeneratorSpec(
    model="gpt-4o-mini",
    kinds=(TextKind.ATTRIBUTE, TextKind.ANALOGOUS_CLASS, TextKind.SYNONYM, TextKind.ONE_TO_ONE),
)
OTHERS = ("pagoda", "zeppelin")
CLASSES = ClassList((*(f"thing {number:03d}" for number in range(200)), *OTHERS))
ASKED = range(200)
"""The last two classes are not asked about: answers about them are answers about another class."""
PAIRS = [(number, (number + 1) % 200) for number in range(200)]
QUESTIONS = 800
FAULT_SHARE = 0.3
CONCURRENCY = 64


def storm(seed: int) -> Callable[[Call], str | None]:
    """Let three calls in ten go wrong, each in its own way; the first one too."""
    chance = random.Random(seed)

    def script(_call: Call) -> str | None:
        if chance.random() < FAULT_SHARE:
            return chance.choice(FAULTS)
        return "injection" if chance.random() < 0.1 else None

    return script


@pytest.mark.slow
def test_a_storm_loses_nothing_and_buys_nothing_twice(
    tmp_path: Path, make_runtime: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = CompletionLedger(Store(str(tmp_path)))
    server = LlmServer(script=storm(3), delay_seconds=0.005, late_seconds=6.0, other_names=OTHERS)
    started = time.monotonic()
    with serving(server):
        runtime = make_runtime(server.url, concurrency=CONCURRENCY, timeout_seconds=3.0)
        bank, report = generate_phrases(
            CLASSES,
            SPEC,
            ledger=ledger,
            source=DirectCompletions(ledger, runtime),
            similarity=None,
            class_ids=ASKED,
            pairs=PAIRS,
        )
    seconds = time.monotonic() - started
    rows = ledger.table().num_rows
    with capsys.disabled():
        print(  # noqa: T201 (the number of requests is to be seen)
            f"\nstorm: {QUESTIONS} questions, {len(server.calls)} requests sent (bound {6 * QUESTIONS}), "
            f"{report.bad_answers} bad answers, {rows} bought, {len(report.failed)} failed, {seconds:.1f} s"
        )
    assert report.stopped is None
    assert report.generated + report.reused + len(report.failed) == QUESTIONS
    assert rows == report.generated + report.further_questions == sum(server.good.values())
    assert set(server.good.values()) == {1}
    assert report.calls == len(server.calls) <= QUESTIONS * runtime.max_attempts
    assert len(server.calls) < QUESTIONS / (1 - FAULT_SHARE) * 1.1
    assert len(report.failed) < QUESTIONS * 0.05
    assert all(text.fault and text.reason for text in report.failed)
    failed = {(text.kind, text.class_id) for text in report.failed}
    for class_id, texts in enumerate(bank.classes[:200]):
        assert bool(texts.attributes) != ((TextKind.ATTRIBUTE, class_id) in failed)
        assert bool(texts.analogous_classes) != ((TextKind.ANALOGOUS_CLASS, class_id) in failed)
    assert seconds < 60


@pytest.mark.slow
def test_every_answer_stands_with_its_own_class(tmp_path: Path, make_runtime: Make) -> None:
    ledger = CompletionLedger(Store(str(tmp_path)))
    with serving(LlmServer(script=storm(4), late_seconds=2.0, other_names=OTHERS)) as server:
        bank, _ = generate_phrases(
            CLASSES,
            SPEC,
            ledger=ledger,
            source=DirectCompletions(ledger, make_runtime(server.url, timeout_seconds=1.0)),
            similarity=None,
            class_ids=range(100),
            pairs=PAIRS[:99],
        )
    for class_id, texts in enumerate(bank.classes):
        own = [phrase for phrase in (*texts.attributes, *texts.synonyms) if not phrase.startswith("Ignore")]
        assert all(f"of thing {class_id:03d} " in phrase for phrase in own)


PROGRAM = """
    import json, sys
    from coder_core.llm.completion_ledger import CompletionLedger
    from coder_core.llm.direct_completions import MOST_STRICT_CALLS, DirectCompletions
    from coder_core.llm.llm_runtime import LlmRuntime
    from coder_core.storage.store import Store
    from tests.coder_core.atg.test_storm import requests_of_the_storm

    store, url = sys.argv[1:]
    source = DirectCompletions(CompletionLedger(Store(store)), LlmRuntime(base_url=url, concurrency=64))
    account = source.complete(requests_of_the_storm())
    print(json.dumps([len(account.generated), len(account.reused), account.calls]))
"""


def requests_of_the_storm() -> list:
    return plan_questions(CLASSES, SPEC, class_ids=ASKED, pairs=PAIRS).requests


@pytest.mark.slow
def test_after_a_kill_only_what_is_missing_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(store)]
    with serving(LlmServer(delay_seconds=0.05)) as server:
        first = subprocess.Popen([*program, server.url], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while sum(server.good.values()) < QUESTIONS // 2 and time.monotonic() < deadline:
            time.sleep(0.005)
        first.send_signal(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
        time.sleep(0.2)
        sent = len(server.calls)
        ledger = CompletionLedger(Store(str(store)))
        missing = len(ledger.missing(requests_of_the_storm()))
        held = QUESTIONS - missing
        assert QUESTIONS // 4 < held < QUESTIONS
        assert sent - held <= CONCURRENCY + (
            CONCURRENCY - MOST_STRICT_CALLS
        )  # in the air, and on their way to the store

        second = subprocess.run([*program, server.url], capture_output=True, text=True, check=True, timeout=60)
        generated, reused, calls = json.loads(second.stdout)
    with capsys.disabled():
        print(  # noqa: T201
            f"\nkill -9: {sent} sent before, {held} kept, {calls} sent by the second start, {sent - held} bought again"
        )
    assert (generated, reused, calls) == (missing, held, missing)
    assert len(server.calls) == sent + missing
    assert CompletionLedger(Store(str(store))).table().num_rows == QUESTIONS
