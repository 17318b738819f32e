"""The two formats of published texts, parsed into one form: named lists of phrases, matched with no class yet.

*coder* (circulates with the CODER paper): `class_names`, `attribute` and `analogous_class` as lists of lists in the
order of `class_names`, `synonym` as records `{class_name, syno}`, `one_to_one` as class -> rival -> phrases.

*class_to_list* (VCD, CuPL, TIMO): `{"class name": ["description", ...]}`; of which kind its texts are, nobody but the
reader can tell.
"""

import reprlib
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from coder_core.errors import TextBankError
from coder_core.texts.bank import CLASS_FIELDS, PhraseKind
from coder_core.texts.markup import read_markup

__all__ = ["Block", "Format", "NamedPhrases", "PairPhrases", "PublishedDocument", "read_document"]

Format = Literal["coder", "class_to_list"]
_CLASS_NAMES = "class_names"
_BLOCKS = ("attribute", "analogous_class", "synonym")
_KNOWN_KEYS = frozenset({_CLASS_NAMES, "dataset", "one_to_one", *_BLOCKS})


class NamedPhrases(NamedTuple):
    """Phrases under a name, as found: an item may be anything."""

    name: str
    phrases: tuple[object, ...]


class PairPhrases(NamedTuple):
    """Phrases that tell a class from a rival, as found."""

    name: str
    rival: str
    phrases: tuple[object, ...]


class Block(NamedTuple):
    """All phrases of one kind.

    Args:
        kind: Of the phrases.
        entries: In the order of the file.
        is_ordered: Whether the file gives them as a list; the keys of a mapping have no order.
    """

    kind: PhraseKind
    entries: tuple[NamedPhrases, ...]
    is_ordered: bool


class PublishedDocument(NamedTuple):
    """A published file.

    Args:
        format: Which of the two it is.
        class_names: The class list that the file gives, in label order; None where it gives none.
        blocks: Phrases about classes.
        pairs: Phrases about ordered pairs.
        ignored_keys: Keys of the file that say nothing to this reader.
    """

    format: Format
    class_names: tuple[str, ...] | None
    blocks: tuple[Block, ...]
    pairs: tuple[PairPhrases, ...]
    ignored_keys: tuple[str, ...]


def read_document(content: str | bytes, place: str, kind: PhraseKind | None) -> PublishedDocument:
    """Parse a published file.

    Args:
        content: The file's content, JSON (or YAML).
        place: The file's name, for error messages.
        kind: What the texts of a class-to-list file are; attributes where it is None.

    Raises:
        TextBankError: Not JSON, neither of the formats, a list that cannot be in the order of `class_names`, or a kind
            for a file that names its kinds itself.
    """
    document = read_markup(content, place)
    if not isinstance(document, dict) or not document:
        raise TextBankError(
            f"expected `{_CLASS_NAMES}` with lists of texts, or texts by class name, found {type(document).__name__}.",
            place,
            "Give a file of the CODER texts, or class-to-list JSON as VCD and CuPL publish it.",
        )
    _refuse_other_keys(document, place)
    if _CLASS_NAMES not in document:
        return _read_class_to_list(document, place, kind or PhraseKind.ATTRIBUTE)
    if kind is not None:
        problem = f"this file has a key for every kind of text, and the kind {kind} was given."
        raise TextBankError(problem, place, "Leave the kind out; it is for class-to-list files.")
    return _read_coder(document, place)


def _read_class_to_list(document: dict[str, Any], place: str, kind: PhraseKind) -> PublishedDocument:
    if kind not in CLASS_FIELDS:
        raise TextBankError(f"{kind} texts are about pairs.", place, f"Kinds are: {', '.join(CLASS_FIELDS)}.")
    for key, phrases in document.items():
        if isinstance(phrases, dict) or (isinstance(phrases, list) and phrases and isinstance(phrases[0], list | dict)):
            raise TextBankError(
                f"expected a list of texts, found a {type(phrases).__name__} of other things.",
                f"{place}: {_shown(key)}",
                f"A file of the CODER texts needs `{_CLASS_NAMES}`; class-to-list JSON holds texts only.",
            )
    block = Block(kind, _by_name(document, place), is_ordered=False)
    return PublishedDocument("class_to_list", None, (block,), (), ())


def _read_coder(document: dict[str, Any], place: str) -> PublishedDocument:
    class_names = _read_class_names(document[_CLASS_NAMES], f"{place}: {_CLASS_NAMES}")
    blocks = tuple(
        _read_block(PhraseKind(key), document[key], class_names, f"{place}: {key}")
        for key in _BLOCKS
        if document.get(key) is not None
    )
    pairs = _read_pairs(document.get("one_to_one") or {}, f"{place}: one_to_one")
    return PublishedDocument("coder", class_names, blocks, pairs, tuple(sorted(document.keys() - _KNOWN_KEYS)))


def _read_class_names(names: Any, place: str) -> tuple[str, ...]:
    if not isinstance(names, list) or not names:
        raise _unexpected("a list of class names", names, place)
    for position, name in enumerate(names):
        if not isinstance(name, str):
            raise _unexpected("a class name", name, f"{place}[{position}]")
    return tuple(names)


def _read_block(kind: PhraseKind, content: Any, class_names: tuple[str, ...], place: str) -> Block:
    if isinstance(content, dict):
        return Block(kind, _by_name(content, place), is_ordered=False)
    if not isinstance(content, list):
        raise _unexpected("a list with one list per class", content, place)
    if content and all(isinstance(record, dict) for record in content):
        records = [_read_record(record, f"{place}[{at}]") for at, record in enumerate(content)]
        return Block(kind, tuple(records), is_ordered=True)
    if len(content) != len(class_names):
        raise TextBankError(
            f"{len(content)} lists for {len(class_names)} class names cannot be in their order.",
            place,
            f"Give one list per name of `{_CLASS_NAMES}`, an empty one where there is nothing to write.",
        )
    named = zip(class_names, content, strict=True)
    entries = tuple(NamedPhrases(name, _phrases(texts, f"{place}[{at}]")) for at, (name, texts) in enumerate(named))
    return Block(kind, entries, is_ordered=True)


def _read_record(record: dict[str, Any], place: str) -> NamedPhrases:
    name = record.get("class_name")
    if not isinstance(name, str):
        raise _unexpected("a record {class_name, syno}", record, place)
    return NamedPhrases(name, _phrases(record.get("syno"), f"{place}.syno"))


def _read_pairs(content: Any, place: str) -> tuple[PairPhrases, ...]:
    if not isinstance(content, dict):
        raise _unexpected("class -> rival -> phrases", content, place)
    _refuse_other_keys(content, place)
    pairs = []
    for name, rivals in content.items():
        here = f"{place}.{_shown(name)}"
        if not isinstance(rivals, dict):
            raise _unexpected("rival -> phrases", rivals, here)
        pairs += [PairPhrases(name, *entry) for entry in _by_name(rivals, here)]
    return tuple(pairs)


def _by_name(content: Mapping[str, Any], place: str) -> tuple[NamedPhrases, ...]:
    _refuse_other_keys(content, place)
    return tuple(NamedPhrases(name, _phrases(phrases, f"{place}.{_shown(name)}")) for name, phrases in content.items())


def _phrases(found: Any, place: str) -> tuple[object, ...]:
    """One text for a list of one, nothing for an empty list."""
    if found is None:
        return ()
    if isinstance(found, str):
        return (found,)
    if isinstance(found, list):
        return tuple(found)
    raise _unexpected("a list of texts", found, place)


def _refuse_other_keys(content: Mapping[Any, Any], place: str) -> None:
    for key in content:
        if not isinstance(key, str):
            raise _unexpected("a name as key", key, place)


def _shown(key: str) -> str:
    """A key as a part of a place, whatever signs it holds."""
    return f"{repr(key)[1:-1]:.80}"


def _unexpected(expected: str, found: object, place: str) -> TextBankError:
    return TextBankError(
        f"expected {expected}, found {type(found).__name__} {reprlib.repr(found):.80}.", place, "Correct it there."
    )
