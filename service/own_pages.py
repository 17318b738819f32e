"""The door of the Prefect server: pages of other origins stay outside, and so do other names for this machine.

Prefect's API runs commands for whoever reaches it, and a browser reaches 127.0.0.1 for every page that it shows.
Prefect itself can name allowed origins (which keeps answers from foreign pages, not their requests from the server)
and ask for a token; it looks at no `Host`, so a page whose name is bound to 127.0.0.1 a moment later is the server's
own page to the browser. Here a request is refused before Prefect sees it, by three headers that a page cannot forge:
`Host` must name this machine, `Origin` the very server that is asked, and `Sec-Fetch-Site` tells requests that have no
`Origin`. Programs send neither of the last two and are not concerned.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

HOSTS_VARIABLE = "CODER_ALLOWED_HOSTS"
"""Environment: further names of this server, comma-separated, for one behind a proxy of its own."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""The names that a browser and a program on this machine use; one server, whatever it is called."""

_PORTS = {"http": 80, "https": 443}
_OWN_FETCHES = frozenset({"same-origin", "none"})
_POLICY_VIOLATION = 1008
_FRAMING = [(b"x-frame-options", b"SAMEORIGIN"), (b"content-security-policy", b"frame-ancestors 'self'")]
"""A foreign page that shows the dashboard in a frame could lead a click onto it."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def own_pages_environment(port: str) -> dict[str, str]:
    """What Prefect's server itself has against foreign pages, to be set beside this door.

    Args:
        port: Of the server.
    """
    return {
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port},http://localhost:{port}",
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
    }


class _Place(NamedTuple):
    host: str
    port: int | None


class OwnPagesOnly:
    """An ASGI application in front of another one, which answers programs and pages of its own alone.

    Args:
        app: What answers.
        hosts: Names of this server besides those of loopback, without a port.
    """

    def __init__(self, app: App, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = LOOPBACK | {host.strip().lower() for host in hosts if host.strip()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, refuse it, or hand on what is none."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        refusal = self.refusal(Headers(scope=scope), str(scope.get("method", "GET")))
        if refusal is None:
            await self._app(scope, receive, _unframed(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal})
        else:
            await PlainTextResponse(f"{refusal}\n", status_code=403)(scope, receive, send)

    def refusal(self, headers: Headers, method: str) -> str | None:
        """Why a request is not answered; None where it is.

        Args:
            headers: Of the request.
            method: Of the request; GET for a web socket.
        """
        named = headers.getlist("host")
        place = _parse_place(f"//{named[0]}") if len(named) == 1 else None
        if place is None or place.host not in self._hosts:
            return f"This server does not go by that name: use http://127.0.0.1, or set {HOSTS_VARIABLE} where it runs."
        origin = headers.get("origin")
        if origin is not None:
            return None if self._is_own(origin, place) else "Pages of other origins are not answered."
        site = headers.get("sec-fetch-site")
        if site is None or site in _OWN_FETCHES or _is_visit(headers, method):
            return None
        return "Pages of other origins are not answered."

    def _is_own(self, origin: str, place: _Place) -> bool:
        default = _PORTS.get(origin.partition(":")[0])
        found = _parse_place(origin) if default is not None else None
        if found is None or (found.port or default) != (place.port or default):
            return False
        return found.host == place.host or {found.host, place.host} <= LOOPBACK


def _is_visit(headers: Headers, method: str) -> bool:
    """Whether somebody follows a link to this server: the foreign page sees nothing of it."""
    is_page = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return is_page and method == "GET"


def _parse_place(url: str) -> _Place | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    has_more = parts.username is not None or parts.path or parts.query or parts.fragment
    return None if has_more or not parts.hostname else _Place(parts.hostname, port)


def _unframed(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *_FRAMING]}
        await send(message)

    return with_headers
