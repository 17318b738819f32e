"""What the hub may say instead of a model, from a server that answers as the hub does; and no hub at all."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest

from coder_core.encoders.hub import fetch_folder
from coder_core.errors import CheckpointError

pytestmark = pytest.mark.slow

ANSWERS = {
    "none": (404, "RepoNotFound", "there is no such model, or it is not yours to read", "hf auth login"),
    "gated": (403, "GatedRepo", "there is no such model, or it is not yours to read", "hf auth login"),
    "moved": (404, "RevisionNotFound", "it has no such revision", "commits, tags or branches"),
    "ill": (503, "", "no connection to it: HfHubHTTPError: Server error '503", "hf download"),
}
"""A model -> status and error code of the hub's answer; what is said of it; what to do."""


class Hub(BaseHTTPRequestHandler):
    """Answers by the name of the model: `/api/models/org/NAME/...`."""

    def do_GET(self) -> None:
        status, code, _, _ = ANSWERS[self.path.split("/")[4]]
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A hub on this machine, and an empty cache."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    found = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", found)
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", found)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def refusal(name: str) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        fetch_folder(name, "v1", place=f"encoder.model: {name}")
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("model", sorted(ANSWERS))
@pytest.mark.usefixtures("address")
def test_what_the_hub_answers_is_told_with_its_remedy(model: str) -> None:
    error = refusal(f"org/{model}")
    _, _, said, remedy = ANSWERS[model]
    assert f"'org/{model}' at revision v1 could not be fetched from the hub ({said}" in str(error)
    assert remedy in error.remedy


@pytest.mark.usefixtures("address")
def test_no_hub_at_all_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:  # bound and not listening: refused at once
        nobody.bind(("127.0.0.1", 0))
        silent = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", silent)
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", silent)
        error = refusal("org/model")
    assert "(no connection to it: ConnectError: " in str(error)
    assert "and no copy in its cache on this disk)" in str(error)


@pytest.mark.usefixtures("address")
def test_whoever_wants_no_network_is_not_told_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "(no connection to it, and no copy in its cache on this disk)" in str(refusal("org/model"))
