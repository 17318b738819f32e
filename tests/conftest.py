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
    "tests.fixtures_folders",
]

LONGEST_FIRST = ("service", "flows", "bench", "tasks")
"""Folders whose tests start processes and wait for them: last in line, they would keep one worker busy alone."""


def pytest_configure() -> None:
    """Give each worker one thread for numerics, before torch is loaded: the workers share the cores."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what takes longest; the order within a folder stays."""
    rank = {folder: number for number, folder in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.nodeid.split("/")[1], len(rank)))
