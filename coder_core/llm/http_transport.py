"""The way of one HTTP request: which address, through which proxy, how much may come back, and no further.

Completions go through aiohttp as they are, which sends 1,000 a second; openai's client, for files and batches, is given
this transport in place of its own. A server is not to be trusted with our memory: 3 kB of doubly compressed zeros are
4.5 GB. Bytes are counted as they come and as they are decompressed; a redirect is followed on the same server only, for
the API key goes with it.
"""

import ipaddress
import os
import ssl
import urllib.request
import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import aiohttp
import httpx2

from coder_core.errors import ConfigError
from coder_core.llm.faults import Fault, Problem, bounded
from coder_core.sealing import SealedAddressError, open_sealed
from coder_core.storage.addresses import redact

__all__ = [
    "AiohttpTransport",
    "RawReply",
    "RefusedReplyError",
    "ReplyLimits",
    "ServerAddress",
    "connect_problem",
    "find_proxy",
    "parse_server_address",
]

MAX_REDIRECTS = 3
CONNECT_SECONDS = 10.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD = frozenset({307, 308})
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_RAW_DEFLATE = -15
_CHAT_PATH = "/chat/completions"
_ADDRESS = "OPENAI_BASE_URL (or CODER_LLM_BASE_URL)"
_LOCAL_SUFFIXES = (".local", ".lan", ".internal", ".localhost")


class RefusedReplyError(httpx2.TransportError):
    """A reply that is not taken: too large, or somebody else's."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(fault, detail)


class RawReply(NamedTuple):
    """What came back: the status, the headers as they were sent, and the body without its compression."""

    status: int
    headers: Iterable[tuple[bytes, bytes]]
    content: bytes


class ReplyLimits(NamedTuple):
    """What one reply may have.

    Args:
        bytes_sent: On the line.
        bytes_decoded: After decompression.
        encodings: Compressions on top of each other.
        names: What these limits are called in the settings, in this order.
    """

    bytes_sent: int
    bytes_decoded: int
    encodings: int = 1
    names: tuple[str, str, str] = ("max_reply_bytes", "max_decoded_bytes", "max_encodings")


class ServerAddress(NamedTuple):
    """Where a server is.

    Args:
        url: Scheme, host and path, without user and without a slash at the end.
        query: With its question mark; some gateways want one (`?api-version=...`).
        user: User and password of the address, joined by a colon; empty when it names none.
    """

    url: str
    query: str = ""
    user: str = ""

    def join(self, path: str) -> str:
        """The address of a path below the server's."""
        path, _, query = path.partition("?")
        queries = "&".join(part for part in (self.query.removeprefix("?"), query) if part)
        return f"{self.url}{path}" + (f"?{queries}" if queries else "")


def parse_server_address(given: str) -> ServerAddress:
    """Read the address of a server as people write it: without a scheme, without `/v1`, with `/chat/completions`.

    Raises:
        ConfigError: It is none.
    """
    try:
        text = open_sealed(given).strip().strip("\"'<>").strip()
    except SealedAddressError as error:
        raise ConfigError(f"{error}.", _ADDRESS, "Set it where the model is asked from.") from error
    whole = text if "://" in text else f"{_likely_scheme(text)}://{text}"
    try:
        parts = urlsplit(whole)
        port = f":{parts.port}" if parts.port is not None else ""
        host = parts.hostname or ""
        host.encode("idna" if ":" not in host else "ascii")
    except ValueError:
        raise _no_address(given) from None
    is_odd = not text.isprintable() or any(sign.isspace() for sign in text)
    if parts.scheme.lower() not in {"http", "https"} or not host or is_odd:
        raise _no_address(given)
    path = parts.path.rstrip("/").removesuffix(_CHAT_PATH).removesuffix("/completions").rstrip("/")
    host = f"[{host}]" if ":" in host else host
    return ServerAddress(
        f"{parts.scheme.lower()}://{host}{port}{path or '/v1'}",
        f"?{parts.query}" if parts.query else "",
        ":".join(unquote(part) for part in (parts.username, parts.password) if part is not None),
    )


def find_proxy(url: str) -> str | None:
    """Find the proxy that the environment names for a server; one on this machine is asked directly.

    Raises:
        ConfigError: It names one that cannot be used.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    name = next((name for name in (parts.scheme, "all") if proxies.get(name)), None)
    return None if name is None else _checked_proxy(f"{name.upper()}_PROXY", proxies[name])


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """Sends requests of one event loop through aiohttp.

    Args:
        concurrency: So many connections are kept.
        limits: What a reply may have.
        proxy: The proxy's URL; None for none.
    """

    def __init__(self, *, concurrency: int, limits: ReplyLimits, proxy: str | None) -> None:
        self._concurrency = concurrency
        self._limits = limits
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def send(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> RawReply:
        """Send a request and read its reply whole.

        Raises:
            RefusedReplyError: The reply is too large, or leads to another server.
        """
        for _ in range(MAX_REDIRECTS + 1):
            async with self._open_session(url).request(
                method, url, headers=headers, data=content or None, allow_redirects=False, proxy=self._proxy
            ) as reply:
                target = reply.headers.get("location") if reply.status in _REDIRECTS else None
                if target is None:
                    return RawReply(reply.status, reply.raw_headers, await self._read(reply))
                url = _followed(url, target, reply.status, method)
        raise RefusedReplyError(Fault.FATAL, f"the server redirects more than {MAX_REDIRECTS} times.")

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request of openai's client."""
        content = await request.aread()
        reply = await self.send(request.method, str(request.url), request.headers, content)
        headers = [(name, value) for name, value in reply.headers if name.lower() not in _BODY_HEADERS]
        return httpx2.Response(reply.status, headers=headers, content=reply.content, request=request)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open_session(self, url: str) -> aiohttp.ClientSession:
        if self._session is None:
            verified: ssl.SSLContext | bool = httpx2.create_ssl_context() if url.startswith("https") else True
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._concurrency, ssl=verified),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def _read(self, reply: aiohttp.ClientResponse) -> bytes:
        limits, names = self._limits, self._limits.names
        found = ",".join(reply.headers.getall("content-encoding", [])).lower().split(",")
        encodings = [name.strip() for name in found if name.strip() not in {"", "identity"}]
        if len(encodings) > limits.encodings:
            detail = f"the reply is compressed {len(encodings)} times, more than {names[2]} {limits.encodings}."
            raise RefusedReplyError(Fault.TOO_LONG, detail)
        content = bytearray()
        async for chunk in reply.content.iter_any():
            content += chunk
            if len(content) > limits.bytes_sent:
                raise RefusedReplyError(Fault.TOO_LONG, f"the reply has more than {names[0]} {limits.bytes_sent}.")
        for encoding in reversed(encodings):
            content = _decompress(content, encoding, limits)
        return bytes(content)


_BODY_HEADERS = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


def _decompress(content: bytearray, encoding: str, limits: ReplyLimits) -> bytearray:
    """Take one compression off, and stop as soon as more comes out than may."""
    if encoding not in _WINDOW_BITS:
        raise RefusedReplyError(Fault.NOT_A_COMPLETION, f"nobody asked for the encoding {bounded(encoding, 40)!r}.")
    try:
        return _inflate(content, _WINDOW_BITS[encoding], limits)
    except zlib.error:
        pass
    try:
        if encoding == "deflate":  # some servers leave the frame out
            return _inflate(content, _RAW_DEFLATE, limits)
    except zlib.error:
        pass
    raise RefusedReplyError(Fault.NOT_A_COMPLETION, f"the reply is no {encoding}.")


def _inflate(content: bytearray, window_bits: int, limits: ReplyLimits) -> bytearray:
    inflated = bytearray()
    rest = bytes(content)
    while rest:  # gzip may come in several members
        decompressor = zlib.decompressobj(window_bits)
        inflated += decompressor.decompress(rest, limits.bytes_decoded + 1 - len(inflated))
        if len(inflated) > limits.bytes_decoded:
            detail = f"the reply, decompressed, has more than {limits.names[1]} {limits.bytes_decoded}."
            raise RefusedReplyError(Fault.TOO_LONG, detail)
        if not decompressor.eof:
            raise zlib.error("it ends too early")
        rest = decompressor.unused_data
    return inflated


def _followed(url: str, target: str, status: int, method: str) -> str:
    """The address that a redirect leads to, on the same server."""
    try:
        new = urljoin(url, target)
        is_same_server = _origin(urlsplit(new)) == _origin(urlsplit(url))
    except ValueError:
        new, is_same_server = target, False
    if is_same_server and (method == "GET" or status in _SAME_METHOD):
        return new
    where = bounded(redact(new), 120)
    raise RefusedReplyError(Fault.FATAL, f"HTTP {status}: the server sends us to {where}, which is not followed.")


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _likely_scheme(text: str) -> str:
    """`http` for machines of one's own, `https` for all others: the API key goes there."""
    host = text.partition("/")[0].rpartition("@")[2]
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return "http" if "." not in name or name.lower().endswith(_LOCAL_SUFFIXES) else "https"
    return "http" if address.is_private or address.is_loopback or address.is_unspecified else "https"


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost" or host.lower().rstrip(".").endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback or (mapped or address).is_unspecified


def _checked_proxy(variable: str, given: str) -> str:
    proxy = given.strip() if "://" in given else f"http://{given.strip()}"
    try:
        parts = urlsplit(proxy)
        is_usable = parts.scheme.lower() in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_usable = False
    if not is_usable or not proxy.isprintable() or " " in proxy:
        raise ConfigError(
            f"{bounded(redact(proxy), 80)!r} is no proxy that can be used.",
            variable,
            "Give an http:// one, unset the variable, or name the server in NO_PROXY.",
        )
    return proxy


def _no_address(given: str) -> ConfigError:
    return ConfigError(f"{bounded(redact(given), 120)!r} is not an address.", _ADDRESS, "Write http://host:8000/v1.")


def connect_problem(error: BaseException) -> Problem | None:
    """Say why there is no connection; None when the error is another one. Holds nothing of the request."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return Problem(Fault.UNREACHABLE, f"the proxy answers HTTP {error.status}.")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Problem(Fault.UNREACHABLE, f"no connection within {CONNECT_SECONDS:.0f} s.")
    if not isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL | aiohttp.ClientSSLError):
        return None
    cause = getattr(error, "os_error", error)
    number = getattr(cause, "errno", None)
    reason = os.strerror(number) if isinstance(number, int) and number > 0 else type(cause).__name__
    who = "the proxy" if isinstance(error, aiohttp.ClientProxyConnectionError) else "the server"
    return Problem(Fault.UNREACHABLE, f"{who} cannot be reached: {reason}.")
