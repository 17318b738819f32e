"""An encoder at work: who it is, its ledgers, and texts embedded on the spot."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from coder_core.encoders.base import EncoderIdentity
from coder_core.encoders.loading import identify_encoder, load_encoder
from coder_core.fingerprint import content_hash
from coder_core.interruption import check_interruption
from coder_core.report.progress import track
from coder_core.specs import OpenClipEncoder, PrecomputedEncoder, Runtime
from coder_core.steps.workplace import Handle, open_store
from coder_core.storage.artifacts import ArtifactStore
from coder_core.storage.embedding_ledger import EmbeddingLedger

TEXTS_PER_APPEND = 4096
"""Texts embedded between two writes to the ledger: what an interruption can cost."""


class EncoderHandle(Handle):
    """An encoder and what identifies it."""

    spec: OpenClipEncoder | PrecomputedEncoder
    identity: EncoderIdentity


def open_encoder(spec: OpenClipEncoder | PrecomputedEncoder) -> EncoderHandle:
    """Identify an encoder, so that its ledgers can be asked before any model is loaded."""
    return EncoderHandle(spec=spec, identity=identify_encoder(spec))


def text_key(text: str) -> str:
    """Ledger key of a text."""
    return content_hash(text.encode("utf-8", "surrogatepass"))


def embed_missing(texts: Sequence[str], encoder: EncoderHandle, runtime: Runtime) -> tuple[list[str], int]:
    """Embed those of some texts that the ledger does not hold; gives all their keys, and how many were embedded."""
    ledger = open_ledger(open_store(runtime), "text_embeddings", encoder)
    keys = [text_key(text) for text in texts]
    text_of = dict(zip(keys, texts, strict=True))
    missing = ledger.missing(keys)
    if missing:
        model = load_encoder(encoder.spec, encoder.identity, device=runtime.device, batch_size=runtime.batch_size)
        with track("embedding texts", total=len(missing), unit="texts") as progress:
            for start in range(0, len(missing), TEXTS_PER_APPEND):
                check_interruption()
                chunk = missing[start : start + TEXTS_PER_APPEND]
                ledger.append(chunk, model.encode_texts([text_of[key] for key in chunk]))
                progress.advance(len(chunk))
    return keys, len(missing)


def embed_now(texts: Sequence[str], encoder: EncoderHandle, runtime: Runtime) -> Float[np.ndarray, "texts dim"]:
    """Vectors of some texts, in order: from the ledger, or embedded and kept there."""
    keys, _ = embed_missing(texts, encoder, runtime)
    return open_ledger(open_store(runtime), "text_embeddings", encoder).read(keys)


def open_ledger(artifacts: ArtifactStore, name: str, encoder: EncoderHandle) -> EmbeddingLedger:
    """The encoder's partition of a ledger."""
    return EmbeddingLedger(artifacts.store, name, encoder.identity.key, encoder.identity.dim)
