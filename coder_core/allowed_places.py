"""What a run of a server may read: whoever may start a run there may not thereby read every file of its machine.

On the command line the person who types may read what the person may read. A server's runs get their parameters from
whoever reaches its API: configs and texts have to lie below allowed places, and nothing is fetched from another server.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from coder_core.class_source.settings import ClassFile, ClassFolder, ClassQuery
from coder_core.errors import ConfigError
from coder_core.locations import is_url, open_location
from coder_core.redaction import redact
from coder_core.sealing import unseal
from coder_core.specs import EvalSpec, ManifestDataset, Runtime, TextsSpec
from coder_core.storage.addresses import parse_address

VARIABLE = "CODER_ALLOWED_ROOTS"
_REMEDY = (
    f"Put it there, or name its folder or URL in {VARIABLE} where the worker runs (`{os.pathsep}` between several)."
)
_FETCHED = frozenset({"http", "https", "ftp", "sftp", "ssh", "smb", "webdav", "git", "github"})
"""Protocols that ask whatever machine the address names; a bucket is asked for with the worker's own credentials."""


def allowed_roots(folder: str, store: str) -> tuple[str, ...]:
    """The places below which configs and texts may lie.

    Args:
        folder: The deployment's.
        store: The worker's.

    Returns:
        Those that `CODER_ALLOWED_ROOTS` names, or both of these where it names none; paths and URLs.
    """
    return _split_roots(os.environ.get(VARIABLE, "")) or (folder, store)


def check_place(location: str, roots: tuple[str, ...], what: str) -> None:
    """Refuse a location that is not below one of some places, links followed.

    Raises:
        ConfigError: It is not; nothing of it has been read.
    """
    if is_url(location) and "://" not in location:
        return  # a part of the demonstration
    if not any(_is_below(unseal(location), root) for root in roots):
        raise ConfigError("a server's run reads it only below allowed places.", f"{what}: {redact(location)}", _REMEDY)


def is_fetched(location: str) -> bool:
    """Whether a location is asked for from whatever machine it names, also through a chain of file systems."""
    protocol, separator, _ = unseal(location).partition("://")
    return bool(separator) and ("::" in location or protocol.lower() in _FETCHED)


def check_spec_places(spec: EvalSpec, roots: tuple[str, ...]) -> None:
    """Refuse an evaluation whose texts and class lists lie elsewhere, or whose data would be fetched from a server.

    Raises:
        ConfigError: Naming the first such place.
    """
    for what, location, is_text in _locations(spec, ""):
        if is_text or is_fetched(location):
            check_place(location, roots, what)


def check_runtime_places(asked: Runtime, own: Runtime, roots: tuple[str, ...]) -> None:
    """Refuse a runtime that leads a worker elsewhere: to another store, or with its keys to another server.

    Args:
        asked: What a run was given.
        own: What the environment of the worker says.
        roots: Where else a run may go.

    Raises:
        ConfigError: Naming the first such place.
    """
    addresses = (
        ("runtime.store", asked.store, own.store),
        ("runtime.llm.base_url", asked.llm.base_url, own.llm.base_url),
        ("runtime.task_runner_address", asked.task_runner_address, own.task_runner_address),
    )
    for what, address, usual in addresses:
        if address is not None and address != usual:
            check_place(address, roots, what)


def _locations(model: BaseModel, name: str) -> Iterator[tuple[str, str, bool]]:
    """Every location of a specification: where it stands, the location, and whether its words may be shown."""
    shows_words = isinstance(model, TextsSpec | ClassFile | ClassFolder | ClassQuery | ManifestDataset)
    for field, value in model:
        place = f"{name}.{field}".removeprefix(".")
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, BaseModel):
                yield from _locations(item, place)
        if field in {"path", "root", "split_file", "bank", "edits", "database", "checkpoint"} and isinstance(
            value, str
        ):
            yield place, value, shows_words
        elif field == "tables" and isinstance(value, dict):
            yield from ((f"{place}.{table}", location, True) for table, location in value.items())


def _is_below(location: str, root: str) -> bool:
    place, allowed = parse_address(open_location(location)), parse_address(root)
    if place.protocol != allowed.protocol:
        return False
    if place.is_local:
        return Path(os.path.realpath(place.path)).is_relative_to(os.path.realpath(allowed.path))
    parts = place.path.partition("?")[0].split("/")
    folder = allowed.path.rstrip("/").split("/")
    return parts[: len(folder)] == folder and not {".", "..", "%2e%2e"} & {part.lower() for part in parts}


def _split_roots(text: str) -> tuple[str, ...]:
    """Split at colons, but not at that of a URL."""
    roots: list[str] = []
    for part in text.split(os.pathsep):
        if part.startswith("//") and roots:
            roots[-1] += f"{os.pathsep}{part}"
        elif part[:1].isdigit() and roots and "://" in roots[-1]:
            roots[-1] += f"{os.pathsep}{part}"  # a port
        elif part:
            roots.append(part)
    return tuple(roots)
