"""A database that Prefect's server could not use is one line that names the setting, before a server is started."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from coder_core.errors import ConfigError
from service.prefect_database import VARIABLES, NamedDatabase, check_database, find_database, own_database

NAME = VARIABLES[0]
REFUSED = {
    "nonsense": "this is no database URL",
    "": "this is no database URL",
    "postgresql+asyncpg://u:hush@host:port/name": "this is no database URL",
    "nosuch://host/name": "Prefect has no driver 'nosuch'",
    "mysql://u:hush@host/name": "Prefect has no driver 'mysql'",
    "postgresql+psycopg2://u:hush@host/name": r"Prefect has no driver 'postgresql\+psycopg2'",
    "postgresql://u:hush@127.0.0.1/name": "Prefect has no driver 'postgresql'",
    "sqlite:///{folder}/prefect.db": "Prefect has no driver 'sqlite'",
    "sqlite+aiosqlite:///{folder}/none/prefect.db": "no database can be kept in this file",
    "sqlite+aiosqlite:///{folder}/words/prefect.db": "no database can be kept in this file",
    "sqlite+aiosqlite:///{folder}/words": "no database can be kept in this file",
    "sqlite+aiosqlite:///{folder}": "no database can be kept in this file",
    "postgresql+asyncpg://u:hush@127.0.0.1:{closed}/name": "this database cannot be opened",
    "postgresql+asyncpg://u:hush@nobody.invalid/name": "this database cannot be opened",
}


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("url", REFUSED)
def test_a_database_that_cannot_be_is_named_at_once(url: str, tmp_path: Path, closed_port: int) -> None:
    (tmp_path / "words").write_text("these are words, and no database at all")
    written = url.replace("{folder}", str(tmp_path)).replace("{closed}", str(closed_port))
    with pytest.raises(ConfigError, match=REFUSED[url]) as caught:
        check_database(NamedDatabase(written, NAME))
    assert caught.value.place.startswith(NAME)
    assert caught.value.remedy
    assert "hush" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["words"], "nothing is left behind"


@pytest.mark.slow
def test_who_listens_and_says_nothing_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.prefect_database.CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+asyncpg://u:p@127.0.0.1:{silent.getsockname()[1]}/name"
        with pytest.raises(ConfigError, match=r"cannot be opened \(nothing after 0 s\)"):
            check_database(NamedDatabase(url, NAME))


def test_a_database_that_is_there_or_can_be_made_is_taken(tmp_path: Path) -> None:
    own = own_database(tmp_path)
    check_database(own)
    with closing(sqlite3.connect(tmp_path / "prefect.db", isolation_level=None)) as database:
        database.execute("CREATE TABLE a (b)")
        check_database(own)
        database.execute("BEGIN EXCLUSIVE")  # a server waits for that
        check_database(own)
    check_database(NamedDatabase("sqlite+aiosqlite:///:memory:", NAME))
    check_database(NamedDatabase("sqlite+aiosqlite:///file::memory:?cache=shared&uri=true", NAME))


def test_both_names_of_the_setting_are_read() -> None:
    new, old = VARIABLES
    assert find_database({}) is None
    assert find_database({old: "a", new: ""}) == NamedDatabase("a", old)
    assert find_database({old: "a", new: "b"}) == NamedDatabase("b", new)
