"""Slots: a text bank as one flat mapping, for what treats all kinds of phrases alike (writing, merging, reviewing).

A slot is a place in the bank that holds a list of phrases: a kind and a class, or the one-to-one phrases of an ordered
pair. `phrases_by_slot` and `bank_from_slots` are each other's inverse on canonical banks: phrases cleaned, those that
differ in case only once, pairs without phrases left out.
"""

from collections.abc import Mapping
from typing import NamedTuple

from coder_core.texts.bank import ClassTexts, TextBank
from coder_core.texts.kinds import TextKind
from coder_core.texts.phrases import unique_phrases

__all__ = ["CLASS_SLOT_KINDS", "TextSlot", "bank_from_slots", "canonical_bank", "phrases_by_slot"]

CLASS_SLOT_KINDS: Mapping[TextKind, str] = {
    TextKind.ATTRIBUTE: "attributes",
    TextKind.ANALOGOUS_CLASS: "analogous_classes",
    TextKind.SYNONYM: "synonyms",
}
"""Kinds of phrases about one class, and the field of `ClassTexts` (and key of a file) that holds them."""


class TextSlot(NamedTuple):
    """Where phrases stand in a bank.

    Args:
        kind: `ATTRIBUTE`, `ANALOGOUS_CLASS`, `SYNONYM` or `ONE_TO_ONE`.
        class_id: The class they are about.
        rival_id: The class they tell it from (`ONE_TO_ONE` only).
    """

    kind: TextKind
    class_id: int
    rival_id: int | None = None


def phrases_by_slot(bank: TextBank) -> dict[TextSlot, tuple[str, ...]]:
    """Take a bank apart: canonical phrases of every slot that has any, class after class, then pair after pair."""
    about_classes = {
        TextSlot(kind, class_id): getattr(texts, field)
        for class_id, texts in enumerate(bank.classes)
        for kind, field in CLASS_SLOT_KINDS.items()
    }
    about_pairs = {TextSlot(TextKind.ONE_TO_ONE, *pair): phrases for pair, phrases in bank.one_to_one.items()}
    slots = {**about_classes, **about_pairs}
    return {slot: unique_phrases(phrases) for slot, phrases in slots.items() if phrases}


def bank_from_slots(
    slots: Mapping[TextSlot, tuple[str, ...]], *, class_count: int, domain: str | None = None
) -> TextBank:
    """Put a bank together from the phrases of its slots; every slot's class is below `class_count`."""
    classes = tuple(
        ClassTexts(**{field: slots.get(TextSlot(kind, class_id), ()) for kind, field in CLASS_SLOT_KINDS.items()})
        for class_id in range(class_count)
    )
    pairs = {
        (slot.class_id, slot.rival_id): phrases
        for slot, phrases in slots.items()
        if slot.rival_id is not None and phrases
    }
    return TextBank(classes=classes, one_to_one=pairs, domain=domain)


def canonical_bank(bank: TextBank) -> TextBank:
    """Clean every phrase, keep one of those that differ in case only, and leave out pairs without phrases."""
    return bank_from_slots(phrases_by_slot(bank), class_count=len(bank.classes), domain=bank.domain)
