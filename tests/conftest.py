"""Fixtures that every test may ask for."""

import gc
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import settings

# A slow example is no failure; pytest-timeout ends a hang. `--hypothesis-profile thorough` looks longer.
settings.register_profile("shared machine", deadline=None, max_examples=40)
settings.register_profile("thorough", deadline=None, max_examples=1_000)
settings.load_profile("shared machine")

pytest_plugins = [
    "tests.fixtures_inputs",
    "tests.fixtures_prefect",
    "tests.fixtures_deployment",
    "tests.fixtures_s3",
    "tests.fixtures_folders",
]

LONGEST_FIRST = ("service", "flows", "bench", "tasks")
"""Folders whose tests start processes and wait for them: last in line, they would keep one worker busy alone."""


gc.disable()  # until tests are collected: imports stay, and looking through them again and again was half the time


def pytest_collection_finish() -> None:
    """Collect garbage again, and leave out of it what was imported: it lives as long as the process."""
    gc.freeze()
    gc.enable()


def pytest_configure() -> None:
    """Give numerics one thread, before torch is loaded: on shared cores small matrices wait for threads, not sums.

    And let SIGINT be heard where a script has started the tests with `&`, which makes all that they start deaf to it:
    Prefect's worker, told to end by SIGTERM, sends itself SIGINT, and would be waited for in vain.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


SERVERS = {"prefect_server", "s3_server", "deployed"}


@pytest.hookimpl(tryfirst=True)  # before `-m "not slow"` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what takes longest; the order within a folder stays. What needs a server, or is thorough, is slow."""
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())) or item.get_closest_marker("thorough"):
            item.add_marker("slow")
    rank = {folder: number for number, folder in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.nodeid.split("/")[1], len(rank)))


@contextmanager
def core_logger_kept() -> Iterator[None]:
    """Leave the core's logger as it was, whatever happens to it in the block."""
    core = logging.getLogger("coder_core")
    propagate, level, handlers = core.propagate, core.level, list(core.handlers)
    try:
        yield
    finally:
        core.propagate, core.handlers = propagate, handlers
        core.setLevel(level)


@pytest.fixture(autouse=True)
def _core_logger_kept() -> Iterator[None]:
    """A flow in this process hands what the core logs to Prefect (`tasks.logs`): the next test listens for itself."""
    with core_logger_kept():
        yield
