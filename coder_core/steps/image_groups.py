"""Which images belong together: read by measurements, and by nothing that predicts."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from coder_core.counted import counted
from coder_core.errors import DatasetError
from coder_core.fingerprint import NotIdentity
from coder_core.images.manifests import manifest_groups, manifest_root
from coder_core.locations import open_location
from coder_core.pipeline.artifact_handle import Handle
from coder_core.pipeline.step_inputs import FileInput
from coder_core.specs import EvalSpec, FeaturesDataset, ManifestDataset

if TYPE_CHECKING:
    from coder_core.evaluation.spread import Groups


class ImageGroups(Handle):
    """How to tell the group of an image.

    Attributes:
        pattern: Looked for in the image id.
        file: Where a column says it, instead; the columns are the groups, and the image ids if there are any.
        root: Of a manifest, the folder that its paths start from; None of a features file.
    """

    pattern: str | None
    file: FileInput | None
    root: Annotated[str | None, NotIdentity("the ids of the images, which another root changes, are read beside")] = (
        None
    )

    def numbers(self, image_ids: Sequence[str]) -> "Groups":
        """Number the groups of images, in their order.

        Raises:
            DatasetError: The column does not know an image.
        """
        from coder_core.evaluation.clustered import group_numbers

        if self.file is not None:
            return group_numbers(_of_column(self.file, image_ids, self.root))
        pattern = re.compile(self.pattern or "")
        return group_numbers([_of_pattern(pattern, image_id) for image_id in image_ids])


def groups_of(spec: EvalSpec) -> ImageGroups | None:
    """How the images of an evaluation are grouped; None where every one stands alone."""
    if spec.groups is None:
        return None
    file: FileInput | None = None
    root: str | None = None
    if spec.groups.column is not None and isinstance(spec.dataset, ManifestDataset):
        root = manifest_root(spec.dataset)
        file = FileInput(path=spec.dataset.path, columns=(spec.groups.column, spec.dataset.image))
    if spec.groups.column is not None and isinstance(spec.dataset, FeaturesDataset):
        columns = (spec.groups.column, *([spec.dataset.image_ids] if spec.dataset.image_ids else []))
        file = FileInput(path=spec.dataset.path, columns=columns)
    return ImageGroups(pattern=spec.groups.pattern, file=file, root=root)


def _of_pattern(pattern: "re.Pattern[str]", image_id: str) -> str:
    found = pattern.search(image_id)
    if found is None:
        return f"alone:{image_id}"
    return f"group:{found.group(1) if found.re.groups else found.group()}"


def _of_column(file: FileInput, image_ids: Sequence[str], root: str | None) -> list[str]:
    group_of = _features_groups(file) if root is None else manifest_groups(file.path, file.columns, root)
    missing = [image_id for image_id in image_ids if image_id not in group_of]
    if missing:
        raise DatasetError(
            f"{counted(len(missing), 'image has', 'images have')} no group, the first is {missing[0]!r}.",
            file.path,
            "Give one group per image.",
        )
    return [group_of[image_id] for image_id in image_ids]


def _features_groups(file: FileInput) -> dict[str, str]:
    from coder_core.images.features_file import text_values
    from coder_core.storage.input_tables import read_feature_file

    arrays = read_feature_file(open_location(file.path), list(file.columns))
    groups = text_values(arrays[file.columns[0]], f"{file.path}: {file.columns[0]}")
    rows = [f"{row:09d}" for row in range(len(groups))]
    ids = text_values(arrays[file.columns[1]], file.path) if len(file.columns) > 1 else rows
    return dict(zip(ids, groups, strict=False))
