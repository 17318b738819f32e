"""Whether the texts are about the classes that they are given to, and the sentences about what the classes are."""

from collections import Counter

from coder_core.classes import ClassList
from coder_core.counted import counted
from coder_core.review.finding import Fault, Finding
from coder_core.review.leaks import find_leaks
from coder_core.texts.bank import TextBank, phrases_by_slot

__all__ = ["check_texts"]

MOST = 0.5
"""Share of a class's phrases that name one other class, from which on they are about that one."""


def check_texts(classes: ClassList, bank: TextBank, *, domain: str) -> list[Finding]:
    """Look for texts about another class, and for sentences of another domain than the bank was written for.

    Args:
        classes: The class list.
        bank: Its phrases.
        domain: `texts.domain` of the config.
    """
    found = [_other_class(classes, bank), _other_domain(bank, domain)]
    return [finding for finding in found if finding is not None]


def _other_class(classes: ClassList, bank: TextBank) -> Finding | None:
    """Classes most of whose phrases name one and the same other class: rows that slipped, as a rule."""
    totals: Counter[int] = Counter()
    for slot, phrases in phrases_by_slot(bank).items():
        if slot.rival_id is None and str(slot.kind) != "analogous_class":
            totals[slot.class_id] += len(phrases)
    named: Counter[tuple[int, int]] = Counter(
        (leak.class_id, leak.other_class_id)
        for leak in find_leaks(bank, classes)
        if leak.rival_id is None and str(leak.kind) != "analogous_class" and leak.other_class_id is not None
    )
    pairs = sorted(pair for pair, count in named.items() if count > 1 and count > MOST * totals[pair[0]])
    if not pairs:
        return None
    shown = "; ".join(f"those of {classes.names[one]!r} name {classes.names[other]!r}" for one, other in pairs[:3])
    problem = f"the texts of {counted(len(pairs), 'class')} are about another class: {shown}."
    return Finding(Fault.OTHER_CLASS, tuple(one for one, _ in pairs), problem, "Give each class its own texts.")


def _other_domain(bank: TextBank, domain: str) -> Finding | None:
    if not bank.domain or bank.domain == domain:
        return None
    problem = f"the bank was written for the domain {bank.domain!r:.80}, the config says {domain!r:.80}."
    return Finding(Fault.DOMAIN, (), problem, f"Set texts.domain: {bank.domain:.80}.")
