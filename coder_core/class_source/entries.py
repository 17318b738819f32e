"""What a class list says, line by line, and whether it is a list that can be evaluated.

A name is data: control characters, quotes, slashes, `..` are kept as they are. Only white space around a name goes,
because nobody sees it and a folder or a label would not match. A name that is there twice is refused with both places:
which one was meant cannot be guessed, and two classes of one name would share every text.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from coder_core.classes import ClassList
from coder_core.errors import InputError

NAME_COLUMN = "class_name"
ID_COLUMN = "class_id"


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
        InputError: There is no class, a name or an id is there twice (both places are named), a name is blank, or some
            classes have an id and others none.
    """
    if not entries:
        raise InputError(
            "there is no class in it: nothing could be evaluated.",
            place,
            "Name one class at least; nothing was changed.",
        )
    _refuse_blank(entries, place)
    _refuse_repeated(((entry.name, entry.place) for entry in entries), "class", place)
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


def _refuse_blank(entries: Sequence[ClassEntry], place: str) -> None:
    for entry in entries:
        if not entry.name.replace("_", " ").strip():
            raise InputError(
                f"the class name {entry.name!r} is blank.", f"{place}, {entry.place}", "Give the class a name."
            )


def _refuse_repeated(values: Iterable[tuple[str, str]], what: str, place: str) -> None:
    first_place: dict[str, str] = {}
    for value, here in values:
        first = first_place.setdefault(value, here)
        if first != here:
            raise InputError(
                f"the {what} {value!r} is there twice: {first} and {here}.", place, "Remove one, or tell them apart."
            )
