"""Labelled images that a language model is shown with its questions: chosen, made small, and kept.

Of each class those whose ids have the smallest hashes under the seed are taken. A draw by one generator for all classes
would choose others of every class when one image, or one class, is added, and all questions would be paid for again; so
an image's place depends on its id and the seed alone. What cannot be read is passed over, and so is a second copy.
"""

import heapq
import logging
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field

from coder_core.errors import InputError, LabelLeakError
from coder_core.fingerprint import content_hash
from coder_core.images.decoding import BrokenImageError, decoder_identity
from coder_core.images.shown_images import render_shown
from coder_core.llm.chat_requests import RENDITION, Picture
from coder_core.loops import each
from coder_core.pipeline.artifact_types import (
    ImageEmbeddingsArtifact,
    ImagesArtifact,
    LabelsArtifact,
    ShownImages,
    ShownImagesArtifact,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output, part_name
from coder_core.pipeline.step import ArtifactStep, Step
from coder_core.pipeline.traits import PREFLIGHT, Traits
from coder_core.steps.load_dataset import read_labels
from coder_core.storage.packed_images import read_image

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

PART_IMAGES = 256
"""Images of one part: some 20 MB."""


class _Shown(NamedTuple):
    """An image of a class as it is shown; without a JPEG where it cannot be read."""

    class_id: int
    image_id: str
    content_key: str
    jpeg: bytes


class ChooseShownImages(ArtifactStep[ShownImagesArtifact]):
    """Choose images of every class, and write them as they are shown; a class with fewer gives what it has."""

    images: ImagesArtifact
    labels: LabelsArtifact
    images_per_class: int
    seed: int
    rendition: str = RENDITION
    decoder: str = Field(default_factory=decoder_identity)

    def make(self, context: Context, output: Output) -> ShownImagesArtifact:
        """Read images, those with the smallest hashes first, until every class has its number or no more."""
        waiting = self._in_order(context)
        found: dict[int, list[_Shown]] = {class_id: [] for class_id in waiting}
        unreadable = 0
        while wanted := list(self._next(waiting, found)):
            for shown in _read_all(context, self.images, wanted):
                unreadable += not shown.jpeg
                own = found[shown.class_id]
                if shown.jpeg and shown.content_key not in {image.content_key for image in own}:
                    own.append(shown)
        if unreadable:
            logger.warning("%d images cannot be read and are not shown to the language model", unreadable)
        rows = [shown for class_id in sorted(found) for shown in found[class_id]]
        for number, start in enumerate(range(0, len(rows), PART_IMAGES) if rows else (0,)):
            output.write_part(part_name(number), _table(rows[start : start + PART_IMAGES]))
        return output.finish(ShownImagesArtifact, unreadable=unreadable)

    def _in_order(self, context: Context) -> dict[int, list[tuple[str, str]]]:
        """Of every class the hashes and ids of its images, as a heap."""
        labels = read_labels(context, self.labels, "train")
        waiting: dict[int, list[tuple[str, str]]] = {}
        for image_id, class_id in each(zip(labels.image_ids, labels.label_ids.tolist(), strict=True), every=4096):
            place = content_hash(f"{self.seed}\n{image_id}".encode("utf-8", "surrogateescape"))
            waiting.setdefault(class_id, []).append((place, image_id))
        for images in waiting.values():
            heapq.heapify(images)
        return waiting

    def _next(
        self, waiting: dict[int, list[tuple[str, str]]], found: dict[int, list[_Shown]]
    ) -> Iterator[tuple[int, str]]:
        """Class and id of the images to read next."""
        for class_id, images in waiting.items():
            for _ in range(min(self.images_per_class - len(found[class_id]), len(images))):
                yield class_id, heapq.heappop(images)[1]


class SetTestImagesApart(Step[ShownImages]):
    """Refuse, or leave out, what is under test as well: it would be named by what was seen of it.

    Raises:
        LabelLeakError: A chosen image is a test image, and `drop_shared` is off.
    """

    traits: ClassVar[Traits] = PREFLIGHT
    loop_free: ClassVar[str] = "compares two lists of keys"

    chosen: ShownImagesArtifact
    tested: ImageEmbeddingsArtifact
    drop_shared: bool

    def run(self, context: Context) -> ShownImages:
        """Compare contents, not names."""
        tested = set(context.read(self.tested, ["key"]).column("key").to_pylist())
        rows = context.read(self.chosen, ["image_id", "content_key"]).to_pylist()
        shared = {row["content_key"]: row["image_id"] for row in rows if row["content_key"] in tested}
        if shared and not self.drop_shared:
            raise LabelLeakError(
                f"{len(shared)} images to be shown to the language model are test images as well, "
                f"{min(shared.values())!r} for one.",
                "few_shot.pool",
                "Name images that are not under test, or set few_shot.drop_shared to leave such out.",
            )
        return ShownImages(chosen=self.chosen, left_out=tuple(sorted(shared)))


def read_pictures(
    context: Context, shown: ShownImages | None, class_ids: Collection[int] | None, *, is_sent: bool
) -> dict[int, tuple[Picture, ...]]:
    """What is shown of classes.

    Args:
        context: The store.
        shown: The pictures; None where none are shown.
        class_ids: Which classes; None for all.
        is_sent: Whether their bytes are wanted.
    """
    if shown is None:
        return {}
    left_out, wanted = set(shown.left_out), None if class_ids is None else set(class_ids)
    columns = ["class_id", "content_key", *(["jpeg"] if is_sent else [])]
    found: dict[int, list[Picture]] = {}
    for part in each(context.parts(shown.chosen)):
        for row in _rows_of(context.read_part(shown.chosen, part.name, columns), wanted):
            if row["content_key"] not in left_out:
                found.setdefault(row["class_id"], []).append(Picture(row["content_key"], row.get("jpeg", b"")))
    return {class_id: tuple(pictures) for class_id, pictures in found.items()}


def _rows_of(table: "pa.Table", class_ids: set[int] | None) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if class_ids is not None:
        table = table.filter(pc.is_in(table.column("class_id"), pa.array(sorted(class_ids), pa.int32())))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _read_all(context: Context, images: ImagesArtifact, wanted: Sequence[tuple[int, str]]) -> Iterator[_Shown]:
    """Read and write images, several at a time, in the order of `wanted`."""
    sources = _sources(context, images, {image_id for _, image_id in wanted})
    with ThreadPoolExecutor(context.runtime.workers, "shown") as pool:
        try:
            made = pool.map(lambda place: _show(place[0], place[1], sources.get(place[1])), wanted)
            yield from context.each(made, "reading images to show", total=len(wanted), unit="images")
        finally:
            pool.shutdown(cancel_futures=True)


def _sources(context: Context, images: ImagesArtifact, wanted: set[str]) -> dict[str, str | bytes]:
    """Where images are, or their bytes; without those that the listing knows to be unreadable."""
    found: dict[str, str | bytes] = {}
    for part in each(context.parts(images)):
        table = context.read_part(images, part.name)
        column = "content" if "content" in table.column_names else "location"
        ids = table.column("image_id").to_pylist()
        reasons = table.column("reason").to_pylist() if "reason" in table.column_names else [None] * len(ids)
        for row, (image_id, reason) in enumerate(zip(ids, reasons, strict=True)):
            if image_id in wanted and reason is None:
                found[image_id] = table.column(column)[row].as_py()
    return found


def _show(class_id: int, image_id: str, source: str | bytes | None) -> _Shown:
    if source is None:
        return _Shown(class_id, image_id, "", b"")
    try:
        content = source if isinstance(source, bytes) else read_image(source)
        return _Shown(class_id, image_id, content_hash(content), render_shown(content))
    except (BrokenImageError, InputError):
        return _Shown(class_id, image_id, "", b"")


def _table(rows: Sequence[_Shown]) -> "pa.Table":
    import pyarrow as pa

    types = {"class_id": pa.int32(), "image_id": pa.string(), "content_key": pa.string(), "jpeg": pa.binary()}
    return pa.table({name: pa.array([getattr(row, name) for row in rows], kind) for name, kind in types.items()})
