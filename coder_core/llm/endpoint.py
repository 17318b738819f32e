"""The endpoint: one HTTP call to an OpenAI-compatible server, and whatever happens as a value. The only home of openai.

The `openai` client supplies address, authentication and wire format; its own retries are off, because ours are counted
and paid. It is used through its documented `post`, which leaves the parsing to us: a proxy's HTML page or half a JSON
is then a value to judge and not a surprise, and a call costs half the time. No exception of an HTTP library leaves this
module, because such an exception holds the request and the request holds the API key; and every text that comes in is
freed from the key, because a server may well quote it.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from types import TracebackType
from typing import Any, Self

import aiohttp
import httpx2
import openai
from pydantic_core import to_json

from coder_core.errors import ConfigError
from coder_core.llm.chat_replies import KEY_VARIABLE, Reply
from coder_core.llm.faults import Fault, Problem
from coder_core.storage.addresses import redact

__all__ = ["Endpoint", "open_endpoint"]

NO_KEY = "no-key"
"""What is sent when there is no key: the client insists on one, local servers do not look at it."""
HIDDEN = "***"
OPENAI_URL = "https://api.openai.com/v1"
_PLATFORM = ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
_QUIET: dict[str, Any] = {f"X-Stainless-{name}": openai.Omit() for name in _PLATFORM}
"""The client would tell every server what machine this is; nobody needs to know, and a call gets cheaper."""
_JSON = {"Content-Type": "application/json"}
_TALKATIVE_LOGGERS = ("openai._base_client", "openai._response", "openai._legacy_response", "httpx2", "aiohttp.client")
"""Loggers that write what a server sent: the request id, the reason phrase, a body."""
_RATE_HEADERS = (b"retry-after", b"x-ratelimit-")
"""The only headers that anybody asks for."""
SECRET_CHARACTERS = 8
"""Shorter keys are stand-ins ("EMPTY", "ollama"): hiding them would tear words out of answers."""
CONNECT_SECONDS = 10.0
_LIBRARY_FAULTS = (
    openai.OpenAIError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    aiohttp.ClientError,
    OSError,
    ValueError,
    EOFError,
)
"""Everything that a hostile server has been seen to raise in the libraries below."""

_Call = Callable[[], Awaitable[httpx2.Response]]


class _HidingFilter(logging.Filter):
    """Keeps a secret out of what the libraries below log: a server may well send it back in a header."""

    def __init__(self, secret: str) -> None:
        super().__init__()
        self._secret = secret

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if self._secret in message:
            record.msg, record.args = message.replace(self._secret, HIDDEN), ()
        return True


class Endpoint:
    """One server. Use it as an asynchronous context; made by `open_endpoint`.

    Attributes:
        has_key: Whether an API key is set.
        calls: How many calls were made.
    """

    def __init__(self, client: openai.AsyncOpenAI, *, key: str, timeout_seconds: float) -> None:
        self._client = client
        self._completions_url = f"{client.base_url}chat/completions"
        self._secret = key if _is_secret(key) else ""
        self.has_key = bool(key)
        self._timeout_seconds = timeout_seconds
        self.calls = 0

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"

    @property
    def url(self) -> str:
        """The server's address, without user and password."""
        return redact(str(self._client.base_url))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def complete(self, body: Mapping[str, Any]) -> Reply:
        """Ask for a chat completion."""
        # Ready bytes and a whole address spare the client its copies: a sixth of a call's processor time.
        content = to_json(body)
        return await self.call(
            lambda: self._client.post(
                self._completions_url, cast_to=httpx2.Response, content=content, options={"headers": _JSON}
            )
        )

    async def get(self, path: str) -> Reply:
        """Read something: a batch, a list of batches, a file's content."""
        return await self.call(lambda: self._client.get(path, cast_to=httpx2.Response))

    async def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Make something: a batch."""
        return await self.call(lambda: self._client.post(path, cast_to=httpx2.Response, body=dict(body)))

    async def upload(self, name: str, content: bytes) -> Reply:
        """Upload a file for the Batch API."""
        return await self.call(
            lambda: self._client.post(
                "/files",
                cast_to=httpx2.Response,
                body={"purpose": "batch"},
                files={"file": (name, content, "application/jsonl")},
                options={"headers": {"Content-Type": "multipart/form-data"}},
            )
        )

    async def call(self, call: _Call) -> Reply:
        """Make one call within the time limit; faults come back as values."""
        self.calls += 1
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return self._read(await call())
        except openai.APIStatusError as error:
            response = error.response
        except _LIBRARY_FAULTS as error:
            return _no_answer(error)
        return self._read(response)

    def _read(self, response: httpx2.Response) -> Reply:
        raw = ((name.lower(), value) for name, value in response.headers.raw)
        headers = {
            name.decode("latin-1"): self.hide_key(value.decode("latin-1"))
            for name, value in raw
            if name.startswith(_RATE_HEADERS)
        }
        # JSON is UTF-8 by definition; a server's own idea of its charset has been seen to name no text encoding at all.
        text = response.content.decode("utf-8", "replace")
        return Reply(response.status_code, headers, self.hide_key(text))

    def hide_key(self, text: str) -> str:
        """Replace the API key wherever it stands in a text."""
        return text.replace(self._secret, HIDDEN) if self._secret else text


def open_endpoint(base_url: str | None, *, timeout_seconds: float, concurrency: int) -> Endpoint:
    """Open a server.

    Args:
        base_url: Its address; None for `OPENAI_BASE_URL`, or OpenAI where that is not set either.
        timeout_seconds: Longest time for one call.
        concurrency: Calls under way at a time: so many connections are kept.

    Raises:
        ConfigError: The API key cannot stand in an HTTP header, or the address is none.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError("the key holds signs that no key holds.", KEY_VARIABLE, "Copy it again.")
    given = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
    if not given.startswith(("http://", "https://")):
        raise ConfigError(f"{redact(given)!r} is not an address.", "OPENAI_BASE_URL", "Start it with https://.")
    http_client = openai.DefaultAioHttpClient(
        timeout=httpx2.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds)),
        limits=httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
    )
    client = openai.AsyncOpenAI(
        api_key=key or NO_KEY, base_url=given, max_retries=0, http_client=http_client, default_headers=_QUIET
    )
    if _is_secret(key):
        _hide_in_logs(key)
    return Endpoint(client, key=key, timeout_seconds=timeout_seconds)


@cache
def _hide_in_logs(secret: str) -> None:
    for name in _TALKATIVE_LOGGERS:
        logging.getLogger(name).addFilter(_HidingFilter(secret))


def _is_secret(key: str) -> bool:
    return len(key) >= SECRET_CHARACTERS and not key.isalpha()


def _no_answer(error: BaseException) -> Reply:
    """Name the class of the first cause only: a message may hold the request, and layers above mix the kinds up."""
    while error.__cause__ is not None and not isinstance(error, TimeoutError):
        error = error.__cause__
    fault = Fault.TIMEOUT if isinstance(error, TimeoutError | httpx2.TimeoutException) else Fault.CONNECTION
    return Reply(0, {}, "", Problem(fault, f"{type(error).__name__}."))
