"""A real S3 endpoint over HTTP on loopback (moto), started once and only when a test asks for it."""

import itertools
import os
from collections.abc import Callable, Iterator

import pytest

_S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "a-secret-that-must-not-be-shown",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1,localhost",
}


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The endpoint's URL."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_environment(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point the environment at the endpoint, as a user would."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in _S3_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    return s3_server


_numbers = itertools.count()


@pytest.fixture
def new_s3_bucket(s3_environment: str) -> Callable[[], str]:
    """Make buckets; each call returns the name of an empty one."""
    import boto3

    client = boto3.client("s3", endpoint_url=s3_environment)

    def new_bucket() -> str:
        name = f"bucket-{next(_numbers)}"
        client.create_bucket(Bucket=name)
        return name

    return new_bucket
