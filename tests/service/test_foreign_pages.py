"""A real server and a real browser: a page of another origin can neither read nor create, the dashboard can do both.

Without Chromium (Debian: `apt-get install chromium`) the browser's part is left out; the requests that it would send
are sent by hand all the same.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.own_pages import HOSTS_VARIABLE, own_pages_environment
from tests.fixtures_deployment import (
    PROJECT,
    Deployed,
    answers,
    free_port,
    stop_process,
    user_environment,
    wait_until,
)
from tests.fixtures_prefect import copy_database

from .browser import CHROMIUM, Page, browsing, foreign_site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NAME = "made-by-a-page"
PAYLOAD = json.dumps({"name": NAME})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Path) -> Iterator[Deployed]:
    """What `serve` starts, alone."""
    home, port = tmp_path_factory.mktemp("guarded"), free_port()
    copy_database(new_database, home / "prefect.db")
    environment = {**user_environment(home, port), **own_pages_environment(port)}
    place = Deployed(environment, f"http://127.0.0.1:{port}/api", home / "store")
    command = [sys.executable, "-m", "service.guarded_server", "--port", port]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: answers(place.api_url, process))
        yield place
    finally:
        stop_process(process)


def flows(server: Deployed) -> set[str]:
    with server.client() as client:
        return {flow.name for flow in client.read_flows()}


def test_requests_of_a_foreign_page_are_refused_and_prefects_client_works(server: Deployed) -> None:
    foreign: list[dict[str, str]] = [
        {"host": "evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ]
    for headers in foreign:
        for method, path in (
            ("GET", "/health"),
            ("OPTIONS", "/flows/"),
            ("POST", "/flows/"),
            ("GET", "/csrf-token?client=x"),
        ):
            answer = httpx.request(method, f"{server.api_url}{path}", headers=headers, content=PAYLOAD)
            assert answer.status_code == 403, (headers, method)
            assert "access-control-allow-origin" not in answer.headers
    refused = httpx.get(f"{server.api_url}/health", headers={"host": "evil.example"}).text
    assert HOSTS_VARIABLE in refused, "the remedy is named"
    bare = httpx.post(f"{server.api_url}/flows/", content=PAYLOAD, headers={"content-type": "application/json"})
    assert (bare.status_code, bare.json()) == (403, {"detail": "Missing CSRF token."})
    assert flows(server) == set()
    with server.client() as client:
        client.create_flow_from_name("made-by-a-program")
    assert flows(server) == {"made-by-a-program"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    with browsing(tmp_path_factory.mktemp("browser")) as page:
        yield page


def attempt(page: Page, api: str, **options: Any) -> str:
    """Have the page send a request; gives what it can see of the answer."""
    script = f"fetch({json.dumps(api)}, {json.dumps(options)}).then(a => a.type + ' ' + a.status, e => 'blocked')"
    return str(page.evaluate(script))


def post(kind: str, mode: str = "cors") -> dict[str, Any]:
    return {"method": "POST", "mode": mode, "headers": {"content-type": kind}, "body": PAYLOAD}


FRAME = """new Promise(found => {
  const frame = document.body.appendChild(document.createElement('iframe'));
  frame.onload = () => { try { found(frame.contentDocument ? 'read' : 'blocked') } catch (e) { found('blocked') } };
  frame.src = %s; })"""
SOCKET = (
    "new Promise(f => { const s = new WebSocket(%s); s.onopen = () => f('open'); s.onerror = () => f('blocked'); })"
)
FORM = """(() => { const form = document.body.appendChild(document.createElement('form'));
  form.method = 'POST'; form.enctype = 'text/plain'; form.action = %s; form.target = 'shown';
  const shown = document.createElement('iframe'); shown.name = 'shown'; document.body.appendChild(shown);
  const field = form.appendChild(document.createElement('input'));
  field.name = '{"name": "made-by-a-page", "x": "'; field.value = '"}';
  return new Promise(f => { shown.onload = () => f('sent'); form.submit(); }); })()"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_of_another_port_neither_reads_nor_creates(
    server: Deployed, page: Page, tmp_path: Path, host: str
) -> None:
    before, api = flows(server), server.api_url
    with foreign_site(tmp_path) as port:
        page.open(f"http://{host}:{port}/page.html")
        assert attempt(page, f"http://{host}:{port}/page.html") == "basic 200", "its own server it does reach"
        assert attempt(page, f"{api}/health") == "blocked"
        assert attempt(page, f"{api}/csrf-token?client=page") == "blocked"
        assert attempt(page, f"{api}/flows/filter", **post("application/json")) == "blocked"
        assert attempt(page, f"{api}/flows/", **post("application/json")) == "blocked"
        assert attempt(page, f"{api}/flows/", **post("text/plain")) == "blocked"
        assert attempt(page, f"{api}/flows/", **post("text/plain", "no-cors")).startswith("opaque")
        assert page.evaluate(FORM % json.dumps(f"{api}/flows/")) == "sent"
        assert page.evaluate(SOCKET % json.dumps(f"{api.replace('http', 'ws')}/events/in")) == "blocked"
        assert page.evaluate(FRAME % json.dumps(api.removesuffix("/api"))) == "blocked"
    assert flows(server) == before


def test_a_name_that_is_bound_to_this_machine_is_no_way_in(server: Deployed, page: Page) -> None:
    """DNS rebinding: to the browser, the server is the page's own."""
    rebound = server.api_url.replace("127.0.0.1", "rebound.example")
    page.open(f"{rebound}/health")
    assert "does not go by that name" in page.evaluate("document.body.innerText")
    assert attempt(page, f"{rebound}/flows/", **post("application/json")) == "basic 403"
    assert NAME not in flows(server)


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("localhost", marks=pytest.mark.thorough)])
def test_the_dashboard_reads_and_creates(server: Deployed, page: Page, host: str) -> None:
    """The very requests that a foreign page may not send, from the server's page; and the page itself shows data."""
    base = server.api_url.removesuffix("/api").replace("127.0.0.1", host)
    page.open(base)
    wait_until(lambda: "Deployments" in page.evaluate("document.body.innerText") or None)
    token = "fetch('/api/csrf-token?client=page').then(answer => answer.json()).then(found => found.token)"
    headers = {"prefect-csrf-client": "page", "prefect-csrf-token": page.evaluate(token)}
    name = f"made-by-the-dashboard-at-{host}"
    made = {
        "method": "POST",
        "headers": {**headers, "content-type": "application/json"},
        "body": json.dumps({"name": name}),
    }
    assert attempt(page, f"{server.api_url}/flows/", **made).endswith(" 201")
    assert attempt(page, f"{server.api_url}/health").endswith(" 200")
    assert name in flows(server)
    assert page.evaluate(SOCKET % json.dumps(f"{server.api_url.replace('http', 'ws')}/events/in")) == "open"
    page.open(f"{base}/v2/flows" if host == "localhost" else f"{base}/flows")
    wait_until(lambda: name in page.evaluate("document.body.innerText") or None)
