"""What a run should know of its classes and texts before anything is spent on them."""

from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

from coder_core.classes import ClassList, normalise_name
from coder_core.texts.bank import TextBank, phrase_key

__all__ = ["EqualClasses", "equal_classes_warning", "find_equal_classes", "undescribed_classes"]

GROUPS_SHOWN = 5
IDS_SHOWN = 5


class EqualClasses(NamedTuple):
    """Classes that no text can tell apart.

    Args:
        reason: `name`: one name up to case, `_`, `-` and white space. `texts`: the same phrases of all kinds.
        class_ids: Two or more, ascending.
    """

    reason: str
    class_ids: tuple[int, ...]


def undescribed_classes(bank: TextBank) -> tuple[int, ...]:
    """Ids of the classes that have no attribute, no sentence and no analogous class: judged by their names alone."""
    return tuple(
        class_id
        for class_id, texts in enumerate(bank.classes)
        if not (texts.attributes or texts.sentences or texts.analogous_classes)
    )


def find_equal_classes(classes: ClassList, bank: TextBank | None = None) -> tuple[EqualClasses, ...]:
    """Find classes of one name, and classes of one set of phrases.

    Args:
        classes: The classes.
        bank: Their phrases; without it names alone are compared.

    Returns:
        Groups of equal names, then groups of equal phrases, each by its lowest class id. Classes without a phrase are
        in no group of phrases.
    """
    by_name = _groups(normalise_name(name) for name in classes)
    by_texts = _groups(_phrase_set(bank, class_id) for class_id in range(len(classes))) if bank else iter(())
    return (*(EqualClasses("name", ids) for ids in by_name), *(EqualClasses("texts", ids) for ids in by_texts))


def equal_classes_warning(classes: ClassList, bank: TextBank | None = None) -> str | None:
    """Warn in one line of classes that no text can tell apart; None where there are none."""
    groups = find_equal_classes(classes, bank)
    if not groups:
        return None
    shown = "; ".join(_in_words(group, classes) for group in groups[:GROUPS_SHOWN])
    rest = f"; and {len(groups) - GROUPS_SHOWN} more groups" if len(groups) > GROUPS_SHOWN else ""
    return f"classes that no text can tell apart: {shown}{rest}. Rename them, or describe them differently."


def _in_words(group: EqualClasses, classes: ClassList) -> str:
    same = "have one name" if group.reason == "name" else "have the same texts"
    named = [f"{classes.names[class_id]!r:.80} (id {class_id})" for class_id in group.class_ids[:IDS_SHOWN]]
    rest = f" and {len(group.class_ids) - IDS_SHOWN} more" if len(group.class_ids) > IDS_SHOWN else ""
    return f"{', '.join(named)}{rest} {same}"


def _phrase_set(bank: TextBank, class_id: int) -> Hashable:
    """All phrases about a class, whatever their order and case; one-to-one texts count in the rerank only."""
    lists = vars(bank.classes[class_id]).items()
    return frozenset((name, phrase_key(phrase)) for name, phrases in lists for phrase in phrases)


def _groups(keys: Iterable[Hashable]) -> Iterator[tuple[int, ...]]:
    ids_of: dict[Hashable, list[int]] = {}
    for class_id, key in enumerate(keys):
        if key:
            ids_of.setdefault(key, []).append(class_id)
    yield from (tuple(ids) for ids in ids_of.values() if len(ids) > 1)
