"""Where result tables live: `tables/{table}/run_id={run_id}/part.parquet`.

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
_PART = re.compile(rf"{TABLES_FOLDER}/(?P<table>[a-z_]+)/run_id=(?P<run_id>{_RUN_ID})/part\.parquet")


class ResultPart(NamedTuple):
    """The file that holds one table of one run."""

    table: str
    run_id: str
    path: str


def result_path(table: str, run_id: str) -> str:
    """Return the file of one table of one run, relative to the store.

    Raises:
        StoreError: When there is no such table or the run id is not safe.
    """
    table_columns(table)
    if not re.fullmatch(_RUN_ID, run_id):
        remedy = "Use letters, digits, '.', '_' and '-' (128 at most, a letter or a digit first)."
        raise StoreError(f"{run_id!r} is not a run id.", remedy=remedy)
    return f"{TABLES_FOLDER}/{table}/run_id={run_id}/part.parquet"


def list_result_parts(store: Store) -> list[ResultPart]:
    """List every result file, sorted, of published runs and others."""
    matches = (_PART.fullmatch(path) for path in store.list(TABLES_FOLDER))
    return [ResultPart(match["table"], match["run_id"], match.string) for match in matches if match]


def list_published_parts(store: Store) -> list[ResultPart]:
    """List the result files of published runs, sorted."""
    parts = list_result_parts(store)
    published = {part.run_id for part in parts if part.table == RUNS}
    return [part for part in parts if part.run_id in published]
