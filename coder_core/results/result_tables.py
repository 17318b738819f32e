"""Reading the results of published runs back, wherever they lie; every byte is compared with its hash."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from coder_core.errors import StoreError
from coder_core.results.arrow_rows import rows_from_arrow, with_run, without_run
from coder_core.results.catalog import Catalog, TableFile, read_catalog, read_catalog_of
from coder_core.results.merged_publications import read_checked, read_publication
from coder_core.results.result_paths import is_run_id, name_digits, time_digits
from coder_core.results.schema import RUN_ID, RUNS, TABLES, RowClass, table_of
from coder_core.storage.refusals import NotInStoreError
from coder_core.storage.store import Store
from coder_core.storage.tables import decode_parquet, open_parquet

ROUNDS = 3
"""How often a question is asked again when files were compacted away while it was being answered."""
RUNS_SHOWN = 3
_Answer = TypeVar("_Answer")


class ResultTables:
    """The result tables of one store. Picklable. What is not published is not seen.

    Args:
        store: The store that runs publish to.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def published(self) -> list[str]:
        """List the visible runs, sorted."""
        return read_catalog(self.store).published()

    def is_published(self, run_id: str) -> bool:
        """Tell whether a run is visible; what cannot be a run id is none."""
        return is_run_id(run_id) and read_catalog_of(self.store, run_id).is_published(run_id)

    def read(self, table: RowClass | str, run_id: str) -> pa.Table:
        """Read one table of one published run, without `run_id`; a column that is younger than the run is null.

        Raises:
            StoreError: There is no such table or run, or a file is not what was published.
        """
        name = table_of(table).name
        return self._answer(run_id, lambda catalog: without_run(_read_run(catalog, name, run_id)))

    def read_rows(self, row_class: RowClass, run_id: str) -> list[Any]:
        """Read one table of one published run as rows of its class.

        Raises:
            StoreError: There is no such run, or a file is not what was published.
        """
        return rows_from_arrow(row_class, self.read(row_class, run_id))

    def read_manifest(self, run_id: str) -> bytes:
        """Read the manifest with which a run was published.

        Raises:
            StoreError: There is no such run, it has no manifest (0.1 wrote none), or it is not what was published.
        """
        manifest = self._answer(run_id, lambda catalog: read_publication(catalog, run_id)).manifest
        if manifest is None:
            problem = f"The run {run_id} was published by a version that wrote no manifests."
            raise StoreError(problem, self.store.url(), "Run the evaluation again.")
        return manifest

    def latest(self, name: str | None = None, *, other_than: str = "") -> str | None:
        """Return the published run of an evaluation, or of all, that was started last; None where there is none.

        Args:
            name: The evaluation, as its config names it; None for any.
            other_than: A run that does not count.
        """
        found = [run for run in self.newest(name) if run != other_than]
        return found[0] if found else None

    def newest(self, name: str | None = None) -> tuple[str, ...]:
        """List the published runs of an evaluation, or of all, those first that were started last."""

        def find(catalog: Catalog) -> tuple[str, ...]:
            return tuple(run_id for _, run_id in sorted(_started(catalog, name), reverse=True))

        return _ask_again(partial(read_catalog, self.store), find)

    def row_counts(self) -> dict[str, int]:
        """Count the rows of every table over all published runs, from their records where these say it."""
        look = partial(read_catalog, self.store)
        return _ask_again(look, lambda catalog: {name: _count(catalog, name) for name in TABLES})

    def _answer(self, run_id: str, question: Callable[[Catalog], _Answer]) -> _Answer:
        def look() -> Catalog:
            catalog = read_catalog_of(self.store, run_id)
            if not catalog.is_published(run_id):
                latest = ", ".join(self.newest()[:RUNS_SHOWN]) or "none yet"
                problem = f"There is no published run {run_id!r}."
                raise StoreError(problem, self.store.url(), f"Published runs: {latest}.")
            return catalog

        return _ask_again(look, question)


def _ask_again(look: Callable[[], Catalog], question: Callable[[Catalog], _Answer]) -> _Answer:
    """Ask with a fresh catalogue when a file is gone: it was compacted, and its rows are elsewhere now."""
    for _ in range(ROUNDS - 1):
        try:
            return question(look())
        except NotInStoreError:
            continue
    return question(look())


def _read_run(catalog: Catalog, name: str, run_id: str) -> pa.Table:
    tables = [_read_file(catalog.store, file, run_id) for file in catalog.files(name, [run_id])]
    found = [with_run(name, table, run_id) for table in tables]
    return pa.concat_tables(found) if found else with_run(name, pa.table({}), run_id)


def _read_file(store: Store, file: TableFile, run_id: str) -> pa.Table:
    content = read_checked(store, file.path, file.sha256) if file.sha256 else store.read_bytes(file.path)
    table = decode_parquet(content, store.url(file.path))
    return table if file.run_id else table.filter(pc.equal(table.column(RUN_ID), run_id))


def _started(catalog: Catalog, name: str | None) -> Iterable[tuple[str, str]]:
    """Yield time and id of the runs of an evaluation; rows are read only where no other file says whose they are."""
    yield from ((run.started_at, run.run_id) for run in catalog.generation.runs if name in (None, run.name))
    unnamed = []
    for run_id, single in catalog.singles.items():
        if (record := single.only_record) is None:
            unnamed.append(run_id)
        elif name is None or record.name_digits == name_digits(name):
            yield record.started_at, run_id
    for run_id in unnamed:
        (row,) = _read_run(catalog, RUNS, run_id).select(["name", "started_at"]).to_pylist()
        if name in (None, row["name"]):
            yield time_digits(row["started_at"]), run_id


def _count(catalog: Catalog, name: str) -> int:
    return sum(_count_file(catalog.store, file) for file in catalog.files(name))


def _count_file(store: Store, file: TableFile) -> int:
    if file.rows is not None:
        return file.rows
    with open_parquet(store, file.path) as opened:
        return int(opened.metadata.num_rows)
