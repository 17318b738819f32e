"""Read and write a text bank: `coder-text-bank/1`, in YAML or JSON.

    format: coder-text-bank/1
    domain: flag                       # optional hint
    source: human                      # optional, "file" when absent
    classes:
      - name: Italy
        id: 7                          # only where the class list has the name twice
        attributes:
          - three vertical stripes of green, white and red   # in [...] its comma would need quotes
          - {text: no emblem, source: "llm:gpt-4o"}          # where the source is not the file's
        sentences: [The flag of Italy has no emblem.]        # embedded as they are
        analogous_classes: [Ireland]
        synonyms: [Il Tricolore]
    one_to_one:
      - {class: Italy, rival: Ireland, phrases: [a red stripe at the fly end]}

Classes are found by name, never by position. What could silently weaken a class is an error: a missing class, a name
that looks like a missing class's, an empty list of attributes, descriptions for some classes only (unless the file says
`partial: true`). Classes that the list does not have are left out and named in `TextBank.superfluous`, so that one bank
serves a data set and its subsets.

What is written is for people: block style, one phrase a line, the most frequent source once at the top. It is the bank
in its canonical form (phrases cleaned, those that differ in case only once, pairs without phrases left out), and
reading it back gives the same bank, phrase by phrase and source by source.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from coder_core.classes import ClassList, nearest_name, normalise_name
from coder_core.counted import counted
from coder_core.errors import TextBankError
from coder_core.texts.bank import (
    CLASS_FIELDS,
    DEFAULT_SOURCE,
    ClassPair,
    ClassTexts,
    Phrase,
    TextBank,
    canonical_bank,
    source_of,
    unique_phrases,
)
from coder_core.texts.file_records import BankEntry, BankFile, PairRecord, PhraseEntry, SourcedPhrase, read_records

NAMES_SHOWN = 5
"""How many names an error lists before it counts the rest."""
NEAREST_LIMIT = 2_000_000
"""Comparisons of names that an error or a report may spend on suggestions (10 s, measured)."""
NAME_COMPARED = 200
"""Longest name for which the nearest one is looked for: comparing takes the product of two lengths."""

_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""libyaml's emitter where it was built in: 9 times faster on a bank of 14,000 phrases."""
_LINE_WIDTH = 2**30
"""Never fold a line: a folded phrase is hard to edit."""


def parse_text_bank(content: str | bytes, *, place: str, classes: ClassList, is_trusted: bool = False) -> TextBank:
    """Read a bank and bring it into the order of a class list.

    Class names match exactly, or after `normalise_name` (case, `_`, `-`, white space). Phrases of one class and kind
    that differ in case only are kept once.

    Args:
        content: The file's content, YAML or JSON.
        place: The file's name, for error messages.
        classes: The class list that the bank must cover.
        is_trusted: Whether `write_text_bank` made it, for a store say: then it may be of any size.

    Returns:
        The bank, one entry per class in label order.

    Raises:
        TextBankError: One clear error with the place inside the file, the value found and the remedy.
    """
    file = read_records(content, place, BankFile, is_trusted=is_trusted)
    positions, superfluous = _match_entries(file.classes, place, classes)
    entries = [file.classes[positions[class_id]] for class_id in range(len(classes))]
    if not file.partial:
        _refuse_partial(entries, [positions[class_id] for class_id in range(len(classes))], place)
    return TextBank(
        classes=tuple(_class_texts(entry, file.source) for entry in entries),
        one_to_one=_pairs(file, place, classes, superfluous),
        domain=file.domain,
        superfluous=superfluous,
    )


def _match_entries(
    entries: Sequence[BankEntry], place: str, classes: ClassList
) -> tuple[dict[int, int], tuple[str, ...]]:
    """The position of every class's entry, and the names of entries that stand for no class."""
    position_of: dict[int, int] = {}
    superfluous: dict[str, int] = {}
    for position, entry in enumerate(entries):
        here = f"{place}: classes[{position}]"
        if not classes.ids_of(entry.name):
            superfluous.setdefault(entry.name, position)
            continue
        class_id = resolve_class(entry.name, entry.id, place=here, keys=("name", "id"), classes=classes)
        first = position_of.setdefault(class_id, position)
        if first != position:
            problem = f"the class {entry.name!r:.80} is there twice (first: classes[{first}])."
            raise TextBankError(problem, f"{here}.name", "Merge the two entries into one.")
    _refuse_missing(position_of, superfluous, place, classes)
    return position_of, tuple(superfluous)


def _refuse_missing(
    position_of: Mapping[int, int], superfluous: Mapping[str, int], place: str, classes: ClassList
) -> None:
    missing = tuple(name for class_id, name in enumerate(classes) if class_id not in position_of)
    if not missing:
        return
    for name, position in list(superfluous.items())[: max(1, NEAREST_LIMIT // len(missing))]:
        if nearest_class(name, missing):
            raise _unknown_class(name, f"{place}: classes[{position}].name", missing)
    shown = ", ".join(f"{name!r:.80}" for name in missing[:NAMES_SHOWN])
    rest = f" and {len(missing) - NAMES_SHOWN} more" if len(missing) > NAMES_SHOWN else ""
    raise TextBankError(
        f"{len(missing)} of {counted(len(classes), 'class')} of the class list have no entry: {shown}{rest}.",
        f"{place}: classes",
        "Add an entry for each, or take them out of the class list.",
    )


def _refuse_partial(entries: Sequence[BankEntry], positions: Sequence[int], place: str) -> None:
    """A class judged by its name alone beside classes judged by a mean is not comparable, so all or none."""
    without = [at for at, entry in enumerate(entries) if entry.attributes is None and entry.sentences is None]
    if without and len(without) < len(entries):
        raise TextBankError(
            f"the class {entries[without[0]].name!r:.80} has no attributes, other classes have"
            f" ({len(without)} of {len(entries)} have none).",
            f"{place}: classes[{positions[without[0]]}].attributes",
            "Give every class attributes (or sentences), or none, or say `partial: true` if this is meant.",
        )


def nearest_class(name: str, known: tuple[str, ...]) -> str | None:
    """The known name that a misspelt one most likely means; None when nothing is similar or the name is too long."""
    return nearest_name(name, known) if len(name) <= NAME_COMPARED else None


def did_you_mean(name: str, known: tuple[str, ...], *, otherwise: str) -> str:
    """The remedy for a name that is not known: the nearest one that is, or what else to do."""
    nearest = nearest_class(name, known)
    return f"Did you mean {nearest!r:.80}?" if nearest else otherwise


def _unknown_class(name: str, place: str, known: tuple[str, ...]) -> TextBankError:
    remedy = did_you_mean(name, known, otherwise="Remove it, or add it to the class list.")
    return TextBankError(f"the class {name!r:.80} is not in the class list.", place, remedy)


def resolve_class(name: str, class_id: int | None, *, place: str, keys: tuple[str, str], classes: ClassList) -> int:
    """Find the label id that a name, helped by an optional id, stands for.

    Args:
        name: As the file writes it.
        class_id: What the file gives besides; it must be a class of that name, in whatever spelling.
        place: Where in the file, for error messages.
        keys: The file's keys of name and id, for error messages.
        classes: The class list.

    Raises:
        TextBankError: No class has the name, several have it and no id tells which, or the id is another class.
    """
    name_key, id_key = keys
    ids = classes.ids_of(name)
    if class_id is not None and _has_name(class_id, name, classes):
        return class_id
    if not ids:
        raise _unknown_class(name, f"{place}.{name_key}", classes.names)
    shown = f"{', '.join(map(str, ids)):.80}"
    if class_id is not None:
        problem = f"id {class_id} is not {name!r:.80} in the class list (which has it as {shown})."
        raise TextBankError(problem, f"{place}.{id_key}", "Correct or remove the id.")
    if len(ids) > 1:
        problem = f"the class list has {name!r:.80} {len(ids)} times (ids {shown})."
        raise TextBankError(problem, f"{place}.{name_key}", f"Tell which one with `{id_key}`.")
    return ids[0]


def _has_name(class_id: int, name: str, classes: ClassList) -> bool:
    return class_id < len(classes) and normalise_name(classes.names[class_id]) == normalise_name(name)


def _class_texts(entry: BankEntry, source: str) -> ClassTexts:
    return ClassTexts(**{name: _sourced(getattr(entry, name) or [], source) for name in CLASS_FIELDS.values()})


def _sourced(entries: Sequence[PhraseEntry], source: str) -> tuple[str, ...]:
    return unique_phrases(
        Phrase(entry.text, entry.source) if isinstance(entry, SourcedPhrase) else Phrase(entry, source)
        for entry in entries
    )


def _pairs(
    file: BankFile, place: str, classes: ClassList, superfluous: tuple[str, ...]
) -> dict[ClassPair, tuple[str, ...]]:
    skipped = set(map(normalise_name, superfluous))
    pairs: dict[ClassPair, tuple[str, ...]] = {}
    for position, entry in enumerate(file.one_to_one):
        if skipped & {normalise_name(entry.class_), normalise_name(entry.rival)}:
            continue
        here = f"{place}: one_to_one[{position}]"
        pair = find_pair(entry, here, classes)
        if pair in pairs:
            problem = f"the pair {entry.class_!r:.80}, {entry.rival!r:.80} is there twice."
            raise TextBankError(problem, here, "Merge the two entries into one.")
        pairs[pair] = _sourced(entry.phrases, file.source)
    return pairs


def find_pair(entry: PairRecord, here: str, classes: ClassList) -> ClassPair:
    """Find the label ids of a class and its rival.

    Raises:
        TextBankError: One of them is not in the class list, or both are one class.
    """
    class_id = resolve_class(entry.class_, entry.class_id, place=here, keys=("class", "class_id"), classes=classes)
    rival_id = resolve_class(entry.rival, entry.rival_id, place=here, keys=("rival", "rival_id"), classes=classes)
    if class_id == rival_id:
        problem = f"the class {entry.class_!r:.80} is its own rival."
        raise TextBankError(problem, f"{here}.rival", "Name two different classes.")
    return class_id, rival_id


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
            f"the bank has {counted(len(bank.classes), 'class')}, the class list {len(classes)}.",
            "text bank",
            "Write the bank with the class list it was made for.",
        )
    bank = canonical_bank(bank)
    source = _most_frequent_source(bank)
    is_partial = len({bool(texts.attributes or texts.sentences) for texts in bank.classes}) > 1
    optional = {
        "domain": bank.domain if bank.domain and bank.domain.strip() else None,
        "source": source if source != DEFAULT_SOURCE else None,
        "partial": is_partial or None,
        "classes": [_class_entry(class_id, bank, classes, source) for class_id in range(len(classes))],
        "one_to_one": list(_pair_entries(bank, classes, source)) or None,
    }
    filled = {key: value for key, value in optional.items() if value is not None}
    return dump_yaml({"format": "coder-text-bank/1", **filled}, "text bank")


def _class_entry(class_id: int, bank: TextBank, classes: ClassList, source: str) -> dict[str, Any]:
    lists = {key: getattr(bank.classes[class_id], key) for key in CLASS_FIELDS.values()}
    filled = {key: _phrase_entries(phrases, source) for key, phrases in lists.items() if phrases}
    return {**class_reference(class_id, classes), **filled}


def _pair_entries(bank: TextBank, classes: ClassList, source: str) -> Iterator[dict[str, Any]]:
    for pair, phrases in bank.one_to_one.items():
        yield {**pair_reference(pair, classes), "phrases": _phrase_entries(phrases, source)}


def class_reference(class_id: int, classes: ClassList, *, keys: tuple[str, str] = ("name", "id")) -> dict[str, Any]:
    """Name a class as a file does: by its name, and by its id where the name alone would not find it again."""
    name_key, id_key = keys
    name = classes.names[class_id].strip()
    return {name_key: name} if classes.ids_of(name) == (class_id,) else {name_key: name, id_key: class_id}


def pair_reference(pair: ClassPair, classes: ClassList) -> dict[str, Any]:
    """Name a class and its rival as a file does."""
    one = class_reference(pair[0], classes, keys=("class", "class_id"))
    return {**one, **class_reference(pair[1], classes, keys=("rival", "rival_id"))}


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


def dump_yaml(document: Mapping[str, Any], place: str) -> str:
    """Write mappings, lists and scalars as block-style YAML, in the order given.

    Raises:
        TextBankError: A string holds half a UTF-16 pair.
    """
    plain: str = yaml.dump(
        _plain(document, place), Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=_LINE_WIDTH
    )
    return plain


def _plain(value: Any, place: str) -> Any:
    """Turn every string into a plain one: YAML's safe emitter refuses subclasses such as `Phrase`."""
    if isinstance(value, Mapping):
        return {key: _plain(item, place) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, place) for item in value]
    if not isinstance(value, str):
        return value
    try:
        return value.encode("utf-8").decode("utf-8")
    except UnicodeEncodeError as error:
        problem = f"the text {value!r:.80} is not Unicode ({error.reason})."
        raise TextBankError(problem, place, "Correct that text.") from error
