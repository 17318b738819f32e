"""Step 8a: between stage 1 and the rerank, which pairs of classes uncertain images really stand between.

Predictions go in, no label does. The counts decide which pairs a language model is asked about (most frequent first,
within a budget), and tell afterwards what the budget bought.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from coder_core.coder.gate import is_gated
from coder_core.coder.pairs import BudgetRow, PairCounts, count_pairs, select_pairs, tabulate_budget
from coder_core.specs import RerankSpec, Runtime, TextsSpec
from coder_core.steps.dataset import part_name, read_classes
from coder_core.steps.text_bank import read_bank_file
from coder_core.steps.workplace import Product, Stopwatch, open_store
from coder_core.storage.artifacts import Artifact, ArtifactPayload, ArtifactStore
from coder_core.storage.tables import vectors_from_arrow
from coder_core.texts.bank import ClassPair

STEP_VERSION = 1

BUDGET_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
"""Budgets that the table shows, as far as there are pairs; the last row has them all."""


def count_confused_pairs(stage1: Artifact, rerank: RerankSpec, runtime: Runtime) -> Product:
    """Count the pairs among the candidates of gated images.

    Args:
        stage1: CODER's predictions.
        rerank: Gate and candidates.
        runtime: Where the store is.

    Returns:
        Rows `class_id` < `rival_id`, `images`; most frequent first.
    """
    watch, artifacts = Stopwatch(), open_store(runtime)
    spec = {"threshold": rerank.threshold, "candidates": rerank.candidates}
    payload = ArtifactPayload(
        kind="confused_pairs", step_version=STEP_VERSION, spec=spec, inputs={"stage1": stage1.key}
    )
    found = artifacts.find(payload)
    if found is not None:
        return Product(step="count_confused_pairs", artifact=found, seconds=watch.seconds, reused=found.rows)
    top_ids, gated = _gated_images(artifacts, stage1, rerank)
    writer = artifacts.writer(payload)
    writer.write_part(part_name(0), _as_arrow(count_pairs(top_ids, gated, candidates=rerank.candidates)))
    made = writer.commit({"images": len(top_ids), "gated": int(gated.sum())})
    return Product(step="count_confused_pairs", artifact=made, seconds=watch.seconds, computed=made.rows)


def select_confused_pairs(
    confused: Artifact, classes: Artifact, texts: TextsSpec, rerank: RerankSpec, runtime: Runtime
) -> list[ClassPair]:
    """The pairs to ask a language model about: most frequent first, without those that the bank's file has.

    Empty unless `texts.pairs` is `confused`.
    """
    if texts.pairs != "confused":
        return []
    artifacts = open_store(runtime)
    held = read_bank_file(texts, read_classes(artifacts, classes)).one_to_one
    return select_pairs(read_pair_counts(artifacts, confused), budget=rerank.pair_budget, held=held)


def read_pair_counts(artifacts: ArtifactStore, confused: Artifact) -> PairCounts:
    """The counts of a `confused_pairs` artifact."""
    columns = [artifacts.read(confused).column(name).to_numpy() for name in ("class_id", "rival_id", "images")]
    low, high, images = (torch.from_numpy(np.array(column, dtype=np.int64)) for column in columns)
    return PairCounts(class_ids=torch.stack([low, high], dim=1), counts=images)


def read_budget(artifacts: ArtifactStore, confused: Artifact, stage1: Artifact, rerank: RerankSpec) -> list[BudgetRow]:
    """What each part of a budget would buy, were it spent on the most frequent pairs first."""
    counts = read_pair_counts(artifacts, confused)
    steps = [*(step for step in BUDGET_STEPS if step < len(counts)), len(counts)]
    top_ids, gated = _gated_images(artifacts, stage1, rerank)
    return tabulate_budget(counts, top_ids, gated, steps=steps, candidates=rerank.candidates)


def _gated_images(
    artifacts: ArtifactStore, stage1: Artifact, rerank: RerankSpec
) -> tuple[Int[Tensor, "images best"], Bool[Tensor, " images"]]:
    """Candidates and gate of all images: 40 bytes each, so a million images are 40 MB."""
    table = artifacts.read(stage1, ["top_ids", "top_probabilities"])
    matrices = (np.array(vectors_from_arrow(table.column(name))) for name in table.column_names)
    top_ids, probabilities = map(torch.from_numpy, matrices)
    return top_ids, is_gated(probabilities, threshold=rerank.threshold)


def _as_arrow(counts: PairCounts) -> pa.Table:
    columns: Sequence[Tensor] = (counts.class_ids[:, 0], counts.class_ids[:, 1], counts.counts)
    return pa.table([pa.array(column.numpy()) for column in columns], names=["class_id", "rival_id", "images"])
