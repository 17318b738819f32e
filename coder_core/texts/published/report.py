"""What an import of published texts did, as data: what matched nothing, what was dropped, repaired or flagged, and why.

`coder_core.review` prints it; its rows are plain tuples, ready for a table.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from coder_core.texts.kinds import TextKind
from coder_core.texts.published.document import Format
from coder_core.texts.published.matching import Mismatch
from coder_core.texts.published.rules import RULES, Action, Rule

__all__ = ["ImportReport", "KindCount", "PhraseNote", "SharedName", "UnmatchedName"]


class KindCount(NamedTuple):
    """How much there is of one kind.

    Args:
        kind: Of the phrases.
        found: Phrases in the file.
        kept: Phrases in the bank; those of a name that two classes share count twice.
        slots: Classes (for one-to-one: ordered pairs) that have at least one.
    """

    kind: TextKind
    found: int
    kept: int
    slots: int


class UnmatchedName(NamedTuple):
    """A name of the file that stands for no class.

    Args:
        name: As the file writes it.
        kind: Of the phrases under it.
        reason: `unknown`; `repeated` (another name has a better claim, or several have the same); `own_rival`.
        nearest: The most similar class name; None when nothing is similar.
        phrases: How many phrases were left out for it; those of a pair count for its first unknown name.
    """

    name: str
    kind: TextKind
    reason: Mismatch
    nearest: str | None
    phrases: int


class SharedName(NamedTuple):
    """A name whose texts went to several classes, because the class list has it several times and the file once."""

    name: str
    kind: TextKind
    class_ids: tuple[int, ...]


class PhraseNote(NamedTuple):
    """One rule that applied to one phrase.

    Args:
        rule: Which; `RULES[rule]` has its action and explanation.
        kind: Of the phrase.
        class_id: The class that the phrase is about.
        rival_id: The class that it tells it from (one-to-one only).
        before: The phrase as found.
        after: The phrase as kept; None when it was dropped.
    """

    rule: Rule
    kind: TextKind
    class_id: int
    rival_id: int | None
    before: str
    after: str | None


@dataclass(frozen=True)
class ImportReport:
    """What became of a published file.

    Args:
        place: The file's name as given.
        format: `coder` or `class_to_list`.
        source: The source that its phrases carry in the bank.
        class_names: The class list, in label order.
        counts: One row per kind that the file has.
        unmatched: Names that stand for no class, with the most phrases first.
        shared: Names whose texts went to several classes.
        without: Kind that the file has -> ids of the classes that have no phrase of it.
        notes: What was done to phrases, in the order of the file.
        ignored_keys: Keys of the file that say nothing to this reader.
    """

    place: str
    format: Format
    source: str
    class_names: tuple[str, ...]
    counts: tuple[KindCount, ...]
    unmatched: tuple[UnmatchedName, ...]
    shared: tuple[SharedName, ...]
    without: Mapping[TextKind, tuple[int, ...]]
    notes: tuple[PhraseNote, ...]
    ignored_keys: tuple[str, ...]

    @property
    def without_texts(self) -> tuple[int, ...]:
        """Ids of the classes that got nothing at all: they are judged by their names alone."""
        groups = [set(class_ids) for class_ids in self.without.values()]
        return tuple(sorted(set.intersection(*groups))) if groups else tuple(range(len(self.class_names)))

    def rule_counts(self, action: Action) -> dict[Rule, int]:
        """How often each rule of an action applied, in the order of `RULES`; rules that never did are left out."""
        counts = Counter(note.rule for note in self.notes)
        return {rule: counts[rule] for rule, text in RULES.items() if text.action is action and counts[rule]}
