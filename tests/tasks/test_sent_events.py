"""An event has arrived, or the call says why it has not."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from prefect.events import Event
from prefect.events.schemas.events import Resource
from prefect.settings import PREFECT_API_URL, temporary_settings

from coder_core.errors import ServiceError
from tasks.sent_events import send_event
from tests.fixtures_deployment import free_port

pytestmark = pytest.mark.slow


class Refusing(BaseHTTPRequestHandler):
    """A server that has no place for events."""

    def do_GET(self) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_error(HTTPStatus.INSUFFICIENT_STORAGE)

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def refusing_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


@contextmanager
def nobody() -> Iterator[str]:
    yield f"http://127.0.0.1:{free_port()}/api"


@pytest.mark.parametrize(("opened", "why"), [(refusing_server, "507"), (nobody, "ConnectError")])
def test_what_a_server_does_not_take_is_an_error_that_names_it(
    opened: Callable[[], AbstractContextManager[str]], why: str
) -> None:
    event = Event(event="test.sent", resource=Resource({"prefect.resource.id": "test.sent"}))
    with opened() as url, temporary_settings({PREFECT_API_URL: url}):
        told = rf"{re.escape(url)}: the server did not take the event test\.sent \(.*{why}"
        with pytest.raises(ServiceError, match=told):
            send_event(event)
