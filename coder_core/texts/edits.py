"""A person's edits of a text bank, and how they and several banks become one.

Edits are not a changed bank but the difference to one, so they survive every regeneration: applied to new texts they
add what the person added and keep away what the person deleted, though a model may write it again.

Precedence, per class and kind (or pair): first what the edits add, then phrases of the source `human` in any bank, then
the banks in the order given. Of phrases that differ in case only, the one that comes first by this order is kept, with
its source. What the edits delete is gone, whoever wrote it: a deletion is a tombstone, not a vote.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from coder_core.errors import TextBankError
from coder_core.texts.bank import (
    HUMAN_SOURCE,
    Phrase,
    TextBank,
    TextSlot,
    bank_from_slots,
    phrase_key,
    phrases_by_slot,
    source_of,
    unique_phrases,
)

__all__ = ["PhraseEdits", "TextEdits", "edits_between", "merge_banks"]


@dataclass(frozen=True)
class PhraseEdits:
    """The edits of one slot.

    Args:
        added: Phrases to have, whatever was generated; they carry the source `human`.
        deleted: Phrases not to have, in whatever case and whoever wrote them.

    Raises:
        TextBankError: A phrase is blank, or both added and deleted.
    """

    added: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(not phrase.strip() for phrase in (*self.added, *self.deleted)):
            raise TextBankError("a phrase is blank.", "text edits", "Write or remove it.")
        added = unique_phrases(Phrase(phrase, HUMAN_SOURCE) for phrase in self.added)
        object.__setattr__(self, "added", added)
        object.__setattr__(self, "deleted", unique_phrases(map(str, self.deleted)))
        if both := self.deleted_keys & set(map(phrase_key, added)):
            problem = f"the phrase {min(both)!r:.80} is both added and deleted."
            raise TextBankError(problem, "text edits", "Remove it from one of the two.")

    @property
    def deleted_keys(self) -> frozenset[str]:
        """The deleted phrases as `phrase_key` compares them."""
        return frozenset(map(phrase_key, self.deleted))


@dataclass(frozen=True)
class TextEdits:
    """The edits of a bank.

    Args:
        by_slot: Slot -> its edits; slots without edits are left out. Read only, sorted.
    """

    by_slot: Mapping[TextSlot, PhraseEdits] = field(default_factory=dict)

    def __post_init__(self) -> None:
        filled = {slot: edits for slot, edits in self.by_slot.items() if edits.added or edits.deleted}
        ordered = sorted(filled.items(), key=lambda item: (item[0].class_id, item[0].rival_id or -1, item[0].kind))
        object.__setattr__(self, "by_slot", dict(ordered))


def edits_between(base: TextBank, edited: TextBank) -> TextEdits:
    """Find what a person did to a bank: what to add to the one, and what to delete from it, to get the other.

    Args:
        base: What was generated and exported.
        edited: What came back, for the same class list.

    Returns:
        Edits for `merge_banks`. A phrase whose case alone was changed counts as added.
    """
    before, after = phrases_by_slot(base), phrases_by_slot(edited)
    return TextEdits({slot: _difference(before.get(slot, ()), after.get(slot, ())) for slot in {**before, **after}})


def _difference(before: tuple[str, ...], after: tuple[str, ...]) -> PhraseEdits:
    known = set(before)
    return PhraseEdits(
        added=tuple(phrase for phrase in after if phrase not in known),
        deleted=_without(before, frozenset(map(phrase_key, after))),
    )


def _without(phrases: Iterable[str], keys: frozenset[str]) -> tuple[str, ...]:
    return tuple(phrase for phrase in phrases if phrase_key(phrase) not in keys)


_NO_EDITS = TextEdits()


def merge_banks(banks: Sequence[TextBank], edits: TextEdits = _NO_EDITS) -> TextBank:
    """Make one bank of several and apply a person's edits.

    Args:
        banks: Banks of one class list, the most trusted first; at least one.
        edits: What a person added and deleted.

    Returns:
        The merged bank, in canonical form. Its domain is the first that a bank names.

    Raises:
        TextBankError: No bank, banks of different class lists, or edits of a class that they do not have.
    """
    class_count = _common_class_count(banks)
    _refuse_unknown_classes(edits, class_count)
    by_bank = [phrases_by_slot(bank) for bank in banks]
    slots = dict.fromkeys(slot for source in (edits.by_slot, *by_bank) for slot in source)
    return bank_from_slots(
        {slot: _merge([phrases.get(slot, ()) for phrases in by_bank], edits.by_slot.get(slot)) for slot in slots},
        class_count=class_count,
        domain=next((bank.domain for bank in banks if bank.domain), None),
        superfluous=tuple(dict.fromkeys(name for bank in banks for name in bank.superfluous)),
    )


def _merge(lists: list[tuple[str, ...]], edits: PhraseEdits | None) -> tuple[str, ...]:
    edits = edits or PhraseEdits()
    return _without(unique_phrases([*edits.added, *_human_first(lists)]), edits.deleted_keys)


def _human_first(lists: list[tuple[str, ...]]) -> Iterator[str]:
    for is_human in (True, False):
        for phrases in lists:
            yield from (phrase for phrase in phrases if (source_of(phrase) == HUMAN_SOURCE) is is_human)


def _common_class_count(banks: Sequence[TextBank]) -> int:
    counts = sorted({len(bank.classes) for bank in banks})
    if len(counts) != 1:
        raise TextBankError(
            f"banks of one class list can be merged, found {len(banks)} with {counts} classes.",
            "text banks",
            "Read every bank against the same class list.",
        )
    return counts[0]


def _refuse_unknown_classes(edits: TextEdits, class_count: int) -> None:
    for slot in edits.by_slot:
        if (highest := max(slot.class_id, slot.rival_id or 0)) >= class_count:
            problem = f"the edits speak of class {highest}, the banks have {class_count}."
            raise TextBankError(problem, "text edits", "Read the edits against the class list of the banks.")
