"""The ledgers of an encoder's vectors, each opened once per process, and the buffer that fills them."""

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.fingerprint import content_hash
from coder_core.pipeline.context import Context
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
"""Ledgers that a process knows at a time; each costs 24 bytes a row."""


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

    Args:
        ledger: Where they go.
    """

    def __init__(self, ledger: EmbeddingLedger) -> None:
        self._ledger = ledger
        self._rows = max(1, min(PART_ROWS, PART_BYTES // (4 * ledger.dim)))
        self._keys: list[str] = []
        self._vectors: list[Float[np.ndarray, "rows dim"]] = []
        self._since = time.monotonic()

    def add(self, keys: Sequence[str], vectors: Float[np.ndarray, "rows dim"]) -> bool:
        """Add vectors; tells whether everything added so far is in the ledger now."""
        self._keys += keys
        self._vectors.append(vectors)
        is_due = len(self._keys) >= self._rows or time.monotonic() - self._since > PART_SECONDS
        if is_due:
            self.flush()
        return is_due

    def flush(self) -> None:
        """Append what there is."""
        if self._keys:
            self._ledger.append(self._keys, np.concatenate(self._vectors))
        self._keys, self._vectors = [], []
        self._since = time.monotonic()

    def __enter__(self) -> "VectorBuffer":
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
