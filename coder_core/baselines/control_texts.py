"""Controls: CODER's classifier on texts from which one thing was taken away. Is it their MEANING, or only ensembling?

Each control turns the texts of a bank into other texts of the same kinds, which are embedded, laid out and scored as
CODER's own (`fold_classifier`), so that a control and CODER differ in nothing else:

* `waffle`: descriptions of random words and letters, shared by all classes (WaffleCLIP). Names stay.
* `characters`: as `waffle`, of random letters alone: not even words are left.
* `shuffled`: every class has the descriptions of ANOTHER class under its own name. Names stay.
* `repeated_names`: in place of every description the class name once more, in the domain's prompts in turn: what as
  many texts give without any description. Names stay.
* `nameless`: the descriptions alone, with "something" wherever the class or a synonym was named.

Where names stay, so do synonyms; no text is written for ensembles of prompts or for pairs.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import cycle, islice
from typing import NamedTuple

import numpy as np

from coder_core.baselines.waffle import random_phrases
from coder_core.classes import ClassList
from coder_core.errors import ConfigError, TextBankError
from coder_core.loops import each
from coder_core.texts.bank import TextBank
from coder_core.texts.domains import Domain, fill
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS, TextKind
from coder_core.texts.sentences import Text, TextTable, build_texts

__all__ = ["ANYTHING", "CONTROLS", "Control", "build_control", "derange"]

ANYTHING = "something"
"""What stands where a class was named."""

PLACEHOLDER_OF = {TextKind.ATTRIBUTE: "attribute", TextKind.ANALOGOUS_CLASS: "analogue"}

Rows = Iterable[Text]


class _Given(NamedTuple):
    """What a control is made from: CODER's own naming and descriptive texts, and where they came from."""

    table: TextTable
    classes: ClassList
    domain: Domain
    seed: int


class Control(NamedTuple):
    """One way to take something away from the texts.

    Args:
        make: Yields the texts that are not CODER's.
        keeps_names: Whether CODER's naming texts stand beside them.
    """

    make: Callable[[_Given], Rows]
    keeps_names: bool


def build_control(name: str, classes: ClassList, bank: TextBank, *, domain: Domain, seed: int) -> TextTable:
    """Make the texts of a control.

    Args:
        name: A key of `CONTROLS`.
        classes: The classes, in label order.
        bank: Their phrases, with at least one description.
        domain: The sentences.
        seed: Decides what is random: the phrases of `waffle`, who gets whose descriptions in `shuffled`.

    Returns:
        Naming and descriptive texts of every class, its name first. `source` is `control:<name>` where a text is not
        CODER's. Sentences may repeat, within a class too: then they count as often as they stand there.

    Raises:
        ConfigError: There is no such control, or `shuffled` is asked for with one class.
        TextBankError: The bank describes no class, or has not as many classes as the list.
    """
    if name not in CONTROLS:
        raise ConfigError(f"unknown control {name!r}.", "controls", f"There are: {', '.join(CONTROLS)}.")
    table = build_texts(classes, bank, domain, kinds=(*NAMING_KINDS, *DESCRIPTIVE_KINDS))
    if not any(row.kind in DESCRIPTIVE_KINDS for row in table):
        raise TextBankError(
            "the bank holds no attribute and no analogous class.", f"control {name}", "Describe the classes first."
        )
    control = CONTROLS[name]
    names = [row for row in table if control.keeps_names and row.kind in NAMING_KINDS]
    given = _Given(table, classes, domain, seed)
    made = [row._replace(source=f"control:{name}") for row in each(control.make(given), every=256)]
    in_order = sorted((*names, *made), key=lambda row: row.class_id)  # stable: of every class the name comes first
    return TextTable(rows=tuple(in_order), class_count=len(classes))


def derange(count: int, *, seed: int) -> list[int]:
    """Give everyone another's place: a random permutation that moves all.

    It is one random cycle through all (Sattolo 1986), so nobody gets the own and no two merely swap, but for count 2.

    Args:
        count: At least 2.
        seed: Same seed, same permutation.

    Raises:
        ConfigError: There is nobody else.
    """
    if count < 2:
        raise ConfigError(f"{count} class has no other.", "control shuffled", "Use it with two classes or more.")
    order = np.random.default_rng(seed).permutation(count)
    other = np.empty_like(order)
    other[order] = np.roll(order, -1)
    return [int(place) for place in other]


def _characters(given: _Given) -> Rows:
    return _random(given, words=False)


def _waffle(given: _Given) -> Rows:
    return _random(given, words=True)


def _random(given: _Given, *, words: bool) -> Rows:
    described = [row for row in given.table if row.kind in DESCRIPTIVE_KINDS]
    counts = Counter(row.class_id for row in described)
    described_phrases = [row.phrase for row in described]
    phrases = random_phrases(described_phrases, count=max(counts.values()), seed=given.seed, words=words)
    like_these = described[0]._replace(kind=TextKind.ATTRIBUTE, template=given.domain.attribute)
    for class_id, count in counts.items():
        for phrase in phrases[:count]:
            row = like_these._replace(class_id=class_id, phrase=phrase)
            yield _redress(row, given.classes.display_names[class_id])


def _shuffled(given: _Given) -> Rows:
    receiver_of = derange(len(given.classes), seed=given.seed)
    for row in given.table:
        if row.kind in DESCRIPTIVE_KINDS:
            class_id = receiver_of[row.class_id]
            yield _redress(row._replace(class_id=class_id), given.classes.display_names[class_id])


def _repeated_names(given: _Given) -> Rows:
    prompts = tuple(dict.fromkeys((*given.domain.ensemble, given.domain.class_name)))
    counts = Counter(row.class_id for row in given.table if row.kind in DESCRIPTIVE_KINDS)
    for class_id, count in counts.items():
        name = given.classes.display_names[class_id]
        for prompt in islice(cycle(prompts), count):
            yield Text(fill(prompt, {"class": name}), TextKind.ATTRIBUTE, class_id, None, name, prompt, "")


def _nameless(given: _Given) -> Rows:
    names_of: dict[int, list[str]] = defaultdict(list)
    for row in given.table:
        if row.kind in NAMING_KINDS:
            names_of[row.class_id].append(row.phrase)
        if row.kind is TextKind.CLASS_NAME:
            yield row._replace(text=fill(row.template, {"class": ANYTHING}), phrase=ANYTHING)
    for row in given.table:
        if row.kind in DESCRIPTIVE_KINDS:
            yield _redress(row._replace(phrase=_without(names_of[row.class_id], row.phrase)), ANYTHING)


def _redress(row: Text, name: str) -> Text:
    """Write a description again, about another name."""
    return row._replace(text=fill(row.template, {"class": name, PLACEHOLDER_OF[row.kind]: row.phrase}))


def _without(names: Iterable[str], phrase: str) -> str:
    """Replace every mention of a name, in whatever case and also in the plural."""
    longest_first = sorted(names, key=len, reverse=True)
    mention = rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?:s|es)?(?!\w)"
    return re.sub(mention, ANYTHING, phrase, flags=re.IGNORECASE)


CONTROLS: Mapping[str, Control] = {
    "waffle": Control(_waffle, keeps_names=True),
    "characters": Control(_characters, keeps_names=True),
    "shuffled": Control(_shuffled, keeps_names=True),
    "repeated_names": Control(_repeated_names, keeps_names=True),
    "nameless": Control(_nameless, keeps_names=False),
}
