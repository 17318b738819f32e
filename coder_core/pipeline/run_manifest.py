"""The run manifest: what a published run was made of, typed. Written once, at publication.

Predicting, explaining, comparing and watching read it; nobody looks a step up by its name. Everything in it is small:
artifacts by key, and the few facts that are needed before any of them is read.
"""

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.errors import ConfigError, StoreError
from coder_core.input_contract import InputContract
from coder_core.pipeline.artifact_handle import Handle
from coder_core.pipeline.artifact_types import (
    AblationArtifact,
    BatchAnswersArtifact,
    ClassifierArtifact,
    CoderMatrixArtifact,
    ConfusedPairsArtifact,
    Dataset,
    FewShotFitsArtifact,
    FewShotPredictionsArtifact,
    ImageEmbeddingsArtifact,
    PredictionsArtifact,
    RerankThreshold,
    ShownImages,
    TextBankArtifact,
    TextEmbeddingsArtifact,
    TextsArtifact,
    TransducedArtifact,
)

FORMAT = 1


class MethodRecord(Handle):
    """One method of a run.

    Attributes:
        method: What it is called in this run, e.g. `coder` or `control_waffle`.
        texts: What it read of the classes.
        text_embeddings: Where that lies.
        classifier: What it made of that; of a method that makes none, what it said of the batch.
        predictions: What it said about the images.
        contract: What it has read; None in runs older than contracts.
        controls: The method that it controls, where it is a control.
        note: What to know about how it came about, in one line.
    """

    method: str
    texts: TextsArtifact
    text_embeddings: TextEmbeddingsArtifact
    classifier: ClassifierArtifact | BatchAnswersArtifact
    predictions: PredictionsArtifact
    contract: InputContract | None = None
    controls: str | None = None
    note: str | None = None

    @property
    def for_any_image(self) -> ClassifierArtifact:
        """Its classifier, which answers further images.

        Raises:
            ConfigError: It made none.
        """
        if isinstance(self.classifier, ClassifierArtifact):
            return self.classifier
        problem = "it said what each image of its batch is, and made no classifier for any other image."
        raise ConfigError(problem, f"method {self.method}", f"Take {self.classifier.stage1}, or another method.")


class RerankRecord(Handle):
    """CODER's second stage: which pairs mattered, and how the gate was set."""

    confused: ConfusedPairsArtifact
    threshold: RerankThreshold
    candidates: int


class FewShotDraw(Handle):
    """One number of shots and one seed; what unlabelled images have taught its classifiers is another entry."""

    fits: FewShotFitsArtifact
    predictions: FewShotPredictionsArtifact


class FewShotRecord(Handle):
    """Few-shot: where support and validation came from, and every draw."""

    pool: Dataset
    pool_embeddings: ImageEmbeddingsArtifact
    draws: tuple[FewShotDraw, ...]


class RunManifest(Handle):
    """All that a run was made of.

    Attributes:
        format: Of this record; a newer version reads older ones.
        run_id: The run.
        name: The evaluation.
        started_at: UTC.
        spec: The whole specification, as JSON.
        dataset: What was classified.
        encoder: What embedded it.
        bank: What was said about the classes.
        texts: The sentences of stage 1.
        text_embeddings: Where they lie.
        images: Where the images lie.
        methods: Zero-shot methods, the rerank and controls, in the order of the tables.
        rerank: Where `coder_rerank` is among them.
        few_shot: Where the spec asks for it.
        ablation: Where the spec asks for it.
        matrix: Where the spec asks for it.
        transductions: Where the spec asks for them: what each took the batch for.
        shown: Labelled images that a language model was shown; None where it was shown none.
    """

    format: int = FORMAT
    run_id: str
    name: str
    started_at: datetime
    spec: dict[str, Any]
    dataset: Dataset
    encoder: IdentifiedEncoder
    bank: TextBankArtifact
    texts: TextsArtifact
    text_embeddings: TextEmbeddingsArtifact
    images: ImageEmbeddingsArtifact
    methods: tuple[MethodRecord, ...]
    rerank: RerankRecord | None = None
    few_shot: FewShotRecord | None = None
    ablation: AblationArtifact | None = None
    matrix: CoderMatrixArtifact | None = None
    transductions: tuple[TransducedArtifact | BatchAnswersArtifact, ...] = ()
    shown: ShownImages | None = None

    def method(self, name: str) -> MethodRecord:
        """A method of the run.

        Raises:
            ConfigError: It has no such method; names those that it has.
        """
        for record in self.methods:
            if record.method == name:
                return record
        known = ", ".join(record.method for record in self.methods) or "none"
        raise ConfigError(f"it has no method {name!r}.", f"run {self.run_id}", f"It has: {known}.")


def encode_run_manifest(manifest: RunManifest) -> bytes:
    """Write a manifest as JSON."""
    return manifest.model_dump_json(indent=1).encode("utf-8")


def decode_run_manifest(content: bytes, *, run_id: str) -> RunManifest:
    """Read a manifest.

    Raises:
        StoreError: Another version of this package wrote it.
    """
    try:
        return RunManifest.model_validate_json(content)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        problem = f"its manifest was written by another version of coder-eval ({reason})."
        raise StoreError(problem, f"run {run_id}", "Run the evaluation again.") from error
