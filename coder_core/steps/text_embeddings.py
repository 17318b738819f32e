"""Step 3: texts get their places in the encoder's space.

Vectors live in ledgers, one partition per encoder, found by the hash of the text or of the image file: what any run has
embedded before is never embedded again. The artifacts made here hold no vectors but the keys, in order.
"""

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from coder_core.specs import Runtime
from coder_core.steps.dataset import part_name
from coder_core.steps.encoding import EncoderHandle, embed_missing, open_ledger
from coder_core.steps.texts import read_text_table
from coder_core.steps.workplace import Product, Stopwatch, open_store
from coder_core.storage.artifacts import Artifact, ArtifactPayload, ArtifactStore

STEP_VERSION = 1


def embed_texts(texts: Artifact, encoder: EncoderHandle, runtime: Runtime, *, step: str = "embed_texts") -> Product:
    """Embed the texts that the ledger does not hold yet; `step` is what that is called among the timings.

    Raises:
        FeatureFileError: A precomputed encoder does not know a text.
        CheckpointError: The model cannot be loaded.
    """
    watch, artifacts = Stopwatch(), open_store(runtime)
    keys, computed = embed_missing(read_text_table(artifacts, texts).unique_texts(), encoder, runtime)
    payload = _payload("text_embeddings", encoder, {"texts": texts.key})
    writer = artifacts.writer(payload)
    writer.write_part(part_name(0), pa.table({"key": keys}))
    return Product(
        step=step,
        artifact=artifacts.find(payload) or writer.commit(),
        seconds=watch.seconds,
        computed=computed,
        reused=len(keys) - computed,
    )


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
