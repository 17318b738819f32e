"""What a class list says, line by line, and whether it is a list that can be evaluated.

A name is data: control characters, quotes, slashes, `..` are kept as they are. Only white space and byte-order marks
around a name go, because nobody sees them, and letters are composed (a Mac may write an accent as a letter of its own).
A name that is there twice, or once more in another spelling (`Cat`, `cat`), is refused with both places: which one was
meant cannot be guessed, and two classes of one name would share every text.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from coder_core.class_source.matching import tell_apart
from coder_core.classes import ClassList, display_name, normalise_name
from coder_core.errors import InputError
from coder_core.storage.input_names import is_printable

NAME_COLUMN = "class_name"
ID_COLUMN = "class_id"


MAX_NAME_CHARACTERS = 1_000
"""What is longer is no name but a page, a list, or a file of another kind."""


class ClassEntry(NamedTuple):
    """One class as its source names it.

    Args:
        name: Without white space around it.
        stable_id: What the source calls the class whatever its name; None where it says nothing.
        place: Where in the source, for people: `line 3`, `row 2`, `folder`.
    """

    name: str
    stable_id: str | None
    place: str


def build_class_list(entries: Sequence[ClassEntry], place: str) -> ClassList:
    """Turn entries into a class list, in their order.

    Raises:
        InputError: There is no class, a name (in any spelling) or an id is there twice (both places are named), a name
            is blank, endless or no text that could be written, or some classes have an id and others none.
    """
    entries = [entry._replace(name=_clean(entry.name)) for entry in entries]
    if not entries:
        raise InputError(
            "there is no class in it: nothing could be evaluated.",
            place,
            "Name one class at least; nothing was changed.",
        )
    _refuse_no_names(entries, place)
    _refuse_repeated(((entry.name, entry.place) for entry in entries), "class", place)
    _refuse_spellings(entries, place)
    with_id = [entry for entry in entries if entry.stable_id is not None]
    if with_id and len(with_id) < len(entries):
        bare = next(entry for entry in entries if entry.stable_id is None)
        raise InputError(
            f"the class {bare.name!r} has no {ID_COLUMN}, others have.",
            f"{place}, {bare.place}",
            "Give every class an id, or none.",
        )
    _refuse_repeated(((str(entry.stable_id), entry.place) for entry in with_id), ID_COLUMN, place)
    names = tuple(entry.name for entry in entries)
    return ClassList(names, tuple(str(entry.stable_id) for entry in with_id) or None)


def _clean(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().strip("\ufeff\u200b").strip()


def _refuse_spellings(entries: Sequence[ClassEntry], place: str) -> None:
    first_of: dict[str, ClassEntry] = {}
    for entry in entries:
        first = first_of.setdefault(normalise_name(entry.name) or entry.name, entry)
        if first is not entry:
            one, other = tell_apart(first.name, entry.name)
            raise InputError(
                f"the classes {one} and {other} differ in spelling only: {first.place} and {entry.place}.",
                place,
                "Remove one, or tell them apart.",
            )


def _refuse_no_names(entries: Sequence[ClassEntry], place: str) -> None:
    for entry in entries:
        if not display_name(entry.name):
            raise InputError(
                f"the class name {entry.name!r} is blank.", f"{place}, {entry.place}", "Give the class a name."
            )
        for text in (entry.name, entry.stable_id or ""):
            if len(text) > MAX_NAME_CHARACTERS:
                problem = f"{text!r:.80}... has {len(text)} characters, more than {MAX_NAME_CHARACTERS}."
                raise InputError(problem, f"{place}, {entry.place}", "Give the class a name.")
            if not is_printable(text):
                raise InputError(f"{text!a:.200} cannot be written as UTF-8.", f"{place}, {entry.place}", "Correct it.")


def _refuse_repeated(values: Iterable[tuple[str, str]], what: str, place: str) -> None:
    first_place: dict[str, str] = {}
    for value, here in values:
        first = first_place.setdefault(value, here)
        if first != here:
            raise InputError(
                f"the {what} {value!r} is there twice: {first} and {here}.", place, "Remove one, or tell them apart."
            )
