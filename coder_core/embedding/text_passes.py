"""Texts: sorted by length, each pass cut to its longest and to a budget of tokens, every text once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from coder_core.embedding.ledgers import VectorBuffer, open_ledger, text_key
from coder_core.embedding.pass_queue import Done, PassQueue, start_texts
from coder_core.encoders.base import Encoder, IdentifiedEncoder
from coder_core.pipeline.accelerator import HeldDevice
from coder_core.pipeline.context import Context
from coder_core.storage.embedding_ledger import EmbeddingLedger
from coder_core.storage.shared_work import Work, share_work

SORTED_PASSES = 16
"""Full passes whose texts are tokenised and sorted together: enough that lengths hardly differ within one, and few
enough that the first vectors do not wait for a tokenizer."""
CHARACTERS_SHOWN = 80


class EmbeddedTexts(NamedTuple):
    """Where texts are in the ledger, in their order, and how many had to be embedded."""

    keys: list[str]
    computed: int


def embed_texts(context: Context, encoder: IdentifiedEncoder, texts: Sequence[str]) -> EmbeddedTexts:
    """Embed those of some texts that the ledger does not hold.

    Raises:
        FeatureFileError: A precomputed encoder does not know a text.
        CheckpointError: The model cannot be loaded.
    """
    ledger = open_ledger(context, "text_embeddings", encoder)
    keys = [text_key(text) for text in texts]
    text_of = dict(zip(keys, texts, strict=True))
    computed = 0

    def embed(missing: list[str]) -> None:
        nonlocal computed
        _embed_missing(context, encoder, ledger, {key: text_of[key] for key in missing})
        computed += len(missing)

    work = Work(f"embedding texts ({encoder.label})", {key: (key,) for key in text_of}, ledger.missing, embed)
    share_work(context.artifacts.store, ["embed_texts", encoder.key], work)
    return EmbeddedTexts(keys, computed)


def _embed_missing(
    context: Context, encoder: IdentifiedEncoder, ledger: EmbeddingLedger, text_of: Mapping[str, str]
) -> None:
    with VectorBuffer(ledger, context.pace) as buffer, HeldDevice(context.accelerator) as device:
        queue = PassQueue(context, encoder, "texts", device, lambda key: _describe(text_of[key]))
        with context.pace.working():
            _embed(context, queue, buffer, list(text_of), list(text_of.values()))


def _describe(text: str) -> str:
    shown = repr(text) if len(text) <= CHARACTERS_SHOWN else f"{text[:CHARACTERS_SHOWN]!r}..."
    return f"the text {shown} ({len(text)} characters)"


def text_vectors(context: Context, encoder: IdentifiedEncoder, texts: Sequence[str]) -> Float[np.ndarray, "texts dim"]:
    """Vectors of some texts, in order: from the ledger, or embedded and kept there."""
    keys = embed_texts(context, encoder, texts).keys
    return open_ledger(context, "text_embeddings", encoder).read(keys)


class _Batch(NamedTuple):
    """Rows of tokenised texts that make one pass.

    Attributes:
        tokens: Of all texts that were tokenised together.
        rows: Which of them.
        start: The place of the first tokenised text.
        longest: Tokens of the longest in the pass.
    """

    tokens: object
    rows: Int[np.ndarray, " rows"]
    start: int
    longest: int


def _size(batch: _Batch) -> int:
    return len(batch.rows)


def _embed(context: Context, queue: PassQueue, buffer: VectorBuffer, keys: Sequence[str], texts: Sequence[str]) -> None:
    """Have every text embedded, and its vector kept."""

    def keep(passes: Iterable[Done]) -> None:
        for done in passes:
            buffer.add(done.keys, done.vectors)

    passes = _passes(context, queue, texts, lambda: keep(queue.release()))
    for batch in context.each(passes, "embedding texts", total=len(texts), unit="texts", size=_size):
        names = [keys[batch.start + row] for row in batch.rows.tolist()]
        keep(queue.submit(names, batch.rows, partial(_start, batch.tokens), max(1, batch.longest)))
    keep(queue.drain())
    buffer.flush()


def _start(tokens: object, model: Encoder, rows: Int[np.ndarray, " rows"]) -> Any:
    return start_texts(model, tokens, rows)


def _passes(context: Context, queue: PassQueue, texts: Sequence[str], release: Callable[[], None]) -> Iterator[_Batch]:
    """Cut texts into passes, longest first; the next ones become tokens meanwhile, which needs no device."""
    model, step = queue.models[0], SORTED_PASSES * queue.size.rows
    with ThreadPoolExecutor(1, "tokens") as thread:
        ahead = thread.submit(model.tokenize, texts[:step])
        for start in range(0, len(texts), step):
            if not ahead.done():
                release()
            with context.pace.waiting("decode"):
                tokens = ahead.result()
            if start + step < len(texts):
                ahead = thread.submit(model.tokenize, texts[start + step : start + 2 * step])
            lengths = model.text_lengths(tokens)
            order = np.argsort(-lengths, kind="stable")
            for rows in cut_passes(lengths[order], queue.size.rows, queue.size.tokens):
                yield _Batch(tokens, order[rows], start, int(lengths[order[rows.start]]))


def cut_passes(lengths: Int[np.ndarray, " texts"], rows: int, tokens: int | None) -> Iterator[slice]:
    """Cut a row of texts into passes.

    Args:
        lengths: Of the texts, descending: a pass costs as many tokens as its first text has, times its texts.
        rows: Texts per pass, at most.
        tokens: Tokens per pass, at most; None where texts alone count. A text alone may have more.
    """
    start = 0
    while start < len(lengths):
        longest = max(1, int(lengths[start]))
        size = rows if tokens is None else max(1, min(rows, tokens // longest))
        yield slice(start, start + size)
        start += size
