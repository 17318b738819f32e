"""What tests of the flow ask the store and Prefect about a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact
from prefect.client.schemas.sorting import ArtifactSort

from coder_core.results.warehouse import Warehouse
from coder_core.specs import Runtime
from coder_core.storage.store import Store

Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    """A store of its own."""
    return Runtime(store=str(tmp_path / "store"), device="cpu")


@pytest.fixture
def query(runtime: Runtime) -> Query:
    """Ask the tables of that store."""
    return lambda sql: Warehouse(Store(runtime.store)).query(sql).rows


def artifacts_of(key: str) -> list[Artifact]:
    """All that were made under a key, by any test."""
    with get_client(sync_client=True) as client:
        return client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))


def newest_artifacts() -> dict[str, Artifact]:
    """By key, the newest on Prefect's page; other tests use the same server, which answers with 200 at most."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(sort=ArtifactSort.UPDATED_DESC)
    return {str(artifact.key): artifact for artifact in reversed(found)}


def worker_processes() -> list[str]:
    """Processes of clusters that this process has started."""
    marks = ("spawn_main", "ray", "raylet", "gcs_server")
    commands = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    return [command for command in commands if any(mark in command for mark in marks)]
