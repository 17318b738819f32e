"""Files whose content is known already are not read again.

Embeddings are found by the hash of a file's content, and hashing means reading: a new class among a thousand would read
every old image over the network to find that nothing is to be embedded. So a ledger keeps, for every place and state of
a file (path or URL, and its modification time or ETag), the hash of what was read there. It is trusted as far as the
listing itself: a file that was changed behind its time and its ETag is the old file to both.
"""

from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from coder_core.fingerprint import key_of
from coder_core.storage.artifacts import ArtifactStore
from coder_core.storage.embedding_ledger import EmbeddingLedger
from coder_core.storage.ledger import Ledger

LEDGER = "image_files"
PARTITION = "1"
"""A ledger is cut by what its rows depend on; these depend on nothing but the file."""
KEY = "key"
COLUMNS = ["image_id", KEY, "problem"]


class Embedder(Protocol):
    """Embeds a listing and gives `image_id`, `key` and `problem`."""

    def embed(self, listing: pa.Table) -> pa.Table:
        """Embed what is missing."""
        ...


class KnownFiles:
    """The ledger of files that were read before.

    Args:
        artifacts: The store.
        vectors: Where the embeddings of the encoder are: a known file without one is read again.
    """

    def __init__(self, artifacts: ArtifactStore, vectors: EmbeddingLedger) -> None:
        self._ledger = Ledger(artifacts.store, LEDGER, PARTITION)
        self._vectors = vectors

    def embed(self, listing: pa.Table, embedder: Embedder) -> pa.Table:
        """Embed a listing; only files that are new, or whose vector is not there, go to the embedder.

        Args:
            listing: `image_id`, and where files are listed `location` and `token`.
            embedder: Reads and embeds.

        Returns:
            `image_id`, `key` and `problem`, in the order of the listing.
        """
        if "token" not in listing.column_names:
            return embedder.embed(listing)
        states = _states(listing)
        keys = self._recall(states)
        new = pc.is_null(keys)
        known = pa.table([listing.column("image_id"), keys, pa.nulls(len(keys), pa.string())], names=COLUMNS)
        if not pc.any(new).as_py():
            return known
        embedded = embedder.embed(listing.filter(new)).select(COLUMNS)
        self._remember(states.filter(new), embedded)
        together = pa.concat_tables([known.filter(pc.invert(new)), embedded])
        places = pa.concat_arrays([pc.indices_nonzero(pc.invert(new)), pc.indices_nonzero(new)])
        return together.take(pc.array_sort_indices(places))

    def _recall(self, states: pa.Array) -> pa.Array:
        """The content key of each file; null where it must be read."""
        asked = states.to_pylist()
        missing = set(self._ledger.missing(asked))
        found = self._ledger.read([state for state in asked if state not in missing], [KEY, "content"])
        if not found.num_rows:
            return pa.nulls(len(asked), pa.string())
        contents = found.column("content").combine_chunks()
        gone = self._vectors.missing(contents.to_pylist())
        contents = pc.if_else(pc.is_in(contents, pa.array(gone, pa.string())), None, contents)
        return contents.take(pc.index_in(states, found.column(KEY).combine_chunks()))

    def _remember(self, states: pa.Array, embedded: pa.Table) -> None:
        """Keep what was read; a broken file is tried again next time, by a decoder that may have learnt it."""
        good = pc.is_null(embedded.column("problem")).combine_chunks()
        self._ledger.append(pa.table({KEY: states.filter(good), "content": embedded.column("key").filter(good)}))


def _states(listing: pa.Table) -> pa.Array:
    places = zip(listing.column("location").to_pylist(), listing.column("token").to_pylist(), strict=True)
    return pa.array([key_of([location, token]) for location, token in places], type=pa.string())
