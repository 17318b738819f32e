"""Texts: sorted by length, each batch cut to its longest, every text once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from coder_core.embedding.ledgers import VectorBuffer, open_ledger, text_key
from coder_core.encoders.base import Encoder, IdentifiedEncoder
from coder_core.encoders.registry import load_encoder
from coder_core.fingerprint import key_of
from coder_core.pipeline.accelerator import HeldDevice
from coder_core.pipeline.context import Context
from coder_core.storage.embedding_ledger import EmbeddingLedger
from coder_core.storage.leases import leased

SORTED_PASSES = 16
"""Passes whose texts are tokenised and sorted together: enough that lengths hardly differ within one, and few enough
that the first vectors do not wait for a tokenizer. Every pass but the last is full."""


class EmbeddedTexts(NamedTuple):
    """Where texts are in the ledger, in their order, and how many had to be embedded."""

    keys: list[str]
    computed: int


def embed_texts(context: Context, encoder: IdentifiedEncoder, texts: Sequence[str]) -> EmbeddedTexts:
    """Embed those of some texts that the ledger does not hold.

    Raises:
        FeatureFileError: A precomputed encoder does not know a text.
        CheckpointError: The model cannot be loaded.
    """
    ledger = open_ledger(context, "text_embeddings", encoder)
    keys = [text_key(text) for text in texts]
    text_of = dict(zip(keys, texts, strict=True))
    missing = ledger.missing(keys)
    if missing:
        lease = ["embed_texts", encoder.key, key_of(sorted(text_of))]
        with leased(context.artifacts.store, [lease], f"embedding {len(missing)} texts"):
            missing = ledger.missing(keys)  # another run may just have embedded them
            _embed_missing(context, encoder, ledger, {key: text_of[key] for key in missing})
    return EmbeddedTexts(keys, len(missing))


def _embed_missing(
    context: Context, encoder: IdentifiedEncoder, ledger: EmbeddingLedger, text_of: Mapping[str, str]
) -> None:
    if not text_of:
        return
    missing = list(text_of)
    model = load_encoder(encoder, device=context.runtime.device)
    with VectorBuffer(ledger) as buffer, HeldDevice(context.accelerator) as device:
        passes = _passes(model, list(text_of.values()), context.runtime.batch_size, device)
        for batch in context.each(passes, "embedding texts", total=len(missing), unit="texts", size=_size):
            device.acquire()
            vectors = model.encode_texts(batch.tokens, batch.rows)
            buffer.add([missing[batch.start + row] for row in batch.rows.tolist()], vectors)


def text_vectors(context: Context, encoder: IdentifiedEncoder, texts: Sequence[str]) -> Float[np.ndarray, "texts dim"]:
    """Vectors of some texts, in order: from the ledger, or embedded and kept there."""
    keys = embed_texts(context, encoder, texts).keys
    return open_ledger(context, "text_embeddings", encoder).read(keys)


class _Batch(NamedTuple):
    """Rows of tokenised texts that make one pass; `start` is the place of the first tokenised text."""

    tokens: object
    rows: Int[np.ndarray, " rows"]
    start: int


def _size(batch: _Batch) -> int:
    return len(batch.rows)


def _passes(model: Encoder, texts: Sequence[str], batch_size: int, device: HeldDevice) -> Iterator[_Batch]:
    """Cut texts into passes, longest first; tokenising needs no device."""
    step = SORTED_PASSES * batch_size
    for start in range(0, len(texts), step):
        device.release()
        tokens = model.tokenize(texts[start : start + step])
        order = np.argsort(-model.text_lengths(tokens), kind="stable")
        for place in range(0, len(order), batch_size):
            yield _Batch(tokens, order[place : place + batch_size], start)
