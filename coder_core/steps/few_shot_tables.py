"""What few-shot methods are worth: test labels are read here, draw by draw, and means over draws with their spread."""

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from coder_core.evaluation.intervals import wilson_interval
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.metrics import mean_per_class_accuracy
from coder_core.specs import FewShotSpec
from coder_core.steps.result_tables import rows_table
from coder_core.steps.workplace import Product
from coder_core.storage.artifacts import Artifact, ArtifactStore


class FewShotScore(NamedTuple):
    """One method on one draw."""

    method: str
    shots: int
    seed: int
    n: int
    top1: float
    ci_low: float
    ci_high: float
    mean_per_class_accuracy: float
    settings: str
    chosen_on: str
    chosen_n: int
    chosen_accuracy: float | None
    settings_tried: int
    pool_images_dropped: int


def few_shot_tables(
    artifacts: ArtifactStore, products: Sequence[Product], labels: LabelTable, spec: FewShotSpec
) -> dict[str, pa.Table]:
    """The result tables of all cells: `few_shot`, one row per method and draw, and `few_shot_summary` over draws."""
    scores = [score for product in products for score in _score_cell(artifacts, product.artifact, labels, spec)]
    return {
        "few_shot": rows_table([score._asdict() for score in scores]),
        "few_shot_summary": rows_table(summarise_draws(scores)),
    }


def summarise_draws(scores: Sequence[FewShotScore]) -> list[dict[str, Any]]:
    """Mean and standard deviation (n - 1) over draws, by method and shots; the deviation of one draw is null."""
    groups: dict[tuple[str, int], list[float]] = defaultdict(list)
    for score in scores:
        groups[score.method, score.shots].append(score.top1)
    return [
        {
            "method": method,
            "shots": shots,
            "draws": len(found),
            "top1": statistics.fmean(found),
            "top1_std": statistics.stdev(found) if len(found) > 1 else None,
        }
        for (method, shots), found in groups.items()
    ]


def _score_cell(artifacts: ArtifactStore, cell: Artifact, labels: LabelTable, spec: FewShotSpec) -> list[FewShotScore]:
    table, summary = artifacts.read(cell), cell.summary
    label_ids = labels.label_ids_of(table.column("image_id").to_pylist())
    scores = []
    for method in spec.methods:
        predicted: NDArray[np.int32] = table.column(method).to_numpy()
        told, hits = json.loads(str(summary[method])), int((predicted == label_ids).sum())
        interval = wilson_interval(hits, len(label_ids))
        scores.append(
            FewShotScore(
                method=method,
                shots=int(summary["shots"]),
                seed=int(summary["seed"]),
                n=len(label_ids),
                top1=hits / len(label_ids),
                ci_low=interval.low,
                ci_high=interval.high,
                mean_per_class_accuracy=mean_per_class_accuracy(predicted[:, None], label_ids),
                settings=json.dumps(told["settings"]),
                chosen_on=told["source"],
                chosen_n=told["n"],
                chosen_accuracy=told["accuracy"],
                settings_tried=told["tried"],
                pool_images_dropped=int(summary["dropped"]),
            )
        )
    return scores
