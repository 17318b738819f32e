"""Published result files, compared with their hashes before an answer is made from them.

A small file is read once, checked, and handed over whole: on S3 that is one request instead of three. Of a large file
the end is handed over (a Parquet file is read from its footer), and the rest piece by piece when it is asked for; it is
hashed when the first piece of its data is: where the footer says that no row is wanted, that is never.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import BinaryIO

from coder_core.fingerprint import content_hash
from coder_core.results.catalog import TableFile
from coder_core.results.query_messages import GivenFile
from coder_core.storage.refusals import REPAIR, UnexpectedContentError
from coder_core.storage.store import READERS, Store

SMALL_BYTES = 2**20
"""Below this, S3 answers a request for the whole file about as fast as one for its footer."""
FOOTER_BYTES = 2**16
FILES_AT_ONCE = 256


class PublishedFiles:
    """Reads files of published runs for one question. A context: what it has opened is closed after it.

    Args:
        store: Where the files are.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._files: dict[str, TableFile] = {}
        self._open: dict[str, BinaryIO] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "PublishedFiles":
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def give(self, files: Sequence[TableFile]) -> Iterator[list[GivenFile]]:
        """Yield the files as the engine is given them, some at a time.

        Raises:
            NotInStoreError: One was compacted or moved aside since it was listed.
            UnexpectedContentError: One is not what was published.
        """
        for at in range(0, len(files), FILES_AT_ONCE):
            yield self._read_all(files[at : at + FILES_AT_ONCE])

    def read_piece(self, path: str, position: int, size: int) -> bytes:
        """Read a piece of a large file that was given; at the first one the whole file is compared with its hash.

        Raises:
            UnexpectedContentError: It is not what was published.
        """
        if path not in self._open:
            self._check(self._files[path])
            self._open[path] = self._stack.enter_context(self.store.open_input(path))
        self._open[path].seek(position)
        return self._open[path].read(size)

    def _read_all(self, files: Sequence[TableFile]) -> list[GivenFile]:
        if self.store.address.is_local:
            return [self._read(file) for file in files]
        with ThreadPoolExecutor(READERS) as readers:
            return list(readers.map(self._read, files))

    def _read(self, file: TableFile) -> GivenFile:
        size = file.bytes
        if (size is None and not file.is_single_row) or (size is not None and size > SMALL_BYTES):
            with self.store.open_input(file.path) as source:
                size = source.seek(0, 2)
                if size > SMALL_BYTES:
                    source.seek(-FOOTER_BYTES, 2)
                    self._files[file.path] = file
                    return _given(file, size, source.read())
        for _ in range(2):  # twice: the first answer may have been garbled on the way
            content = self.store.read_bytes(file.path)
            if file.sha256 is None or content_hash(content) == file.sha256:
                return _given(file, len(content), content)
        raise self._damage(file)

    def _check(self, file: TableFile) -> None:
        if file.sha256 is not None and not any(self.store.hash_file(file.path) == file.sha256 for _ in range(2)):
            raise self._damage(file)

    def _damage(self, file: TableFile) -> UnexpectedContentError:
        problem = "This result file is not what was published (its sha256 differs)."
        return UnexpectedContentError(problem, self.store.url(file.path), REPAIR)


def _given(file: TableFile, size: int, content: bytes) -> GivenFile:
    return GivenFile(file.table, file.path, file.run_id if file.is_old else None, size, content)
