"""An installed WordNet lexicon, opened for as long as a `with` block lasts.

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
from typing import NamedTuple

import wn
from wn import _db
from wn._config import config
from wn.morphy import Morphy

from coder_core.classes import display_name
from coder_core.errors import InputError

__all__ = ["DEFAULT_LEXICON", "LexiconError", "NounLexicon", "NounSense", "open_lexicon"]

DEFAULT_LEXICON = "oewn:2024"
"""Open English WordNet, as `wn`'s own index names it."""

_NOUN = "n"
_alone = threading.Lock()
_singular = Morphy()


class LexiconError(InputError):
    """No WordNet lexicon of the name is installed, or its database cannot be read."""


class NounSense(NamedTuple):
    """One sense of a noun.

    Args:
        synset_id: The lexicon's name for the meaning.
        definition: Its definition; its lemmas where the lexicon defines it by nothing else.
        lemmas: The nouns that have this meaning, in the order of the lexicon.
    """

    synset_id: str
    definition: str
    lemmas: tuple[str, ...]


class NounLexicon:
    """The nouns of an open lexicon; made by `open_lexicon`.

    Args:
        specifier: Which lexicon, e.g. `oewn:2024`.
        wordnet: The lexicon, open.
    """

    def __init__(self, specifier: str, wordnet: wn.Wordnet) -> None:
        self.specifier = specifier
        self._wordnet = wordnet

    def senses(self, name: str) -> tuple[NounSense, ...]:
        """Find the noun senses of a class name, the most frequent first; empty when it is no noun of the lexicon.

        The first spelling that the lexicon knows counts: as it is, with blanks for hyphens or hyphens for blanks,
        without a remark in parentheses, then each of these with its last word in the singular. Case does not matter:
        "turkey" has the senses of "Turkey", too.
        """
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
    with _alone, _own_state(data_directory):
        command = f"`python -m wn {_directory_option(data_directory)}download {specifier}`"
        yield NounLexicon(specifier, _open(specifier, command))


@contextmanager
def _own_state(data_directory: Path | None) -> Iterator[None]:
    """Give this block `wn`'s globals for itself, and put them back."""
    directory, connections = config.database_path.parent, dict(_db.pool)
    _db.pool.clear()
    try:
        if data_directory is not None:
            _use_directory(data_directory)
        yield
    finally:
        _db.clear_connections()
        _db.pool.update(connections)
        config.data_directory = directory


def _use_directory(data_directory: Path) -> None:
    try:
        config.data_directory = data_directory
    except wn.ConfigurationError as error:
        raise LexiconError(f"{error}.", str(data_directory), "Name a directory.") from error


def _open(specifier: str, command: str) -> wn.Wordnet:
    database = config.database_path
    try:
        installed = _installed() if database.is_file() else []
        if specifier in installed:
            return wn.Wordnet(specifier, expand="")
    except (wn.Error, sqlite3.Error) as error:
        raise LexiconError(
            f"this is no database of the installed version of wn ({' '.join(str(error).split())}).",
            str(database),
            f"Delete it and run {command}.",
        ) from error
    found = f"installed: {', '.join(installed)}" if installed else "none is installed"
    raise LexiconError(
        f"the WordNet lexicon {specifier!r} is not installed ({found}).",
        str(database.parent),
        f"Run {command}, or name an installed one." if installed else f"Run {command}.",
    )


def _installed() -> list[str]:
    _db.connect()  # raises what `wn.lexicons` would hide: a database of another version looks empty to it
    return sorted(lexicon.specifier() for lexicon in wn.lexicons())


def _directory_option(data_directory: Path | None) -> str:
    return f"--dir {shlex.quote(str(data_directory))} " if data_directory else ""


def _as_sense(synset: wn.Synset) -> NounSense:
    lemmas = tuple(display_name(lemma) for lemma in synset.lemmas())
    return NounSense(synset.id, synset.definition() or ", ".join(lemmas), lemmas)


def _spellings(name: str) -> tuple[str, ...]:
    plain = display_name(name).casefold()
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
