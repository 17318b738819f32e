"""Images on their way into a model: read and decoded by threads, a few ahead, in order. No store is needed."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from coder_core.encoders.base import Encoder
from coder_core.errors import InputError
from coder_core.images.decoding import BrokenImageError, decode_image
from coder_core.loops import each
from coder_core.storage.packed_images import read_image

GivenImage = str | Path | bytes | Image.Image
"""A path or URL, the bytes of a file, or an image that Pillow has opened."""

AHEAD = 2
"""Batches that are read ahead of the model."""


class ReadyImage(NamedTuple):
    """One image: its name, and what the model takes, or what is wrong with it."""

    name: str
    prepared: Any
    problem: str | None


def prepare_batches(
    images: Iterable[GivenImage], model: Encoder, *, batch_size: int, workers: int
) -> Iterator[list[ReadyImage]]:
    """Read and decode images, lazily: a generator of a million paths is never in memory.

    Args:
        images: In any number.
        model: What they are prepared for.
        batch_size: Images of a batch.
        workers: Threads.

    Yields:
        Batches in order; the last one may be smaller.
    """
    names = enumerate(images)
    with ThreadPoolExecutor(workers, "images") as pool:
        ahead: deque[list[Future[ReadyImage]]] = deque()
        try:
            for batch in each(iter(lambda: list(islice(names, batch_size)), [])):
                ahead.append([pool.submit(_prepare, number, image, model) for number, image in batch])
                if len(ahead) > AHEAD:
                    yield [future.result() for future in ahead.popleft()]
            while ahead:
                yield [future.result() for future in ahead.popleft()]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _prepare(number: int, image: GivenImage, model: Encoder) -> ReadyImage:
    name = str(image) if isinstance(image, str | Path) else f"image {number}"
    try:
        return ReadyImage(name, model.prepare_image(_open(image, model)), None)
    except BrokenImageError as error:
        return ReadyImage(name, None, str(error))
    except InputError as error:
        return ReadyImage(name, None, f"it cannot be read: {error.problem}")


def _open(image: GivenImage, model: Encoder) -> Image.Image:
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    content = image if isinstance(image, bytes) else read_image(str(image))
    return decode_image(content, draft_side=getattr(model, "draft_side", None))
