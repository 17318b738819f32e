"""Dress the phrases of a bank in a domain's sentences: the table of texts that an encoder will embed.

Rows come in one order, decided by the class list, the bank and the domain alone: class by class (name, synonyms,
attributes, whole sentences, analogues, ensemble prompts), then pair by pair. The same sentence may stand in several
rows (two classes of one name, say); `unique_texts` is what has to be embedded.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from coder_core.classes import ClassList
from coder_core.counted import counted
from coder_core.errors import TextBankError
from coder_core.texts.bank import ClassPair, TextBank, clean_phrase, phrases_by_slot, source_of
from coder_core.texts.domains import Domain, fill
from coder_core.texts.kinds import TextKind
from coder_core.texts.mentions import is_named

__all__ = ["CLASS_LIST_SOURCE", "WHOLE_SENTENCE", "Text", "TextTable", "build_texts"]

CLASS_LIST_SOURCE = "class_list"
"""The source of texts made from the class name alone."""
WHOLE_SENTENCE = "{attribute}"
"""The template of a whole sentence: it is the text."""


_ROLES: Mapping[str, tuple[str, ...]] = {
    TextKind.ATTRIBUTE: ("class",),
    TextKind.ANALOGOUS_CLASS: ("class",),
    TextKind.ONE_TO_ONE: ("class", "rival"),
}
"""Whom a text of a kind must name."""


class Text(NamedTuple):
    """One sentence and where it came from.

    Args:
        text: The sentence as the encoder sees it.
        kind: What it tells about the class.
        class_id: The class it speaks of.
        rival_id: The class it tells it from (`one_to_one` only).
        phrase: What was put into the template besides the class; the name itself for names and ensemble prompts.
        template: The template it was put into.
        source: Where the phrase came from: `class_list`, `file`, `human`, `llm:<model>`.
    """

    text: str
    kind: TextKind
    class_id: int
    rival_id: int | None
    phrase: str
    template: str
    source: str


@dataclass(frozen=True)
class TextTable:
    """All texts of a class list, in order.

    Args:
        rows: The texts.
        class_count: Number of classes; every `class_id` is below it.
    """

    rows: tuple[Text, ...]
    class_count: int

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Text]:
        return iter(self.rows)

    def unique_texts(self) -> tuple[str, ...]:
        """The distinct sentences in order of first appearance: one embedding, one column each."""
        return self._unique_texts

    @cached_property
    def _unique_texts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.text for row in self.rows))


def build_texts(
    classes: ClassList, bank: TextBank, domain: Domain, *, kinds: Collection[TextKind] = tuple(TextKind)
) -> TextTable:
    """Make every text of a class list.

    Args:
        classes: The classes, in label order.
        bank: Their phrases.
        domain: The sentences.
        kinds: Which kinds to make; class names are always made.

    Returns:
        The texts. Within one class (or pair) and kind no sentence occurs twice; each class starts with its name.

    Raises:
        TextBankError: The bank has not as many classes as the list, or a phrase does not name its class and its
            template has no `{class}`.
    """
    if len(bank.classes) != len(classes):
        raise TextBankError(
            f"the bank has {counted(len(bank.classes), 'class')}, the class list {len(classes)}.",
            "text bank",
            "Parse the bank against this class list.",
        )
    wanted = frozenset(kinds) | {TextKind.CLASS_NAME}
    _check_names(classes, bank, domain, wanted)
    per_class = (row for class_id in range(len(classes)) for row in _class_rows(class_id, classes, bank, domain))
    per_pair = (row for pair in bank.one_to_one for row in _pair_rows(pair, classes, bank, domain))
    rows = [row for source in (per_class, per_pair) for row in source if row.kind in wanted]
    return TextTable(rows=_without_repeats(rows), class_count=len(classes))


def _check_names(classes: ClassList, bank: TextBank, domain: Domain, wanted: Collection[TextKind]) -> None:
    """Refuse a text that names its class (or its rival) neither in the template nor in the phrase."""
    lacking = [
        (kind, role, template)
        for kind, roles in _ROLES.items()
        for template in _templates(domain, kind)
        for role in roles
        if kind in wanted and f"{{{role}}}" not in template
    ]
    slots = phrases_by_slot(bank) if lacking else {}
    for kind, role, template in lacking:
        for slot, phrases in slots.items():
            class_id = slot.rival_id if role == "rival" else slot.class_id
            if slot.kind == kind and class_id is not None:
                names = (classes.display_names[class_id], *bank.classes[class_id].synonyms)
                _refuse_unnamed(phrases, role, names, template)


def _templates(domain: Domain, kind: str) -> tuple[str, ...]:
    found = getattr(domain, kind)
    return (found,) if isinstance(found, str) else found


def _refuse_unnamed(phrases: Iterable[str], role: str, names: tuple[str, ...], template: str) -> None:
    for phrase in phrases:
        if not is_named(names, phrase):
            raise TextBankError(
                f"the phrase {phrase!r:.80} does not name the {role} {names[0]!r:.80}, nor does the template"
                f" {template!r:.80}.",
                "text bank",
                f"Write {{{role}}} into the template, or the name into the phrase.",
            )


def _class_rows(class_id: int, classes: ClassList, bank: TextBank, domain: Domain) -> Iterator[Text]:
    name, texts = classes.display_names[class_id], bank.classes[class_id]

    def row(kind: TextKind, template: str, key: str, phrase: str, source: str) -> Text:
        text = fill(template, {"class": name, key: phrase})
        return Text(text, kind, class_id, None, phrase, template, source)

    yield row(TextKind.CLASS_NAME, domain.class_name, "class", name, CLASS_LIST_SOURCE)
    for given in texts.synonyms:
        yield row(TextKind.SYNONYM, domain.class_name, "class", _as_name(given), source_of(given))
    for given in texts.attributes:
        phrase = fit_phrase(given, domain.attribute, "attribute")
        yield row(TextKind.ATTRIBUTE, domain.attribute, "attribute", phrase, source_of(given))
    for given in texts.sentences:
        yield row(TextKind.ATTRIBUTE, WHOLE_SENTENCE, "attribute", str(clean_phrase(given)), source_of(given))
    for given in texts.analogous_classes:
        phrase = fit_phrase(_as_name(given), domain.analogous_class, "analogue")
        yield row(TextKind.ANALOGOUS_CLASS, domain.analogous_class, "analogue", phrase, source_of(given))
    for template in domain.ensemble:
        yield row(TextKind.TEMPLATE, template, "class", name, CLASS_LIST_SOURCE)


def _pair_rows(pair: ClassPair, classes: ClassList, bank: TextBank, domain: Domain) -> Iterator[Text]:
    class_id, rival_id = pair
    names = {"class": classes.display_names[class_id], "rival": classes.display_names[rival_id]}
    for given in bank.one_to_one[pair]:
        for template in domain.one_to_one:
            phrase = fit_phrase(given, template, "phrase")
            text = fill(template, {**names, "phrase": phrase})
            yield Text(text, TextKind.ONE_TO_ONE, class_id, rival_id, phrase, template, source_of(given))


def _as_name(given: str) -> str:
    return str(clean_phrase(given.replace("_", " ")) or clean_phrase(given))


def fit_phrase(phrase: str, template: str, placeholder: str) -> str:
    """Clean a phrase, and drop its closing period where the template goes on after it."""
    cleaned = str(clean_phrase(phrase))
    goes_on = not template.endswith(f"{{{placeholder}}}")
    return cleaned.rstrip(" .") or cleaned if goes_on else cleaned


def _without_repeats(rows: list[Text]) -> tuple[Text, ...]:
    """Keep the first of rows that say the same sentence about the same class (or pair) in the same kind."""
    first_of: dict[tuple[int, int | None, TextKind, str], Text] = {}
    for row in rows:
        first_of.setdefault((row.class_id, row.rival_id, row.kind, row.text), row)
    return tuple(first_of.values())
