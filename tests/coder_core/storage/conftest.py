"""Stores of every kind: the same contract holds on a disk, in memory and on S3."""

import socket
import uuid
from pathlib import Path

import pytest

from coder_core.storage.store import Store


@pytest.fixture(params=["disk", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    if request.param == "disk":
        return Store(str(tmp_path / "a store=1 [x]"))
    if request.param == "memory":
        return Store(f"memory://{uuid.uuid4().hex}/store")
    return Store(f"s3://{request.getfixturevalue('new_s3_bucket')()}/some/prefix")


LONG_ON_S3 = pytest.mark.parametrize(
    "store", ["disk", "memory", pytest.param("s3", marks=pytest.mark.thorough)], indirect=True
)
"""For a test of hundreds of requests, each of which takes the endpoint of the tests some milliseconds."""


@pytest.fixture
def disk_store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
