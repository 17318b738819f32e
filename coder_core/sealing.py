"""Addresses travel sealed: without user, password and query, which only the process that was given them knows.

A config, a parameter or a setting may hold `https://user:password@host/images?token=...`. It is sealed where it comes
in (`seal`), so that no specification, key, manifest, table or page ever holds what authorises, and it is opened where
bytes are asked for (`unseal`). Nothing of it is written anywhere; processes of a cluster are handed it with their work.
"""

import threading
from typing import NamedTuple

from coder_core.redaction import STARS, URL, known_secrets, mark_of, remember_secrets, split_url


class Seals(NamedTuple):
    """What one process knows, for the processes that work for it.

    Args:
        addresses: Sealed -> as it was given.
        users: Scheme, host and port, sealed -> user and password, for what lies below an address that was given.
        secrets: What `redact` looks for.
    """

    addresses: dict[str, str]
    users: dict[str, str]
    secrets: tuple[str, ...]


_NO_SCHEME = "server"
_addresses: dict[str, str] = {}
_users: dict[str, str] = {}
_lock = threading.Lock()


class SealedAddressError(PermissionError):
    """The address was sealed by another process: who may open it is not known here."""


def seal(address: str) -> str:
    """Take out of an address what authorises, and remember it in this process.

    Args:
        address: A path, a URL, or anything else, which stays as it is.

    Returns:
        The address with stars; where that says too little to tell data apart, with a hash of what names them.
    """
    if "://" not in address or not ("@" in address or "?" in address):
        return address
    split = split_url(address)
    if not split.secrets:
        return address
    sealed = split.shown + (f"#{mark_of(split.identity)}" if split.is_ambiguous else "")
    remember_secrets(split.secrets)
    with _lock:
        _addresses[sealed] = address
        if _origin(address).rpartition("@")[2] == _origin(sealed).partition(f"{STARS}@")[2]:
            _users[_origin(sealed)] = _origin(address)
    return sealed


def seal_server(address: str) -> str:
    """Seal the address of a server, which people also write without a scheme."""
    if "://" in address:
        return seal(address)
    sealed = seal(f"{_NO_SCHEME}://{address}").removeprefix(f"{_NO_SCHEME}://")
    if sealed != address:
        with _lock:
            _addresses[sealed] = address
    return sealed


def seal_text(text: str) -> str:
    """Seal every URL that stands in a text, such as `dataset.path=https://...`."""
    return URL.sub(lambda match: seal(match[0]), text)


def unseal(address: str) -> str:
    """The address as it was given to this process; one that holds no stars, or that nobody here knows, as it is."""
    if STARS not in address:
        return address
    if (given := _addresses.get(address)) is not None:
        return given
    origin = _origin(address)
    user = _users.get(origin) if f"://{STARS}@" in address else None
    return user + address.removeprefix(origin) if user is not None else address


def open_sealed(address: str) -> str:
    """The address as it was given.

    Raises:
        SealedAddressError: This process was never given it.
    """
    given = unseal(address)
    scheme, separator, rest = given.partition("://")
    if separator and (rest.startswith(f"{STARS}@") or f"={STARS}" in rest.partition("?")[2]):
        raise SealedAddressError(f"{scheme}: user, password and query of an address are never stored: name it again.")
    return given


def seals() -> Seals:
    """All that this process knows; to be handed on in memory only."""
    with _lock:
        return Seals(dict(_addresses), dict(_users), known_secrets())


def accept_seals(given: Seals) -> None:
    """Know what another process knows."""
    with _lock:
        _addresses.update(given.addresses)
        _users.update(given.users)
    remember_secrets(given.secrets)


def _origin(address: str) -> str:
    """Scheme, user, host and port of a plain address."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}"
