"""Small pictures for a page, under a budget of bytes; what cannot be shown says why."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from coder_core.counted import counted
from coder_core.errors import CoderError
from coder_core.images.decoding import BrokenImageError, decode_image
from coder_core.loops import each
from coder_core.pipeline.context import Context
from coder_core.pipeline.run_manifest import RunManifest
from coder_core.storage.packed_images import read_image

BYTES_IN_ALL = 2_400_000
"""Of all pictures of a report as JPEG; as text in the page a third more: 3.2 of its 8 MB."""
READERS = 4
FORMS = ((160, 78), (128, 68), (96, 60))
"""Longest side in pixels and quality: the first in which all pictures together keep to the budget."""

PictureReader = Callable[[Sequence[str]], Mapping[str, bytes]]
"""Image ids -> contents of their files; an image that is gone is missing."""


class Thumbnails(NamedTuple):
    """What there is to see.

    Attributes:
        shown: Image id -> `data:` address.
        note: What to say above the pictures; empty where all are there.
    """

    shown: Mapping[str, str]
    note: str


def make_thumbnails(image_ids: Sequence[str], read: PictureReader, budget: int = BYTES_IN_ALL) -> Thumbnails:
    """Make pictures small, the first ones first, until the budget is spent.

    Args:
        image_ids: Which, the most important first.
        read: Gives the contents of their files.
        budget: Bytes of all JPEG files together.
    """
    try:
        contents = read(image_ids)
    except CoderError as error:
        return Thumbnails({}, f"No pictures: {error}")
    with ThreadPoolExecutor(READERS) as threads:
        largest = dict(zip(contents, threads.map(_decoded, contents.values()), strict=True))
    pictures = {name: picture for name, picture in largest.items() if picture is not None}
    for side, quality in FORMS:
        files = {name: _jpeg(picture, side, quality) for name, picture in each(pictures.items())}
        if sum(map(len, files.values())) <= budget:
            break
    return _within(image_ids, files if pictures else {}, budget)


def picture_reader(context: Context, manifest: RunManifest) -> PictureReader:
    """Read the pictures of a run's data set from where they were listed."""

    def read(image_ids: Sequence[str]) -> Mapping[str, bytes]:
        sources = _find_sources(context, manifest, image_ids)
        with ThreadPoolExecutor(READERS) as threads:
            found = zip(sources, threads.map(_read, sources.values()), strict=True)
            return {name: content for name, content in found if content is not None}

    return read


def _find_sources(context: Context, manifest: RunManifest, image_ids: Sequence[str]) -> dict[str, str | bytes]:
    listing, wanted = manifest.dataset.images, pa.array(image_ids, pa.string())
    found: dict[str, str | bytes] = {}
    for part in context.each(context.parts(listing), "looking for pictures", total=1, unit="parts"):
        table = context.read_part(listing, part.name)
        column = next((name for name in ("content", "location") if name in table.column_names), None)
        if column is None:
            return {}
        own = table.filter(pc.is_in(table.column("image_id"), value_set=wanted))
        found |= dict(zip(*(own.column(name).to_pylist() for name in ("image_id", column)), strict=True))
        if len(found) == len(set(image_ids)):
            break
    return found


def _read(source: str | bytes) -> bytes | None:
    if isinstance(source, bytes):
        return source
    try:
        return read_image(source)
    except CoderError:
        return None


def _decoded(content: bytes) -> Image.Image | None:
    """The picture at the largest size that a report shows; None where it is none."""
    side = FORMS[0][0]
    try:
        picture = decode_image(content, draft_side=side)
    except BrokenImageError:
        return None
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def _jpeg(picture: Image.Image, side: int, quality: int) -> bytes:
    """A new file of the pixels alone: what a camera wrote beside them (place, owner) stays behind."""
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    target, small = io.BytesIO(), Image.frombytes("RGB", small.size, small.tobytes())
    small.save(target, format="JPEG", quality=quality, optimize=True)
    return target.getvalue()


def _within(image_ids: Sequence[str], files: Mapping[str, bytes], budget: int) -> Thumbnails:
    shown, spent = dict[str, str](), 0
    for name in dict.fromkeys(image_ids):
        content = files.get(name)
        if content is not None and spent + len(content) <= budget:
            spent += len(content)
            shown[name] = f"data:image/jpeg;base64,{base64.b64encode(content).decode('ascii')}"
    wanted, gone = len(set(image_ids)), len(set(image_ids)) - len(files)
    if not files and wanted:
        return Thumbnails({}, "There are no pictures: the data set holds features only, or its images are gone.")
    notes = [f"{gone:,} of {counted(wanted, 'picture', form=',')} are gone or cannot be read."] if gone else []
    if len(shown) < len(files):
        left_out = counted(len(files) - len(shown), "picture is", "pictures are", form=",")
        notes.append(f"{left_out} left out, to keep the file small.")
    return Thumbnails(shown, " ".join(notes))
