"""Class names find their noun senses, whatever their spelling, and `wn` is left as it was found."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from wn import _db
from wn._config import config

from coder_core.wordnet.lexicon import DEFAULT_LEXICON, LexiconError, open_lexicon


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
