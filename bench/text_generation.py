"""Benchmark: requests per second of the text generator against a loopback server with a fixed latency.

    python bench/text_generation.py [--requests 6000 --concurrency 64 --latency-ms 50 --repeats 3] [--json]

Everything that a real account does is in the measured time: prompts, rate limiter, HTTP through the openai client,
parsing and judging, Parquet parts on a disk. The server runs in a process of its own and answers with valid structured
answers after the latency. Ideal is concurrency / latency. Prints the best and the median repeat as requests per second
and as share of the ideal, and the processor time per request: one core can do no more than 1 / that time, so a result
below it says that the machine was busy with something else.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from typing import Any, NamedTuple

from coder_core.atg.generator_spec import GeneratorSpec
from coder_core.atg.questions import plan_questions
from coder_core.classes import ClassList
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.direct_completions import DirectCompletions
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.storage.store import Store
from coder_core.texts.kinds import TextKind

ITEMS = ["a long and bushy tail", "large round eyes", "a black mask", "grey fur", "small ears", "clawed hands and feet"]
QUESTION = b"for distinguishing a "


class Sizes(NamedTuple):
    """How much is asked."""

    requests: int
    concurrency: int
    latency_ms: float


class Repeat(NamedTuple):
    """What one repeat took."""

    seconds: float
    cpu_ms_per_request: float


class LatencyServer(asyncio.Protocol):
    """Answers each chat-completions call about the class that it names, after the latency; nothing more."""

    latency_seconds = 0.05

    def connection_made(self, transport: Any) -> None:
        """Remember where to answer."""
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """Answer when a whole request is there."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if not end or len(body) < length:
            return
        self._received = b""
        name = body.rpartition(QUESTION)[2].partition(b" in a photo")[0].decode()
        loop = asyncio.get_running_loop()
        loop.call_later(self.latency_seconds, self._transport.write, answer_about(name))


def answer_about(name: str) -> bytes:
    """Write an HTTP response with a structured completion."""
    content = json.dumps({"class": name, "items": ITEMS})
    message = {"role": "assistant", "content": content}
    completion = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "loopback",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 180, "completion_tokens": 40, "total_tokens": 220},
    }
    body = json.dumps(completion).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def serve(latency_seconds: float, port: Any) -> None:
    """Run the server until the process ends; its port is put into the queue."""

    async def run() -> None:
        LatencyServer.latency_seconds = latency_seconds
        server = await asyncio.get_running_loop().create_server(LatencyServer, "127.0.0.1", 0, backlog=4096)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def ask_all(sizes: Sizes, url: str) -> Repeat:
    """Ask for that many answers into a fresh store on disk."""
    classes = ClassList(tuple(f"class number {number}" for number in range(sizes.requests)))
    spec = GeneratorSpec(model="loopback", kinds=(TextKind.ATTRIBUTE,))
    requests = plan_questions(classes, spec).requests
    with tempfile.TemporaryDirectory() as folder:
        source = DirectCompletions(
            CompletionLedger(Store(folder)), LlmRuntime(base_url=url, concurrency=sizes.concurrency)
        )
        cpu, start = time.process_time(), time.perf_counter()
        account = source.complete(requests)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert len(account.generated) == account.calls == sizes.requests
    return Repeat(seconds, 1000 * cpu / sizes.requests)


def measure(sizes: Sizes, repeats: int) -> dict[str, float]:
    """Start the server, ask, and put the figures together; one number per name."""
    context = multiprocessing.get_context("spawn")
    port = context.Queue()
    server = context.Process(target=serve, args=(sizes.latency_ms / 1000, port), daemon=True)
    server.start()
    try:
        url = f"http://127.0.0.1:{port.get(timeout=60)}/v1"
        ask_all(sizes._replace(requests=sizes.concurrency), url)  # imports and connections
        found = [ask_all(sizes, url) for _ in range(repeats)]
    finally:
        server.terminate()
        server.join()
    ideal = sizes.concurrency / (sizes.latency_ms / 1000)
    rates = [sizes.requests / repeat.seconds for repeat in found]
    return {
        "ideal_requests_per_second": ideal,
        "best_requests_per_second": max(rates),
        "median_requests_per_second": statistics.median(rates),
        "best_share_of_ideal": max(rates) / ideal,
        "median_share_of_ideal": statistics.median(rates) / ideal,
        "cpu_ms_per_request": min(repeat.cpu_ms_per_request for repeat in found),
        "load_average": os.getloadavg()[0],
        "processors": float(os.cpu_count() or 0),
    }


def main() -> None:
    """Parse the sizes, measure, print."""
    parser = argparse.ArgumentParser(description="Requests per second of the text generator.")
    for name, default in (("requests", 6_000), ("concurrency", 64), ("latency-ms", 50), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    sizes = Sizes(given.requests, given.concurrency, given.latency_ms)
    figures = measure(sizes, given.repeats)
    if given.json:
        print(json.dumps({**sizes._asdict(), **figures}))
        return
    print(sizes)
    for name, value in figures.items():
        print(f"{name:30}{value:12.4g}")


if __name__ == "__main__":
    main()
