"""The endpoint: one HTTP call to an OpenAI-compatible server, and whatever happens as a value. The only home of openai.

A completion is one POST, sent as it is: openai's client would triple what it costs us. Files and batches, of which
there are few, go through that client, which knows their paths and forms; its own retries are off, because ours are
counted. What comes back is not parsed here: a proxy's HTML page or half a JSON is a value to judge and not a surprise.
No exception of an HTTP library leaves this module, because such an exception holds the request and the request holds
the API key; and every text that comes in is freed from the key, because a server may well quote it.
"""

import asyncio
import base64
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import httpx2
from pydantic_core import to_json

from coder_core.errors import ConfigError
from coder_core.llm.chat_replies import KEY_VARIABLE, Reply
from coder_core.llm.faults import Fault, Problem
from coder_core.llm.http_transport import (
    AiohttpTransport,
    RawReply,
    RefusedReplyError,
    ReplyLimits,
    ServerAddress,
    connect_problem,
    find_proxy,
    parse_server_address,
)
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.log_redaction import hide_secrets_in
from coder_core.redaction import remember_secrets

if TYPE_CHECKING:
    import openai

__all__ = ["OPENAI_URL", "Endpoint", "open_endpoint", "server_url"]

NO_KEY = "no-key"
"""What is sent when there is no key: some servers insist on one, local ones do not look at it."""
HIDDEN = "***"
OPENAI_URL = "https://api.openai.com/v1"
_OF_ACCOUNT = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
_PLATFORM = ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
"""openai's client would tell every server what machine this is; nobody needs to know."""
_TALKATIVE_LOGGERS = ("openai._base_client", "openai._response", "openai._legacy_response", "httpx2", "aiohttp.client")
"""Loggers that write what a server sent: the request id, the reason phrase, a body."""
_RATE_HEADERS = (b"retry-after", b"x-ratelimit-")
"""The only headers that anybody asks for."""
SECRET_CHARACTERS = 8
"""Shorter keys are stand-ins ("EMPTY", "ollama"): hiding them would tear words out of answers."""
_LIBRARY_FAULTS = (httpx2.HTTPError, httpx2.InvalidURL, aiohttp.ClientError, OSError, ValueError, EOFError)
"""Everything that a hostile server has been seen to raise in the libraries below."""


class Endpoint:
    """One server. Use it as an asynchronous context; made by `open_endpoint`.

    Attributes:
        url: The server's address, without user and password.
        has_key: Whether an API key is set.
        calls: How many calls were made.
    """

    def __init__(
        self, transport: AiohttpTransport, address: ServerAddress, *, key: str, timeout_seconds: float
    ) -> None:
        self._transport = transport
        self._address = address
        self._key = key
        self._secrets = _secrets_of(key, address)
        self._timeout_seconds = timeout_seconds
        self._completions_url = address.join("/chat/completions")
        self._headers = _headers(address.user, key)
        self.url = address.url
        self.has_key = bool(key)
        self.calls = 0

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.aclose()

    async def complete(self, body: Mapping[str, Any]) -> Reply:
        """Ask for a chat completion."""
        content = to_json(body)
        return await self._call(lambda: self._transport.send("POST", self._completions_url, self._headers, content))

    async def get(self, path: str) -> Reply:
        """Read something: a batch, a list of batches, a file's content."""
        url = self._address.join(path)
        return await self._call(lambda: _through(self._client.get(url, cast_to=httpx2.Response)))

    async def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Make something: a batch."""
        url = self._address.join(path)
        return await self._call(lambda: _through(self._client.post(url, cast_to=httpx2.Response, body=dict(body))))

    async def upload(self, name: str, content: bytes) -> Reply:
        """Upload a file for the Batch API."""
        upload = self._client.post(
            self._address.join("/files"),
            cast_to=httpx2.Response,
            body={"purpose": "batch"},
            files={"file": (name, content, "application/jsonl")},
            options={"headers": {"Content-Type": "multipart/form-data"}},
        )
        return await self._call(lambda: _through(upload))

    @cached_property
    def _client(self) -> "openai.AsyncOpenAI":
        import openai

        platform: dict[str, Any] = {f"X-Stainless-{name}": openai.Omit() for name in _PLATFORM}
        return openai.AsyncOpenAI(
            api_key=self._key or NO_KEY,
            base_url=self.url,
            max_retries=0,
            http_client=httpx2.AsyncClient(transport=self._transport, timeout=self._timeout_seconds),
            default_headers=platform | {name: self._headers[name] for name in ("Authorization", "Accept-Encoding")},
        )

    async def _call(self, send: Callable[[], Awaitable[RawReply]]) -> Reply:
        """Make one call within the time limit; faults come back as values."""
        self.calls += 1
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return self._read(await send())
        except _LIBRARY_FAULTS as error:
            return Reply(0, {}, b"", _named(error, self._timeout_seconds))

    def _read(self, reply: RawReply) -> Reply:
        raw = ((name.lower(), value) for name, value in reply.headers)
        headers = {
            name.decode("latin-1"): self.hide_key(value.decode("latin-1"))
            for name, value in raw
            if name.startswith(_RATE_HEADERS)
        }
        content = reply.content
        for secret in self._secrets:
            content = content.replace(secret.encode(), HIDDEN.encode())
        return Reply(reply.status, headers, content)

    def hide_key(self, text: str) -> str:
        """Replace the API key, and what the address authorises with, wherever it stands in a text."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def server_url(runtime: LlmRuntime) -> str:
    """The address as it was given: of the runtime, of the environment, or OpenAI's."""
    return runtime.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL


def open_endpoint(runtime: LlmRuntime, *, is_for_files: bool = False) -> Endpoint:
    """Open a server.

    Args:
        runtime: Its address (None for `OPENAI_BASE_URL`, or OpenAI where that is not set either), limits and patience.
        is_for_files: Whether files of the Batch API are exchanged, which are larger and slower than answers.

    Raises:
        ConfigError: The API key cannot stand in an HTTP header, the address is none, or the proxy cannot be used.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError("the key holds signs that no key holds.", KEY_VARIABLE, "Copy it again.")
    address = parse_server_address(server_url(runtime))
    if key and address.user:
        problem = f"{address.url} is given with a user and a password, and {KEY_VARIABLE} is set: only one can be sent."
        raise ConfigError(problem, KEY_VARIABLE, "Unset it, or take the user out of the address.")
    limits = (
        ReplyLimits(runtime.max_file_bytes, runtime.max_file_bytes, runtime.max_encodings, _FILE_LIMITS)
        if is_for_files
        else ReplyLimits(runtime.max_reply_bytes, runtime.max_decoded_bytes, runtime.max_encodings)
    )
    seconds = runtime.file_timeout_seconds if is_for_files else runtime.timeout_seconds
    transport = AiohttpTransport(concurrency=runtime.concurrency, limits=limits, proxy=find_proxy(address.url))
    remember_secrets(_secrets_of(key, address))
    hide_secrets_in(*map(logging.getLogger, _TALKATIVE_LOGGERS))
    return Endpoint(transport, address, key=key, timeout_seconds=seconds)


_FILE_LIMITS = ("max_file_bytes", "max_file_bytes", "max_encodings")


def _headers(user: str, key: str) -> dict[str, str]:
    """What every call carries."""
    basic = f"Basic {base64.b64encode(user.encode()).decode()}"
    headers = {
        "Authorization": basic if user else f"Bearer {key or NO_KEY}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
    }
    return headers | {name: os.environ[variable] for name, variable in _OF_ACCOUNT.items() if os.environ.get(variable)}


async def _through(call: Awaitable[httpx2.Response]) -> RawReply:
    """Make a call of openai's client; an error status is a reply like any other."""
    import openai

    try:
        response = await call
    except openai.APIStatusError as error:
        response = error.response
    except openai.OpenAIError as error:
        raise (error.__cause__ or ValueError("the client refused")) from None
    return RawReply(response.status_code, response.headers.raw, response.content)


def _secrets_of(key: str, address: ServerAddress) -> tuple[str, ...]:
    """What a server is sent to be let in, and may send back: longest first, so that no rest of one stays."""
    password = address.user.partition(":")[2]
    basic = base64.b64encode(address.user.encode()).decode()
    asked = [part.partition("=")[2] for part in address.query.removeprefix("?").split("&")]
    found = [key, address.user, password, basic, *asked]
    return tuple(sorted((secret for secret in dict.fromkeys(found) if _is_secret(secret)), key=len, reverse=True))


def _is_secret(key: str) -> bool:
    return len(key) >= SECRET_CHARACTERS and not key.isalpha()


def _named(error: BaseException, timeout_seconds: float) -> Problem:
    """Name the first cause only: a message may hold the request, and layers above mix the kinds up."""
    while error.__cause__ is not None and not isinstance(error, TimeoutError | RefusedReplyError):
        if (problem := connect_problem(error)) is not None:
            return problem
        error = error.__cause__
    if isinstance(error, RefusedReplyError):
        return error.problem
    if (problem := connect_problem(error)) is not None:
        return problem
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return Problem(Fault.TIMEOUT, f"no whole answer within timeout_seconds {timeout_seconds:g}.")
    return Problem(Fault.CONNECTION, f"{type(error).__name__}.")
