"""The ledgers of an encoder's vectors, each opened once per process, and the buffer that fills them."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.fingerprint import content_hash
from coder_core.pipeline.context import Context
from coder_core.pipeline.pace import PaceMeter
from coder_core.storage.embedding_ledger import EmbeddingLedger
from coder_core.storage.store import Store

LedgerName = Literal["text_embeddings", "image_embeddings"]

PART_ROWS = 32_768
"""Vectors in one part of a ledger, at most."""
PART_BYTES = 64 * 2**20
"""Bytes of one part, about: vectors of 1,024 numbers come 16,384 at a time."""
PART_SECONDS = 60.0
"""What was embedded is kept after this time at the latest, however slow the model is."""
OPEN_LEDGERS = 16
"""Ledgers that a process knows at a time; each costs 25 bytes a row."""


def open_ledger(context: Context, name: LedgerName, encoder: IdentifiedEncoder) -> EmbeddingLedger:
    """The encoder's partition of a ledger; all steps of a process share it, and what it knows of its parts."""
    return _open(context.artifacts.store, name, encoder.key, encoder.dim)


@lru_cache(maxsize=OPEN_LEDGERS)
def _open(store: Store, name: str, encoder_key: str, dim: int) -> EmbeddingLedger:
    return EmbeddingLedger(store, name, encoder_key, dim)


def text_key(text: str) -> str:
    """Ledger key of a text."""
    return content_hash(text.encode("utf-8", "surrogatepass"))


class VectorBuffer:
    """Collects vectors and appends them to a ledger in large parts; leaving the block keeps what there is.

    Parts are written by a thread of its own, one at a time, while others are embedded.

    Args:
        ledger: Where they go.
        pace: Takes the time for which the work waits for the store.
    """

    def __init__(self, ledger: EmbeddingLedger, pace: PaceMeter) -> None:
        self._ledger, self._pace = ledger, pace
        self._rows = max(1, min(PART_ROWS, PART_BYTES // (4 * ledger.dim)))
        self._keys: list[str] = []
        self._vectors: list[Float[np.ndarray, "rows dim"]] = []
        self._since = time.monotonic()
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._writing: Future[int] | None = None

    def add(self, keys: Sequence[str], vectors: Float[np.ndarray, "rows dim"]) -> bool:
        """Add vectors; tells whether some that were added have come into the ledger meanwhile."""
        self._keys += keys
        self._vectors.append(vectors)
        if len(self._keys) >= self._rows or time.monotonic() - self._since > PART_SECONDS:
            self._start_writing()
        is_written = self._writing is not None and self._writing.done()
        if is_written:
            self._wait()
        return is_written

    def flush(self) -> None:
        """Append what there is, and wait until it is in the ledger."""
        self._start_writing()
        self._wait()

    def _start_writing(self) -> None:
        self._wait()
        if self._keys:
            self._writing = self._thread.submit(self._ledger.append, self._keys, np.concatenate(self._vectors))
        self._keys, self._vectors = [], []
        self._since = time.monotonic()

    def _wait(self) -> None:
        """Wait for the part that is being written; what went wrong with it is raised here."""
        writing, self._writing = self._writing, None
        if writing is not None:
            with self._pace.waiting("write"):
                writing.result()

    def __enter__(self) -> "VectorBuffer":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.flush()
        finally:
            self._thread.shutdown()
