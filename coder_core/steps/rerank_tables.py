"""What a rerank leaves in the result tables: the gate, its search, the pairs that mattered, and what a budget buys."""

from collections.abc import Collection
from typing import Any

import pyarrow as pa

from coder_core.classes import ClassList
from coder_core.specs import EvalSpec
from coder_core.steps.confused_pairs import read_budget, read_pair_counts
from coder_core.steps.gate import Gate
from coder_core.steps.rerank import read_rerank_counts
from coder_core.steps.result_tables import rows_table
from coder_core.steps.texts import read_text_table
from coder_core.steps.workplace import Handle, Product
from coder_core.storage.artifacts import Artifact, ArtifactStore
from coder_core.texts.bank import ClassPair
from coder_core.texts.kinds import TextKind


class RerankEvidence(Handle):
    """All that the results of a rerank are made from."""

    confused: Product
    texts: Product
    text_embeddings: Product
    gate: Gate
    predictions: Product

    @property
    def products(self) -> list[Product]:
        """The products in the order in which they were made, predictions excluded."""
        return [self.confused, self.texts, self.text_embeddings]


def rerank_tables(
    artifacts: ArtifactStore, evidence: RerankEvidence, stage1: Artifact, spec: EvalSpec, classes: ClassList
) -> dict[str, pa.Table]:
    """The result tables of a rerank by name; a table without rows may be left out by the caller."""
    counts = read_rerank_counts(artifacts, evidence.predictions.artifact)
    gate = {"threshold": evidence.gate.threshold, "threshold_source": evidence.gate.source}
    protocol = {"protocol": str(evidence.predictions.artifact.summary["protocol"])}
    budget = read_budget(artifacts, evidence.confused.artifact, stage1, spec.rerank)
    return {
        "reranks": rows_table([{**gate, "candidates": spec.rerank.candidates, **vars(counts), **protocol}]),
        "threshold_search": rows_table([tried.model_dump() for tried in evidence.gate.tried]),
        "confused_pairs": _pair_table(artifacts, evidence, classes),
        "pair_budget": rows_table([row._asdict() for row in budget]),
    }


def _pair_table(artifacts: ArtifactStore, evidence: RerankEvidence, classes: ClassList) -> pa.Table:
    counts = read_pair_counts(artifacts, evidence.confused.artifact)
    texts_of = _texts_by_pair(artifacts, evidence.texts.artifact, {tuple(pair) for pair in counts.class_ids.tolist()})
    rows: list[dict[str, Any]] = []
    for rank, ((low, high), images) in enumerate(zip(counts.class_ids.tolist(), counts.counts.tolist(), strict=True)):
        row = {"rank": rank, "class_id": low, "class_name": classes.names[low], "rival_id": high}
        row |= {"rival_name": classes.names[high], "images": images}
        row |= {"texts": texts_of.get((low, high), 0), "rival_texts": texts_of.get((high, low), 0)}
        rows.append(row)
    return rows_table(rows)


def _texts_by_pair(artifacts: ArtifactStore, texts: Artifact, wanted: Collection[ClassPair]) -> dict[ClassPair, int]:
    found: dict[ClassPair, int] = {}
    for row in read_text_table(artifacts, texts):
        if row.kind is not TextKind.ONE_TO_ONE or row.rival_id is None:
            continue
        pair = (row.class_id, row.rival_id)
        if pair in wanted or pair[::-1] in wanted:
            found[pair] = found.get(pair, 0) + 1
    return found
