"""From the listing of images to vectors in the ledger: read, hash, decode what is missing, embed, append.

Reading and decoding run in threads and one chunk ahead of the model, so that an accelerator need not wait for a disk.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from coder_core.encoders.base import Encoder
from coder_core.encoders.loading import load_encoder
from coder_core.errors import FeatureFileError
from coder_core.fingerprint import content_hash
from coder_core.images.decoding import BrokenImageError, decode_image
from coder_core.interruption import check_interruption
from coder_core.specs import PrecomputedEncoder, Runtime
from coder_core.steps.encoding import EncoderHandle
from coder_core.storage.embedding_ledger import EmbeddingLedger
from coder_core.storage.inputs import read_input
from coder_core.storage.tables import vectors_from_arrow

IMAGES_PER_CHUNK = 512
"""Images between two writes to the ledger: what an interruption can cost; 300 MB at 224 x 224 pixels."""

_SCHEMA = pa.schema([("image_id", pa.string()), ("key", pa.string()), ("problem", pa.string())])


class _Chunk(NamedTuple):
    """Images ready for the model.

    Attributes:
        keys: Ledger key of every image of the chunk, in order.
        missing: The keys among them to embed now.
        prepared: What the encoder takes, one per missing key.
        problems: What is wrong with a broken image, by key.
    """

    keys: list[str]
    missing: list[str]
    prepared: list[Any]
    problems: dict[str, str]


class PartEmbedder:
    """Embeds one part of a listing.

    Args:
        ledger: Where vectors go.
        encoder: Whose vectors.
        runtime: Device, batch size and number of readers.
    """

    def __init__(self, ledger: EmbeddingLedger, encoder: EncoderHandle, runtime: Runtime) -> None:
        self._ledger, self._handle, self._runtime = ledger, encoder, runtime
        self.computed = 0

    def embed(self, listing: pa.Table) -> pa.Table:
        """Embed what is missing; gives `image_id`, `key` and, for a broken image, its `problem`."""
        if "vector" in listing.column_names:
            keys, problems = self._store_vectors(listing), dict[str, str]()
        else:
            keys, problems = self._embed_files(listing)
        rows = [list(listing.column("image_id").to_pylist()), keys, [problems.get(key) for key in keys]]
        return pa.table(rows, names=_SCHEMA.names).cast(_SCHEMA)

    def _store_vectors(self, listing: pa.Table) -> list[str]:
        vectors = vectors_from_arrow(listing.column("vector"))
        if vectors.shape[1] != self._handle.identity.dim:
            spec = self._handle.spec
            files = ", ".join(file.path for file in spec.texts) if isinstance(spec, PrecomputedEncoder) else ""
            raise FeatureFileError(
                f"image features have {vectors.shape[1]} dimensions, text features {self._handle.identity.dim}.",
                files,
                "Give image and text features of one encoder.",
            )
        keys = [content_hash(row.tobytes()) for row in vectors]
        row_of = {key: row for row, key in enumerate(keys)}
        self._append(missing := self._ledger.missing(keys), vectors[[row_of[key] for key in missing]])
        return keys

    def _embed_files(self, listing: pa.Table) -> tuple[list[str], dict[str, str]]:
        keys: list[str] = []
        problems: dict[str, str] = {}
        with ThreadPoolExecutor(self._runtime.workers) as readers, ThreadPoolExecutor(1) as ahead:
            chunks = [listing.slice(start, IMAGES_PER_CHUNK) for start in range(0, len(listing), IMAGES_PER_CHUNK)]
            for chunk in _one_ahead(chunks, lambda piece: self._prepare(piece, readers), ahead):
                check_interruption()
                if chunk.missing:
                    self._append(chunk.missing, self._encoder().encode_images(chunk.prepared))
                keys += chunk.keys
                problems |= chunk.problems
        return keys, problems

    def _append(self, keys: list[str], vectors: Float[np.ndarray, "images dim"]) -> None:
        if keys:
            self._ledger.append(keys, vectors)
        self.computed += len(keys)

    def _prepare(self, piece: pa.Table, readers: ThreadPoolExecutor) -> _Chunk:
        contents = list(readers.map(load_image, _values(piece)))
        keys = list(readers.map(content_hash, contents))
        content_of = dict(zip(keys, contents, strict=True))
        missing = self._ledger.missing(keys)
        results = list(readers.map(lambda key: self._decode(content_of[key]), missing))
        problems = {key: str(found) for key, found in zip(missing, results, strict=True) if _is_broken(found)}
        good = [(key, found) for key, found in zip(missing, results, strict=True) if not _is_broken(found)]
        return _Chunk(keys, [key for key, _ in good], [found for _, found in good], problems)

    def _decode(self, content: bytes) -> Any:
        try:
            return self._encoder().prepare_image(decode_image(content))
        except BrokenImageError as problem:
            return problem

    def _encoder(self) -> Encoder:
        handle, runtime = self._handle, self._runtime
        return load_encoder(handle.spec, handle.identity, device=runtime.device, batch_size=runtime.batch_size)


def _is_broken(found: Any) -> bool:
    return isinstance(found, BrokenImageError)


def _values(piece: pa.Table) -> Sequence[str | bytes]:
    column = "content" if "content" in piece.column_names else "location"
    values: list[str | bytes] = piece.column(column).to_pylist()
    return values


def load_image(value: str | bytes) -> bytes:
    """The bytes of an image, given as such or by where they are."""
    return value if isinstance(value, bytes) else read_input(value)


def _one_ahead(
    pieces: Sequence[pa.Table], prepare: Callable[[pa.Table], _Chunk], ahead: ThreadPoolExecutor
) -> Iterator[_Chunk]:
    """Yield prepared chunks in order while the next one is being prepared."""
    following = ahead.submit(prepare, pieces[0]) if pieces else None
    for piece in [*pieces[1:], None]:
        if following is None:
            return
        current, following = following, ahead.submit(prepare, piece) if piece is not None else None
        yield current.result()
