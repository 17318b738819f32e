"""A run that waits for its slot is told of once, whatever else the worker logs."""

import inspect
import logging
import subprocess
import sys

import pytest

from service.serve import Service
from service.waiting_runs import ABORTED, LOGGER, SUBMITTING, WaitsOnce, quieten_waiting_runs


def record(message: str, run: str) -> logging.LogRecord:
    made = logging.LogRecord(LOGGER, logging.INFO, "", 0, message, None, None)
    made.flow_run_id = run
    return made


def test_the_same_run_waits_once() -> None:
    waits = WaitsOnce()
    first = record(f"{ABORTED} 'a'. Server sent an abort signal: no slot", "a")
    assert waits.filter(first)
    assert first.getMessage().startswith("The run waits, and is asked for again until it may start.")
    assert not waits.filter(record(f"{ABORTED} 'a'. Server sent an abort signal: no slot", "a"))
    assert waits.filter(record(f"{ABORTED} 'b'. Server sent an abort signal: no slot", "b"))
    assert not waits.filter(record("Worker 'w' submitting flow run 'a'", "a")), "another try is no news"
    assert waits.filter(record("Worker 'w' submitting flow run 'c'", "c"))
    assert waits.filter(record("Flow run 'x' submitted to infrastructure", "a"))


def test_workers_are_quietened_once() -> None:
    logger = logging.getLogger(LOGGER)
    kept = list(logger.filters)
    try:
        quieten_waiting_runs()
        quieten_waiting_runs()
        assert len([found for found in logger.filters if isinstance(found, WaitsOnce)]) == 1
    finally:
        logger.filters = kept


@pytest.mark.slow
def test_the_worker_of_serve_is_quiet_and_hears_sigint() -> None:
    """After Prefect has set up its logs, too; `serve` starts this very module, maybe in the background of a script."""
    program = f"""
import contextlib, logging, runpy, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from service.waiting_runs import WaitsOnce
sys.argv = ["worker", "start", "--help"]
with contextlib.suppress(SystemExit):
    runpy.run_module("service.worker", run_name="__main__")
print([type(found) is WaitsOnce for found in logging.getLogger({LOGGER!r}).filters])
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert "--pool" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["[True]", "True"]
    assert '"service.worker", "start"' in inspect.getsource(Service._start_worker)


def test_prefect_speaks_there_in_these_words() -> None:
    from prefect.workers import base

    assert ABORTED in inspect.getsource(base)
    assert f"Worker '{{self.name}}'{SUBMITTING}" in inspect.getsource(base)
    assert 'getChild(\n            "worker"' in inspect.getsource(base.BaseWorker.get_flow_run_logger)
