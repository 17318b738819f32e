"""Merge text banks, and a person's edits over them.

Precedence, per class and kind (or pair): first what the edits add, then phrases of the source `human` in any bank, then
the banks in the order given. Of phrases that differ in case only, the one that comes first by this order is kept, with
its source. What the edits delete is gone, whoever wrote it: a deletion is a tombstone, not a vote.
"""

from collections.abc import Iterator, Sequence

from coder_core.errors import TextBankError
from coder_core.texts.bank import TextBank
from coder_core.texts.edits import HUMAN_SOURCE, PhraseEdits, TextEdits, phrase_key
from coder_core.texts.phrases import source_of, unique_phrases
from coder_core.texts.slots import bank_from_slots, phrases_by_slot

__all__ = ["merge_banks"]

NO_EDITS = TextEdits()


def merge_banks(banks: Sequence[TextBank], edits: TextEdits = NO_EDITS) -> TextBank:
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
    merged = {slot: _merge([phrases.get(slot, ()) for phrases in by_bank], edits.of(slot)) for slot in slots}
    domain = next((bank.domain for bank in banks if bank.domain), None)
    return bank_from_slots(merged, class_count=class_count, domain=domain)


def _merge(lists: list[tuple[str, ...]], edits: PhraseEdits) -> tuple[str, ...]:
    ordered = unique_phrases([*edits.added, *_human_first(lists)])
    deleted = edits.deleted_keys
    return tuple(phrase for phrase in ordered if phrase_key(phrase) not in deleted)


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
        if max(slot.class_id, slot.rival_id or 0) >= class_count:
            raise TextBankError(
                f"the edits speak of class {max(slot.class_id, slot.rival_id or 0)}, the banks have {class_count}.",
                "text edits",
                "Read the edits against the class list of the banks.",
            )
