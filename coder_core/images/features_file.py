"""Image features that another tool computed: read, checked, normalised."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from coder_core.classes import ClassList
from coder_core.errors import FeatureFileError
from coder_core.locations import open_location
from coder_core.specs import FeaturesDataset
from coder_core.storage.input_tables import read_feature_file

UNIT_TOLERANCE = 2e-3
"""How far from 1 the length of a normalised row may be after rounding to float16 (512 values: below 1e-3 in practice)."""


class FeatureSet(NamedTuple):
    """Features, labels and names of one file."""

    classes: ClassList
    image_ids: tuple[str, ...]
    features: Float[np.ndarray, "images dim"]
    label_ids: Int[np.ndarray, " images"]


def load_features(dataset: FeaturesDataset) -> FeatureSet:
    """Read a file of image features.

    Returns:
        L2-normalised float32 features; ids are row numbers where the file names none.

    Raises:
        FeatureFileError: A missing array, a wrong shape or type, NaN, a zero vector, or a label out of range.
    """
    if dataset.path.lower().endswith(".parquet") and isinstance(dataset.class_names, str):
        raise FeatureFileError(
            "a Parquet file has no place for a class list.", dataset.path, "Give the names: dataset.class_names: [...]."
        )
    optional = [dataset.image_ids] if dataset.image_ids else []
    optional += [dataset.class_names] if isinstance(dataset.class_names, str) else []
    arrays = read_feature_file(open_location(dataset.path), [dataset.features, dataset.labels, *optional])
    features = normalised_rows(arrays[dataset.features], f"{dataset.path}: {dataset.features}")
    names = dataset.class_names
    classes = ClassList(tuple(map(str, arrays[names] if isinstance(names, str) else names)))
    labels = _checked_labels(arrays[dataset.labels], len(features), classes, f"{dataset.path}: {dataset.labels}")
    ids = arrays[dataset.image_ids] if dataset.image_ids else [f"{row:09d}" for row in range(len(features))]
    return FeatureSet(classes, tuple(map(str, ids)), features, labels)


def normalised_rows(values: np.ndarray, place: str) -> Float[np.ndarray, "rows dim"]:
    """Check a matrix of features and scale its rows to length 1 (float32).

    Rows that are unit length up to float16 rounding stay as they are: scaling them again would move near-ties away from
    what the tool that wrote them computes.

    Raises:
        FeatureFileError: Not a matrix of numbers, no row, a row with NaN or infinity, or a row of zeros.
    """
    if values.ndim != 2 or not len(values) or values.dtype.kind not in "fiu":
        raise FeatureFileError(
            f"expected (rows, dim) numbers, found shape {values.shape} of {values.dtype}.", place, "Store a matrix."
        )
    matrix = values.astype(np.float32)
    lengths = np.linalg.norm(matrix, axis=1)
    for reason, bad in (("NaN or infinity", ~np.isfinite(lengths)), ("zeros only", lengths == 0)):
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise FeatureFileError(
                f"row {row} holds {reason} ({int(bad.sum())} of {len(bad)} rows do).", place, "Compute it again."
            )
    is_unit = np.abs(lengths - 1.0) < UNIT_TOLERANCE
    return np.asarray(matrix / np.where(is_unit, 1.0, lengths).astype(np.float32)[:, None])


def _checked_labels(values: np.ndarray, count: int, classes: ClassList, place: str) -> Int[np.ndarray, " images"]:
    if values.shape != (count,) or values.dtype.kind not in "iu":
        raise FeatureFileError(
            f"expected {count} whole numbers, found shape {values.shape} of {values.dtype}.",
            place,
            "Give one label id per image.",
        )
    bad = np.flatnonzero((values < 0) | (values >= len(classes)))
    if len(bad):
        raise FeatureFileError(
            f"row {bad[0]} has label {values[bad[0]]}, not in 0..{len(classes) - 1} ({len(bad)} rows do).",
            place,
            "Give the class list that the labels count in.",
        )
    return values.astype(np.int64)
