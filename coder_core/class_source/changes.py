"""What changed in a class list: added, removed, renamed.

A rename can only be told where both lists carry stable ids; otherwise it is one class removed and one added, and the
new name's texts are made anew. The order of a list is no change: it moves no image between classes.
"""

from typing import NamedTuple

from coder_core.classes import ClassList
from coder_core.fingerprint import key_of


class ClassChange(NamedTuple):
    """What the classes are now, against what was evaluated last.

    Args:
        added: New names, in the order of the new list.
        removed: Names that are gone, in the order of the old list.
        renamed: Old and new name of a class with the same stable id, in the order of the new list.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.renamed)

    @property
    def key(self) -> str:
        """sha256 of the change."""
        return key_of([self.added, self.removed, self.renamed])


def compare_classes(before: ClassList | None, now: ClassList) -> ClassChange:
    """Compare two class lists by stable id where both have them, and by name.

    Args:
        before: What was evaluated last; None where nothing was: then every class is added.
        now: What there is.
    """
    if before is None:
        return ClassChange(added=now.names, removed=())
    renamed = _renames(before, now)
    old_names, new_names = {old for old, _ in renamed}, {new for _, new in renamed}
    known, current = set(before.names), set(now.names)
    return ClassChange(
        added=tuple(name for name in now.names if name not in known and name not in new_names),
        removed=tuple(name for name in before.names if name not in current and name not in old_names),
        renamed=renamed,
    )


def _renames(before: ClassList, now: ClassList) -> tuple[tuple[str, str], ...]:
    if before.stable_ids is None or now.stable_ids is None:
        return ()
    old_name = dict(zip(before.stable_ids, before.names, strict=True))
    pairs = ((old_name.get(stable_id), name) for stable_id, name in zip(now.stable_ids, now.names, strict=True))
    return tuple((old, new) for old, new in pairs if old is not None and old != new)
