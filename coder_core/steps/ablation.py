"""Text ablation, beside the metrics: what every number and kind of texts is worth. Test labels are read here.

Nothing is embedded: images and texts come from the ledgers, subsets of texts are smaller layouts over the same vectors.
Images are read part by part; memory is one classifier per subset.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from coder_core.errors import TextBankError
from coder_core.evaluation.ablation import AblationRow, AblationSummary, ImageChunk, ablate, summarise_draws
from coder_core.evaluation.ablation_plan import KIND_STEPS, AblationSetting, plan_ablation
from coder_core.specs import AblationSpec, EvalSpec, Runtime
from coder_core.steps.dataset import part_name, read_labels
from coder_core.steps.encoding import open_ledger, text_key
from coder_core.steps.past_runs import read_past_run
from coder_core.steps.predictions import PredictionInputs
from coder_core.steps.rerank_tables import RerankEvidence
from coder_core.steps.texts import read_text_table, read_texts_and_pairs
from coder_core.steps.workplace import Product, Stopwatch, open_store
from coder_core.storage.artifacts import Artifact, ArtifactPayload, ArtifactStore
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, TextKind
from coder_core.texts.layout import build_layout
from coder_core.texts.sentences import TextTable

STEP_VERSION = 1
STEP = "ablate_texts"


def ablate_texts(
    spec: EvalSpec, seen: PredictionInputs, reranked: RerankEvidence | None, labels: Artifact, runtime: Runtime
) -> Product:
    """Score CODER on subsets of its texts, or find that done.

    Args:
        spec: The evaluation; `spec.ablation` says how many subsets.
        seen: What the predictions were made from.
        reranked: The rerank whose one-to-one texts, embedded already, and threshold are used; None without a rerank.
        labels: The test labels.
        runtime: Where the store is.

    Raises:
        TextBankError: No class has a descriptive text.
    """
    watch, artifacts = Stopwatch(), open_store(runtime)
    payload = _payload(spec, seen, reranked, labels)
    found = artifacts.find(payload)
    if found is not None:
        return Product(step=STEP, artifact=found, seconds=watch.seconds, reused=found.rows)
    table = _read_texts(artifacts, seen, reranked)
    ledger = open_ledger(artifacts, "text_embeddings", seen.encoder)
    rows = ablate(
        _chunks(artifacts, seen),
        torch.from_numpy(np.array(ledger.read([text_key(text) for text in table.unique_texts()]))),
        build_layout(table),
        labels=read_labels(artifacts, labels, "test"),
        settings=plan_settings(table, spec.ablation or AblationSpec()),
        seed=spec.draw_seed,
        threshold=_threshold(spec, reranked),
        candidates=spec.rerank.candidates,
        logit_scale=spec.logit_scale,
    )
    writer = artifacts.writer(payload)
    writer.write_part(part_name(0), pa.Table.from_pylist([row._asdict() for row in rows]))
    return Product(step=STEP, artifact=writer.commit(), seconds=watch.seconds, computed=len(rows))


def read_ablation(artifacts: ArtifactStore, ablation: Artifact) -> list[AblationRow]:
    """The rows of an `ablation` artifact."""
    return [AblationRow(**row) for row in artifacts.read(ablation).to_pylist()]


def summarise_ablation(ablation: Artifact, runtime: Runtime) -> list[AblationSummary]:
    """Average an `ablation` artifact over draws."""
    return summarise_draws(read_ablation(open_store(runtime), ablation))


def read_ablation_of(run_id: str, runtime: Runtime) -> list[AblationRow]:
    """The ablation of a published run.

    Raises:
        QueryError: There is no such run.
        StoreError: It has no ablation, or that is gone.
    """
    artifacts = open_store(runtime)
    return read_ablation(artifacts, read_past_run(artifacts, run_id).one("ablation", STEP))


def plan_settings(table: TextTable, ablation: AblationSpec) -> list[AblationSetting]:
    """The subsets to try: one kind more at a time, as far as there are texts of it."""
    known = {row.kind for row in table} | {TextKind.CLASS_NAME}
    steps = dict.fromkeys(tuple(kind for kind in kinds if kind in known) for kinds in KIND_STEPS)
    return plan_ablation(tuple(steps), (*ablation.texts_per_class, None), draws=ablation.draws)


def _payload(
    spec: EvalSpec, seen: PredictionInputs, reranked: RerankEvidence | None, labels: Artifact
) -> ArtifactPayload:
    inputs = {"texts": seen.texts.key, "image_embeddings": seen.image_embeddings.key, "labels": labels.key}
    settings = {
        "ablation": spec.ablation,
        "draw_seed": spec.draw_seed,
        "threshold": _threshold(spec, reranked),
        "candidates": spec.rerank.candidates,
        "logit_scale": spec.logit_scale,
    }
    if reranked is not None:
        inputs["pair_texts"] = reranked.texts.artifact.key
    return ArtifactPayload(kind="ablation", step_version=STEP_VERSION, spec=settings, inputs=inputs)


def _threshold(spec: EvalSpec, reranked: RerankEvidence | None) -> float:
    """The threshold that the rerank used, be it stated or chosen."""
    return spec.rerank.threshold if reranked is None else reranked.gate.threshold


def _read_texts(artifacts: ArtifactStore, seen: PredictionInputs, reranked: RerankEvidence | None) -> TextTable:
    if reranked is None:
        table = read_text_table(artifacts, seen.texts)
    else:
        table = read_texts_and_pairs(artifacts, seen.texts, reranked.texts.artifact)
    if not any(row.kind in DESCRIPTIVE_KINDS for row in table):
        problem = "the bank holds no attribute and no analogous class."
        raise TextBankError(problem, "ablation", "Describe the classes first, or leave `ablation` away.")
    return table


def _chunks(artifacts: ArtifactStore, seen: PredictionInputs) -> Iterator[ImageChunk]:
    ledger = open_ledger(artifacts, "image_embeddings", seen.encoder)
    for part in artifacts.parts(seen.image_embeddings):
        listing = artifacts.read_part(seen.image_embeddings, part.name, ["image_id", "key", "problem"])
        usable = listing.filter(pc.is_null(listing.column("problem")))
        if len(usable):
            vectors = ledger.read(usable.column("key").to_pylist())
            yield usable.column("image_id").to_pylist(), torch.from_numpy(np.array(vectors))
