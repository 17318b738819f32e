"""What two stores must have in common when the same evaluation ran in both, however disturbed one of them was."""

import re

from coder_core.results.result_tables import ResultTables
from coder_core.results.schema import TABLES
from coder_core.storage.ledger import Ledger
from coder_core.storage.store import Store

PACE = {"items_per_second", "device_share", "decode_share", "read_share", "write_share"}
ONES_OWN = {"run_id", "started_at", "finished_at", "seconds"} | PACE
"""What is another in every run, disturbed or not."""
COUNTS = {"texts_embedded", "texts_reused", "images_embedded", "images_reused", "computed", "device"}
"""How much of the work an interrupted run had done before."""
_OWN_NAME = re.compile(r"\.[0-9a-f]{64}\.|\.\d{8}T\d{12}\.")
"""Result files are named by the hash of their bytes, and some of them tell the time."""


def result_rows(root: str, run_id: str, *, without: frozenset[str] = frozenset()) -> dict[str, list[str]]:
    """All rows of all result tables of a run as text, but for what names the run or tells the time."""
    results = ResultTables(Store(root))
    rows = {}
    for name in TABLES:
        table = results.read(name, run_id)
        columns = [column for column in table.column_names if column not in ONES_OWN | without]
        rows[name] = sorted(map(repr, table.select(columns).to_pylist()))
    assert rows["runs"], f"{run_id} is not published"
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
    """Every file as often as it is there, results without what only their run knows."""
    paths = Store(root).list()
    return sorted(_OWN_NAME.sub(".", path) if path.startswith(("tables/", "publications/")) else path for path in paths)
