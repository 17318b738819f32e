"""A process ends, with its own status, although a service of Prefect never says that it is done."""

import inspect
import subprocess
import sys

import pytest
from prefect._internal.concurrency.services import _QueueServiceBase
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from tasks.last_messages import _drain, bound_last_messages

PROGRAM = """
import asyncio, sys
from prefect._internal.concurrency.services import QueueService
from tasks import last_messages

class Stuck(QueueService[str]):
    async def _handle(self, item: str) -> None:
        await asyncio.Event().wait()

class Sound(QueueService[str]):
    async def _handle(self, item: str) -> None:
        print("sent", item)

for service in (Sound, Stuck):
    for item in ("one", "two", "three"):
        service.instance().send(item)
last_messages.PATIENCE_SECONDS, last_messages.LEAST_SECONDS = 0.5, 0.5
last_messages.bound_last_messages()
sys.exit(3)
"""


@pytest.mark.slow
def test_the_process_ends_and_says_what_is_left() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "has not sent" in line]
    late = "Prefect's Stuck has not sent its last message within 0.5 s (2 more messages wait)"
    assert line == f"{late}: the process ends without it."
    assert done.stdout.count("sent ") == 3, "what can be sent is"


def test_every_service_of_prefect_waits_so() -> None:
    bound_last_messages()
    bound_last_messages()
    for service in (EventsWorker, APILogWorker):
        assert service.drain is _drain
    assert "self.drain(at_exit=True)" in inspect.getsource(_QueueServiceBase._at_exit), "what Prefect calls at exit"
    assert list(inspect.signature(_QueueServiceBase._drain).parameters) == ["self", "at_exit"]
