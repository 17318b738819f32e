"""An installed WordNet lexicon, opened for as long as a `with` block lasts. Imported only where it is needed.

`wn` keeps its data directory and its database connections in module globals, and a connection belongs to the thread
that opened it. So here one thread at a time gets `wn` for itself, with its own directory and no connection, and
afterwards everything is as it was. What is looked up is plain data and outlives the block. The connections are private
to `wn` 1.1 (it has no public way to close one), which is why its minor version is pinned.
"""

import shlex
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import wn
from wn import _db
from wn._config import config
from wn.morphy import Morphy

from coder_core.classes import display_name
from coder_core.wordnet.synonyms import DEFAULT_LEXICON, LexiconError, NounSense

__all__ = ["NounLexicon", "open_lexicon"]

_NOUN = "n"
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_INACCESSIBLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR)
_alone = threading.Lock()
_singular = Morphy()


class NounLexicon:
    """The nouns of an open lexicon; made by `open_lexicon`.

    Args:
        wordnet: The lexicon, open.
        command: What installs it, for errors.
    """

    def __init__(self, wordnet: wn.Wordnet, command: str) -> None:
        self._wordnet, self._command = wordnet, command

    def senses(self, name: str) -> tuple[NounSense, ...]:
        """Find the noun senses of a class name, the most frequent first; empty when it is no noun of the lexicon.

        The first spelling that the lexicon knows counts: as it is, with blanks for hyphens or hyphens for blanks,
        without a remark in parentheses, then each of these with its last word in the singular. Case does not matter:
        "turkey" has the senses of "Turkey", too.

        Raises:
            LexiconError: The database cannot be read any more.
        """
        with _explained(self._command):
            for form in _spellings(name):
                words = self._wordnet.words(form, _NOUN)
                if found := [sense for word in words for sense in word.senses()]:
                    synsets = {synset.id: synset for synset in (sense.synset() for sense in found)}
                    return tuple(_as_sense(synset) for synset in synsets.values())
        return ()


@contextmanager
def open_lexicon(specifier: str = DEFAULT_LEXICON, *, data_directory: Path | None = None) -> Iterator[NounLexicon]:
    """Open an installed lexicon; other threads wait until it is closed.

    Args:
        specifier: Which lexicon and version, as `python -m wn lexicons` lists it.
        data_directory: Where `wn` keeps its database; default: `WN_DATA_DIR`, else `.wn_data` in the home directory.

    Raises:
        LexiconError: Nothing or another lexicon is installed there, or the database cannot be read.
    """
    directory = f"--dir {shlex.quote(str(data_directory))} " if data_directory else ""
    command = f"`python -m wn {directory}download {specifier}`"
    with _alone, _own_state():
        with _explained(command):
            if data_directory is not None:
                config.data_directory = data_directory
            installed = _installed() if config.database_path.is_file() else []
            wordnet = wn.Wordnet(specifier, expand="") if specifier in installed else None
        if wordnet is None:
            raise _not_installed(specifier, installed, command)
        yield NounLexicon(wordnet, command)


@contextmanager
def _own_state() -> Iterator[None]:
    """Give this block `wn`'s globals for itself, and put them back."""
    directory, connections = config.database_path.parent, dict(_db.pool)
    _db.pool.clear()
    try:
        yield
    finally:
        _db.clear_connections()
        _db.pool.update(connections)
        config.data_directory = directory


@contextmanager
def _explained(command: str) -> Iterator[None]:
    """Turn what `wn`, SQLite and the file system raise into one error with the remedy."""
    try:
        yield
    except wn.ConfigurationError as error:
        raise LexiconError(f"{error}.", "wordnet", "Name a directory.") from error
    except (wn.Error, sqlite3.Error, OSError) as error:
        database, reason = config.database_path, " ".join(str(error).split())
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code of an extended one
        if code in _LOCKED:
            problem = f"another program is writing to the database ({reason})."
            remedy = "Wait until its download is done, then run again."
        elif code in _INACCESSIBLE or isinstance(error, OSError):
            problem = f"the database cannot be opened ({reason})."
            remedy = "Make the file and its folder readable and writable, or name another folder in WN_DATA_DIR."
        else:
            problem = f"this is no database of the installed version of wn ({reason})."
            remedy = f"Delete it and run {command}."
        raise LexiconError(problem, str(database), remedy) from error


def _not_installed(specifier: str, installed: list[str], command: str) -> LexiconError:
    found = f"installed: {', '.join(installed)}" if installed else "none is installed"
    return LexiconError(
        f"the WordNet lexicon {specifier!r:.80} is not installed ({found}).",
        str(config.database_path.parent),
        f"Run {command}, or name an installed one." if installed else f"Run {command}.",
    )


def _installed() -> list[str]:
    _db.connect()  # raises what `wn.lexicons` would hide: a database of another version looks empty to it
    return sorted(lexicon.specifier() for lexicon in wn.lexicons())


def _as_sense(synset: wn.Synset) -> NounSense:
    lemmas = tuple(display_name(lemma) for lemma in synset.lemmas())
    return NounSense(synset.id, synset.definition() or ", ".join(lemmas), lemmas)


def _spellings(name: str) -> tuple[str, ...]:
    plain = display_name(name).encode("utf-8", "replace").decode("utf-8").casefold()  # SQLite takes no half UTF-16 pair
    bare = display_name(plain.partition("(")[0]) or plain
    written = [
        spelling
        for form in dict.fromkeys((plain, bare))
        for spelling in (form, form.replace("-", " "), form.replace(" ", "-"))
    ]
    singular = [spelling for form in written for spelling in _singular_forms(form)]
    return tuple(dict.fromkeys((*written, *singular)))


def _singular_forms(form: str) -> list[str]:
    """What a plural may be the plural of, the longest first: `buses` -> `buse`, `bus`."""
    candidates = _singular(form, _NOUN).get(_NOUN, set()) - {form}
    return sorted(candidates, key=lambda candidate: (-len(candidate), candidate))
