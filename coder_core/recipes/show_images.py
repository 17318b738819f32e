"""Labelled images for a language model that reads images: of the training set, never of the images under test."""

from collections.abc import Mapping

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.images.sources import ImageSource
from coder_core.llm.chat_requests import Picture
from coder_core.pipeline.artifact_types import Dataset, ImagesArtifact, LabelsArtifact, ShownImages
from coder_core.pipeline.context import Context
from coder_core.pipeline.runner import Runner
from coder_core.specs import EvalSpec
from coder_core.steps.choose_shown_images import ChooseShownImages, SetTestImagesApart, read_pictures
from coder_core.steps.embed_images import EmbedImages
from coder_core.steps.load_dataset import CheckSameClasses, ListImages, ListLabels, LoadDataset

UNKNOWN = Picture("unknown")
"""Stands for a picture that has not been chosen yet: no answer is held for it."""


def shows_images(spec: EvalSpec) -> bool:
    """Whether a language model is shown images."""
    return spec.texts.generator is not None and spec.texts.generator.images_per_class > 0


def show_images(spec: EvalSpec, dataset: Dataset, encoder: IdentifiedEncoder, run: Runner) -> ShownImages | None:
    """Choose what a language model is shown; None where it is shown nothing.

    The images under test are embedded first, before anything is paid: by their content it is known that none is shown.

    Raises:
        LabelLeakError: An image to be shown is under test.
    """
    if not shows_images(spec):
        return None
    assert spec.few_shot is not None  # noqa: S101 - EvalSpec refuses `images_per_class` without it
    pool = run(LoadDataset(source=spec.few_shot.pool, class_names=spec.class_names))
    run(CheckSameClasses(classes=dataset.classes, others=pool.classes, what="few_shot.pool"))
    tested = run(EmbedImages(images=dataset.images, encoder=encoder))
    chosen = run(_choice(spec, pool.images, pool.labels))
    return run(SetTestImagesApart(chosen=chosen, tested=tested, drop_shared=spec.few_shot.drop_shared))


def foresee_pictures(spec: EvalSpec, pool: ImageSource | None, context: Context) -> Mapping[int, tuple[Picture, ...]]:
    """What will be shown, as far as the store knows it; else as many unknown pictures of every class as are asked for.

    Nothing is read but the listing and the store, and nothing is written: for a check, and a price in advance.

    Args:
        spec: The evaluation.
        pool: Its `few_shot.pool`, opened under the evaluation's class names; None where it could not be opened.
        context: The store.
    """
    if pool is None or not shows_images(spec) or spec.texts.generator is None:
        return {}
    images = ListImages(content=pool.identity, source=pool).find(context)
    labels = ListLabels(content=pool.labels_identity, source=pool).find(context)
    chosen = _choice(spec, images, labels).find(context) if images is not None and labels is not None else None
    if chosen is not None:
        return read_pictures(context, ShownImages(chosen=chosen), None, is_sent=False)
    unknown = (UNKNOWN,) * spec.texts.generator.images_per_class
    return dict.fromkeys(range(len(pool.classes)), unknown)


def _choice(spec: EvalSpec, images: ImagesArtifact, labels: LabelsArtifact) -> ChooseShownImages:
    assert spec.texts.generator is not None  # noqa: S101 - asked before
    assert spec.few_shot is not None  # noqa: S101 - EvalSpec refuses `images_per_class` without it
    return ChooseShownImages(
        images=images,
        labels=labels,
        images_per_class=spec.texts.generator.images_per_class,
        seed=spec.few_shot.seed,
    )
