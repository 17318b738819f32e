"""The text bank: what is known about every class in words, before it is dressed in sentences.

A bank is in class order and speaks of classes by id, so it cannot be mistaken for a dictionary of names. A phrase is an
ordinary string; one that is a `Phrase` also knows where it came from. Provenance is not identity: two phrases are equal
when their characters are.

What treats all kinds of phrases alike (writing, merging, reviewing) takes a bank apart into slots. A slot is a place
that holds a list of phrases: a kind and a class, or the one-to-one phrases of an ordered pair.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from coder_core.classes import ClassList
from coder_core.errors import TextBankError

DEFAULT_SOURCE = "file"
HUMAN_SOURCE = "human"
"""The source of phrases that a person wrote."""
PICTURED = "+images"
"""How the source of phrases ends that a language model wrote with labelled images before it."""

ClassPair = tuple[int, int]
"""(class id, rival id), ordered: the phrases tell the class from the rival."""


class Phrase(str):
    """A string with a source: `file`, `human`, `wordnet:<lexicon>`, `published:<file>`, `llm:<model>`, or
    `llm:<model>+images` where the model was shown labelled images.
    """

    source: str

    def __new__(cls, text: str, source: str = DEFAULT_SOURCE) -> "Phrase":
        """Make the string and attach its source."""
        phrase = super().__new__(cls, text)
        phrase.source = source
        return phrase


def source_of(phrase: str) -> str:
    """Where a phrase came from; a plain string came from a file."""
    return phrase.source if isinstance(phrase, Phrase) else DEFAULT_SOURCE


def is_pictured(phrase: str) -> bool:
    """Whether a phrase was written from labelled images: whoever reads it has read labels."""
    return source_of(phrase).strip().endswith(PICTURED)


def clean_phrase(phrase: str) -> str:
    """Strip the ends and make every inner run of white space one blank; the source is kept."""
    return Phrase(" ".join(phrase.split()), source_of(phrase))


def phrase_key(phrase: str) -> str:
    """What two spellings of one phrase share: everything but case and white space."""
    return " ".join(phrase.split()).casefold()


def unique_phrases(phrases: Iterable[str]) -> tuple[str, ...]:
    """Clean phrases and keep the first of those that differ in case only, in order."""
    first_of: dict[str, str] = {}
    for phrase in phrases:
        cleaned = clean_phrase(phrase)
        first_of.setdefault(cleaned.casefold(), cleaned)
    return tuple(first_of.values())


class PhraseKind(StrEnum):
    """What a phrase of a bank is.

    A whole sentence ("A wren is a small brown bird.", as CuPL and TIMO write them) is embedded as it is; what it says
    is what an attribute says, so its text is of the kind `attribute`.
    """

    ATTRIBUTE = "attribute"
    SENTENCE = "sentence"
    ANALOGOUS_CLASS = "analogous_class"
    SYNONYM = "synonym"
    ONE_TO_ONE = "one_to_one"


CLASS_FIELDS: Mapping[PhraseKind, str] = {
    PhraseKind.ATTRIBUTE: "attributes",
    PhraseKind.SENTENCE: "sentences",
    PhraseKind.ANALOGOUS_CLASS: "analogous_classes",
    PhraseKind.SYNONYM: "synonyms",
}
"""Kinds of phrases about one class, and the field of `ClassTexts` (and key of a file) that holds them."""


@dataclass(frozen=True)
class ClassTexts:
    """The phrases of one class; every tuple may be empty.

    Args:
        attributes: What the class looks like, fit for "... which has {attribute}".
        analogous_classes: What else looks like it.
        synonyms: Other names of it.
        sentences: Whole sentences about it, to be embedded as they are.
    """

    attributes: tuple[str, ...] = ()
    analogous_classes: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextBank:
    """The phrases of all classes, in class order, and of ordered pairs of classes.

    Args:
        classes: One entry per class; position = label id.
        one_to_one: Ordered pair -> phrases that tell the first class from the second; kept sorted by pair. Read only.
        domain: The domain of sentences the bank was written for (`load_domains`), where it says so.
        superfluous: Names of its file that are in no class list; their phrases were not read.

    Raises:
        TextBankError: A phrase is blank, or a pair names a class that does not exist or one class twice.
    """

    classes: tuple[ClassTexts, ...]
    one_to_one: Mapping[ClassPair, tuple[str, ...]] = field(default_factory=dict)
    domain: str | None = None
    superfluous: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "one_to_one", dict(sorted(self.one_to_one.items())))
        for class_id, texts in enumerate(self.classes):
            for name, phrases in vars(texts).items():
                _refuse_blank(phrases, f"text bank: classes[{class_id}].{name}")
        for pair, phrases in self.one_to_one.items():
            self._check_pair(pair)
            _refuse_blank(phrases, f"text bank: one_to_one{pair}")

    def _check_pair(self, pair: ClassPair) -> None:
        class_count = len(self.classes)
        if pair[0] == pair[1] or not all(0 <= class_id < class_count for class_id in pair):
            raise TextBankError(
                f"the pair {pair} is not two different classes of 0..{class_count - 1}.",
                "text bank: one_to_one",
                "Use the label ids of two classes of the list.",
            )


def _refuse_blank(phrases: tuple[str, ...], place: str) -> None:
    for position, phrase in enumerate(phrases):
        if not phrase.strip():
            raise TextBankError(f"the phrase {phrase!r:.80} is blank.", f"{place}[{position}]", "Write or remove it.")


def empty_bank(classes: ClassList) -> TextBank:
    """Make the bank that says nothing: enough for the CLIP baselines, which need class names only."""
    return TextBank(classes=(ClassTexts(),) * len(classes))


class TextSlot(NamedTuple):
    """Where phrases stand in a bank.

    Args:
        kind: Of the phrases.
        class_id: The class they are about.
        rival_id: The class they tell it from (`ONE_TO_ONE` only).
    """

    kind: PhraseKind
    class_id: int
    rival_id: int | None = None


def phrases_by_slot(bank: TextBank) -> dict[TextSlot, tuple[str, ...]]:
    """Take a bank apart: canonical phrases of every slot that has any, class by class, then pair by pair."""
    about_classes = {
        TextSlot(kind, class_id): getattr(texts, name)
        for class_id, texts in enumerate(bank.classes)
        for kind, name in CLASS_FIELDS.items()
    }
    about_pairs = {TextSlot(PhraseKind.ONE_TO_ONE, *pair): phrases for pair, phrases in bank.one_to_one.items()}
    slots = {**about_classes, **about_pairs}
    return {slot: unique_phrases(phrases) for slot, phrases in slots.items() if phrases}


def bank_from_slots(
    slots: Mapping[TextSlot, tuple[str, ...]],
    *,
    class_count: int,
    domain: str | None = None,
    superfluous: tuple[str, ...] = (),
) -> TextBank:
    """Put a bank together from the phrases of its slots; every slot's class is below `class_count`."""
    classes = tuple(
        ClassTexts(**{name: slots.get(TextSlot(kind, class_id), ()) for kind, name in CLASS_FIELDS.items()})
        for class_id in range(class_count)
    )
    pairs = {
        (slot.class_id, slot.rival_id): phrases
        for slot, phrases in slots.items()
        if slot.rival_id is not None and phrases
    }
    return TextBank(classes=classes, one_to_one=pairs, domain=domain, superfluous=superfluous)


def canonical_bank(bank: TextBank) -> TextBank:
    """Clean every phrase, keep one of those that differ in case only, and leave out pairs without phrases."""
    return bank_from_slots(phrases_by_slot(bank), class_count=len(bank.classes), domain=bank.domain)
