"""From parts of an image listing to rows of image embeddings: known files are not read, the rest is embedded.

A part's rows are handed on once every vector of it is in the ledger, so a part that was written rests on rows that are.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pyarrow as pa

from coder_core.embedding.file_hashes import FileHashCache, file_states
from coder_core.embedding.image_stream import EmbeddedImage, ImageItem, embed_images
from coder_core.embedding.ledgers import open_ledger
from coder_core.encoders.base import IdentifiedEncoder
from coder_core.pipeline.context import Context
from coder_core.steps.embed_images import embedded_table


class _Part:
    """A part on its way: what is known of its images, and how many are still awaited."""

    def __init__(self, name: str, listing: pa.Table, keys: list[str | None]) -> None:
        self.name = name
        self.image_ids: list[str] = listing.column("image_id").to_pylist()
        self.keys = keys
        no_reasons: list[str | None] = [None] * len(keys)
        self.problems = listing.column("reason").to_pylist() if "reason" in listing.column_names else no_reasons
        self.states = file_states(listing) if "token" in listing.column_names else []
        self.unread = [row for row, key in enumerate(keys) if key is None and self.problems[row] is None]
        self.awaited = len(self.unread)
        self.computed = 0

    def take(self, row: int, found: EmbeddedImage) -> None:
        """Note what became of one image."""
        self.keys[row], self.problems[row] = found.content_key, found.problem
        self.computed += found.computed
        self.awaited -= 1


class _Place(NamedTuple):
    """Where an image stands."""

    part: _Part
    row: int

    def __str__(self) -> str:
        return str(self.part.image_ids[self.row])


class _Listing:
    """The parts that are on their way, in order."""

    def __init__(
        self, listed: Iterator[tuple[str, pa.Table]], hashes: FileHashCache, advance: Callable[[int], None]
    ) -> None:
        self._listed, self._hashes, self._advance = listed, hashes, advance
        self._started: deque[_Part] = deque()

    def unread(self) -> Iterator[ImageItem]:
        """The images that have to be read, part after part."""
        for name, listing in self._listed:
            part = _Part(name, listing, self._hashes.content_keys(listing))
            self._started.append(part)
            self._advance(len(part.image_ids) - len(part.unread))
            sources = listing.column("content" if "content" in listing.column_names else "location")
            yield from (ImageItem(_Place(part, row), sources[row].as_py()) for row in part.unread)

    def take(self, found: EmbeddedImage) -> None:
        """Note what became of one image, and remember its file."""
        part, row = found.item.place
        part.take(row, found)
        if part.states and found.problem is None and found.content_key is not None:
            self._hashes.remember(part.states[row], found.content_key)

    def finished(self) -> Iterator[tuple[str, pa.Table, int]]:
        """The parts of which nothing is awaited any more, up to the first that waits."""
        while self._started and not self._started[0].awaited:
            part = self._started.popleft()
            yield part.name, embedded_table(part.image_ids, part.keys, part.problems), part.computed


def embed_listed(
    context: Context,
    encoder: IdentifiedEncoder,
    listed: Iterator[tuple[str, pa.Table]],
    advance: Callable[[int], None],
) -> Iterator[tuple[str, pa.Table, int]]:
    """Embed the images of some parts; gives name, rows and number of computed images of each, in order.

    Args:
        context: The store, the device, how fast.
        encoder: What embeds them.
        listed: Names and listings of the parts.
        advance: Called with the number of images that have been dealt with, batch after batch.
    """
    hashes = FileHashCache(context, open_ledger(context, "image_embeddings", encoder))
    listing = _Listing(listed, hashes, advance)
    for found in embed_images(context, encoder, listing.unread(), advance):
        listing.take(found)
        yield from listing.finished()
    yield from listing.finished()
    hashes.flush()
