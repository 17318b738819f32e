"""Images and augmented views: read, hashed, decoded and prepared by threads, in order, ahead of the model.

Which images are embedded, and in which batch, is decided in the order of the images and not in that in which threads
finish: the same images make the same passes.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext, suppress
from typing import Any, NamedTuple, TypeVar

from coder_core.embedding.ledgers import VectorBuffer, open_ledger
from coder_core.embedding.pass_queue import Done, PassQueue, is_out_of_memory, start_images
from coder_core.encoders.base import Encoder, IdentifiedEncoder
from coder_core.errors import DeviceError, InputError
from coder_core.fingerprint import content_hash, key_of
from coder_core.images.augmentation import augment
from coder_core.images.decoding import BrokenImageError, decode_image
from coder_core.loops import each
from coder_core.pipeline.accelerator import HeldDevice
from coder_core.pipeline.context import Context
from coder_core.storage.packed_images import read_image

VIEWS_VERSION = 1
"""Goes up when `augment` makes other views; `FitFewShot.views_version` with it."""

UNREAD = "it cannot be read: "
"""How the problem of an image begins whose bytes did not come: another time they may."""

READ_AHEAD = 64
"""Images that are read ahead, and prepared ahead beside a batch."""

LOOK_EVERY = 1024
"""Images after which those are handed on that needed no pass."""

Ready = TypeVar("Ready")


class ImageItem(NamedTuple):
    """One image to embed.

    Args:
        place: Whatever the caller needs to know it again; as a text it is what people call the image.
        source: Where it is, or its bytes.
        views: Augmented views to embed instead of the image itself; 0 for the image.
    """

    place: Any
    source: str | bytes
    views: int = 0


class EmbeddedImage(NamedTuple):
    """An image whose vectors are in the ledger, or what is wrong with it.

    Args:
        item: What was asked.
        content_key: sha256 of its bytes; None where they could not be read.
        keys: Ledger keys: of the image, or of each of its views.
        problem: Why it has no vector.
        computed: Vectors among them that were computed now.
    """

    item: ImageItem
    content_key: str | None
    keys: tuple[str, ...]
    problem: str | None
    computed: int


def view_key(content_key: str, view: int) -> str:
    """Ledger key of one view of an image."""
    return key_of(["view", VIEWS_VERSION, content_key, view])


def embed_images(
    context: Context,
    encoder: IdentifiedEncoder,
    items: Iterable[ImageItem],
    advance: Callable[[int], None] = lambda _count: None,
) -> Iterator[EmbeddedImage]:
    """Embed images that the ledger does not hold; a broken image is told, and the work goes on.

    Args:
        context: The store, the device, how fast.
        encoder: What embeds them.
        items: The images; read lazily, ahead of the model.
        advance: Called after every pass with the number of images, or views, in it, and with 1 for what needs none.

    Yields:
        Every item, in order, once its vectors are in the ledger: in bursts, as the ledger's parts are written. Closing
        the iterator early, or an exception in it, keeps what was embedded.

    Raises:
        CheckpointError: The model cannot be loaded.
    """
    with (
        ThreadPoolExecutor(context.runtime.workers, "read") as readers,
        ThreadPoolExecutor(context.runtime.workers, "decode") as decoders,
        HeldDevice(context.accelerator) as device,
        context.pace.working(),
        _Work(context, encoder, _Threads(readers, decoders), device, advance) as work,
    ):
        try:
            for number, entry in enumerate(work.prepared(items), start=1):
                work.take(entry)
                is_kept = work.start_full_passes()
                if is_kept or number % LOOK_EVERY == 0:
                    yield from work.finished()
            work.finish_passes()
            yield from work.finished()
        finally:
            for pool in (readers, decoders):
                pool.shutdown(wait=False, cancel_futures=True)


class _Read(NamedTuple):
    """The bytes of an image and their hash, or why there are none."""

    item: ImageItem
    content: bytes
    key: str | None
    problem: str | None


class _Entry(NamedTuple):
    """An image on its way: which keys it needs, and those of them that are being prepared for it."""

    item: ImageItem
    content_key: str | None
    keys: tuple[str, ...]
    new: tuple[str, ...]
    future: Future[list[Any]] | None


class _Threads(NamedTuple):
    """Threads that wait for bytes, and threads that compute."""

    readers: ThreadPoolExecutor
    decoders: ThreadPoolExecutor


class _Work:
    """What the stages share; leaving the block keeps what was embedded."""

    def __init__(
        self,
        context: Context,
        encoder: IdentifiedEncoder,
        threads: _Threads,
        device: HeldDevice,
        advance: Callable[[int], None],
    ) -> None:
        self._advance = advance
        self._context, self._encoder, self._threads, self._device = context, encoder, threads, device
        self._ledger = open_ledger(context, "image_embeddings", encoder)
        self._buffer = VectorBuffer(self._ledger, context.pace)
        self._queue: PassQueue | None = None
        self._batch: list[tuple[str, Any]] = []
        self._scheduled: set[str] = set()
        self._problems: dict[str, str] = {}
        self._waiting: deque[_Entry] = deque()
        self._preparing: deque[Future[list[Any]]] = deque()
        self._ledger.missing([])  # learn of the parts once; after that, lookups ask nobody

    def __enter__(self) -> "_Work":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._buffer:
            if self._queue is not None:  # what is on its way is kept, too, unless the device itself has failed
                with suppress(RuntimeError) if kind is not None else nullcontext():
                    self._keep(self._queue.drain())

    def prepared(self, items: Iterable[ImageItem]) -> Iterator[_Entry]:
        """Decide, image after image, what is to be embedded, and have it prepared ahead."""
        ahead: deque[_Entry] = deque()
        for read in self._read(items):
            ahead.append(self._schedule(read))
            if len(ahead) > READ_AHEAD + self._ahead:
                yield ahead.popleft()
        yield from ahead

    def take(self, entry: _Entry) -> None:
        """Wait until an image is prepared, and put it into the batch."""
        is_batched = entry.future is not None and self._add_to_batch(entry, entry.future)
        if not is_batched:
            self._advance(1)
        self._waiting.append(entry)

    def _add_to_batch(self, entry: _Entry, future: "Future[list[Any]]") -> bool:
        try:
            prepared = self._result(future, "decode")
        except BrokenImageError as problem:
            self._problems.update(dict.fromkeys(entry.new, str(problem)))
            return False
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            lack = f"there is no memory to decode a single input: {_describe(entry.item)}."
            remedy = "Leave it out or make it smaller, or have fewer decoded at once: CODER_WORKERS=1."
            raise DeviceError(lack, "runtime.workers", remedy) from error
        self._batch += zip(entry.new, prepared, strict=True)
        return True

    def start_full_passes(self) -> bool:
        """Start a pass over every full batch; tells whether something has come into the ledger."""
        is_kept = False
        while self._batch and len(self._batch) >= self._passes.size.rows:
            is_kept |= self._start_pass()
        return is_kept

    def finish_passes(self) -> None:
        """Make a pass over what is left, give the device back, and keep everything."""
        self.start_full_passes()
        if self._batch:
            self._start_pass()
        if self._queue is not None:
            self._keep(self._queue.release())
        self._buffer.flush()

    def finished(self) -> Iterator[EmbeddedImage]:
        """The images whose vectors are all in the ledger, up to the first that waits."""
        while self._waiting and self._is_finished(self._waiting[0]):
            entry = self._waiting.popleft()
            problem = next((self._problems[key] for key in entry.keys if key in self._problems), None)
            computed = 0 if problem else len(entry.new)
            yield EmbeddedImage(entry.item, entry.content_key, entry.keys, problem, computed)

    @property
    def _passes(self) -> PassQueue:
        """The queue of passes; the models are loaded when the first image needs one."""
        if self._queue is None:
            self._queue = PassQueue(self._context, self._encoder, "images", self._device, self._describe)
        return self._queue

    def _describe(self, key: str) -> str:
        """The image that a vector is of, which waits for it."""
        return next((_describe(entry.item) for entry in self._waiting if key in entry.new), key)

    @property
    def _ahead(self) -> int:
        """Images of one pass on every device."""
        return 0 if self._queue is None else self._queue.size.rows * len(self._queue.models)

    def _start_pass(self) -> bool:
        self._let_decoders_end()
        size = self._passes.size.rows
        batch, self._batch = self._batch[:size], self._batch[size:]
        keys, prepared = [key for key, _ in batch], [one for _, one in batch]
        return self._keep(self._passes.submit(keys, prepared, start_images))

    def _let_decoders_end(self) -> None:
        """Where the decoders would take all cores from the model, let them end first, and the model compute alone.

        Its threads wait for each other, so a core that one of them lacks is lost to all. Reading goes on meanwhile.
        """
        if self._passes.shares_cores(self._context.runtime.workers):
            with self._context.pace.waiting("decode"):
                for future in each(self._preparing):
                    wait([future])
        self._preparing.clear()

    def _keep(self, passes: Iterable[Done]) -> bool:
        """Hand on what has its vectors; tells whether something has come into the ledger."""
        is_kept = False
        for done in passes:
            self._advance(len(done.keys))
            is_kept |= self._buffer.add(done.keys, done.vectors)
        return is_kept

    def _result(self, future: "Future[Ready]", what: str) -> Ready:
        """Wait for a thread; meanwhile passes are finished, and the device is free for others."""
        if not future.done() and self._queue is not None:
            self._keep(self._queue.release())
        if future.done():
            return future.result()
        with self._context.pace.waiting(what):
            return future.result()

    def _is_finished(self, entry: _Entry) -> bool:
        return any(key in self._problems for key in entry.keys) or self._ledger.holds_all(entry.keys)

    def _read(self, items: Iterable[ImageItem]) -> Iterator[_Read]:
        ahead: deque[Future[_Read]] = deque()
        for item in each(items):
            ahead.append(self._threads.readers.submit(_read_image, item))
            if len(ahead) > READ_AHEAD:
                yield self._result(ahead.popleft(), "read")
        for future in each(ahead):
            yield self._result(future, "read")

    def _schedule(self, read: _Read) -> _Entry:
        item, key = read.item, read.key
        if key is None:
            place = f"unread {len(self._problems)}"
            self._problems[place] = str(read.problem)
            return _Entry(item, None, (place,), (), None)
        keys = tuple(view_key(key, view) for view in range(item.views)) if item.views else (key,)
        new = tuple(k for k in dict.fromkeys(keys) if k not in self._scheduled and not self._ledger.holds_all((k,)))
        self._scheduled.update(new)
        future = None
        if new:
            arguments = (self._passes.models[0], read.content, new, bool(item.views))
            future = self._threads.decoders.submit(_prepare, *arguments)
            self._preparing.append(future)
        return _Entry(item, key, keys, new, future)


def _describe(item: ImageItem) -> str:
    return f"the image {str(item.place)!r}"


def _read_image(item: ImageItem) -> _Read:
    try:
        content = item.source if isinstance(item.source, bytes) else read_image(item.source)
    except InputError as error:
        return _Read(item, b"", None, f"{UNREAD}{error.problem}")
    return _Read(item, content, content_hash(content), None)


def _prepare(model: Encoder, content: bytes, keys: Sequence[str], is_augmented: bool) -> list[Any]:
    """Decode an image once, and prepare it, or the views with the given keys."""
    image = decode_image(content, draft_side=getattr(model, "draft_side", None))
    if not is_augmented:
        return [model.prepare_image(image)]
    return [model.prepare_image(augment(image, seed=int(key[:16], 16))) for key in keys]
