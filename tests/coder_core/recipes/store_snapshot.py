"""What two stores must have in common when the same evaluation ran in both, however disturbed one of them was."""

from typing import Any

from coder_core.storage.columns import TABLES
from coder_core.storage.warehouse import Warehouse

from coder_core.storage.ledger import Ledger
from coder_core.storage.store import Store

ONES_OWN = {"run_id", "started_at", "finished_at", "seconds"}
"""What is another in every run, disturbed or not."""
COUNTS = {"texts_embedded", "texts_reused", "images_embedded", "images_reused", "computed"}
"""How much of the work an interrupted run had done before."""


def result_rows(root: str, run_id: str, *, without: frozenset[str] = frozenset()) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all result tables of a run, but for what names the run or tells the time."""
    warehouse = Warehouse(Store(root))
    rows = {}
    for table, columns in TABLES.items():
        names = ", ".join(f'"{column.name}"' for column in columns if column.name not in ONES_OWN | without)
        found = warehouse.query(f"SELECT {names} FROM {table} WHERE run_id = '{run_id}'").rows
        rows[table] = sorted(found, key=repr)
    return rows


def ledger_rows(root: str) -> dict[str, list[str]]:
    """Every key of every ledger as often as a reader would meet it, and every vector, as text."""
    store = Store(root)
    found = {}
    for folder in sorted({path.rpartition("/")[0] for path in store.list("ledgers")}):
        _, name, partition = folder.split("/")
        ledger = Ledger(store, name, partition)
        found[folder] = sorted(map(repr, ledger.read(sorted(ledger.keys())).to_pylist()))
    return found


def file_names(root: str) -> list[str]:
    """Every file but the records of runs, which are named by the hash of a row that tells the time."""
    return [path for path in Store(root).list() if not (path.startswith("tables/runs/") and path.endswith(".json"))]
