"""What every method said about every image, side by side: the same image at the same place for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

NO_CLASS = -1


@dataclass(frozen=True)
class MethodAnswers:
    """One method.

    Attributes:
        predicted: Class ids.
        probability: Of the predicted class; NaN where it was not stored.
        true_probability: Of the true class; 0 where it is not among the stored best.
    """

    predicted: Int[np.ndarray, " images"]
    probability: Float[np.ndarray, " images"]
    true_probability: Float[np.ndarray, " images"]


@dataclass(frozen=True)
class Answers:
    """All methods of a run.

    Attributes:
        image_ids: The images.
        labels: Their true classes; -1 where there is none.
        methods: Answers by method, in the order of the run.
        class_names: Names by class id, of the classes that occur.
    """

    image_ids: list[str]
    labels: Int[np.ndarray, " images"]
    methods: Mapping[str, MethodAnswers]
    class_names: Mapping[int, str]

    def is_right(self, method: str) -> Bool[np.ndarray, " images"]:
        """Which images a method gets right."""
        return np.asarray((self.methods[method].predicted == self.labels) & self.is_labelled)

    @property
    def is_labelled(self) -> Bool[np.ndarray, " images"]:
        """Which images have a true class."""
        return np.asarray(self.labels != NO_CLASS)


def read_answers(predictions: pa.Table | None) -> Answers:
    """Put the rows of table `predictions` side by side; images that a method lacks are left out of all."""
    if predictions is None or not len(predictions):
        return Answers([], np.zeros(0, np.int64), {}, {})
    methods = pc.unique(predictions.column("method")).to_pylist()
    own = {method: predictions.filter(pc.equal(predictions.column("method"), method)) for method in methods}
    first = own[methods[0]]
    for method in methods[1:]:
        if not first.column("image_id").equals(own[method].column("image_id")):
            own = _aligned(own)
            break
    first = own[methods[0]]
    return Answers(
        first.column("image_id").to_pylist(),
        np.asarray(pc.fill_null(first.column("label"), NO_CLASS).to_numpy(), np.int64),
        {method: _method_answers(table) for method, table in own.items()},
        _names(predictions),
    )


def _method_answers(table: pa.Table) -> MethodAnswers:
    return MethodAnswers(
        np.asarray(table.column("predicted").to_numpy(), np.int64),
        _numbers(table, "probability"),
        np.nan_to_num(_numbers(table, "true_probability")),
    )


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table.column(name).cast(pa.float64()).to_numpy(), np.float64)


def _aligned(own: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The images that all methods have, in one order."""
    common = set.intersection(*(set(table.column("image_id").to_pylist()) for table in own.values()))
    kept = {
        method: table.filter(pc.is_in(table.column("image_id"), pa.array(sorted(common))))
        for method, table in own.items()
    }
    return {method: table.sort_by("image_id") for method, table in kept.items()}


def _names(predictions: pa.Table) -> dict[int, str]:
    found: dict[Any, Any] = {}
    for number, name in (("label", "label_name"), ("predicted", "predicted_name")):
        pairs = predictions.select([number, name]).group_by([number, name]).aggregate([])
        found |= dict(zip(pairs.column(number).to_pylist(), pairs.column(name).to_pylist(), strict=True))
    return {number: name for number, name in found.items() if number is not None and name is not None}
