"""The whole job on a real S3 endpoint: the same results as in a folder, resumed after SIGKILL, refused at the door."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from prefect.client.orchestration import get_client

from bench.store_identity import find_damage, find_differences, read_content
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.specs import Runtime
from coder_core.storage.store import Store
from flows.coder_eval import coder_eval
from tests.coder_core.atg.llm_server import LlmServer, serving
from tests.fixtures_deployment import PROJECT, free_port, wait_until
from tests.fixtures_inputs import NAMES, World, write_image_class
from tests.service.held_runs import BOUGHT, HELD_CLASS, held_scene, stored_answers

from .disturbed import EVERY_STEP

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
SECRET = "a-secret-that-must-not-be-shown"
KEY = "sk-s3-job-0123456789"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(LlmServer(key=KEY)) as started:
        yield started


def whole_job(photos: World) -> dict[str, Any]:
    """Every method and option that a folder of images allows."""
    pool = photos.folder / "pool"
    for name in NAMES:
        write_image_class(pool, name, 8)
        for number in range(5):  # those are in the data set
            (pool / name / f"{number:03d}.png").unlink()
    methods = ["tip_adapter", "coder_adapter", "text_discriminant"]
    return {
        **photos.settings,
        **EVERY_STEP,
        "few_shot": {"pool": {"kind": "folder", "path": str(pool)}, "shots": [2], "draws": 1, "methods": methods},
    }


def command_line(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Type a `coder-eval` command in the environment of this process and what is added to it."""
    command = [sys.executable, "-m", "flows.cli", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=240
    )


def bucket_bytes(endpoint: str, bucket: str) -> bytes:
    """Names and contents of all objects."""
    client = boto3.client("s3", endpoint_url=endpoint)
    names = [
        item["Key"]
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for item in page.get("Contents", [])
    ]
    return b"".join(name.encode() + client.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names)


@pytest.mark.thorough
def test_the_whole_job_says_on_s3_what_it_says_in_a_folder(
    photos: World,
    server: LlmServer,
    s3_environment: str,
    new_s3_bucket: Callable[[], str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings, bucket = whole_job(photos), new_s3_bucket()
    local = Runtime(store=str(tmp_path / "store"), device="cpu", llm=LlmRuntime(base_url=server.url))
    remote = local.model_copy(update={"store": f"s3://{bucket}/deep/prefix"})
    coder_eval(settings, [], local)
    coder_eval(settings, [], remote)
    stores = [Store(runtime.store) for runtime in (remote, local)]
    assert find_differences(*map(read_content, stores)) == []
    calls = len(server.calls)
    again = coder_eval(settings, [], remote)
    assert (again.texts_embedded, again.images_embedded, len(server.calls) - calls) == (0, 0, 0)
    for care in (["verify"], ["compact"], ["verify"], ["gc", "--older-than", "1d"]):
        done = command_line("store", *care, "--store", remote.store)
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
    assert find_damage(stores[0]) == []
    with get_client(sync_client=True) as client:
        told = repr(client.read_logs()) + repr(client.read_flow_runs()) + repr(client.read_artifacts())
    for secret in (SECRET, KEY):
        assert secret not in told
        assert secret not in caplog.text
        assert secret.encode() not in bucket_bytes(s3_environment, bucket)


@pytest.mark.thorough
def test_a_run_that_is_killed_is_gone_on_with_from_the_bucket(
    new_s3_bucket: Callable[[], str], tiny_clip: Path, tmp_path: Path, prefect_server: str
) -> None:
    store, local = f"s3://{new_s3_bucket()}", str(tmp_path / "store")
    with held_scene(tmp_path, tiny_clip) as scene:
        environment = {
            "PREFECT_API_URL": prefect_server,
            "CODER_LLM_BASE_URL": scene.server.url,
            "CODER_CLASSES_PER_TASK": "1",
            "CODER_DEVICE": "cpu",
            "OPENAI_API_KEY": KEY,
        }
        scene.hold(300.0)
        command = [sys.executable, "-m", "flows.cli", "run", str(scene.config), "--store", store]
        with (tmp_path / "killed.log").open("wb") as log:
            run = subprocess.Popen(command, cwd=PROJECT, env={**os.environ, **environment}, stdout=log, stderr=log)
        try:
            wait_until(lambda: stored_answers(store) >= BOUGHT or None)
        finally:
            run.kill()
            run.wait(30)
        assert find_damage(Store(store)) == []
        scene.release()
        done = command_line("run", str(scene.config), "--store", store, **environment)
        assert done.returncode == 0, done.stderr
        bought = [times for (_, names, _), times in scene.server.good.items() if names[0] != HELD_CLASS]
        assert bought == [1] * BOUGHT, "an answer that was stored is not bought again"
        done = command_line("run", str(scene.config), "--store", local, **environment)
        assert done.returncode == 0, done.stderr
    assert find_differences(read_content(Store(store)), read_content(Store(local))) == []
    assert find_damage(Store(store)) == []


def refused(store: str, **environment: str) -> str:
    """Run the demonstration on a store that cannot be used; gives its one line."""
    done = command_line("run", "--store", store, "--json", **environment)
    assert done.returncode == 4, done.stderr
    assert done.stdout == ""
    assert SECRET not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "embed" not in done.stderr, "refused before any work"
    return last


@pytest.mark.usefixtures("s3_environment")
def test_a_bucket_that_is_not_there_is_refused(prefect_server: str) -> None:
    line = refused("s3://no-such-bucket/x", PREFECT_API_URL=prefect_server)
    assert "s3://no-such-bucket/x" in line


@pytest.mark.thorough
@pytest.mark.usefixtures("s3_environment")
def test_an_endpoint_that_does_not_answer_is_refused(prefect_server: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        line = refused("s3://bucket/x", PREFECT_API_URL=prefect_server, AWS_ENDPOINT_URL=url)
    assert "s3://bucket/x" in line


@pytest.fixture
def strict_s3(tmp_path: Path) -> Iterator[str]:
    """An endpoint that checks signatures, after one request: the one that makes the bucket."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "1"}
    with (tmp_path / "moto.log").open("wb") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: _listens(url) or None)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _listens(url: str) -> bool:
    try:
        return httpx.get(f"{url}/moto-api/", timeout=5).is_success
    except httpx.TransportError:
        return False


@pytest.mark.thorough
@pytest.mark.usefixtures("s3_environment")
def test_wrong_credentials_are_refused(strict_s3: str, prefect_server: str) -> None:
    boto3.client("s3", endpoint_url=strict_s3).create_bucket(Bucket="guarded")
    line = refused("s3://guarded/x", PREFECT_API_URL=prefect_server, AWS_ENDPOINT_URL=strict_s3)
    assert "s3://guarded/x" in line
