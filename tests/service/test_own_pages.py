"""Which requests pass the door of the server: decided by the headers that a page cannot forge."""

import asyncio

import httpx
import pytest

from service.own_pages import HOSTS_VARIABLE, App, Message, OwnPagesOnly, Receive, Scope, Send, own_pages_environment

OWN = "127.0.0.1:4200"
VISIT = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


async def answering(_scope: Scope, _receive: Receive, send: Send) -> None:
    """An application that answers everything."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"inside"})


def ask(headers: dict[str, str], *, method: str = "GET", app: App | None = None) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app or OwnPagesOnly(answering, ["eval.example.org", ""]))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{OWN}") as client:
            return await client.request(method, "/api/flows/", headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost:4200"},
        {"host": "[::1]:4200"},
        {"host": "localhost:8080"},
        {"host": "LOCALHOST"},
        {"origin": f"http://{OWN}"},
        {"origin": "http://localhost:4200"},
        {"origin": "http://[::1]:4200", "host": "localhost:4200"},
        {"origin": "http://localhost:8080", "host": "localhost:8080"},
        {"origin": f"http://{OWN}", "host": "localhost:4200", "sec-fetch-site": "cross-site"},
        {"origin": "https://eval.example.org", "host": "eval.example.org"},
        {"origin": "http://eval.example.org", "host": "eval.example.org:80"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
    ],
)
def test_programs_and_pages_of_the_server_itself_are_answered(headers: dict[str, str], method: str) -> None:
    answer = ask(headers, method=method)
    assert (answer.status_code, answer.text) == (200, "inside")
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:4200"},
        {"host": "127.0.0.1.evil.example:4200"},
        {"host": "localhost.evil.example"},
        {"host": "evil@127.0.0.1:4200"},
        {"host": "127.0.0.1:4200/evil"},
        {"host": "127.0.0.1:x"},
        {"host": ""},
        {"host": "0.0.0.0:4200"},
        {"host": "evil.example", "origin": "http://evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://localhost:9999"},
        {"origin": "http://localhost"},
        {"origin": "https://127.0.0.1"},
        {"origin": f"http://{OWN}.evil.example"},
        {"origin": f"http://{OWN}/"},
        {"origin": f"http://evil@{OWN}"},
        {"origin": f"ftp://{OWN}"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "file://"},
        {"origin": "http://eval.example.org"},
        {"origin": f"http://{OWN}", "host": "eval.example.org"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
        {**VISIT, "sec-fetch-dest": "iframe"},
    ],
)
def test_everybody_else_is_refused_and_told_nothing(headers: dict[str, str], method: str) -> None:
    answer = ask(headers, method=method)
    assert answer.status_code == 403
    assert "inside" not in answer.text
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert (HOSTS_VARIABLE in answer.text) == ("name" in answer.text), "who is refused by name is told the remedy"


def test_a_link_to_the_server_may_be_followed_and_a_form_not_sent() -> None:
    assert ask(VISIT).status_code == 200
    assert ask(VISIT, method="POST").status_code == 403


def test_two_hosts_are_none() -> None:
    scope = {"type": "http", "method": "GET", "headers": [(b"host", OWN.encode()), (b"host", b"evil.example")]}
    assert run(scope)[0]["status"] == 403


def run(scope: Scope) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    asyncio.run(OwnPagesOnly(answering)(scope, receive, send))
    return sent


def test_a_web_socket_of_a_foreign_page_is_closed_before_it_opens() -> None:
    foreign = [(b"host", OWN.encode()), (b"origin", b"http://evil.example")]
    (message,) = run({"type": "websocket", "headers": foreign})
    assert (message["type"], message["code"]) == ("websocket.close", 1008)
    own = run({"type": "websocket", "headers": [(b"host", OWN.encode())]})
    assert own[-1]["body"] == b"inside"


def test_prefects_own_guards_are_set_for_the_addresses_of_the_page() -> None:
    assert own_pages_environment("4300") == {
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": "http://127.0.0.1:4300,http://localhost:4300",
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
    }
