"""Warehouse: read-only SQL over the result tables of published runs.

SQL comes from anywhere (a shell, a notebook, a web form), so four walls stand around the files. The statement must be
one SELECT whose syntax tree holds queries only and no table function beyond a short list (`sql_guard`). The engine runs
without access to disk, network, extensions or Python variables, and its configuration is locked (`query_engine`). It
runs in a process without credentials that can be killed, and is given the files that the question needs
(`query_process`), through a file system that cannot write (`query_files`). DuckDB verifies no checksums, so they are
compared with the hashes of their run before (`published_files`).
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coder_core.errors import QueryError, StoreError
from coder_core.results.catalog import Catalog, TableFile, find_latest_runs, find_previous_runs, read_catalog
from coder_core.results.published_files import PublishedFiles
from coder_core.results.query_limits import QueryLimits
from coder_core.results.query_process import ANSWERED, SPARE, QueryProcess
from coder_core.results.query_result import QueryResult
from coder_core.results.render import printable
from coder_core.storage.refusals import NotInStoreError
from coder_core.storage.store import Store

if TYPE_CHECKING:
    from coder_core.results.warehouse_file import WarehouseFile

__all__ = ["QueryLimits", "QueryResult", "Warehouse"]

STOP_SECONDS = 5.0
LONGEST_WORDS = 600
"""Characters of each part of a refusal: what the engine says may hold the words of strangers."""
ROUNDS = 3
"""How often a question is asked again when files were compacted away while it was being answered."""


class Warehouse:
    """The result tables of one store as SQL views. Picklable.

    Args:
        store: The store that runs publish to; an empty one has empty tables.
        limits: What a question may take.
    """

    def __init__(self, store: Store, limits: QueryLimits | None = None) -> None:
        self.store = store
        self.limits = limits or QueryLimits()

    def query(self, sql: str) -> QueryResult:
        """Answer one SELECT over the tables and views of `schema`.

        Raises:
            QueryError: The SQL is wrong, asks for more than reading result tables, or takes more than its limits.
            StoreError: The store refuses, or a result file is damaged.
        """
        deadline = time.monotonic() + self.limits.seconds
        for is_last in [False] * (ROUNDS - 1) + [True]:
            try:
                return self._ask(sql, deadline)
            except NotInStoreError:
                if is_last:
                    raise
        raise AssertionError  # (the last round has returned or raised)

    def export(self, path: str | Path, *, is_forced: bool = False) -> "WarehouseFile":
        """Write all tables and views into one DuckDB file, whole or not at all (`warehouse_file`).

        Args:
            path: The file, on a local disk.
            is_forced: Replace a file that is there.

        Raises:
            InputError: It cannot be written there, or is there already.
            StoreError: The store refuses, or a result file is damaged.
        """
        from coder_core.results.warehouse_file import write_warehouse

        return write_warehouse(self.store, Path(path), is_forced=is_forced)

    def _ask(self, sql: str, deadline: float) -> QueryResult:
        with PublishedFiles(self.store) as files, SPARE.lend() as process:
            process.say("question", sql, self.limits)
            return _Question(process, files, deadline, self.limits).answer(read_catalog(self.store))


class _Question:
    """A question that is being answered.

    Args:
        process: That answers it.
        files: That it is given.
        deadline: By `time.monotonic`.
        limits: What it may take.
    """

    def __init__(self, process: QueryProcess, files: PublishedFiles, deadline: float, limits: QueryLimits) -> None:
        self._process = process
        self._files = files
        self._deadline = deadline
        self._limits = limits
        self._columns: list[str] = []
        self._types: tuple[str, ...] = ()
        self._rows: list[tuple[Any, ...]] = []

    def answer(self, catalog: Catalog) -> QueryResult:
        """Give the engine what it needs, and collect what it says.

        Raises:
            QueryError: The engine refuses, or takes too long.
            StoreError: A file cannot be given.
        """
        while (message := self._hear()) != ("done",):
            if message[0] == "refused":
                raise QueryError(*(printable(words[:LONGEST_WORDS])[:LONGEST_WORDS] for words in message[1:]))
            try:
                self._act(catalog, *message)
            except StoreError:
                self._stop()
                raise
        return QueryResult(self._columns, self._rows, self._types)

    def _act(self, catalog: Catalog, kind: str, *details: Any) -> None:
        match kind, *details:
            case "needs", runs_of, latest_of, previous_of:
                self._give(list(_needed_files(catalog, runs_of, latest_of, previous_of)))
            case "read", path, position, size:
                self._process.say("piece", self._files.read_piece(path, position, size))
            case "columns", columns, types:
                self._columns, self._types = list(columns), tuple(types)
            case "rows", rows:
                self._rows.extend(rows)

    def _stop(self) -> None:
        """Tell the engine, which waits for a file, that there is none, so that it is ready for the next question."""
        self._process.say("stop")
        while (message := self._process.hear(time.monotonic() + STOP_SECONDS)) is not None:
            if message[0] in ANSWERED:
                return
            if message[0] == "read":
                self._process.say("stop")

    def _give(self, files: list[TableFile]) -> None:
        for batch in self._files.give(files):
            self._process.say("files", [tuple(file) for file in batch])
        self._process.say("go")

    def _hear(self) -> tuple[Any, ...]:
        message = self._process.hear(self._deadline)
        if message is None:
            problem = f"The query takes longer than {self._limits.seconds:g} s."
            raise QueryError(problem, "SQL", "Narrow it down, or allow more with --seconds.")
        return message


def _needed_files(
    catalog: Catalog, runs_of: dict[str, list[str] | None], latest_of: list[str], previous_of: list[str]
) -> Iterator[TableFile]:
    """Choose the files that hold what a question needs."""
    latest = find_latest_runs(catalog) if latest_of else None
    for table in sorted(runs_of.keys() | set(latest_of)):
        run_ids = runs_of.get(table, [])
        if run_ids is not None and table in latest_of:
            run_ids = None if latest is None else [*run_ids, *latest]
        if run_ids is not None and table in previous_of:
            previous = find_previous_runs(catalog, run_ids)
            run_ids = None if previous is None else [*run_ids, *previous]
        yield from catalog.files(table, run_ids)
