"""After a run: do its own predictions say that the labels belong to other names? Costs nothing that was not there."""

from typing import TYPE_CHECKING

from coder_core.classes import ClassList
from coder_core.images.sampled_images import sample_size
from coder_core.pipeline.context import Context
from coder_core.pipeline.run_manifest import RunManifest
from coder_core.steps.load_dataset import read_labels
from coder_core.steps.predict_images import COLUMNS, predictions_from_arrow

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int

PREFERRED = ("coder", "clip_ensemble", "clip")
"""Methods of texts alone, whose mistakes say something about names; the first that a run has is asked."""


def label_order_note(context: Context, manifest: RunManifest, classes: ClassList) -> str | None:
    """One line where another order of the names explains the predictions far better; see `review.label_order`."""
    from coder_core.review.label_order import MOST_CLASSES, match_labels_to_names

    if not 2 <= len(classes) <= MOST_CLASSES:
        return None
    sample = _sample(context, manifest, len(classes))
    found = match_labels_to_names(*sample) if sample is not None else None
    if found is None:
        return None
    moved = [label for label, name in enumerate(found.names) if label != name]
    shown = ", ".join(f"{classes.names[label]!r} as {classes.names[found.names[label]]!r}" for label in moved[:3])
    rest = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
    hits = f"of {found.images} images {found.hits_given} are right as given, {found.hits_found} otherwise"
    return f"labels and names may not belong together: images of {shown}{rest} ({hits}); see coder-eval doctor"


def _sample(
    context: Context, manifest: RunManifest, class_count: int
) -> "tuple[Float[np.ndarray, 'images classes'], Int[np.ndarray, ' images']] | None":
    """The probabilities of the best classes of the first images of every class, part by part; 0 for all others."""
    import numpy as np

    by_name = {record.method: record for record in manifest.methods}
    record = next((by_name[name] for name in PREFERRED if name in by_name), None)
    if record is None:
        return None
    labels = read_labels(context, manifest.dataset.labels, "test")
    taken, most = np.zeros(class_count, dtype=np.int64), sample_size(class_count)
    scores: list[np.ndarray] = []
    label_ids: list[int] = []
    parts = context.parts(record.predictions)
    for part in context.each(parts, "comparing names with labels", total=len(parts), unit="parts"):
        found = predictions_from_arrow(context.read_part(record.predictions, part.name, COLUMNS), record.method)
        own = labels.label_ids_of(found.image_ids)
        for row, label in enumerate(own.tolist()):
            if taken[label] < most:
                taken[label] += 1
                line = np.zeros(class_count)
                line[found.top_ids[row]] = found.top_probabilities[row]
                scores.append(line)
                label_ids.append(label)
    return (np.stack(scores), np.array(label_ids, dtype=np.int64)) if scores else None
