"""What tests of the flow ask the store and Prefect about a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coder_core.specs import Runtime
from coder_core.storage.store import Store
from coder_core.storage.warehouse import Warehouse

Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    """A store of its own."""
    return Runtime(store=str(tmp_path / "store"), device="cpu")


@pytest.fixture
def query(runtime: Runtime) -> Query:
    """Ask the tables of that store."""
    return lambda sql: Warehouse(Store(runtime.store)).query(sql).rows
