"""A method of a published run, ready to classify other images: its classes, its texts, its encoder, its constants.

Nothing is generated, no label is read, and the config's files need not be there any more (but for the encoder's
weights): everything comes from the artifacts that the run lists. What the store has lost since is named; text
embeddings alone are made again.
"""

from coder_core.errors import CheckpointError, ConfigError
from coder_core.reference_protocol import REFERENCE
from coder_core.specs import RERANK, EvalSpec, PrecomputedEncoder, Runtime
from coder_core.steps.encoding import EncoderHandle, open_encoder
from coder_core.steps.past_runs import PastRun, find_latest_run, read_past_run
from coder_core.steps.workplace import Handle, Product, open_store
from coder_core.storage.artifacts import Artifact, ArtifactStore
from coder_core.storage.results import ResultTables

STAGE1 = "coder"


class PastRerank(Handle):
    """The second stage of a run: its pair texts, and the gate that it used."""

    texts: Product
    threshold: float
    candidates: int


class PastClassifier(Handle):
    """A method of a run.

    Attributes:
        run_id: The run.
        method: The method.
        classes: Its class list.
        texts: Its texts.
        encoder: Its encoder, checked to be the same still.
        logit_scale: Its factor from similarity to logit.
        rerank: What the rerank needs, where that is the method.
    """

    run_id: str
    method: str
    classes: Artifact
    texts: Product
    encoder: EncoderHandle
    logit_scale: float
    rerank: PastRerank | None = None

    @property
    def stage1(self) -> str:
        """The method that looks at every image."""
        return self.method if self.rerank is None else STAGE1


def recall_classifier(run: str, method: str, runtime: Runtime) -> PastClassifier:
    """Find a method of a published run.

    Args:
        run: The id of a run, or the name of an evaluation: its latest run.
        method: One of its methods.
        runtime: Where the store is.

    Raises:
        QueryError: There is no such run.
        ConfigError: The run has not the method, or its features were computed elsewhere.
        CheckpointError: The weights are not those that the run used.
        StoreError: Something of the run is not in the store any more.
    """
    artifacts = open_store(runtime)
    past = read_past_run(artifacts, find_latest_run(artifacts, run) or run)
    _check_method(past, method)
    texts = past.one("texts", "write_texts")
    return PastClassifier(
        run_id=past.run_id,
        method=method,
        classes=past.one("classes", "list_classes"),
        texts=Product(step="write_texts", artifact=texts, reused=texts.rows),
        encoder=_same_encoder(artifacts, past),
        logit_scale=past.spec.logit_scale,
        rerank=_recall_rerank(artifacts, past) if method == RERANK else None,
    )


def usable_methods(spec: EvalSpec) -> tuple[str, ...]:
    """Methods of an evaluation that can classify an image without labels."""
    return tuple(method for method in spec.methods if method != RERANK or spec.protocol != REFERENCE)


def _check_method(past: PastRun, method: str) -> None:
    place, usable = f"run {past.run_id}", usable_methods(past.spec)
    if isinstance(past.spec.encoder, PrecomputedEncoder):
        raise ConfigError(
            "its features were computed elsewhere: there is no model to embed an image with.",
            place,
            "Evaluate with an open_clip encoder, and predict with that run.",
        )
    if method not in usable:
        raise ConfigError(f"it has no method {method!r} for new images.", place, f"It has: {', '.join(usable)}.")


def _same_encoder(artifacts: ArtifactStore, past: PastRun) -> EncoderHandle:
    """The encoder, refused where its weights are others by now: texts and images would lie in different spaces."""
    encoder = open_encoder(past.spec.encoder)
    made_with = artifacts.manifest(past.one("text_embeddings", "embed_texts")).payload.inputs["encoder"]
    if encoder.identity.key != made_with:
        checkpoint = getattr(past.spec.encoder, "checkpoint", past.spec.encoder.kind)
        raise CheckpointError(
            f"these weights are not those that run {past.run_id} used.",
            str(checkpoint),
            "Put the old ones back, or run the evaluation again.",
        )
    return encoder


def _recall_rerank(artifacts: ArtifactStore, past: PastRun) -> PastRerank:
    texts = past.one("texts", "write_pair_texts")
    (row,) = ResultTables(artifacts.store).read("reranks", past.run_id).to_pylist()
    return PastRerank(
        texts=Product(step="write_pair_texts", artifact=texts, reused=texts.rows),
        threshold=row["threshold"],
        candidates=row["candidates"],
    )
