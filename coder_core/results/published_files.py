"""Published result files, compared with the hashes of their run before an answer is made from them.

A small file is read once, checked and served from memory: on S3 that is one request instead of three. A large file is
checked when the first of its data is read; a query that only looks at footers (DuckDB opens every file of a table to
learn its columns) does not pay for it.
"""

import io
import threading
from typing import BinaryIO

from coder_core.fingerprint import content_hash
from coder_core.storage.columns import RUNS
from coder_core.storage.publication import Hashes, load_record
from coder_core.storage.refusals import REPAIR, UnexpectedContentError
from coder_core.storage.result_paths import parse_result_path
from coder_core.storage.store import Store

SMALL_BYTES = 2**20
"""Below this, S3 answers a request for the whole file about as fast as one for its footer."""


class PublishedFiles:
    """Opens result files of published runs. Made for one query; safe for threads.

    Args:
        store: Where the files are.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.damage: UnexpectedContentError | None = None
        self._records: dict[str, Hashes | None] = {}
        self._checked: set[str] = set()
        self._lock = threading.Lock()

    def open(self, path: str) -> BinaryIO:
        """Open a file.

        Raises:
            UnexpectedContentError: It is not what was published; also kept as `damage`, because DuckDB keeps the
                message of an error only.
        """
        file = self.store.open_input(path)
        size = file.seek(0, 2)
        file.seek(0)
        if size > SMALL_BYTES:
            return file
        with file:
            content = file.read()
        self._compare(path, content_hash(content))
        return io.BytesIO(content)

    def check(self, path: str) -> None:
        """Compare a large file with its hash, once."""
        if path not in self._checked:
            self._compare(path, self.store.hash_file(path))

    def _compare(self, path: str, sha256: str) -> None:
        part = parse_result_path(path)
        try:
            if part and (record := self._record(part.run_id)) is not None:
                _check_hash(self.store, path, sha256, None if part.table == RUNS else record.get(path, ""))
        except UnexpectedContentError as error:
            self.damage = self.damage or error
            raise
        self._checked.add(path)

    def _record(self, run_id: str) -> Hashes | None:
        with self._lock:
            if run_id not in self._records:
                self._records[run_id] = load_record(self.store, run_id)
            return self._records[run_id]


def _check_hash(store: Store, path: str, found: str, recorded: str | None) -> None:
    """Compare two hashes; the row of `runs` has no recorded one: it was checked when its record was read."""
    if recorded is not None and found != recorded:
        problem = "is not what was published (its sha256 differs)" if recorded else "is not among what was published"
        raise UnexpectedContentError(f"This result file {problem}.", store.url(path), REPAIR)
