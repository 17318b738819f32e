"""Image features that another tool computed: read, checked, normalised."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from coder_core.class_source.matching import match_labels, no_such_class
from coder_core.classes import ClassList
from coder_core.errors import DatasetError, FeatureFileError
from coder_core.image_ids import ImageIds, RowNumbers
from coder_core.locations import open_location
from coder_core.specs import FeaturesDataset
from coder_core.storage.ignored_files import IgnoredFiles
from coder_core.storage.input_names import is_printable
from coder_core.storage.input_tables import read_feature_file

TEXT_KINDS = "SUOiu"
"""Of numpy: bytes, texts, objects, and whole numbers, which stand for their digits."""

IDS_AT_ONCE = 65_536
"""Ids that are taken over at a time: as objects, all of them would take ten times the memory."""

ROWS_AT_ONCE = 65_536
"""Rows that are scaled at a time: what is needed meanwhile stays in the cache."""

UNIT_TOLERANCE = 2e-3
"""How far from 1 the length of a row may be after rounding to float16 (512 values: below 1e-3 in practice)."""


class FeatureSet(NamedTuple):
    """Features, labels and names of one file, and the images of it that were left out."""

    classes: ClassList
    image_ids: Sequence[str]
    features: Float[np.ndarray, "images dim"]
    label_ids: Int[np.ndarray, " images"]
    ignored: IgnoredFiles


def load_features(dataset: FeaturesDataset, listed: ClassList | None = None) -> FeatureSet:
    """Read a file of image features.

    Args:
        dataset: Where it is.
        listed: The class list, where it is kept outside the data set.

    Returns:
        L2-normalised float32 features; ids are row numbers where the file names none.

    Raises:
        FeatureFileError: A missing array, a wrong shape or type, NaN, a zero vector, a label out of range, or an image
            id that occurs twice.
        DatasetError: A blank class name, none at all, images of a class that is not listed (unless
            `ignore_other_folders` is set), or none of a listed one.
    """
    path, names = dataset.path, dataset.class_names
    _refuse_names_per_row(dataset)
    optional = [name for name in (dataset.image_ids, names) if isinstance(name, str)]
    arrays = read_feature_file(open_location(path), [dataset.features, dataset.labels, *optional])
    is_shared = dataset.features in (dataset.labels, *optional)  # a mistake, which the checks below tell
    take = arrays.__getitem__ if is_shared else arrays.pop
    features = normalised_rows(take(dataset.features), f"{path}: {dataset.features}")
    classes = ClassList(text_values(arrays[names], f"{path}: {names}") if isinstance(names, str) else names)
    labels = _checked_labels(arrays[dataset.labels], len(features), classes, f"{path}: {dataset.labels}")
    image_ids: Sequence[str] = RowNumbers(range(len(features)))
    if dataset.image_ids:
        image_ids = _checked_ids(arrays[dataset.image_ids], len(features), f"{path}: {dataset.image_ids}")
    found = FeatureSet(classes, image_ids, features, labels, IgnoredFiles())
    return found if listed is None else _of_listed_classes(found, listed, dataset)


def text_values(values: np.ndarray, place: str) -> tuple[str, ...]:
    """Check a vector of texts (or whole numbers, as text).

    Raises:
        FeatureFileError: Not a vector, something else than text in it, or text that is no UTF-8.
    """
    if values.ndim == 1 and values.dtype.kind in TEXT_KINDS:
        try:
            texts = [text.decode("utf-8") if isinstance(text, bytes) else text for text in values.tolist()]
        except ValueError as error:  # no UTF-8; in an array of fixed-width text, a number that is no character
            raise FeatureFileError(f"not UTF-8 ({error}).", place, "Store texts, not bytes.") from error
        if all(isinstance(text, str | int) for text in texts):
            return tuple(_printable(str(text), place) for text in texts)
    raise FeatureFileError(
        f"expected a vector of texts, found shape {values.shape} of {values.dtype}.", place, "Store one text per row."
    )


def _printable(text: str, place: str) -> str:
    if not is_printable(text):
        raise FeatureFileError(f"{text!a:.80} cannot be written as UTF-8.", place, "Correct it.")
    return text


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
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is refused below
        matrix = values.astype(np.float32)
    del values  # of ten million rows it is as much again as all that follows
    lengths = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)
    np.sqrt(lengths, out=lengths)
    for reason, bad in (("NaN or infinity", ~np.isfinite(lengths)), ("zeros only", lengths == 0)):
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise FeatureFileError(
                f"row {row} holds {reason} ({int(bad.sum())} of {len(bad)} rows do).", place, "Compute it again."
            )
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        own = lengths[start : start + ROWS_AT_ONCE]
        is_unit = np.abs(own - 1.0) < UNIT_TOLERANCE
        matrix[start : start + ROWS_AT_ONCE] /= np.where(is_unit, 1.0, own)[:, None]
    return matrix


def _of_listed_classes(found: FeatureSet, listed: ClassList, dataset: FeaturesDataset) -> FeatureSet:
    """Count the labels in another class list, by the names that they had."""
    names, place = found.classes.names, dataset.path
    labelled = np.bincount(found.label_ids, minlength=len(names)).tolist()
    counts: Counter[str] = Counter()
    for name, count in zip(names, labelled, strict=True):
        counts.update({name: count} if count else {})
    label_of = match_labels(sorted(counts), listed, place)
    others = {name: count for name, count in sorted(counts.items()) if name not in label_of}
    if others and not dataset.ignore_other_folders:
        raise no_such_class(others, listed, what="class", setting="dataset.classes", place=place)
    new_ids = np.array([label_of.get(name, -1) for name in names], dtype=np.int64)[found.label_ids]
    for row in np.flatnonzero(new_ids < 0).tolist():
        name = names[found.label_ids[row]]
        found.ignored.add("class", f"{place}: {found.image_ids[row]}", f"its class {name!r} is not in dataset.classes")
    rows = np.flatnonzero(new_ids >= 0)
    if len(rows) == len(new_ids):
        return found._replace(classes=listed, label_ids=new_ids)
    if not len(rows):
        raise DatasetError(
            f"no image is of a listed class; the first class of the file is {names[0]!r}.",
            place,
            "Name the file's classes in dataset.classes, by name or by id.",
        )
    image_ids = ImageIds.of(found.image_ids[row] for row in rows.tolist())
    return FeatureSet(listed, image_ids, found.features[rows], new_ids[rows], found.ignored)


def _refuse_names_per_row(dataset: FeaturesDataset) -> None:
    """A Parquet column has one value per image; taken for the class list, it would make a class of every image."""
    if isinstance(dataset.class_names, str) and dataset.path.lower().endswith(".parquet"):
        raise FeatureFileError(
            "a Parquet file has no place for a class list.", dataset.path, "Give the names: dataset.class_names: [...]."
        )


def _checked_ids(values: np.ndarray, count: int, place: str) -> ImageIds:
    ids = ImageIds.join([ImageIds.of(text_values(block, place)) for block in _blocks(values)])
    if len(ids) != count:
        raise FeatureFileError(f"{len(ids)} image ids and {count} features.", place, "Give one id per image.")
    if not ids.is_unique:
        twice, times = Counter(ids).most_common(1)[0]
        raise FeatureFileError(f"the image id {twice!r} is there {times} times.", place, "Make ids unique.")
    return ids


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """Rows, some at a time; what holds no texts, as a whole, to be refused."""
    if values.ndim != 1 or values.dtype.kind not in TEXT_KINDS:
        yield values
        return
    for start in range(0, len(values), IDS_AT_ONCE):
        yield values[start : start + IDS_AT_ONCE]


def _checked_labels(values: np.ndarray, count: int, classes: ClassList, place: str) -> Int[np.ndarray, " images"]:
    if values.shape != (count,) or values.dtype.kind not in "iu":
        raise FeatureFileError(
            f"expected {count} whole numbers, found shape {values.shape} of {values.dtype}.",
            place,
            "Give one label id per image (labels.astype(int)).",
        )
    bad = np.flatnonzero((values < 0) | (values >= len(classes)))
    if len(bad):
        raise FeatureFileError(
            f"row {bad[0]} has label {values[bad[0]]}, not in 0..{len(classes) - 1} ({len(bad)} rows do).",
            place,
            "Give the class list that the labels count in.",
        )
    return values.astype(np.int64, copy=False)
