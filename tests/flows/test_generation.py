"""The flow with texts from a language model: a real Prefect server, a real HTTP server for the model."""

import re
from collections.abc import Iterator

import pytest
from prefect.client.orchestration import get_client

from coder_core.llm.faults import LlmError
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.specs import Runtime
from flows.coder_eval import coder_eval
from tests.coder_core.atg.llm_server import LlmServer, serving
from tests.fixtures_inputs import World

from .conftest import Query, artifacts_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
KEY = "sk-flow-that-must-not-be-shown"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(LlmServer(key=KEY)) as started:
        yield started


@pytest.fixture
def generated(photos: World) -> World:
    """The class folders of images with a language model in the place of the bank."""
    texts = {"generator": {"model": "test-model", "max_similarity": 1.0}, "domain": "bird"}
    return World(photos.folder, {**photos.settings, "name": "generated", "texts": texts})


def test_texts_are_generated_used_and_never_bought_again(
    generated: World, runtime: Runtime, query: Query, server: LlmServer, caplog: pytest.LogCaptureFixture
) -> None:
    llm = LlmRuntime(base_url=server.url)
    runtime = runtime.model_copy(update={"classes_per_task": 3, "llm": llm})
    first = coder_eval(generated.settings, [], runtime)
    calls = len(server.calls)
    second = coder_eval(generated.settings, [], runtime)
    assert calls == len(server.calls) == 8, "four classes, two kinds, bought once"
    assert (second.texts_embedded, second.images_embedded) == (0, 0)
    sources = f"SELECT kind, source, count(*) FROM texts WHERE run_id = '{first.run_id}' GROUP BY ALL ORDER BY 1"
    assert ("attribute", "llm:test-model", 20) in query(sources)
    with get_client(sync_client=True) as client:
        flow_runs = client.read_flow_runs()
    row = re.compile(r"\| attribute \| 4 \| 0 \| 0 \| [1-9]\d* \| [1-9]\d* \| [\d.]+ \| all \|")
    assert any(row.search(str(found.data)) for found in artifacts_of("generated-texts"))
    assert all(KEY not in str(flow_run.parameters) for flow_run in flow_runs)
    assert KEY not in caplog.text


def test_a_server_that_refuses_the_key_fails_the_run_in_one_line(
    generated: World, runtime: Runtime, query: Query, server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-key-0123456789")
    llm = LlmRuntime(base_url=server.url, max_attempts=2)
    with pytest.raises(LlmError) as refused:
        coder_eval(generated.settings, [], runtime.model_copy(update={"llm": llm}))
    assert "sk-another-key" not in str(refused.value)
    assert query("SELECT count(*) FROM runs") == [(0,)]
