"""Step 3: texts get their places in the encoder's space.

Vectors live in ledgers, one partition per encoder, found by the hash of the text or of the image file: what any run has
embedded before is never embedded again. The artifacts made here hold no vectors but the keys, in order.
"""

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from coder_core.encoders.base import EncoderIdentity
from coder_core.encoders.loading import identify_encoder, load_encoder
from coder_core.fingerprint import content_hash
from coder_core.report.progress import track
from coder_core.specs import OpenClipEncoder, PrecomputedEncoder, Runtime
from coder_core.steps.dataset import part_name
from coder_core.steps.texts import read_text_table
from coder_core.steps.workplace import Handle, Product, Stopwatch, open_store
from coder_core.storage.artifacts import Artifact, ArtifactPayload, ArtifactStore
from coder_core.storage.embedding_ledger import EmbeddingLedger

STEP_VERSION = 1
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


def embed_texts(texts: Artifact, encoder: EncoderHandle, runtime: Runtime) -> Product:
    """Embed the texts that the ledger does not hold yet.

    Raises:
        FeatureFileError: A precomputed encoder does not know a text.
        CheckpointError: The model cannot be loaded.
    """
    watch, artifacts = Stopwatch(), open_store(runtime)
    unique = read_text_table(artifacts, texts).unique_texts()
    keys = [text_key(text) for text in unique]
    ledger = open_ledger(artifacts, "text_embeddings", encoder)
    text_of = dict(zip(keys, unique, strict=True))
    missing = ledger.missing(keys)
    _embed_missing(ledger, missing, text_of, encoder, runtime)
    payload = _payload("text_embeddings", encoder, {"texts": texts.key})
    writer = artifacts.writer(payload)
    writer.write_part(part_name(0), pa.table({"key": keys}))
    return Product(
        step="embed_texts",
        artifact=artifacts.find(payload) or writer.commit(),
        seconds=watch.seconds,
        computed=len(missing),
        reused=len(keys) - len(missing),
    )


def _embed_missing(
    ledger: EmbeddingLedger, missing: list[str], text_of: dict[str, str], encoder: EncoderHandle, runtime: Runtime
) -> None:
    if not missing:
        return
    model = load_encoder(encoder.spec, encoder.identity, device=runtime.device, batch_size=runtime.batch_size)
    with track("embedding texts", total=len(missing), unit="texts") as progress:
        for start in range(0, len(missing), TEXTS_PER_APPEND):
            chunk = missing[start : start + TEXTS_PER_APPEND]
            ledger.append(chunk, model.encode_texts([text_of[key] for key in chunk]))
            progress.advance(len(chunk))


def open_ledger(artifacts: ArtifactStore, name: str, encoder: EncoderHandle) -> EmbeddingLedger:
    """The encoder's partition of a ledger."""
    return EmbeddingLedger(artifacts.store, name, encoder.identity.key, encoder.identity.dim)


def read_text_embeddings(
    artifacts: ArtifactStore, embeddings: Artifact, encoder: EncoderHandle
) -> Float[np.ndarray, "texts dim"]:
    """One row per unique text, in the order of the table."""
    keys = artifacts.read(embeddings, ["key"]).column("key").to_pylist()
    return open_ledger(artifacts, "text_embeddings", encoder).read(keys)


def _payload(kind: str, encoder: EncoderHandle, inputs: dict[str, str]) -> ArtifactPayload:
    return ArtifactPayload(
        kind=kind, step_version=STEP_VERSION, spec={}, inputs={"encoder": encoder.identity.key, **inputs}
    )
