"""A person's edits of a text bank: phrases added and phrases deleted, kept apart from what was generated.

Edits are not a changed bank but the difference to one, so they survive every regeneration: applied to new texts they
add what the person added and keep away what the person deleted, though a model may say it again. `merging` applies
them, `edits_file` reads and writes them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from coder_core.errors import TextBankError
from coder_core.texts.bank import TextBank
from coder_core.texts.phrases import Phrase, clean_phrase, unique_phrases
from coder_core.texts.slots import TextSlot, phrases_by_slot

__all__ = ["HUMAN_SOURCE", "PhraseEdits", "TextEdits", "edits_between", "phrase_key"]

HUMAN_SOURCE = "human"
"""The source of phrases that a person wrote."""


def phrase_key(phrase: str) -> str:
    """What two spellings of one phrase share: everything but case and white space."""
    return clean_phrase(phrase).casefold()


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
            raise TextBankError(
                f"the phrase {min(both)!r} is both added and deleted.", "text edits", "Remove it from one of the two."
            )

    @property
    def deleted_keys(self) -> frozenset[str]:
        """The deleted phrases as `phrase_key` compares them."""
        return frozenset(map(phrase_key, self.deleted))

    def then(self, later: "PhraseEdits") -> "PhraseEdits":
        """These edits and later ones as one; where they contradict each other the later ones count."""
        added_keys = set(map(phrase_key, later.added))
        return PhraseEdits(
            added=(*later.added, *_without(self.added, later.deleted_keys)),
            deleted=(*later.deleted, *_without(self.deleted, added_keys)),
        )


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

    def of(self, slot: TextSlot) -> PhraseEdits:
        """The edits of one slot; empty where there are none."""
        return self.by_slot.get(slot, PhraseEdits())

    def then(self, later: "TextEdits") -> "TextEdits":
        """These edits and later ones as one; where they contradict each other the later ones count."""
        slots = {**self.by_slot, **later.by_slot}
        return TextEdits({slot: self.of(slot).then(later.of(slot)) for slot in slots})


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
        deleted=_without(before, set(map(phrase_key, after))),
    )


def _without(phrases: Iterable[str], keys: Iterable[str]) -> tuple[str, ...]:
    gone = frozenset(keys)
    return tuple(phrase for phrase in phrases if phrase_key(phrase) not in gone)
