"""Read published texts into a TextBank: nobody needs an API key to start.

A file is parsed (`document`), its names are matched with the class list (`matching`), its phrases are repaired or
dropped by stated rules (`repair`, `rules`), and everything that did not fit is in the report. Pure: from a string to
data.
"""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from coder_core.classes import ClassList
from coder_core.errors import TextBankError
from coder_core.texts.bank import TextBank
from coder_core.texts.kinds import TextKind
from coder_core.texts.phrases import Phrase
from coder_core.texts.published.document import CLASS_NAMES, Block, PairPhrases, PublishedDocument, read_document
from coder_core.texts.published.matching import Mismatch, NameIndex
from coder_core.texts.published.repair import Repaired, clean_text, repair_phrase
from coder_core.texts.published.report import ImportReport, KindCount, PhraseNote, SharedName, UnmatchedName
from coder_core.texts.published.rules import RULES, Action, Rule
from coder_core.texts.slots import TextSlot, bank_from_slots

__all__ = ["PublishedTexts", "read_published_texts"]


class PublishedTexts(NamedTuple):
    """A published file, read.

    Args:
        classes: The class list given, or the file's own.
        bank: Its phrases, each with the source `published:<file name>`.
        report: What did not fit.
    """

    classes: ClassList
    bank: TextBank
    report: ImportReport


class _Placed(NamedTuple):
    """Where the phrases under one name go: one slot, several (a name that classes share), or none."""

    name: str
    kind: TextKind
    slots: tuple[TextSlot, ...]
    phrases: tuple[object, ...]
    mismatch: Mismatch | None


class _Cleaned(NamedTuple):
    kept: dict[TextSlot, tuple[str, ...]]
    notes: tuple[PhraseNote, ...]


def read_published_texts(
    text: str,
    *,
    place: str,
    classes: ClassList | None = None,
    aliases: Mapping[str, str] | None = None,
    repair: bool = True,
) -> PublishedTexts:
    """Read a file of published texts.

    Args:
        text: The file's content.
        place: The file's path or URL; its last part names the source.
        classes: The class list to match with; default: the file's own `class_names`.
        aliases: What the file calls a class -> the class's name, for what the report could not match.
        repair: False keeps badly formed phrases as they are (only blank and repeated ones go), as the papers used them.

    Returns:
        Class list, bank and report.

    Raises:
        TextBankError: The file is neither format, contradicts itself, or names no class list and none was given.
    """
    document = read_document(text, place)
    classes = classes or _own_classes(document, place)
    index = NameIndex(classes, aliases)
    placed = [*_place_blocks(document.blocks, index), *_place_pairs(document.pairs, index)]
    source = f"published:{PurePosixPath(place).name or place}"
    cleaned = _clean_slots(_phrases_by_slot(placed), classes, source=source, repair=repair)
    report = ImportReport(
        place=place,
        format=document.format,
        source=source,
        class_names=classes.names,
        unmatched=_unmatched(placed, index),
        shared=tuple(_shared(placed)),
        notes=cleaned.notes,
        ignored_keys=document.ignored_keys,
        counts=_counts(document, placed, cleaned.kept),
        without=_without(document, cleaned.kept, len(classes)),
    )
    return PublishedTexts(classes, bank_from_slots(cleaned.kept, class_count=len(classes)), report)


def _own_classes(document: PublishedDocument, place: str) -> ClassList:
    if document.class_names is None:
        raise TextBankError(
            "this file has texts by class name but no class list, and the order of its keys is none.",
            place,
            f"Give the class list, or add `{CLASS_NAMES}` to the file.",
        )
    return ClassList(document.class_names)


def _place_blocks(blocks: tuple[Block, ...], index: NameIndex) -> Iterator[_Placed]:
    for block in blocks:
        matches = index.match_all([entry.name for entry in block.entries], is_ordered=block.is_ordered)
        for entry, match in zip(block.entries, matches, strict=True):
            slots = tuple(TextSlot(block.kind, class_id) for class_id in match.class_ids)
            yield _Placed(entry.name, block.kind, slots, entry.phrases, match.mismatch)


def _place_pairs(pairs: tuple[PairPhrases, ...], index: NameIndex) -> Iterator[_Placed]:
    """Match both names of every pair; a pair fails by its first unknown name, or because both are one class."""
    for pair in pairs:
        class_ids, rival_ids = index.find(pair.name), index.find(pair.rival)
        if not class_ids or not rival_ids:
            unknown = pair.rival if class_ids else pair.name
            yield _Placed(unknown, TextKind.ONE_TO_ONE, (), pair.phrases, Mismatch.UNKNOWN)
        elif set(class_ids) & set(rival_ids):
            yield _Placed(pair.name, TextKind.ONE_TO_ONE, (), pair.phrases, Mismatch.OWN_RIVAL)
        else:
            ids = [(class_id, rival_id) for class_id in class_ids for rival_id in rival_ids]
            slots = tuple(TextSlot(TextKind.ONE_TO_ONE, *pair_ids) for pair_ids in ids)
            yield _Placed(f"{pair.name} / {pair.rival}", TextKind.ONE_TO_ONE, slots, pair.phrases, None)


def _phrases_by_slot(placed: list[_Placed]) -> dict[TextSlot, tuple[object, ...]]:
    by_slot: dict[TextSlot, tuple[object, ...]] = {}
    for entry in placed:
        for slot in entry.slots:
            by_slot[slot] = (*by_slot.get(slot, ()), *entry.phrases)
    return by_slot


def _clean_slots(
    found: Mapping[TextSlot, tuple[object, ...]], classes: ClassList, *, source: str, repair: bool
) -> _Cleaned:
    kept: dict[TextSlot, tuple[str, ...]] = {}
    notes: list[PhraseNote] = []
    for slot, phrases in found.items():
        seen: dict[str, str] = {}
        for phrase in phrases:
            repaired = _clean(phrase, slot, classes, repair=repair)
            if repaired.phrase is not None and repaired.phrase.casefold() in seen:
                repaired = Repaired(None, (*repaired.rules, Rule.DUPLICATE))
            if repaired.phrase is not None:
                seen[repaired.phrase.casefold()] = Phrase(repaired.phrase, source)
            notes += [PhraseNote(rule, *slot, str(phrase), repaired.phrase) for rule in _telling(repaired)]
        kept[slot] = tuple(seen.values())
    return _Cleaned(kept, tuple(notes))


def _clean(phrase: object, slot: TextSlot, classes: ClassList, *, repair: bool) -> Repaired:
    if not isinstance(phrase, str):
        return Repaired(None, (Rule.NOT_TEXT,))
    if repair:
        return repair_phrase(phrase, slot.kind, classes.names[slot.class_id])
    cleaned = clean_text(phrase, slot.kind)
    return Repaired(cleaned) if cleaned else Repaired(None, (Rule.BLANK,))


def _telling(repaired: Repaired) -> tuple[Rule, ...]:
    """The rules worth a note: all of a phrase that was kept, the reason of one that was dropped."""
    if repaired.phrase is not None:
        return repaired.rules
    return tuple(rule for rule in repaired.rules if RULES[rule].action is Action.DROPPED)


def _kinds(document: PublishedDocument) -> tuple[TextKind, ...]:
    pair_kinds = (TextKind.ONE_TO_ONE,) if document.pairs else ()
    return (*(block.kind for block in document.blocks), *pair_kinds)


def _counts(
    document: PublishedDocument, placed: list[_Placed], kept: Mapping[TextSlot, tuple[str, ...]]
) -> tuple[KindCount, ...]:
    rows = []
    for kind in _kinds(document):
        found = sum(len(entry.phrases) for entry in placed if entry.kind is kind)
        sizes = [len(phrases) for slot, phrases in kept.items() if slot.kind is kind and phrases]
        rows.append(KindCount(kind, found, sum(sizes), len(sizes)))
    return tuple(rows)


def _unmatched(placed: list[_Placed], index: NameIndex) -> tuple[UnmatchedName, ...]:
    lost: dict[tuple[str, TextKind, Mismatch], int] = {}
    for entry in placed:
        if entry.mismatch:
            key = (entry.name, entry.kind, entry.mismatch)
            lost[key] = lost.get(key, 0) + len(entry.phrases)
    nearest = index.nearest(name for name, _, _ in lost)
    rows = [UnmatchedName(*key, nearest.get(key[0]), count) for key, count in lost.items()]
    return tuple(sorted(rows, key=lambda row: (-row.phrases, row.name)))


def _shared(placed: list[_Placed]) -> Iterator[SharedName]:
    for entry in placed:
        if len(entry.slots) > 1:
            ids = {slot.class_id for slot in entry.slots}
            ids |= {slot.rival_id for slot in entry.slots if slot.rival_id is not None}
            yield SharedName(entry.name, entry.kind, tuple(sorted(ids)))


def _without(
    document: PublishedDocument, kept: Mapping[TextSlot, tuple[str, ...]], class_count: int
) -> dict[TextKind, tuple[int, ...]]:
    return {
        block.kind: tuple(class_id for class_id in range(class_count) if not kept.get(TextSlot(block.kind, class_id)))
        for block in document.blocks
    }
