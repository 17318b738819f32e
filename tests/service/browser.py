"""A real browser without a window, spoken to by its own protocol (Chrome DevTools): Chromium, where it is installed."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.fixtures_deployment import wait_until

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
ANSWER_SECONDS = 60.0
"""For one answer of the browser on a busy machine."""

OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-proxy-server", "--remote-debugging-port=0"),
    # A name that an attacker binds to this machine; the browser asks no other server for it.
    "--host-resolver-rules=MAP rebound.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


class Page:
    """One tab.

    Args:
        socket: To the browser's debugger.
        session: Of the tab.
    """

    def __init__(self, socket: ClientConnection, numbers: Iterator[int]) -> None:
        self._socket, self._numbers = socket, numbers
        self.events: list[dict[str, Any]] = []
        """What the browser told of itself: of the domains that were switched on with `ask("Network.enable")`, ..."""
        self._session: str | None = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is there."""
        self.ask("Page.enable")
        self.ask("Page.navigate", url=url)
        wait_until(
            lambda: self.evaluate("document.readyState === 'complete' && location.href !== 'about:blank'") or None
        )

    def evaluate(self, script: str) -> Any:
        """What an expression of the page's own JavaScript gives; a promise is waited for."""
        found = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str, code: int = 0) -> None:
        """Press and release one key; a character, or a name such as `Tab` with its number."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        known = {"key": key, "windowsVirtualKeyCode": code or ord(key[0]), **text}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **known)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **{name: known[name] for name in known if name != "text"})

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command of the protocol, and wait for its answer."""
        number = next(self._numbers)
        session = {"sessionId": self._session} if self._session else {}
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters, **session}))
        while True:
            answer = json.loads(self._socket.recv(ANSWER_SECONDS))
            if "id" not in answer:
                self.events.append(answer)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])


@contextmanager
def browsing(folder: Path) -> Iterator[Page]:
    """Start the browser with a profile in a folder, and end it."""
    assert CHROMIUM is not None
    with (folder / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            [CHROMIUM, *OPTIONS, f"--user-data-dir={folder}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        port, path = wait_until(lambda: _debugger(folder))
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as socket:
            yield Page(socket, count(1))
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def foreign_site(folder: Path) -> Iterator[int]:
    """A server of somebody else's pages on this machine; gives its port."""
    (folder / "page.html").write_text("<!doctype html><title>elsewhere</title><body>a page of another port</body>")
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        return


def _debugger(folder: Path) -> tuple[str, str] | None:
    try:
        port, path = (folder / "DevToolsActivePort").read_text().splitlines()
    except (OSError, ValueError):
        return None
    return port, path
