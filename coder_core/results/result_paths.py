"""Where results lie in a store: the one place that knows the paths.

| path | what it is |
|---|---|
| `tables/<table>/<run>.<sha256>.parquet` | one table of one run, named by the hash of its bytes |
| `tables/runs/<run>.parquet` | the row that makes a run visible, written last and once |
| `publications/<run>.<row sha256>.<name>.<time>.json` | the record of that row: every file of the run with its hash |
| `publications/<run>.<sha256>.manifest.json` | the run's manifest |
| `tables/<table>/merged/<generation>-<token>-<n>.parquet` | rows of many runs, made by compaction |
| `publications/merged/<generation>-<token>-<n>.parquet` | records and manifests of many runs |
| `publications/generations/<generation>.json` | which merged files count, and which runs are in them |
| `tables/<table>/run_id=<run>/<part>.parquet` and `tables/runs/run_id=<run>/<sha256>.json` | the same in 0.1 |

`run_id` is a column of every file and no folder's name, because both cannot be mixed: plain DuckDB refuses files with
and without a partition key in one glob, and where a file has the column and the folder the key, the key wins, for
DuckDB, Arrow and polars alike. So a file of many runs can only stand beside files that carry the column, too.

Run ids end up in file names, URLs and SQL, so only plain characters are let in. A file name never holds the name of an
evaluation (it may be long, or hostile), but the first digits of its hash.
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple

from coder_core.errors import StoreError
from coder_core.fingerprint import content_hash
from coder_core.results.schema import RUNS, table_of

TABLES_FOLDER = "tables"
PUBLICATIONS = "publications"
GENERATIONS = f"{PUBLICATIONS}/generations"
MERGED = "merged"
NAME_DIGITS = 16
_RUN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_TIME_FORMAT = "%Y%m%dT%H%M%S%f"
_SHA = r"[0-9a-f]{64}"
_ROW = re.compile(rf"{TABLES_FOLDER}/{RUNS}/(?P<run>{_RUN})\.parquet")
_TABLE_FILE = re.compile(rf"{TABLES_FOLDER}/(?!{RUNS}/)(?P<table>[a-z_]+)/(?P<run>{_RUN})\.(?P<sha>{_SHA})\.parquet")
_RECORD = re.compile(
    rf"{PUBLICATIONS}/(?P<run>{_RUN})\.(?P<row>{_SHA})\.(?P<name>[0-9a-f]{{{NAME_DIGITS}}})\.(?P<time>\d{{8}}T\d{{12}})\.json"
)
_MANIFEST = re.compile(rf"{PUBLICATIONS}/(?P<run>{_RUN})\.(?P<sha>{_SHA})\.manifest\.json")
_MERGED_FILE = re.compile(
    rf"({TABLES_FOLDER}/(?P<table>[a-z_]+)|{PUBLICATIONS})/{MERGED}/(?P<generation>\d{{8}})-[0-9a-f]{{12}}-\d{{4}}\.parquet"
)
_GENERATION = re.compile(rf"{GENERATIONS}/(?P<number>\d{{8}})\.json")
_OLD_PART = re.compile(
    rf"{TABLES_FOLDER}/(?P<table>[a-z_]+)/run_id=(?P<run>{_RUN})/[a-z0-9][a-z0-9_-]{{0,63}}\.parquet"
)
_OLD_RECORD = re.compile(rf"{TABLES_FOLDER}/{RUNS}/run_id=(?P<run>{_RUN})/(?P<row>{_SHA})\.json")


class RunFile(NamedTuple):
    """A file that belongs to one run.

    Args:
        run_id: The run.
        path: Relative to the store.
        table: The result table that it holds; empty for a record or a manifest.
        is_old: Whether 0.1 wrote it: then `run_id` is the folder's name and no column.
    """

    run_id: str
    path: str
    table: str
    is_old: bool


class RecordName(NamedTuple):
    """What the name of a record says, so that runs are listed by evaluation and time without opening one.

    Args:
        run_id: The run.
        row_sha256: Hash of the row that the record belongs to.
        name_digits: `name_digits` of the evaluation's name; empty where 0.1 wrote it.
        started_at: As `time_digits` writes it; empty where 0.1 wrote it.
    """

    run_id: str
    row_sha256: str
    name_digits: str = ""
    started_at: str = ""


def is_run_id(text: str) -> bool:
    """Tell whether a text can be a run id: safe in a file name, a URL and SQL."""
    return re.fullmatch(_RUN, text) is not None


def check_run_id(run_id: str) -> str:
    """Return a run id that is safe in a file name, a URL and SQL.

    Raises:
        StoreError: It is not.
    """
    if not is_run_id(run_id):
        remedy = "Use letters, digits, '.', '_' and '-' (128 at most, a letter or a digit first)."
        raise StoreError(f"{run_id!r} is not a run id.", remedy=remedy)
    return run_id


def row_path(run_id: str) -> str:
    """Return the file of a run's row of `runs`."""
    return f"{TABLES_FOLDER}/{RUNS}/{check_run_id(run_id)}.parquet"


def table_path(table: str, run_id: str, sha256: str) -> str:
    """Return the file of one table of one run."""
    return f"{TABLES_FOLDER}/{table_of(table).name}/{check_run_id(run_id)}.{sha256}.parquet"


def record_path(run_id: str, row_sha256: str, name: str, started_at: datetime) -> str:
    """Return the file of the record that belongs to a row."""
    return f"{PUBLICATIONS}/{check_run_id(run_id)}.{row_sha256}.{name_digits(name)}.{time_digits(started_at)}.json"


def manifest_path(run_id: str, sha256: str) -> str:
    """Return the file of a run's manifest."""
    return f"{PUBLICATIONS}/{check_run_id(run_id)}.{sha256}.manifest.json"


def merged_path(table: str, generation: int, token: str, number: int) -> str:
    """Return a merged file of a result table, or of records and manifests where `table` is `PUBLICATIONS`."""
    folder = PUBLICATIONS if table == PUBLICATIONS else f"{TABLES_FOLDER}/{table}"
    return f"{folder}/{MERGED}/{generation:08d}-{token}-{number:04d}.parquet"


def generation_path(number: int) -> str:
    """Return the record of a generation of merged files."""
    return f"{GENERATIONS}/{number:08d}.json"


def old_folder(table: str, run_id: str) -> str:
    """Return the folder in which 0.1 kept the parts of one table of one run."""
    return f"{TABLES_FOLDER}/{table}/run_id={run_id}"


def name_digits(name: str) -> str:
    """Return what stands for an evaluation's name in a file name."""
    return content_hash(name.encode("utf-8", "surrogatepass"))[:NAME_DIGITS]


def time_digits(time: datetime) -> str:
    """Write a time (UTC where it does not say) so that texts sort as times do."""
    return (time.astimezone(UTC) if time.tzinfo else time).strftime(_TIME_FORMAT)


def parse_run_file(path: str) -> RunFile | None:
    """Tell which run a file belongs to, and what it holds; None for a file that is no single run's."""
    if match := _ROW.fullmatch(path):
        return RunFile(match["run"], path, RUNS, is_old=False)
    if match := _TABLE_FILE.fullmatch(path):
        return RunFile(match["run"], path, match["table"], is_old=False)
    if match := _RECORD.fullmatch(path) or _MANIFEST.fullmatch(path):
        return RunFile(match["run"], path, "", is_old=False)
    if match := _OLD_PART.fullmatch(path):
        return RunFile(match["run"], path, match["table"], is_old=True)
    if match := _OLD_RECORD.fullmatch(path):
        return RunFile(match["run"], path, "", is_old=True)
    return None


def parse_record_name(path: str) -> RecordName | None:
    """Read the name of a record, of any version; None for another file."""
    if match := _RECORD.fullmatch(path):
        return RecordName(match["run"], match["row"], match["name"], match["time"])
    if match := _OLD_RECORD.fullmatch(path):
        return RecordName(match["run"], match["row"])
    return None


def parse_generation(path: str) -> int | None:
    """Return the number of a generation's record; None for another file."""
    match = _GENERATION.fullmatch(path)
    return int(match["number"]) if match else None


def parse_merged(path: str) -> str | None:
    """Return the table that a merged file holds (`PUBLICATIONS` for records and manifests); None for another file."""
    match = _MERGED_FILE.fullmatch(path)
    return (match["table"] or PUBLICATIONS) if match else None
