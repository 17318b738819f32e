"""A run that waits for its slot is told of once, whatever else the worker logs."""

import logging

from service.waiting_runs import ABORTED, LOGGER, WaitsOnce, quieten_waiting_runs


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
    assert waits.filter(record("Worker submitting flow run", "a"))


def test_workers_are_quietened_once() -> None:
    logger = logging.getLogger(LOGGER)
    kept = list(logger.filters)
    try:
        quieten_waiting_runs()
        quieten_waiting_runs()
        assert len([found for found in logger.filters if isinstance(found, WaitsOnce)]) == 1
    finally:
        logger.filters = kept


def test_prefect_speaks_there_in_these_words() -> None:
    import inspect

    from prefect.workers import base

    assert ABORTED in inspect.getsource(base)
    assert 'getChild(\n            "worker"' in inspect.getsource(base.BaseWorker.get_flow_run_logger)
