"""Generations: which merged files count at this moment, and which runs are in them.

Compaction writes the rows of many runs into few files, and then one small record with the next number, created once:
that is the moment at which the merged files count and the single files of those runs do not any more, for every reader
at once. Whoever wants to take part reads the newest record and creates the one after it; of several, one wins and the
others throw their files away. A reader lists single runs first and reads the newest generation after that, so a run
that has gone from the first is in the second.

The record holds its JSON twice, each line with its own checksum: it stands for every compacted run, and a flipped bit
must not hide them all.
"""

import json
from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple

from coder_core.fingerprint import content_hash
from coder_core.results.result_paths import GENERATIONS, generation_path, parse_generation
from coder_core.storage.refusals import NotInStoreError, UnexpectedContentError
from coder_core.storage.store import Store

LOOKS = 5
"""How often the newest record is looked for when it is removed between being listed and being read."""


class MergedRun(NamedTuple):
    """A run in merged files.

    Args:
        run_id: The run.
        name: The evaluation.
        started_at: As `layout.time_digits` writes it.
        row_sha256: Hash of the row with which it was published.
        is_checked: False for a run that was published before there were records.
    """

    run_id: str
    name: str
    started_at: str
    row_sha256: str
    is_checked: bool


class MergedFile(NamedTuple):
    """A merged file.

    Args:
        table: Its result table, or `layout.PUBLICATIONS`: records and manifests.
        path: Relative to the store.
        sha256: Of its bytes.
        bytes: Its size.
        rows: Its rows; they are sorted by run.
        first_run: Of its first row.
        last_run: Of its last row.
    """

    table: str
    path: str
    sha256: str
    bytes: int
    rows: int
    first_run: str
    last_run: str

    def may_hold(self, run_ids: Iterable[str] | None) -> bool:
        """Whether rows of one of these runs may be in it; None is all runs."""
        return run_ids is None or any(self.first_run <= run_id <= self.last_run for run_id in run_ids)


class Generation:
    """One state of the merged files.

    Args:
        number: From 1; 0 is a store that was never compacted.
        runs: Sorted by id.
        files: Sorted by table and path.
    """

    def __init__(self, number: int, runs: tuple[MergedRun, ...] = (), files: tuple[MergedFile, ...] = ()) -> None:
        self.number = number
        self.runs = runs
        self.files = files

    @cached_property
    def by_run(self) -> dict[str, MergedRun]:
        """The runs by id."""
        return {run.run_id: run for run in self.runs}

    @cached_property
    def paths(self) -> frozenset[str]:
        """The files that count."""
        return frozenset(file.path for file in self.files)


def encode_generation(generation: Generation) -> bytes:
    """Write a generation's record."""
    fields = {
        "number": generation.number,
        "runs": [list(run) for run in generation.runs],
        "files": [list(file) for file in generation.files],
    }
    line = json.dumps(fields, separators=(",", ":"))
    return f"{content_hash(line.encode('ascii'))} {line}\n".encode("ascii") * 2


def decode_generation(content: bytes, url: str) -> Generation:
    """Read a generation's record from whichever of its lines is sound.

    Raises:
        UnexpectedContentError: None is.
    """
    for line in content.splitlines():
        checksum, _, text = line.partition(b" ")
        if content_hash(text).encode("ascii") == checksum:
            return _from_fields(json.loads(text))
    problem = "The record of the compacted runs is damaged: none of them can be seen."
    raise UnexpectedContentError(problem, url, "Put this file back from a copy of the store.")


def is_sound(content: bytes, generation: Generation) -> bool:
    """Whether both lines of a generation's record are what was written."""
    return content == encode_generation(generation)


def list_generations(paths: Iterable[str]) -> list[int]:
    """Pick the numbers of the generations out of a listing, sorted."""
    return sorted(number for path in paths if (number := parse_generation(path)) is not None)


def read_generation(store: Store, number: int) -> Generation:
    """Read one generation.

    Raises:
        NotInStoreError: It is gone: there is a newer one.
        UnexpectedContentError: It is damaged.
    """
    path = generation_path(number)
    return decode_generation(store.read_bytes(path), store.url(path))


def newest_generation(store: Store, paths: Iterable[str] | None = None) -> Generation:
    """Read the newest generation, that with number 0 where there is none.

    Args:
        store: Whose.
        paths: A listing of `publications` that was made a moment ago.

    Raises:
        UnexpectedContentError: It is damaged.
    """
    found = paths
    for _ in range(LOOKS):
        numbers = list_generations(store.list(GENERATIONS) if found is None else found)
        if not numbers:
            return Generation(0)
        try:
            return read_generation(store, numbers[-1])
        except NotInStoreError:
            found = None
    return read_generation(store, list_generations(store.list(GENERATIONS))[-1])


def commit_generation(store: Store, generation: Generation) -> bool:
    """Make a generation the newest one; False when another process was faster, and then nothing has changed.

    A process that slept for long may create the record of a number that was given away, and collected, long ago: there
    is a newer one then, and nobody reads this one.
    """
    return store.create_bytes(generation_path(generation.number), encode_generation(generation))


def _from_fields(fields: dict[str, Any]) -> Generation:
    runs = tuple(MergedRun(*run) for run in fields["runs"])
    return Generation(fields["number"], runs, tuple(MergedFile(*file) for file in fields["files"]))
