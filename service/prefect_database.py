"""The database of a Prefect server that is about to be started: one that cannot be used is one line, at once.

Prefect would be told by its driver in the middle of starting, after 10 to 20 seconds, in words that name no setting.
"""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from coder_core.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

VARIABLES = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
"""Today's name and the former one; Prefect 3.8 looks at them in this order."""

CONNECT_SECONDS = 5.0
"""For a database to answer: Prefect's own patience (PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT)."""

_BACKENDS = frozenset({"sqlite", "postgresql"})
_REMEDY = (
    "Set sqlite+aiosqlite:////folder/prefect.db, or postgresql+asyncpg://host:5432/name with user and password before "
    "the host, or unset it."
)


class NamedDatabase(NamedTuple):
    """A database, and what named it.

    Args:
        url: In SQLAlchemy's form.
        place: A variable of the environment, or another place for people.
    """

    url: str
    place: str


def find_database(environment: Mapping[str, str]) -> NamedDatabase | None:
    """The database that an environment names; None where the server takes the file in its own folder."""
    found = ((name, environment.get(name)) for name in VARIABLES)
    return next((NamedDatabase(url, name) for name, url in found if url), None)


def own_database(home: Path) -> NamedDatabase:
    """The file that a server takes where nothing names another one."""
    return NamedDatabase(f"sqlite+aiosqlite:///{home}/prefect.db", "PREFECT_HOME")


def check_database(database: NamedDatabase) -> None:
    """Refuse a database that a server could not use; one that another program holds is left to the server.

    Args:
        database: The database; nothing is written to it.

    Raises:
        ConfigError: It is no database URL, its driver is unknown or missing, or nothing can be opened there.
    """
    url = _parse(database)
    if url.get_backend_name() == "sqlite":
        _check_file(url, database)
    else:
        _check_server(url, database)


def _parse(database: NamedDatabase) -> "URL":
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        url = make_url(database.url)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise ConfigError("this is no database URL.", database.place, _REMEDY) from error
    try:
        is_usable = url.get_backend_name() in _BACKENDS and url.get_dialect().is_async
        if is_usable:
            url.get_dialect().import_dbapi()
    except NoSuchModuleError:
        is_usable = False
    except ImportError as error:
        problem = f"the driver {url.drivername!r:.80} is not installed ({error})."
        raise ConfigError(problem, database.place, _REMEDY) from error
    if not is_usable:
        raise ConfigError(f"Prefect has no driver {url.drivername!r:.80}.", database.place, _REMEDY)
    return url


def _check_file(url: "URL", database: NamedDatabase) -> None:
    name = url.database or ":memory:"
    if name == ":memory:" or name.startswith("file:"):
        return
    path = Path(name)
    try:
        if path.exists():
            _open_file(path)
        else:
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".write-test-"):
                pass
    except (OSError, sqlite3.Error) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        problem = f"no database can be kept in this file ({why})."
        raise ConfigError(
            problem, f"{database.place}: {name}", "Name a file in a folder that can be written."
        ) from error


def _open_file(path: Path) -> None:
    if not os.access(path, os.W_OK):
        raise PermissionError(None, "it cannot be written")
    opened = sqlite3.connect(path, timeout=0.0)
    try:
        opened.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
    finally:
        opened.close()


def _check_server(url: "URL", database: NamedDatabase) -> None:
    try:
        asyncio.run(_connect(url))
    except Exception as error:  # each driver has errors of its own
        why = str(error) or f"nothing after {CONNECT_SECONDS:.0f} s"
        place = f"{database.place}: {url.render_as_string(hide_password=True)}"
        remedy = "Start it, or correct the setting, or unset it: a file is used then."
        raise ConfigError(f"this database cannot be opened ({why:.200}).", place, remedy) from error


async def _connect(url: "URL") -> None:
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine(url, poolclass=NullPool)
    async with asyncio.timeout(CONNECT_SECONDS), engine.connect():
        pass
