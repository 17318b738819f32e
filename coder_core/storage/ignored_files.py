"""What lies beside the data and is none: counted exactly, and named as far as a person reads."""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

NAMED_IN_ALL = 5_000
"""Entries that are kept with their names; of the rest only the number."""
NAMED_OF_A_KIND = 1_000
"""A NAS makes several thumbnails of each photograph: they must not crowd out everything else."""


class IgnoredFile(NamedTuple):
    r"""A file, or a folder (its location ends in `/`), that is no part of a data set.

    Args:
        location: Path or URL; what is no UTF-8 in it is written as `\xe9`.
        reason: One line.
    """

    location: str
    reason: str


class IgnoredFiles:
    """Counts all, names the first `NAMED_OF_A_KIND` of each kind."""

    def __init__(self) -> None:
        self._entries: list[IgnoredFile] = []
        self._count_of: Counter[str] = Counter()

    def add(self, kind: str, location: str, reason: str | Callable[[], str]) -> None:
        """Note one file; a reason that must be found out first is, where the file is named."""
        self._count_of[kind] += 1
        if self._count_of[kind] <= NAMED_OF_A_KIND and len(self._entries) < NAMED_IN_ALL:
            self._entries.append(IgnoredFile(location, reason if isinstance(reason, str) else reason()))

    @property
    def count(self) -> int:
        """How many there are, also of those that are not named."""
        return self._count_of.total()

    @property
    def entries(self) -> tuple[IgnoredFile, ...]:
        """Those that are named, in the order of their locations."""
        return tuple(sorted(self._entries))
