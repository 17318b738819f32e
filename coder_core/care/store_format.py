"""Which version of the layout a store has: told once where it is an older one, refused where it is a newer one.

Stores of 0.1 have no such file. Their runs are read as they are, their embeddings and answers are used again; what else
they hold was kept under keys that other fields made, so it is computed anew beside it, and nothing is touched.
"""

import json

from coder_core.errors import StoreError
from coder_core.results.result_paths import PUBLICATIONS, TABLES_FOLDER
from coder_core.results.schema import RUNS
from coder_core.storage.addresses import redact
from coder_core.storage.damaged_files import FOLDER as DAMAGED
from coder_core.storage.manifest import FOLDER as ARTIFACTS
from coder_core.storage.manifest import LATEST
from coder_core.storage.store import Store

FORMAT = 2
OWN_FOLDERS = ("ledgers", "batches", "announcements")
FORMAT_FILE = "store.json"
OWN_NAMES = frozenset({FORMAT_FILE, TABLES_FOLDER, PUBLICATIONS, ARTIFACTS, LATEST, DAMAGED, *OWN_FOLDERS})
"""What lies below the root of a store; one of them at least, where it is one."""
NAMES_SHOWN = 3

OLDER = (
    "this store was written by coder-eval 0.1: its runs stay as they are and can be queried, embeddings and answers of "
    "language models are used again, everything else is computed once more beside it."
)


def note_format(store: Store) -> str | None:
    """Note the format of a store that has none noted; gives one line to tell where it holds the work of 0.1.

    Raises:
        StoreError: A newer version of this package made the store.
    """
    if store.exists(FORMAT_FILE):
        refuse_newer(store)
        return None
    is_older = holds_old_work(store)
    store.create_bytes(FORMAT_FILE, json.dumps({"format": FORMAT}).encode("ascii"))
    return OLDER if is_older else None


def check_is_store(store: Store) -> str | None:
    """Look whether a place that is to be read is a store at all; gives one line to tell where nothing is there yet.

    Raises:
        StoreError: Something else is there.
    """
    names = [name for name in store.top_names() if not name.startswith(".")]
    if not names:
        return f"{redact(store.url())}: nothing is there yet: no run was published to this store."
    if OWN_NAMES.isdisjoint(names):
        shown = ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
        problem = f"this is no store of coder-eval; it holds {shown}."
        raise StoreError(problem, redact(store.url()), "Name the root of a store with --store, or CODER_STORE.")
    return None


def refuse_newer(store: Store) -> None:
    """Leave a store alone that this version does not know.

    Raises:
        StoreError: A newer version of this package made it, or the note is damaged.
    """
    place = store.url(FORMAT_FILE)
    try:
        found = json.loads(store.read_bytes(FORMAT_FILE))["format"]
        is_known = isinstance(found, int) and found <= FORMAT
    except (ValueError, KeyError, TypeError) as error:
        remedy = f'Write {{"format": {FORMAT}}} into it.'
        raise StoreError("this is no note of a store's format.", place, remedy) from error
    if not is_known:
        raise StoreError(f"the store has format {found!r}; this version knows {FORMAT}.", place, "Install a newer one.")


def holds_old_work(store: Store) -> bool:
    """Whether runs of 0.1, or artifacts of a store without a note, are there."""
    return bool(store.list(f"{TABLES_FOLDER}/{RUNS}")) or bool(store.list(f"{ARTIFACTS}/classes"))
