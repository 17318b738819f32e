"""What authorises is taken out of every text that leaves: errors, logs, parameters, tables, manifests.

A secret is found in four ways, and each makes up for what the others miss: by parsing the URLs in a text (user and
password, also one that holds `@` or `/`; every value of a query), by the shapes that well-known keys have, by the names
that settings for secrets have, and by its value, where the environment or an address given to this process names it.
Nothing here reads or writes anything but memory. Addresses that have to be opened again are sealed (`sealing`).
"""

import base64
import functools
import hashlib
import json
import os
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, unquote

STARS = "***"
SECRET_CHARACTERS = 6
PLAIN_CHARACTERS = 12
"""Of a value of letters alone."""
RANDOM_CHARACTERS = 16
"""Of a query's value whose name says nothing about a secret."""
MARK_DIGITS = 16
"""Of the hash that keeps sealed addresses apart which name different data."""

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "memory", "file", "local"})
"""Their URLs have no query: `?` is a character of a name there, so only what has a secret's name counts as one."""
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s\"'<>`]+")
"""Of a longer scheme the end counts: a text without an end is searched in proportional time, here and below."""
_AUTHORISING = re.compile(
    r"(?i)signature|token|secret|credential|passw|pwd|api[_-]?key|access[_-]?key|key$|^sig$|^auth|jwt|session|policy"
    r"|^x-(amz|goog)-|^awsaccesskeyid$|^expires$|^(se|sp|sv|sr|st|spr|skoid|sktid|ske|skt|sks|skv|code)$"
)
"""Names of query values that authorise; what is called otherwise may say which data are meant."""


def _ending_in(words: Iterable[str]) -> str:
    """A pattern of a whole name that ends in one of some words; each name is looked at once."""
    return rf"(?<![\w-])[\w-]++(?:{'|'.join(f'(?<={word})' for word in words)})"


_SEPARATORS = ("", "_", "-")
_PAIRS = (("api", "key"), ("secret", "key"), ("access", "token"))
_SECRET_KEYS = [f"secret{one}access{other}key" for one in _SEPARATORS for other in _SEPARATORS]
_SETTINGS = [*(f"{first}{sign}{last}" for first, last in _PAIRS for sign in _SEPARATORS), *_SECRET_KEYS]
_NAMED_VALUE = re.compile(
    rf"(?i)({_ending_in(['signature', 'token', 'secret', 'credential', 'password', 'key', 'sig'])})=[^&\s\"'#]+"
)
_SETTING = re.compile(
    rf"(?i)([\"']?{_ending_in(['password', 'passwd', 'secret', *_SETTINGS])}[\"']?\s*+:\s*+[\"']?)([^\s\"',}}&*]+)"
)
_KEY_SHAPES = re.compile(
    r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}"
    r"|\bgithub_pat_\w{20,}|\bhf_[A-Za-z0-9]{20,}|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAIza[\w-]{30,}|\bpnu_[A-Za-z0-9]{20,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*-----|$)"
    r"|(?<=Bearer )(?!no-key\b)[\w.~+/=-]{8,}|(?<=Basic )[A-Za-z0-9+/=]{8,}"
)
_SECRET_VARIABLE = re.compile(
    r"(?i)secret|token(?!s|izer)|passw|api_?key|access_?key|auth_string|credential|private_?key"
)
_FILE_VARIABLE = re.compile(r"(?i)(file|path|dir|credentials)$")
_URL_VARIABLE = re.compile(r"(?i)url|proxy|endpoint|uri|dsn|store")

_MARK = re.compile(rf"({re.escape(STARS)}.*)#[0-9a-f]{{{MARK_DIGITS}}}$")

_known: dict[str, None] = {}
"""Secrets of addresses that this process was given, in all their spellings; of a dictionary, for its order."""


class SplitUrl(NamedTuple):
    """A URL without what authorises.

    Args:
        shown: With stars in the place of user, password and every value of the query.
        identity: What names the data: without user, password and values that authorise.
        is_ambiguous: Whether other data may be shown alike.
        secrets: What was taken out and authorises: user and password, values.
    """

    shown: str
    identity: str
    is_ambiguous: bool
    secrets: tuple[str, ...]


def redact(text: str) -> str:
    """Replace everything that authorises by stars."""
    return _redact(text, (*_known, *_environment_secrets()))


def redact_all(texts: Iterable[str]) -> list[str]:
    """As `redact`, of many texts: the environment is read once."""
    secrets = (*_known, *_environment_secrets())
    return [_redact(text, secrets) for text in texts]


def _redact(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, STARS)
    if "://" in text:
        text = URL.sub(lambda match: split_url(match[0]).shown, text)
    text = _SETTING.sub(lambda match: f"{match[1]}{STARS}" if is_telling(match[2]) else match[0], text)
    return _KEY_SHAPES.sub(STARS, _NAMED_VALUE.sub(rf"\1={STARS}", text))


def redact_value(value: object) -> object:
    """Redact every text in a value of lists and mappings; what has a secret's name is taken out whole."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {
            name: STARS if isinstance(item, str) and item and _is_secret_name(str(name)) else redact_value(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact_value(item) for item in value]
    return value


def redact_error(error: BaseException) -> None:
    """Redact the words of an exception, and of those that led to it; its class stays what it is."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        found = pending.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        found.args = tuple(redact(arg) if isinstance(arg, str) else arg for arg in found.args)
        if isinstance(found, OSError):
            for name in ("filename", "filename2", "strerror"):
                if isinstance(text := getattr(found, name, None), str):
                    setattr(found, name, redact(text))
        pending += [found.__cause__, found.__context__]


def split_url(url: str) -> SplitUrl:
    """Take user, password and the values of the query out of a URL; an object store has no query.

    A password ends at the last `@`: by the standard it holds no `@`, `/` or `?`, and people write them all the same. An
    `@` of the path alone is no user. Where the host of an odd address begins, nobody knows: all of it names the data.
    """
    scheme, _, rest = url.partition("://")
    user, rest = _split_user(rest)
    place, mark, query = rest.partition("?")
    is_odd = re.search(r"[/@?#]", user) is not None
    has_query = scheme.lower() not in _OBJECT_STORES
    pieces = [_Piece(piece, every=has_query) for piece in query.split("&")] if mark else []
    naming = [piece for piece in pieces if not (has_query and piece.authorises)]
    kept = "&".join(piece.text for piece in naming)
    secrets = [*_of_user(user), *(part for piece in pieces if piece.is_hidden for part in piece.searched)]
    return SplitUrl(
        shown=f"{scheme}://{f'{STARS}@' if user else ''}{place}{mark}{'&'.join(piece.shown for piece in pieces)}",
        identity=f"{scheme}://{f'{user}@' if is_odd else ''}{place}" + (f"?{kept}" if kept else ""),
        is_ambiguous=is_odd or any(piece.is_hidden for piece in naming),
        secrets=tuple(dict.fromkeys(secrets)),
    )


def mark_of(identity: str) -> str:
    """A short hash of what names the data."""
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:MARK_DIGITS]


def unmarked(sealed: str) -> str:
    """A sealed address as people read it: without the hash at its end."""
    return _MARK.sub(r"\1", sealed)


def remember_secrets(secrets: tuple[str, ...]) -> None:
    """Let `redact` find these values wherever they stand, however they are written; words that are too plain, not."""
    for secret in sorted(secrets, key=len, reverse=True):
        if is_telling(secret):
            _known.update(dict.fromkeys(_spellings(secret)))


def is_telling(value: str) -> bool:
    """Whether a value can be searched for: `test` or `ollama` would be found in ordinary words."""
    if value.isalpha():
        return len(value) >= PLAIN_CHARACTERS
    return len(value) >= SECRET_CHARACTERS and re.fullmatch(r"[\d.:-]*|true|false", value) is None


def known_secrets() -> tuple[str, ...]:
    """What this process was given, for the processes that work for it."""
    return tuple(_known)


def _split_user(rest: str) -> tuple[str, str]:
    """User information, and what follows it, of what stands behind `://`."""
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if re.fullmatch(r"\[[^\]@]*\](:\d*)?|[^:@]*(:\d*)?", authority):
        return "", rest
    place = rest.partition("?")[0]
    scope = place if "@" in place else rest
    if "@" not in scope:
        return "", rest
    return rest[: scope.rfind("@")], rest[scope.rfind("@") + 1 :]


class _Piece:
    """One `name=value` of a query."""

    def __init__(self, text: str, *, every: bool) -> None:
        name, sign, self.value = text.partition("=")
        self.text = text
        self.authorises = bool(sign) and _is_secret_name(name)
        self.is_hidden = bool(self.value) and not self.value.startswith(STARS) and (every or self.authorises)
        self.shown = f"{name}={STARS}" if self.is_hidden else text

    @property
    def searched(self) -> list[str]:
        """What is searched for by its value: a short one that says which data are meant would hide ordinary words."""
        return _pieces(self.value) if self.authorises or len(self.value) >= RANDOM_CHARACTERS else [""]


def _of_user(user: str) -> list[str]:
    """User information as a whole, the password, and its pieces; a user's name alone is searched for nowhere."""
    if not user or user.startswith(STARS):
        return []
    password = user.partition(":")[2] or user
    return [user, *_pieces(password)]


def _pieces(secret: str) -> list[str]:
    """A secret, and the pieces that a library makes of it where it takes an odd address apart elsewhere."""
    return [secret, *re.split("[/@?#]", secret), *re.split("[/@?#]", unquote(secret))]


def _is_secret_name(name: str) -> bool:
    return _AUTHORISING.search(unquote(name)) is not None


def _spellings(secret: str) -> list[str]:
    """A secret as texts hold it: as it is, percent-encoded, decoded, in JSON, and as the header of a request."""
    found = [secret, unquote(secret), quote(unquote(secret), safe=""), quote(unquote(secret))]
    found += [json.dumps(secret)[1:-1], repr(secret)[1:-1]]
    if ":" in secret:
        found.append(base64.b64encode(unquote(secret).encode("utf-8", "surrogateescape")).decode())
    return list(dict.fromkeys(found))


def _environment_secrets() -> tuple[str, ...]:
    named = tuple((name, value) for name, value in os.environ.items() if _counts(name))
    return _secrets_of(named)


@functools.lru_cache(maxsize=1024)
def _counts(name: str) -> bool:
    return bool(_SECRET_VARIABLE.search(name) or _URL_VARIABLE.search(name))


@functools.lru_cache(maxsize=64)
def _secrets_of(variables: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """The secrets that the environment names, longest first, so that none is cut by a shorter one."""
    found: list[str] = []
    for name, value in variables:
        if "://" in value:
            found += split_url(value.strip()).secrets
        elif _SECRET_VARIABLE.search(name) and not _FILE_VARIABLE.search(name):
            found.append(value.strip())
    spellings = [spelling for secret in found if is_telling(secret) for spelling in _spellings(secret)]
    return tuple(sorted(dict.fromkeys(spellings), key=len, reverse=True))
