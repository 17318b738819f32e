"""Read published texts into a TextBank: nobody needs an API key to start.

A file is parsed (`document`), its names are matched with the class list (`name_matching`), its phrases are repaired or
dropped by stated rules (`repair`), and everything that did not fit is in the report, as plain rows ready for a table;
`coder_core.review` prints it. Pure: from a file's content to data.
"""

import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from coder_core.classes import ClassList
from coder_core.errors import TextBankError
from coder_core.texts.bank import Phrase, PhraseKind, TextBank, TextSlot, bank_from_slots
from coder_core.texts.published.document import Block, Format, PairPhrases, PublishedDocument, read_document
from coder_core.texts.published.name_matching import Mismatch, NameIndex
from coder_core.texts.published.repair import RULES, Action, Repaired, Rule, clean_text, repair_phrase

NAMES_SHOWN = 5
"""How many names an error lists."""


class KindCount(NamedTuple):
    """How much there is of one kind.

    Args:
        kind: Of the phrases.
        found: Phrases in the file.
        kept: Phrases in the bank; those of a name that two classes share count twice.
        slots: Classes (for one-to-one: ordered pairs) that have at least one.
    """

    kind: PhraseKind
    found: int
    kept: int
    slots: int


class UnmatchedName(NamedTuple):
    """A name of the file that stands for no class.

    Args:
        name: As the file writes it.
        kind: Of the phrases under it.
        reason: `unknown`; `repeated` (another name has a better claim, or several have the same); `own_rival`.
        nearest: The most similar class name; None when nothing is similar.
        phrases: How many phrases were left out for it; those of a pair count for its first unknown name.
    """

    name: str
    kind: PhraseKind
    reason: Mismatch
    nearest: str | None
    phrases: int


class SharedName(NamedTuple):
    """A name whose texts went to several classes, because the class list has it several times and the file once."""

    name: str
    kind: PhraseKind
    class_ids: tuple[int, ...]


class PhraseNote(NamedTuple):
    """One rule that applied to one phrase.

    Args:
        rule: Which; `RULES[rule]` has its action and explanation.
        kind: Of the phrase.
        class_id: The class that the phrase is about.
        rival_id: The class that it tells it from (one-to-one only).
        before: The phrase as found.
        after: The phrase as kept; None when it was dropped.
    """

    rule: Rule
    kind: PhraseKind
    class_id: int
    rival_id: int | None
    before: str
    after: str | None


@dataclass(frozen=True)
class ImportReport:
    """What became of a published file.

    Args:
        place: The file's name as given.
        format: `coder` or `class_to_list`.
        source: The source that its phrases carry in the bank.
        class_names: The class list, in label order.
        counts: One row per kind that the file has.
        unmatched: Names that stand for no class, with the most phrases first.
        shared: Names whose texts went to several classes.
        without: Kind that the file has -> ids of the classes that have no phrase of it.
        notes: What was done to phrases, in the order of the file.
        ignored_keys: Keys of the file that say nothing to this reader.
    """

    place: str
    format: Format
    source: str
    class_names: tuple[str, ...]
    counts: tuple[KindCount, ...]
    unmatched: tuple[UnmatchedName, ...]
    shared: tuple[SharedName, ...]
    without: Mapping[PhraseKind, tuple[int, ...]]
    notes: tuple[PhraseNote, ...]
    ignored_keys: tuple[str, ...]

    @property
    def without_texts(self) -> tuple[int, ...]:
        """Ids of the classes that got nothing at all: they are judged by their names alone."""
        groups = [set(class_ids) for class_ids in self.without.values()]
        return tuple(sorted(set.intersection(*groups))) if groups else tuple(range(len(self.class_names)))

    def rule_counts(self, action: Action) -> dict[Rule, int]:
        """How often each rule of an action applied, in the order of `RULES`; rules that never did are left out."""
        counts = Counter(note.rule for note in self.notes)
        return {rule: counts[rule] for rule, text in RULES.items() if text.action is action and counts[rule]}


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
    kind: PhraseKind
    slots: tuple[TextSlot, ...]
    phrases: tuple[object, ...]
    mismatch: Mismatch | None


def read_published_texts(
    content: str | bytes,
    *,
    place: str,
    classes: ClassList | None = None,
    alias: Mapping[str, str] | None = None,
    kind: PhraseKind | None = None,
    repair: bool = True,
) -> PublishedTexts:
    """Read a file of published texts.

    Args:
        content: The file's content.
        place: The file's path or URL; its last part names the source.
        classes: The class list to match with; default: the file's own `class_names`.
        alias: What the file calls a class -> the class's name, for what the report could not match.
        kind: What the texts of a class-to-list file are: attributes unless given.
        repair: False keeps badly formed phrases as they are (only blank and repeated ones go), as the papers used them.

    Returns:
        Class list, bank and report.

    Raises:
        TextBankError: The file is neither format, contradicts itself, names no class list and none was given, has no
            name of an alias, or holds no phrase about any class of the list.
    """
    document = read_document(content, place, kind)
    classes = classes or _own_classes(document, place)
    index = NameIndex(classes, alias)
    index.refuse_unused_aliases(_names(document), place)
    placed = [*_place_blocks(document.blocks, index), *_place_pairs(document.pairs, index)]
    source = f"published:{PurePosixPath(place).name or place}"
    notes: list[PhraseNote] = []
    kept = {
        slot: _clean_slot(slot, phrases, classes, source, notes, repair=repair)
        for slot, phrases in _found_by_slot(placed).items()
    }
    report = ImportReport(
        place=place,
        format=document.format,
        source=source,
        class_names=classes.names,
        unmatched=_unmatched(placed, index),
        shared=tuple(_shared(placed)),
        notes=tuple(notes),
        ignored_keys=document.ignored_keys,
        counts=_counts(document, placed, kept),
        without=_without(document, kept, len(classes)),
    )
    if not any(kept.values()):
        raise _nothing_kept(report)
    return PublishedTexts(classes, bank_from_slots(kept, class_count=len(classes)), report)


def _own_classes(document: PublishedDocument, place: str) -> ClassList:
    if document.class_names is None:
        raise TextBankError(
            "this file has texts by class name but no class list, and the order of its keys is none.",
            place,
            "Name a config whose class list counts (`--classes CONFIG`), or add `class_names` to the file.",
        )
    return ClassList(document.class_names)


def _names(document: PublishedDocument) -> Iterator[str]:
    for block in document.blocks:
        yield from (entry.name for entry in block.entries)
    for pair in document.pairs:
        yield from (pair.name, pair.rival)


def _place_blocks(blocks: tuple[Block, ...], index: NameIndex) -> Iterator[_Placed]:
    for block in blocks:
        matches = index.match_all([entry.name for entry in block.entries], is_ordered=block.is_ordered)
        for entry, class_ids in zip(block.entries, matches, strict=True):
            slots = tuple(TextSlot(block.kind, class_id) for class_id in class_ids)
            mismatch = Mismatch.REPEATED if index.find(entry.name) else Mismatch.UNKNOWN
            yield _Placed(entry.name, block.kind, slots, entry.phrases, None if slots else mismatch)


def _place_pairs(pairs: tuple[PairPhrases, ...], index: NameIndex) -> Iterator[_Placed]:
    """Match both names of every pair; a pair fails by its first unknown name, or because both are one class."""
    for pair in pairs:
        class_ids, rival_ids = index.find(pair.name), index.find(pair.rival)
        if not class_ids or not rival_ids:
            unknown = pair.rival if class_ids else pair.name
            yield _Placed(unknown, PhraseKind.ONE_TO_ONE, (), pair.phrases, Mismatch.UNKNOWN)
        elif set(class_ids) & set(rival_ids):
            yield _Placed(pair.name, PhraseKind.ONE_TO_ONE, (), pair.phrases, Mismatch.OWN_RIVAL)
        else:
            ids = [(class_id, rival_id) for class_id in class_ids for rival_id in rival_ids]
            slots = tuple(TextSlot(PhraseKind.ONE_TO_ONE, *pair_ids) for pair_ids in ids)
            yield _Placed(f"{pair.name} / {pair.rival}", PhraseKind.ONE_TO_ONE, slots, pair.phrases, None)


def _found_by_slot(placed: list[_Placed]) -> dict[TextSlot, list[object]]:
    by_slot: dict[TextSlot, list[object]] = {}
    for entry in placed:
        for slot in entry.slots:
            by_slot.setdefault(slot, []).extend(entry.phrases)
    return by_slot


def _clean_slot(
    slot: TextSlot, found: list[object], classes: ClassList, source: str, notes: list[PhraseNote], *, repair: bool
) -> tuple[str, ...]:
    """Clean the phrases of a slot, and note what was done to them."""
    kept: dict[str, str] = {}
    for phrase in found:
        repaired = _clean(phrase, slot, classes, repair=repair)
        if repaired.phrase is not None and repaired.phrase.casefold() in kept:
            repaired = Repaired(None, (*repaired.rules, Rule.DUPLICATE))
        if repaired.phrase is not None:
            kept[repaired.phrase.casefold()] = Phrase(repaired.phrase, source)
        before = phrase if isinstance(phrase, str) else reprlib.repr(phrase)
        notes += [PhraseNote(rule, *slot, before, repaired.phrase) for rule in _noteworthy(repaired)]
    return tuple(kept.values())


def _clean(phrase: object, slot: TextSlot, classes: ClassList, *, repair: bool) -> Repaired:
    if not isinstance(phrase, str):
        return Repaired(None, (Rule.NOT_TEXT,))
    if repair:
        return repair_phrase(phrase, slot.kind, classes.names[slot.class_id])
    cleaned = clean_text(phrase, slot.kind)
    return Repaired(cleaned) if cleaned else Repaired(None, (Rule.BLANK,))


def _noteworthy(repaired: Repaired) -> tuple[Rule, ...]:
    """The rules worth a note: all of a phrase that was kept, the reason of one that was dropped."""
    if repaired.phrase is not None:
        return repaired.rules
    return tuple(rule for rule in repaired.rules if RULES[rule].action is Action.DROPPED)


def _counts(
    document: PublishedDocument, placed: list[_Placed], kept: Mapping[TextSlot, tuple[str, ...]]
) -> tuple[KindCount, ...]:
    pair_kinds = (PhraseKind.ONE_TO_ONE,) if document.pairs else ()
    rows = []
    for kind in (*(block.kind for block in document.blocks), *pair_kinds):
        found = sum(len(entry.phrases) for entry in placed if entry.kind is kind)
        sizes = [len(phrases) for slot, phrases in kept.items() if slot.kind is kind and phrases]
        rows.append(KindCount(kind, found, sum(sizes), len(sizes)))
    return tuple(rows)


def _unmatched(placed: list[_Placed], index: NameIndex) -> tuple[UnmatchedName, ...]:
    lost: dict[tuple[str, PhraseKind, Mismatch], int] = {}
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
) -> dict[PhraseKind, tuple[int, ...]]:
    return {
        block.kind: tuple(class_id for class_id in range(class_count) if not kept.get(TextSlot(block.kind, class_id)))
        for block in document.blocks
    }


def _nothing_kept(report: ImportReport) -> TextBankError:
    """An empty bank would give an evaluation by names alone, and nobody would know why."""
    if report.unmatched:
        names = ", ".join(f"{row.name!r:.80} ({row.reason})" for row in report.unmatched[:NAMES_SHOWN])
        problem = (
            f"none of its texts is about a class of the list ({report.class_names[0]!r:.80}, ...); it has {names}."
        )
        remedy = 'Name the config of the right data set (`--classes`), or what differs (`--alias "old=new"`).'
        return TextBankError(problem, report.place, remedy)
    reasons = ", ".join(f"{count} {rule}" for rule, count in report.rule_counts(Action.DROPPED).items())
    problem = f"no text of it is left ({reasons or 'it has none'})."
    return TextBankError(problem, report.place, "Give a file that holds texts.")
