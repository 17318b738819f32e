"""Class names find their noun senses, whatever their spelling, and `wn` is left as it was found."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import pytest
from wn import _db
from wn._config import config

from coder_core.wordnet.lexicon import open_lexicon
from coder_core.wordnet.synonyms import DEFAULT_LEXICON, LexiconError


@pytest.mark.parametrize(
    ("name", "synsets"),
    [
        ("crane", ["bird-n", "machine-n"]),
        ("CRANE", ["bird-n", "machine-n"]),
        ("great_white-shark", ["shark-n"]),
        ("Great  White Sharks", ["shark-n"]),
        ("man eater", ["shark-n"]),
        ("Leopards", ["cat-n"]),
        ("buses", ["bus-n"]),
        ("Geese", ["goose-n"]),
        ("turkey", ["fowl-n", "country-n"]),
        ("Turkey", ["fowl-n", "country-n"]),
        ("t-shirt", ["shirt-n"]),
        ("t shirts", ["shirt-n"]),
        ("kite (bird of prey)", ["kite-n", "toy-n"]),
        ("cafe", ["cafe-n"]),
        ("stretch out", []),
        ("xylograph", []),
        ("(", []),
        ("'; DROP TABLE lexicons; --", []),
        ("c*", []),
    ],
)
def test_a_name_finds_its_noun_senses(lexicon_directory, name, synsets):
    with open_lexicon("tiny:1.0", data_directory=lexicon_directory) as nouns:
        assert sorted(sense.synset_id.removeprefix("tiny-") for sense in nouns.senses(name)) == sorted(synsets)


def test_a_sense_has_its_lemmas_in_order_and_without_underscores(lexicon_directory):
    with open_lexicon("tiny:1.0", data_directory=lexicon_directory) as nouns:
        assert nouns.senses("derrick")[0].lemmas == ("crane", "derrick", "hoist & winch")
        assert nouns.senses("leopard")[0].lemmas == ("leopard", "Panthera pardus")
        assert nouns.senses("gizmo")[0].definition == "thingummy, gizmo"


def test_a_missing_lexicon_is_one_clear_error_that_says_what_to_type(lexicon_directory, tmp_path):
    with (
        pytest.raises(LexiconError, match=r"'oewn:2024' is not installed \(none is installed\)") as caught,
        open_lexicon(data_directory=tmp_path / "empty"),
    ):
        pass
    assert f"`python -m wn --dir {tmp_path / 'empty'} download oewn:2024`" in str(caught.value)
    assert not (tmp_path / "empty").exists()
    with (
        pytest.raises(LexiconError, match=r"installed: tiny:1\.0.*or name an installed one"),
        open_lexicon(data_directory=lexicon_directory),
    ):
        pass


def test_a_damaged_database_is_one_clear_error(tmp_path):
    (tmp_path / "wn.db").write_bytes(b"this is no database" * 100)
    with (
        pytest.raises(LexiconError, match="no database of the installed version"),
        open_lexicon(data_directory=tmp_path),
    ):
        pass
    (tmp_path / "wn.db").unlink()
    sqlite3.connect(tmp_path / "wn.db").execute("CREATE TABLE lexicons (id)").connection.close()
    with (
        pytest.raises(LexiconError, match="no database of the installed version"),
        open_lexicon(data_directory=tmp_path),
    ):
        pass
    with pytest.raises(LexiconError, match="not a directory"), open_lexicon(data_directory=tmp_path / "wn.db"):
        pass


def test_a_locked_database_is_an_error_that_says_to_wait(lexicon_directory, tmp_path, monkeypatch):
    copy = tmp_path / "wn.db"
    copy.write_bytes((lexicon_directory / "wn.db").read_bytes())
    monkeypatch.setattr(_db.sqlite3, "connect", partial(sqlite3.connect, timeout=0.1))
    with closing(sqlite3.connect(copy, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LexiconError) as caught, open_lexicon("tiny:1.0", data_directory=tmp_path):
            pass
    problem = "another program is writing to the database (database is locked)."
    assert str(caught.value) == f"{copy}: {problem} Wait until its download is done, then run again."
    with open_lexicon("tiny:1.0", data_directory=tmp_path) as nouns:
        assert nouns.senses("bus")


def test_a_database_that_gets_locked_while_it_is_read_is_one_error_too(lexicon_directory, tmp_path, monkeypatch):
    copy = tmp_path / "wn.db"
    copy.write_bytes((lexicon_directory / "wn.db").read_bytes())
    monkeypatch.setattr(_db.sqlite3, "connect", partial(sqlite3.connect, timeout=0.1))
    with open_lexicon("tiny:1.0", data_directory=tmp_path) as nouns, closing(sqlite3.connect(copy)) as writer:
        writer.isolation_level = None
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LexiconError, match="another program is writing"):
            nouns.senses("bus")


def test_a_database_that_cannot_be_opened_is_an_error_that_says_what_to_change(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied", str(tmp_path / "wn.db"))

    (tmp_path / "wn.db").touch()
    connect = sqlite3.connect
    monkeypatch.setattr(_db.sqlite3, "connect", lambda *_args, **_options: connect(tmp_path))  # no file but a folder
    with pytest.raises(LexiconError, match=r"cannot be opened \(unable to open.*readable and writable.*WN_DATA_DIR"):
        open_lexicon("tiny:1.0", data_directory=tmp_path).__enter__()
    monkeypatch.setattr(_db.sqlite3, "connect", refuse)
    with pytest.raises(LexiconError, match=r"cannot be opened \(\[Errno 13\]"):
        open_lexicon("tiny:1.0", data_directory=tmp_path).__enter__()
    assert _db.pool == {}


def test_half_a_utf16_pair_is_no_noun(lexicon_directory):
    with open_lexicon("tiny:1.0", data_directory=lexicon_directory) as nouns:
        assert nouns.senses("bus\ud800") == ()


def test_nothing_global_is_left_behind(lexicon_directory, tmp_path):
    before = config.database_path
    connection = sqlite3.connect(":memory:")
    _db.pool[tmp_path / "of somebody else"] = connection
    try:
        with open_lexicon("tiny:1.0", data_directory=lexicon_directory) as nouns:
            assert nouns.senses("crane")
            assert config.database_path == lexicon_directory / "wn.db"
        assert _db.pool == {tmp_path / "of somebody else": connection}
        assert connection.execute("SELECT 1").fetchone() == (1,)  # still open
        assert config.database_path == before
        assert config.allow_multithreading is False
    finally:
        _db.clear_connections()


def test_threads_take_turns_and_a_failure_hands_on(lexicon_directory):
    def look_up(number):
        name = "crane" if number % 3 else "xylograph"
        with open_lexicon("tiny:1.0", data_directory=lexicon_directory) as nouns:
            if number % 5 == 0:
                raise KeyError(name)
            return len(nouns.senses(name))

    def attempt(number):
        try:
            return look_up(number)
        except KeyError:
            return None

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(attempt, range(20)))
    assert found == [None if n % 5 == 0 else (2 if n % 3 else 0) for n in range(20)]
    assert _db.pool == {}


def test_the_command_in_the_error_is_one_that_wn_knows(tmp_path):
    command = [sys.executable, "-m", "wn", "--dir", str(tmp_path / "new"), "download"]
    assert b"target" in subprocess.run([*command, "--help"], check=True, capture_output=True).stdout
    assert DEFAULT_LEXICON.partition(":")[2] in config.index["oewn"]["versions"]
