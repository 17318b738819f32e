"""Files whose content is known are not read again.

Embeddings are found by the hash of a file's content, and hashing means reading: a new class among a thousand would read
every old image over the network to find that nothing is to be embedded. So a ledger keeps, for every place and state of
a file (path or URL, and what changes when it is written to), the hash of what was read there. It is trusted as far as
the listing itself: a file that was changed behind its times, size and ETag is the old file to both.
"""

import pyarrow as pa
import pyarrow.compute as pc

from coder_core.embedding.ledgers import PART_ROWS
from coder_core.fingerprint import key_of
from coder_core.pipeline.context import Context
from coder_core.storage.embedding_ledger import EmbeddingLedger
from coder_core.storage.ledger import Ledger

LEDGER = "image_files"
PARTITION = "1"
"""A ledger is cut by what its rows depend on; these depend on nothing but the file."""
KEY = "key"


class FileHashCache:
    """The ledger of files that were read before.

    Args:
        context: The store.
        vectors: Where the embeddings of the encoder are: a known file without one is read again.
    """

    def __init__(self, context: Context, vectors: EmbeddingLedger) -> None:
        self._ledger = Ledger(context.artifacts.store, LEDGER, PARTITION)
        self._vectors = vectors
        self._states: list[str] = []
        self._contents: list[str] = []

    def content_keys(self, listing: pa.Table) -> list[str | None]:
        """The content key of each file of a listing; None where it must be read.

        Args:
            listing: `location` and `token`; a listing without files has no known ones.
        """
        if "token" not in listing.column_names:
            return [None] * len(listing)
        states = pa.array(file_states(listing), pa.string())
        asked: list[str] = states.to_pylist()
        missing = set(self._ledger.missing(asked))
        found = self._ledger.read([state for state in asked if state not in missing], [KEY, "content"])
        if not found.num_rows:
            return [None] * len(asked)
        contents = found.column("content").combine_chunks()
        gone = self._vectors.missing(contents.to_pylist())
        contents = pc.if_else(pc.is_in(contents, pa.array(gone, pa.string())), None, contents)
        keys: list[str | None] = contents.take(pc.index_in(states, found.column(KEY).combine_chunks())).to_pylist()
        return keys

    def remember(self, state: str, content_key: str) -> None:
        """Keep what was read; a broken file is not kept: a decoder that has learnt something may take it next time."""
        self._states.append(state)
        self._contents.append(content_key)
        if len(self._states) >= PART_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write down what was remembered."""
        if self._states:
            columns = [pa.array(self._states, pa.string()), pa.array(self._contents, pa.string())]
            self._ledger.append(pa.table(columns, names=[KEY, "content"]))
        self._states, self._contents = [], []


def file_states(listing: pa.Table) -> list[str]:
    """A key for the place and state of every file of a listing."""
    places = zip(listing.column("location").to_pylist(), listing.column("token").to_pylist(), strict=True)
    return [key_of([location, token]) for location, token in places]
