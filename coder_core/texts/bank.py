"""The text bank: what is known about every class in words, before it is dressed in sentences.

A bank is in class order and speaks of classes by id, so it cannot be mistaken for a dictionary of names. It may come
from a file (`bank_file`), from an LLM or from code; a phrase that is a `Phrase` remembers which.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from coder_core.classes import ClassList
from coder_core.errors import TextBankError

__all__ = ["ClassPair", "ClassTexts", "TextBank", "empty_bank"]

ClassPair = tuple[int, int]
"""(class id, rival id), ordered: the phrases tell the class from the rival."""


@dataclass(frozen=True)
class ClassTexts:
    """The phrases of one class; every tuple may be empty.

    Args:
        attributes: What the class looks like, fit for "... which has {attribute}".
        analogous_classes: What else looks like it.
        synonyms: Other names of it.
    """

    attributes: tuple[str, ...] = ()
    analogous_classes: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextBank:
    """The phrases of all classes, in class order, and of ordered pairs of classes.

    Args:
        classes: One entry per class; position = label id.
        one_to_one: Ordered pair -> phrases that tell the first class from the second; kept sorted by pair. Read only.
        domain: The domain of sentences the bank was written for (`load_domains`), where it says so.

    Raises:
        TextBankError: A phrase is blank, or a pair names a class that does not exist or one class twice.
    """

    classes: tuple[ClassTexts, ...]
    one_to_one: Mapping[ClassPair, tuple[str, ...]] = field(default_factory=dict)
    domain: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "one_to_one", dict(sorted(self.one_to_one.items())))
        for class_id, texts in enumerate(self.classes):
            for kind in ("attributes", "analogous_classes", "synonyms"):
                _refuse_blank(getattr(texts, kind), f"text bank: classes[{class_id}].{kind}")
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


def empty_bank(classes: ClassList) -> TextBank:
    """Make the bank that says nothing: enough for the CLIP baselines, which need class names only."""
    return TextBank(classes=(ClassTexts(),) * len(classes))


def _refuse_blank(phrases: tuple[str, ...], place: str) -> None:
    for position, phrase in enumerate(phrases):
        if not phrase.strip():
            raise TextBankError(f"the phrase {phrase!r} is blank.", f"{place}[{position}]", "Write or remove it.")
