"""Embedding ledgers: one vector per content key and encoder.

The partition is the encoder's key, so another backbone or another preprocessing can never meet old vectors. float16
halves the disk and is widened when read; numpy rows in, numpy rows out, from the Parquet pages into one matrix.
"""

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Float32, Int

from coder_core.errors import StoreError
from coder_core.storage.ledger import Ledger, Match
from coder_core.storage.ledger_damage import KEY, examine_part
from coder_core.storage.parts import Keys, key_column
from coder_core.storage.refusals import REPAIR, UnexpectedContentError
from coder_core.storage.store import Store
from coder_core.storage.tables import vectors_from_arrow, vectors_to_arrow

VECTOR = "vector"


class EmbeddingLedger:
    """Vectors of one encoder by content key. Picklable; safe for any number of writers.

    Args:
        store: Where the ledger lives.
        name: `text_embeddings` or `image_embeddings`.
        encoder_key: Key of everything that decides the vectors: architecture, weights, preprocessing.
        dim: Length of every vector, at least 1.
    """

    def __init__(self, store: Store, name: str, encoder_key: str, dim: int) -> None:
        self.dim = dim
        self._ledger = Ledger(store, name, encoder_key)

    @property
    def url(self) -> str:
        """Where the parts are."""
        return self._ledger.url

    def keys(self) -> set[str]:
        """Return every key that the ledger holds now."""
        return self._ledger.keys()

    def missing(self, keys: Keys) -> list[str]:
        """Return the keys that the ledger does not hold now, each once, in the given order."""
        return self._ledger.missing(keys)

    def missing_rows(self, keys: Keys) -> Int[np.ndarray, " missing"]:
        """As `missing`, as the ascending places of these keys among those asked for."""
        return self._ledger.missing_rows(keys)

    def holds_all(self, keys: Keys) -> bool:
        """Whether all keys were held when the ledger was last looked at, or were added here since; asks nobody."""
        return self._ledger.holds_all(keys)

    def append(self, keys: Keys, vectors: Float[np.ndarray, "rows dim"], *, is_missing: bool = False) -> int:
        """Add vectors in one atomic step, leaving out those known to be held; returns how many were written.

        Args:
            keys: One per row.
            vectors: float16 is stored as it is, every other floating type as float32.
            is_missing: None of the keys is held, as `missing` has just said.

        Raises:
            StoreError: When shapes do not fit or a number is not finite, naming the first such row.
        """
        self._check_shape(keys, vectors)
        with np.errstate(over="ignore"):  # too large for float32 becomes infinity, and that is refused below
            stored = vectors if vectors.dtype == np.float16 else vectors.astype(np.float32, copy=False)
        self._check_finite(keys, stored)
        table = pa.table({KEY: key_column(keys), VECTOR: vectors_to_arrow(stored)})
        return self._ledger.append(table, is_missing=is_missing)

    def read(self, keys: Keys) -> Float32[np.ndarray, "rows dim"]:
        """Return one vector per asked key, in the asked order; keys may repeat.

        Raises:
            StoreError: When a key is not held, naming how many and the first, or when a part is damaged.
        """
        vectors = np.empty((len(keys), self.dim), dtype=np.float32)
        for match in self._ledger.matches(keys, [VECTOR]):
            vectors[match.slots] = self._vectors_of(match)
        return vectors

    def compact(self) -> int:
        """Merge small parts into larger ones; returns how many parts are gone."""
        return self._ledger.compact()

    def _vectors_of(self, match: Match) -> Float[np.ndarray, "rows dim"]:
        place = self._ledger.store.url(match.part)
        try:
            vectors = vectors_from_arrow(match.table.column(VECTOR))
        except TypeError as error:
            suspicion = UnexpectedContentError(f"These are no vectors ({error}).", place, REPAIR)
            raise examine_part(self._ledger.store, match.part, suspicion) from error
        if vectors.shape[1] != self.dim:
            problem = f"The vectors have length {vectors.shape[1]}, expected {self.dim}."
            raise StoreError(problem, place, "Check the encoder and its key.")
        return vectors

    def _check_shape(self, keys: Keys, vectors: Float[np.ndarray, "rows dim"]) -> None:
        if vectors.shape != (len(keys), self.dim):
            raise self._refusal(f"expected vectors of shape ({len(keys)}, {self.dim}), found {vectors.shape}.")
        if not np.issubdtype(vectors.dtype, np.floating):
            raise self._refusal(f"expected floating point vectors, found {vectors.dtype}.")

    def _check_finite(self, keys: Keys, vectors: Float[np.ndarray, "rows dim"]) -> None:
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            raise self._refusal(
                f"{len(bad)} of {len(keys)} vectors hold NaN or infinity, the first is row {bad[0]} "
                f"({key_column(keys)[int(bad[0])].as_py()!r})."
            )

    def _refusal(self, problem: str) -> StoreError:
        return StoreError(problem, self.url, "Check the encoder and its key; nothing was written.")
