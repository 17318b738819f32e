"""Write a text bank to a file that people edit and `parse_text_bank` reads back: `coder-text-bank/1` in YAML.

The file is for people, so it is in block style with one phrase a line, names as the class list spells them, and the
most frequent source said once at the top; a phrase from elsewhere carries its own. What is written is the bank in its
canonical form: phrases cleaned, those that differ in case only once, pairs without phrases left out. Reading that back
gives the same bank, phrase by phrase and source by source.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from coder_core.classes import ClassList
from coder_core.errors import TextBankError
from coder_core.texts.bank import TextBank
from coder_core.texts.bank_schema import FORMAT
from coder_core.texts.phrases import DEFAULT_SOURCE, source_of
from coder_core.texts.slots import CLASS_SLOT_KINDS, canonical_bank

__all__ = ["class_reference", "dump_yaml", "write_text_bank"]

Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""libyaml's emitter where it was built in: 9 times faster on a bank of 14,000 phrases."""

LINE_WIDTH = 2**30
"""Never fold a line: a folded phrase is hard to edit."""


def write_text_bank(bank: TextBank, classes: ClassList) -> str:
    """Write a bank as YAML.

    Args:
        bank: The phrases.
        classes: The class list that the bank speaks of.

    Returns:
        The file's content. Equal banks give equal files.

    Raises:
        TextBankError: The bank has not as many classes as the list, or a text holds half a UTF-16 pair, which no
            file can.
    """
    if len(bank.classes) != len(classes):
        raise TextBankError(
            f"the bank has {len(bank.classes)} classes, the class list {len(classes)}.",
            "text bank",
            "Write the bank with the class list it was made for.",
        )
    bank = canonical_bank(bank)
    source = _most_frequent_source(bank)
    document: dict[str, Any] = {"format": FORMAT}
    if bank.domain and bank.domain.strip():
        document["domain"] = bank.domain
    if source != DEFAULT_SOURCE:
        document["source"] = source
    if _is_partial(bank):
        document["partial"] = True
    document["classes"] = [_class_entry(class_id, bank, classes, source) for class_id in range(len(classes))]
    if pairs := list(_pair_entries(bank, classes, source)):
        document["one_to_one"] = pairs
    return dump_yaml(document, "text bank")


def dump_yaml(document: Mapping[str, Any], place: str) -> str:
    """Write mappings, lists and scalars as block-style YAML, in the order given.

    Raises:
        TextBankError: A string holds half a UTF-16 pair.
    """
    plain: str = yaml.dump(
        _plain(document, place), Dumper=Dumper, allow_unicode=True, sort_keys=False, width=LINE_WIDTH
    )
    return plain


def class_reference(class_id: int, classes: ClassList, *, keys: tuple[str, str] = ("name", "id")) -> dict[str, Any]:
    """Name a class as a file does: by its name, and by its id where the name alone would not find it again."""
    name_key, id_key = keys
    name = classes.names[class_id].strip()
    return {name_key: name} if classes.ids_of(name) == (class_id,) else {name_key: name, id_key: class_id}


def _class_entry(class_id: int, bank: TextBank, classes: ClassList, source: str) -> dict[str, Any]:
    texts = bank.classes[class_id]
    lists = {key: getattr(texts, key) for key in CLASS_SLOT_KINDS.values()}
    filled = {key: _phrase_entries(phrases, source) for key, phrases in lists.items() if phrases}
    return {**class_reference(class_id, classes), **filled}


def _pair_entries(bank: TextBank, classes: ClassList, source: str) -> Iterator[dict[str, Any]]:
    for (class_id, rival_id), phrases in bank.one_to_one.items():
        yield {
            **class_reference(class_id, classes, keys=("class", "class_id")),
            **class_reference(rival_id, classes, keys=("rival", "rival_id")),
            "phrases": _phrase_entries(phrases, source),
        }


def _phrase_entries(phrases: tuple[str, ...], source: str) -> list[str | dict[str, str]]:
    return [
        phrase if _known_source(phrase) == source else {"text": phrase, "source": _known_source(phrase)}
        for phrase in phrases
    ]


def _most_frequent_source(bank: TextBank) -> str:
    """The source that most phrases have; the first in the alphabet among equals, so that a file is reproducible."""
    lists = [phrases for texts in bank.classes for phrases in vars(texts).values()]
    counts = Counter(_known_source(phrase) for phrases in (*lists, *bank.one_to_one.values()) for phrase in phrases)
    return min(counts, key=lambda source: (-counts[source], source), default=DEFAULT_SOURCE)


def _known_source(phrase: str) -> str:
    return source_of(phrase).strip() or DEFAULT_SOURCE


def _is_partial(bank: TextBank) -> bool:
    return len({bool(texts.attributes) for texts in bank.classes}) > 1


def _plain(value: Any, place: str) -> Any:
    """Turn every string into a plain one: YAML's safe emitter refuses subclasses such as `Phrase`."""
    if isinstance(value, Mapping):
        return {key: _plain(item, place) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, place) for item in value]
    return _checked(str(value), place) if isinstance(value, str) else value


def _checked(text: str, place: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TextBankError(
            f"the text {text!r} is not Unicode ({error.reason}).", place, "Correct that text."
        ) from error
    return text
