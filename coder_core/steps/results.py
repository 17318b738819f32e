"""Steps 7 to 10: the only place where test labels are read. Metrics and result tables of one run are written here.

The row of `runs` comes last: until it is there, no reader sees anything of the run.
"""

import importlib.metadata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from coder_core.encoders.device import choose_device
from coder_core.fingerprint import canonical_json, key_of
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.controls import ControlEvidence
from coder_core.steps.dataset import DatasetHandle, read_classes, read_labels
from coder_core.steps.encoding import EncoderHandle
from coder_core.steps.few_shot_tables import few_shot_tables
from coder_core.steps.image_embeddings import read_quarantine
from coder_core.steps.measurement import Measured, measure
from coder_core.steps.rerank_tables import RerankEvidence, rerank_tables
from coder_core.steps.result_tables import rows_table, text_table
from coder_core.steps.texts import read_text_table, read_texts_and_pairs
from coder_core.steps.workplace import Handle, Product, open_store
from coder_core.storage.artifacts import ArtifactStore
from coder_core.storage.results import ResultTables
from coder_core.texts.sentences import TextTable


class Metric(Handle):
    """One row of the metrics table."""

    method: str
    metric: str
    value: float
    n: int
    ci_low: float
    ci_high: float
    protocol: str


class Comparison(Handle):
    """One row of the comparisons table."""

    method: str
    baseline: str
    metric: str
    difference: float
    n: int
    ci_low: float
    ci_high: float
    gained: int
    lost: int
    p_value: float | None
    p_holm: float | None
    protocol: str


class FewShotMean(Handle):
    """One row of the table `few_shot_summary`."""

    method: str
    shots: int
    draws: int
    top1: float
    top1_std: float | None


class EvalResult(Handle):
    """What an evaluation found, and what it cost."""

    run_id: str
    name: str
    store: str
    metrics: tuple[Metric, ...]
    comparisons: tuple[Comparison, ...]
    few_shot: tuple[FewShotMean, ...]
    has_ablation: bool
    texts_embedded: int
    texts_reused: int
    images_embedded: int
    images_reused: int
    images_quarantined: int
    class_count: int
    image_count: int
    seconds: float


class Evidence(Handle):
    """All that the results of one run are made from."""

    run_id: str
    started_at: datetime
    dataset: DatasetHandle
    encoder: EncoderHandle
    texts: Product
    text_embeddings: Product
    image_embeddings: Product
    predictions: dict[str, Product]
    rerank: RerankEvidence | None = None
    controls: dict[str, ControlEvidence] = Field(default_factory=dict)
    few_shot: tuple[Product, ...] = ()
    ablation: Product | None = None
    matrix: Product | None = None

    @property
    def all_predictions(self) -> dict[str, Product]:
        """Predictions by method; controls come last."""
        return {**self.predictions, **{name: control.predictions for name, control in self.controls.items()}}


def publish_results(spec: EvalSpec, evidence: Evidence, runtime: Runtime) -> EvalResult:
    """Measure every method, write the result tables, and make the run visible.

    Raises:
        DatasetError: An image has no label.
        StoreError: The store refuses.
    """
    artifacts = open_store(runtime)
    tables = ResultTables(artifacts.store)
    classes = read_classes(artifacts, evidence.dataset.classes)
    labels = read_labels(artifacts, evidence.dataset.labels, "test")
    found = {method: product.artifact for method, product in evidence.all_predictions.items()}
    measured = measure(artifacts, tables, evidence.run_id, found, labels, classes, baseline=spec.baseline)
    small = {
        "metrics": rows_table([row._asdict() for row in measured.metrics]),
        "comparisons": rows_table([row._asdict() for row in measured.comparisons]),
        "texts": text_table(_read_texts(artifacts, evidence), classes),
        "timings": rows_table(_timing_rows(evidence)),
        "artifacts": rows_table(_artifact_rows(evidence)),
        "quarantine": rows_table(read_quarantine(artifacts, evidence.image_embeddings.artifact)),
    }
    if evidence.rerank is not None:
        stage1 = evidence.predictions["coder"].artifact
        small |= rerank_tables(artifacts, evidence.rerank, stage1, spec, classes)
    if spec.few_shot is not None:
        small |= few_shot_tables(artifacts, evidence.few_shot, labels, spec.few_shot)
    if evidence.ablation is not None:
        small["ablation"] = artifacts.read(evidence.ablation.artifact)
    for name, table in small.items():
        if len(table):
            tables.write(name, evidence.run_id, table)
    few_shot = small["few_shot_summary"].to_pylist() if "few_shot_summary" in small else []
    run_row = {**_run_row(spec, evidence, runtime), **_counts(artifacts, evidence)}
    tables.publish(run_row)
    has_ablation = evidence.ablation is not None
    return _result(run_row, measured, few_shot, store=runtime.store, has_ablation=has_ablation)


def _read_texts(artifacts: ArtifactStore, evidence: Evidence) -> TextTable:
    """The texts of stage 1 and, after them, those that tell pairs apart."""
    if evidence.rerank is None:
        return read_text_table(artifacts, evidence.texts.artifact)
    return read_texts_and_pairs(artifacts, evidence.texts.artifact, evidence.rerank.texts.artifact)


def list_products(evidence: Evidence) -> list[Product]:
    """What the steps of a run found or made, in their order."""
    matrix = [evidence.matrix] if evidence.matrix else []
    return [
        evidence.dataset.images,
        evidence.texts,
        evidence.text_embeddings,
        evidence.image_embeddings,
        *matrix,
        *(evidence.rerank.products if evidence.rerank else []),
        *evidence.predictions.values(),
        *(product for control in evidence.controls.values() for product in vars(control).values()),
        *evidence.few_shot,
        *([evidence.ablation] if evidence.ablation else []),
    ]


def _timing_rows(evidence: Evidence) -> list[dict[str, Any]]:
    return [
        {"step": product.step, "seconds": product.seconds, "rows": product.artifact.rows, "computed": product.computed}
        for product in list_products(evidence)
    ]


def _artifact_rows(evidence: Evidence) -> list[dict[str, Any]]:
    dataset = evidence.dataset
    named = [("list_classes", dataset.classes), ("read_labels", dataset.labels)]
    named += [(product.step, product.artifact) for product in list_products(evidence)]
    return [{"step": step, "kind": made.kind, "key": made.key, "rows": made.rows} for step, made in named]


def _counts(artifacts: ArtifactStore, evidence: Evidence) -> dict[str, int]:
    quarantined = int(evidence.image_embeddings.artifact.summary["quarantined"])
    texts = _text_embeddings(evidence)
    texts_embedded = sum(product.computed for product in texts)
    text_keys = {key for product in texts for key in artifacts.read(product.artifact).column("key").to_pylist()}
    return {
        "texts_embedded": texts_embedded,
        "texts_reused": len(text_keys) - texts_embedded,
        "images_embedded": evidence.image_embeddings.computed,
        "images_reused": evidence.image_embeddings.reused,
        "images_quarantined": quarantined,
        "class_count": int(evidence.texts.artifact.summary["class_count"]),
        "image_count": evidence.image_embeddings.artifact.rows - quarantined,
    }


def _text_embeddings(evidence: Evidence) -> list[Product]:
    """Of stage 1, of pairs and of controls: a text may stand in several."""
    pairs = [evidence.rerank.text_embeddings] if evidence.rerank else []
    return [evidence.text_embeddings, *pairs, *(control.text_embeddings for control in evidence.controls.values())]


def _run_row(spec: EvalSpec, evidence: Evidence, runtime: Runtime) -> dict[str, Any]:
    return {
        "run_id": evidence.run_id,
        "name": spec.name,
        "spec_key": key_of(spec),
        "spec_json": canonical_json(spec),
        "started_at": evidence.started_at,
        "finished_at": max(datetime.now(UTC), evidence.started_at),  # a clock may go backwards
        "encoder": evidence.encoder.identity.label,
        "dataset": spec.dataset.kind,
        "text_count": evidence.text_embeddings.artifact.rows,
        "device": "none" if spec.encoder.kind == "precomputed" else choose_device(runtime.device),
        "code_version": importlib.metadata.version("coder-eval"),
    }


def _result(
    run_row: Mapping[str, Any],
    measured: Measured,
    few_shot: Sequence[Mapping[str, Any]],
    *,
    store: str,
    has_ablation: bool,
) -> EvalResult:
    return EvalResult(
        **{name: value for name, value in run_row.items() if name in EvalResult.model_fields},
        store=store,
        metrics=tuple(Metric(**row._asdict()) for row in measured.metrics),
        comparisons=tuple(Comparison(**row._asdict()) for row in measured.comparisons),
        few_shot=tuple(FewShotMean(**row) for row in few_shot),
        has_ablation=has_ablation,
        seconds=(run_row["finished_at"] - run_row["started_at"]).total_seconds(),
    )
