"""Fixtures that every test may ask for."""

import os

import pytest
from hypothesis import settings

settings.register_profile("shared machine", deadline=None)  # a slow example is no failure; pytest-timeout ends a hang
settings.load_profile("shared machine")

pytest_plugins = [
    "tests.fixtures_inputs",
    "tests.fixtures_prefect",
    "tests.fixtures_deployment",
    "tests.fixtures_s3",
]

PREFECT_LAST = ("service", "flows", "bench", "tasks")
"""Folders whose tests run flows, in the order in which they start: what waits longest is not left for one worker alone.
They come after all others, because Prefect leaves threads behind."""


def pytest_configure() -> None:
    """Give each worker one thread for numerics, before torch is loaded: the workers share the cores."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what needs no Prefect; the order within a folder stays."""
    rank = {folder: number for number, folder in enumerate(PREFECT_LAST)}
    items.sort(key=lambda item: rank.get(item.nodeid.split("/")[1], -1))
