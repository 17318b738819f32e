"""Read a text bank from YAML or JSON: `coder-text-bank/1`.

    format: coder-text-bank/1
    domain: flag                       # optional hint
    source: human                      # optional, "file" when absent
    classes:
      - name: Italy
        id: 7                          # only where the class list has the name twice
        attributes:
          - three vertical stripes of green, white and red   # in [...] its comma would need quotes
          - {text: no emblem, source: "llm:gpt-4o"}          # where the source is not the file's
        analogous_classes: [Ireland]
        synonyms: [Il Tricolore]
    one_to_one:
      - {class: Italy, rival: Ireland, phrases: [a red stripe at the fly end]}

Classes are found by name, never by position. What could silently weaken a class is an error: a missing class, an
unknown one, an empty list of attributes, attributes for some classes only (unless the file says `partial: true`). The
shape of the file is checked by `bank_schema`, its agreement with the class list here; `bank_writer` writes the format.
"""

from coder_core.classes import ClassList, nearest_name, normalise_name
from coder_core.errors import TextBankError
from coder_core.texts.bank import ClassPair, ClassTexts, TextBank
from coder_core.texts.bank_schema import BankEntry, BankFile, PairEntry, SourcedPhrase, read_bank_file
from coder_core.texts.phrases import Phrase, unique_phrases

__all__ = ["class_names_of_bank", "parse_text_bank", "resolve_class"]

NAMES_SHOWN = 5
"""How many names an error lists before it counts the rest."""


def parse_text_bank(text: str, *, place: str, classes: ClassList) -> TextBank:
    """Read a bank and bring it into the order of a class list.

    Class names match exactly, or after `normalise_name` (case, `_`, `-`, white space). Phrases of one class and kind
    that differ in case only are kept once.

    Args:
        text: The file's content, YAML or JSON.
        place: The file's name, for error messages.
        classes: The class list that the bank must cover, no class more and none less.

    Returns:
        The bank, one entry per class in label order.

    Raises:
        TextBankError: One clear error with the place inside the file, the value found and the remedy.
    """
    file = read_bank_file(text, place)
    entries = _entries_by_id(file, place, classes)
    _refuse_partial_attributes(file, place)
    in_order = tuple(_class_texts(entries[class_id], file.source) for class_id in range(len(classes)))
    return TextBank(classes=in_order, one_to_one=_pairs(file, place, classes), domain=file.domain)


def class_names_of_bank(text: str, *, place: str) -> tuple[str, ...]:
    """Take the class list from a bank: its names in the order of the file, for `ClassList(names)`.

    Raises:
        TextBankError: The file is malformed, a name occurs twice without ids, or an id is not its entry's position.
    """
    file = read_bank_file(text, place)
    position_of: dict[str, int] = {}
    for position, entry in enumerate(file.classes):
        here = f"{place}: classes[{position}]"
        if entry.id is not None and entry.id != position:
            raise TextBankError(
                f"id {entry.id} stands at position {position}.", f"{here}.id", "Order the entries by id, from 0."
            )
        first = position_of.setdefault(normalise_name(entry.name), position)
        if first != position and entry.id is None:
            raise TextBankError(
                f"the class {entry.name!r} is there twice (first: classes[{first}]).",
                f"{here}.name",
                "Merge the two, or give both an `id` if they are two classes of the same name.",
            )
    return tuple(entry.name for entry in file.classes)


def _entries_by_id(file: BankFile, place: str, classes: ClassList) -> dict[int, BankEntry]:
    position_of: dict[int, int] = {}
    for position, entry in enumerate(file.classes):
        here = f"{place}: classes[{position}]"
        class_id = resolve_class(entry.name, entry.id, place=here, keys=("name", "id"), classes=classes)
        first = position_of.setdefault(class_id, position)
        if first != position:
            raise TextBankError(
                f"the class {entry.name!r} is there twice (first: classes[{first}]).",
                f"{here}.name",
                "Merge the two entries into one.",
            )
    _refuse_missing(position_of, place, classes)
    return {class_id: file.classes[position] for class_id, position in position_of.items()}


def _refuse_missing(position_of: dict[int, int], place: str, classes: ClassList) -> None:
    missing = [name for class_id, name in enumerate(classes) if class_id not in position_of]
    if not missing:
        return
    shown = ", ".join(repr(name) for name in missing[:NAMES_SHOWN])
    rest = f" and {len(missing) - NAMES_SHOWN} more" if len(missing) > NAMES_SHOWN else ""
    raise TextBankError(
        f"{len(missing)} of {len(classes)} classes of the class list have no entry: {shown}{rest}.",
        f"{place}: classes",
        "Add an entry for each, or take them out of the class list.",
    )


def _refuse_partial_attributes(file: BankFile, place: str) -> None:
    """A class judged by its name alone beside classes judged by a mean is not comparable, so all or none."""
    without = [position for position, entry in enumerate(file.classes) if entry.attributes is None]
    if file.partial or not without or len(without) == len(file.classes):
        return
    raise TextBankError(
        f"the class {file.classes[without[0]].name!r} has no attributes, other classes have"
        f" ({len(without)} of {len(file.classes)} have none).",
        f"{place}: classes[{without[0]}].attributes",
        "Give every class attributes, or none, or say `partial: true` if this is meant.",
    )


def resolve_class(name: str, class_id: int | None, *, place: str, keys: tuple[str, str], classes: ClassList) -> int:
    """Find the label id that a name, helped by an optional id, stands for.

    Args:
        name: As the file writes it.
        class_id: What the file says besides; it must be a class of that name, in whatever spelling.
        place: Where in the file, for error messages.
        keys: The file's keys of name and id, for error messages.
        classes: The class list.

    Raises:
        TextBankError: No class has the name, several have it and no id says which, or the id is another class.
    """
    name_key, id_key = keys
    ids = classes.ids_of(name)
    if class_id is not None and _is_named(class_id, name, classes):
        return class_id
    if not ids:
        nearest = nearest_name(name, classes.names)
        advice = f"Did you mean {nearest!r}?" if nearest else "Remove it, or add it to the class list."
        raise TextBankError(f"the class {name!r} is not in the class list.", f"{place}.{name_key}", advice)
    if class_id is not None:
        raise TextBankError(
            f"id {class_id} is not {name!r} in the class list (which has it as {', '.join(map(str, ids))}).",
            f"{place}.{id_key}",
            "Correct or remove the id.",
        )
    if len(ids) > 1:
        raise TextBankError(
            f"the class list has {name!r} {len(ids)} times (ids {', '.join(map(str, ids))}).",
            f"{place}.{name_key}",
            f"Say which one with `{id_key}`.",
        )
    return ids[0]


def _is_named(class_id: int, name: str, classes: ClassList) -> bool:
    return class_id < len(classes) and normalise_name(classes.names[class_id]) == normalise_name(name)


def _class_texts(entry: BankEntry, source: str) -> ClassTexts:
    return ClassTexts(
        attributes=_sourced(entry.attributes or [], source),
        analogous_classes=_sourced(entry.analogous_classes, source),
        synonyms=_sourced(entry.synonyms, source),
    )


def _sourced(entries: list[str | SourcedPhrase], source: str) -> tuple[str, ...]:
    return unique_phrases(
        Phrase(entry.text, entry.source) if isinstance(entry, SourcedPhrase) else Phrase(entry, source)
        for entry in entries
    )


def _pairs(file: BankFile, place: str, classes: ClassList) -> dict[ClassPair, tuple[str, ...]]:
    pairs: dict[ClassPair, tuple[str, ...]] = {}
    for position, entry in enumerate(file.one_to_one):
        here = f"{place}: one_to_one[{position}]"
        pair = _pair_ids(entry, here, classes)
        if pair in pairs:
            raise TextBankError(
                f"the pair {entry.class_!r}, {entry.rival!r} is there twice.", here, "Merge the two entries into one."
            )
        pairs[pair] = _sourced(entry.phrases, file.source)
    return pairs


def _pair_ids(entry: PairEntry, here: str, classes: ClassList) -> ClassPair:
    class_id = resolve_class(entry.class_, entry.class_id, place=here, keys=("class", "class_id"), classes=classes)
    rival_id = resolve_class(entry.rival, entry.rival_id, place=here, keys=("rival", "rival_id"), classes=classes)
    if class_id == rival_id:
        raise TextBankError(
            f"the class {entry.class_!r} is its own rival.", f"{here}.rival", "Name two different classes."
        )
    return class_id, rival_id
