"""Images that a person should look at: labels that are likely wrong, doubles, images unlike their class."""

from typing import Any, NamedTuple

import numpy as np

from coder_core.embedding.ledgers import open_ledger
from coder_core.errors import CoderError
from coder_core.evaluation.label_quality import find_label_issues, find_near_duplicates, find_outliers
from coder_core.pipeline.artifact_types import ImageEmbeddingsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.run_manifest import RunManifest
from coder_core.report.html.run_facts import RunFacts, is_control
from coder_core.report.html.shown_text import shorten

MOST_ROWS = 100
MOST_COMPARED = 60_000
"""Images whose vectors are looked at: time grows with the square of it (50,000 take 11 s), memory with it."""
LEAST_COSINE = 0.98
"""From which on two images count as nearly the same. Of crops and copies of a photograph; encoders differ."""
OUTLIER_SCORE = -3.0
REASON_CHARACTERS = 240


class _Set(NamedTuple):
    """Images of one split: ids, ledger keys (the hash of the image) and vectors."""

    ids: list[str]
    keys: list[str]
    vectors: np.ndarray


def quality_data(facts: RunFacts, context: Context) -> dict[str, Any]:
    """Rows of the three tables, and what could not be looked at."""
    found: dict[str, Any] = {"labels": _label_rows(facts), "doubles": [], "outliers": [], "note": ""}
    if facts.manifest is None:
        return found | {"note": "Doubles and outliers need the run's manifest, which is missing."}
    try:
        return found | _vector_rows(facts, facts.manifest, context)
    except CoderError as error:
        return found | {"note": f"Doubles and outliers: {shorten(str(error), REASON_CHARACTERS)}"}


def _label_rows(facts: RunFacts) -> list[list[Any]]:
    """Image, label, what it seems to be, both probabilities, and how many methods say the same."""
    answers = facts.answers
    if facts.best not in answers.methods:
        return []
    own = answers.methods[str(facts.best)]
    issues = find_label_issues(answers.labels, own.predicted, own.probability, own.true_probability)
    others = [one for name, one in answers.methods.items() if not is_control(name)]
    return [
        [
            shorten(answers.image_ids[row]),
            int(answers.labels[row]),
            int(own.predicted[row]),
            round(float(np.nan_to_num(own.probability[row])), 3),
            round(float(own.true_probability[row]), 3),
            sum(int(one.predicted[row] == own.predicted[row]) for one in others),
        ]
        for row in issues[:MOST_ROWS].tolist()
    ]


def _vector_rows(facts: RunFacts, manifest: RunManifest, context: Context) -> dict[str, Any]:
    tested = _read_set(context, manifest, manifest.images)
    of_all = manifest.images.usable
    labels = dict(zip(facts.answers.image_ids, facts.answers.labels.tolist(), strict=True))
    own = np.array([labels.get(name, -1) for name in tested.ids], np.int64)
    doubles = [_pair("test", tested, tested, pair) for pair in _pairs(tested, None)]
    if manifest.few_shot is not None:
        pool = _read_set(context, manifest, manifest.few_shot.pool_embeddings)
        doubles = [_pair("test and pool", tested, pool, pair) for pair in _pairs(tested, pool)] + doubles
    rows, scores = find_outliers(tested.vectors, own)
    outliers = [
        [shorten(tested.ids[row]), int(own[row]), round(float(score), 1)]
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
        if score <= OUTLIER_SCORE
    ]
    told = f"Doubles and outliers were looked for among {len(tested.ids):,} of {of_all:,} images, evenly spaced."
    note = told if len(tested.ids) < of_all else ""
    return {"doubles": doubles[: 2 * MOST_ROWS], "outliers": outliers[:MOST_ROWS], "note": note}


def _pairs(tested: _Set, pool: _Set | None) -> list[Any]:
    others = None if pool is None else pool.vectors
    return find_near_duplicates(tested.vectors, others, least_cosine=LEAST_COSINE, most=MOST_ROWS)


def _pair(where: str, one: _Set, other: _Set, pair: Any) -> list[Any]:
    kind = "same file" if one.keys[pair.row] == other.keys[pair.other] else "nearly the same"
    return [where, kind, shorten(one.ids[pair.row]), shorten(other.ids[pair.other]), round(pair.cosine, 4)]


def _read_set(context: Context, manifest: RunManifest, images: ImageEmbeddingsArtifact) -> _Set:
    table = context.read(images, ["image_id", "key", "problem"])
    table = table.filter(table.column("problem").is_null())
    if len(table) > MOST_COMPARED:
        table = table.take(np.linspace(0, len(table) - 1, MOST_COMPARED).round().astype(np.int64))
    keys = table.column("key").to_pylist()
    vectors = np.asarray(open_ledger(context, "image_embeddings", manifest.encoder).read(keys), np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)  # of 16 bits they are about unit long
    return _Set(table.column("image_id").to_pylist(), keys, vectors)
