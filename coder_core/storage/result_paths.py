"""Where result tables live: `tables/{table}/run_id={run_id}/{part}.parquet`.

The one layout that the writer and the warehouse share. A run is published when its row of `runs` is there. Run ids end
up in folder names, URLs and SQL, so only plain characters are let in.
"""

import re
from typing import NamedTuple

from coder_core.errors import StoreError
from coder_core.storage.columns import RUNS, table_columns
from coder_core.storage.store import Store

TABLES_FOLDER = "tables"
_RUN_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_PART_NAME = r"[a-z0-9][a-z0-9_-]{0,63}"
WHOLE = "part"
"""The one part of a table that is written at once."""
_PART = re.compile(rf"{TABLES_FOLDER}/(?P<table>[a-z_]+)/run_id=(?P<run_id>{_RUN_ID})/{_PART_NAME}\.parquet")


class ResultPart(NamedTuple):
    """A file that holds one table of one run, or a part of it."""

    table: str
    run_id: str
    path: str


def result_path(table: str, run_id: str, part: str = WHOLE) -> str:
    """Return the file of one part of one table of one run, relative to the store.

    Raises:
        StoreError: When there is no such table, or the run id or the part's name is not safe.
    """
    table_columns(table)
    if not re.fullmatch(_RUN_ID, run_id):
        remedy = "Use letters, digits, '.', '_' and '-' (128 at most, a letter or a digit first)."
        raise StoreError(f"{run_id!r} is not a run id.", remedy=remedy)
    if not re.fullmatch(_PART_NAME, part):
        raise StoreError(f"{part!r} is not the name of a part.", remedy="Use a-z, digits, '_' and '-'.")
    return f"{run_folder(table, run_id)}/{part}.parquet"


def run_folder(table: str, run_id: str) -> str:
    """Return the folder of the parts of one table of one run."""
    return f"{TABLES_FOLDER}/{table}/run_id={run_id}"


def parse_result_path(path: str) -> ResultPart | None:
    """Read what a result file holds off its path; None when the path is no result file's."""
    match = _PART.fullmatch(path)
    return ResultPart(match["table"], match["run_id"], path) if match else None


def list_result_parts(store: Store) -> list[ResultPart]:
    """List every result file, sorted, of published runs and others."""
    return [part for path in store.list(TABLES_FOLDER) if (part := parse_result_path(path))]


def list_published_parts(store: Store) -> list[ResultPart]:
    """List the result files of published runs, sorted."""
    parts = list_result_parts(store)
    published = {part.run_id for part in parts if part.table == RUNS}
    return [part for part in parts if part.run_id in published]
