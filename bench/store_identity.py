"""Whether two stores say the same: every result table row by row, every ledger row, every artifact's parts by hash.

Rows are compared exactly, the last digit of every number included. A column is left out only where it tells when a
run was, or how much of the work was its own: both differ between an undisturbed run and a resumed one, and rightly so.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from coder_core.care.verifying import verify_store
from coder_core.results.result_tables import ResultTables
from coder_core.results.schema import RUN_ID, RUNS, TABLES
from coder_core.results.warehouse import Warehouse
from coder_core.storage.ledger import Ledger
from coder_core.storage.manifest import FOLDER, load_manifest
from coder_core.storage.store import Store
from coder_core.storage.tables import read_parquet

NOT_COMPARED: Mapping[str, frozenset[str]] = {
    RUNS: frozenset(
        {
            "started_at",  # when the run was
            "finished_at",
            "texts_embedded",  # its own share of the work; embedded + reused is compared
            "texts_reused",
            "images_embedded",
            "images_reused",
            "device",  # `none` where a run found all embeddings in the store
            "engine",  # who ran the steps
        }
    ),
    "timings": frozenset(  # how long it took, how fast, and its own share of the work
        {"seconds", "computed", "items_per_second", "device_share", "decode_share", "read_share", "write_share"}
    ),
    # Of the same questions, what it paid for itself; `asked` and `failed` are compared.
    "generation": frozenset({"generated", "reused", "prompt_tokens", "completion_tokens", "cost_usd"}),
}
"""Columns left out of the comparison, beside `run_id`, which names the run."""
LEDGER_TIME = "created_at"
"""When an answer was bought: the one ledger column that is left out."""
_SHARES = "texts_embedded + texts_reused, images_embedded + images_reused"
Rows = Counter[str]
"""Rows as text: numbers to the last digit, and NaN equal to itself."""


class LedgerContent(NamedTuple):
    """One partition of a ledger: its rows as a reader gets them, by key, and how many rows its parts hold."""

    rows: pa.Table
    stored: int


class StoreContent(NamedTuple):
    """What a store says.

    Attributes:
        runs: Rows by table, of every published run.
        ledgers: By folder.
        artifacts: sha256 by part, of every artifact.
    """

    runs: dict[str, dict[str, Rows]]
    ledgers: dict[str, LedgerContent]
    artifacts: dict[str, dict[str, str]]


def read_content(store: Store) -> StoreContent:
    """Read all that is compared; result files are checked against their published hashes on the way."""
    runs = {run_id: read_run(store, run_id) for run_id in ResultTables(store).published()}
    return StoreContent(runs, read_ledgers(store), _read_artifacts(store))


def read_run(store: Store, run_id: str) -> dict[str, Rows]:
    """All tables of one run, without the columns that are not compared."""
    return {table: _read_table(store, table, run_id) for table in TABLES}


def read_ledgers(store: Store) -> dict[str, LedgerContent]:
    """All ledgers, by folder."""
    parts = [path for path in store.list("ledgers") if path.endswith(".parquet")]
    found = {}
    for folder in sorted({path.rpartition("/")[0] for path in parts}):
        _, name, partition = folder.split("/")
        ledger = Ledger(store, name, partition)
        rows = ledger.read(sorted(ledger.keys()))
        if LEDGER_TIME in rows.column_names:
            rows = rows.drop_columns([LEDGER_TIME])
        stored = sum(len(read_parquet(store, part, ["key"])) for part in parts if part.startswith(f"{folder}/"))
        found[folder] = LedgerContent(rows.combine_chunks(), stored)
    return found


def count_embedded(ledgers: Mapping[str, LedgerContent], name: str) -> int:
    """Rows that a reader finds in all partitions of a ledger."""
    return sum(len(content.rows) for folder, content in ledgers.items() if folder.split("/")[1] == name)


def count_stored(ledgers: Mapping[str, LedgerContent], name: str) -> int:
    """Rows in all parts of a ledger: more than a reader finds where writers raced for a key."""
    return sum(content.stored for folder, content in ledgers.items() if folder.split("/")[1] == name)


def find_repeated(ledgers: Mapping[str, LedgerContent]) -> list[str]:
    """Ledgers that hold a row in more than one part."""
    return [
        f"{folder} holds {content.stored} rows of {len(content.rows)} keys"
        for folder, content in ledgers.items()
        if content.stored != len(content.rows)
    ]


def describe_left_out() -> str:
    """The columns that are not compared."""
    return ", ".join(
        ["run_id", *(f"{table}.{name}" for table, names in NOT_COMPARED.items() for name in sorted(names))]
    )


def find_differences(found: StoreContent, expected: StoreContent) -> list[str]:
    """Compare a store with one of an undisturbed run; every published run must say what that one says."""
    (wanted,) = expected.runs.values()
    differences = [
        f"run {run_id}, table {table}: {problem}"
        for run_id, tables in found.runs.items()
        for table in TABLES
        for problem in _compare_rows(tables[table], wanted[table])
    ]
    differences += [] if found.runs else ["no run is published"]
    return differences + list(_compare_ledgers(found, expected)) + list(_compare_artifacts(found, expected))


def find_damage(store: Store) -> list[str]:
    """What `coder-eval store verify` would complain about; leftovers of killed writers are none."""
    findings = verify_store(store).findings
    return [f"{found.path}: {found.problem}" for found in findings if found.severity != "leftover"]


def count_leftovers(store: Store) -> int:
    """What killed writers left behind and `coder-eval store gc` removes."""
    return sum(found.severity == "leftover" for found in verify_store(store).findings)


def _read_table(store: Store, table: str, run_id: str) -> Rows:
    left_out = NOT_COMPARED.get(table, frozenset())
    columns = [f'"{column.name}"' for column in TABLES[table].columns if column.name not in {RUN_ID, *left_out}]
    named = ", ".join(columns + ([_SHARES] if table == RUNS else []))
    sql = f"SELECT {named} FROM \"{table}\" WHERE run_id = '{run_id}'"
    return Counter(map(repr, Warehouse(store).query(sql).rows))


def _read_artifacts(store: Store) -> dict[str, dict[str, str]]:
    folders = {tuple(path.split("/")[1:3]) for path in store.list(FOLDER)}
    manifests = [load_manifest(store, kind, key) for kind, key in sorted(folders)]
    return {
        f"{manifest.kind}/{manifest.key}": {part.name: part.sha256 for part in manifest.parts}
        for manifest in manifests
        if manifest is not None
    }


def _compare_rows(found: Rows, expected: Rows) -> Iterator[str]:
    for rows, what in ((found - expected, "too many"), (expected - found, "missing")):
        if rows:
            yield f"{rows.total()} rows {what}, the first is {next(iter(rows)):.300}"


def _compare_ledgers(found: StoreContent, expected: StoreContent) -> Iterator[str]:
    for folder in sorted(found.ledgers.keys() ^ expected.ledgers.keys()):
        yield f"{folder} is in one store only"
    for folder in sorted(found.ledgers.keys() & expected.ledgers.keys()):
        here, there = found.ledgers[folder].rows, expected.ledgers[folder].rows
        if not here.equals(there):
            yield f"{folder}: {_unlike(here, there)}"


def _unlike(here: pa.Table, there: pa.Table) -> str:
    if here.column("key") != there.column("key"):
        return f"{len(here)} keys, expected {len(there)}, and not the same"
    pairs: Any = zip(here.to_pylist(), there.to_pylist(), strict=True)
    return f"{sum(left != right for left, right in pairs)} rows of the same key differ"


def _compare_artifacts(found: StoreContent, expected: StoreContent) -> Iterator[str]:
    for name in sorted(found.artifacts.keys() ^ expected.artifacts.keys()):
        yield f"artifact {name} is in one store only"
    for name in sorted(found.artifacts.keys() & expected.artifacts.keys()):
        if found.artifacts[name] != expected.artifacts[name]:
            yield f"artifact {name}: its parts differ"
