"""A failed run says in one line what failed, where, and what to do: the state as a real server keeps it."""

from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort

from coder_core.errors import CoderError
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.specs import Runtime
from coder_core.storage.store import Store
from flows.coder_eval import coder_eval
from tests.coder_core.atg.llm_server import LlmServer, serving
from tests.fixtures_inputs import World

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
PREFIX = "Flow run encountered an exception: "
"""Prefect's own words before those of an error."""


def state_of_failed_run(settings: dict[str, Any], runtime: Runtime) -> str:
    """Run, expect one of our errors, and read the newest flow run's state from the server."""
    with pytest.raises(CoderError) as raised:
        coder_eval(settings, [], runtime)
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
    assert run.state is not None
    assert run.state.is_failed()
    message = str(run.state.message)
    assert message.startswith(f"{PREFIX}{type(raised.value).__name__}: ")
    assert len(message.splitlines()) == 1
    assert "Traceback" not in message
    return message.removeprefix(PREFIX)


def test_a_data_set_that_cannot_be_read(world: World, runtime: Runtime) -> None:
    place = world.folder / "images.npz"
    place.write_bytes(b"PK\x03\x04 half an archive")
    message = state_of_failed_run(world.settings, runtime)
    assert message.startswith(f"FeatureFileError: {place}: ")


def test_all_images_unreadable(photos: World, runtime: Runtime) -> None:
    for file in (photos.folder / "images").rglob("*.png"):
        file.write_bytes(b"no image")
    message = state_of_failed_run(photos.settings, runtime)
    assert message.startswith("DatasetError: blue tit/000.png: none of 20 images can be read (not an image")
    assert message.endswith("Check the data set.")


def test_a_language_model_that_refuses_the_key(
    photos: World, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-wrong-key-0123456789")
    texts = {"generator": {"model": "test-model", "max_similarity": 1.0}, "domain": "bird"}
    with serving(LlmServer(key="sk-the-right-key")) as server:
        llm = LlmRuntime(base_url=server.url, max_attempts=2)
        message = state_of_failed_run({**photos.settings, "texts": texts}, runtime.model_copy(update={"llm": llm}))
    assert "sk-a-wrong-key" not in message
    assert "401" in message
    assert "OPENAI_API_KEY" in message


def test_a_damaged_file_of_the_store(world: World, runtime: Runtime) -> None:
    coder_eval(world.settings, [], runtime)
    store = Store(runtime.store)
    (part,) = [path for path in store.list("artifacts/texts") if path.endswith(".parquet")]
    content = bytearray(store.read_bytes(part))
    content[len(content) // 2] ^= 1
    store.write_bytes(part, bytes(content))
    message = state_of_failed_run(world.settings, runtime)
    assert message.startswith(f"DamagedFileError: {store.url(part)}: ")
    assert "run again" in message
    coder_eval(world.settings, [], runtime)


def test_a_class_name_with_newlines_stays_one_line(world: World, runtime: Runtime) -> None:
    (world.folder / "bank.yaml").write_text('format: coder-text-bank/1\nclasses:\n- name: "a\\nb"\n  attributes: [x]\n')
    message = state_of_failed_run(world.settings, runtime)
    assert message.startswith("TextBankError: ")
