"""Passes on all devices: each device in its turn, several on their way, results in the order of the starts.

A pass that does not fit into memory is made again in halves, and later ones are smaller. The order of inputs and what
makes a pass do not depend on how fast devices are, so the same inputs give the same vectors.
"""

import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from coder_core.cores import usable_cores
from coder_core.embedding.batch_sizes import BatchSize
from coder_core.embedding.thread_counts import ThreadCount
from coder_core.encoders.base import Encoder, IdentifiedEncoder
from coder_core.encoders.registry import find_family, load_on_devices
from coder_core.errors import DeviceError
from coder_core.pipeline.accelerator import HeldDevice
from coder_core.pipeline.context import Context
from coder_core.specs.runtime import CompileMode

Start = Callable[[Encoder, Any], Any]
"""Starts a pass over some inputs: `(encoder, inputs) -> Pending`."""


class Done(NamedTuple):
    """Inputs that have their vectors."""

    keys: list[str]
    vectors: Float[np.ndarray, "rows dim"]


class _Job(NamedTuple):
    """One pass: its inputs can be cut."""

    keys: list[str]
    inputs: Any
    start: Start


class _Started(NamedTuple):
    """A pass on its way."""

    job: _Job
    model: Encoder
    pending: Any


class _Ready(NamedTuple):
    """The result of an encoder that starts nothing, only embeds."""

    rows: Float[np.ndarray, "rows dim"]
    seconds: float

    def result(self) -> Float[np.ndarray, "rows dim"]:
        return self.rows


class PassQueue:
    """Has passes made by an encoder, on every device of the runtime.

    Args:
        context: Which devices; its meter takes the times.
        encoder: What embeds.
        what: `images` or `texts`.
        device: Held while passes are on their way.
        describe: Says to people which input a key is of.
    """

    def __init__(
        self,
        context: Context,
        encoder: IdentifiedEncoder,
        what: str,
        device: HeldDevice,
        describe: Callable[[str], str] = "{}".format,
    ) -> None:
        self._pace, self._device, self._describe = context.pace, device, describe
        self.models = load_on_devices(encoder, device=context.runtime.device)
        mode = context.runtime.compile_mode if what == "images" else None
        if mode is not None:
            _compile(self.models, mode)
        self._turns = cycle(self.models)
        self._started: deque[_Started] = deque()
        self._capacity = sum(in_flight(model) for model in self.models)
        self._device_name = _device_name(context, encoder)
        self.size = BatchSize(encoder, self._device_name, what, context.runtime.batch_size)
        self._threads: ThreadCount | None = None
        self._cores = usable_cores()
        if self._device_name == "cpu" and find_family(encoder.spec.kind).needs_device:
            self._threads = ThreadCount(context.runtime, encoder, what, is_compiled=mode is not None)
        self._pace.add(devices=len(self.models))

    def submit(self, keys: list[str], inputs: Any, start: Start, tokens: int = 1) -> Iterator[Done]:
        """Start a pass; gives what had to be finished to make room for it.

        Args:
            keys: Of the inputs.
            inputs: What can be cut.
            start: Starts it.
            tokens: That each input has: what the pass costs, beside another one.
        """
        while len(self._started) >= self._capacity:
            yield self._finish()
        self._device.acquire()
        model, job = next(self._turns), _Job(keys, inputs, start)
        try:
            with self._pass_threads(tokens * len(keys), is_full=len(keys) == self.size.rows):
                self._started.append(_Started(job, model, start(model, inputs)))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            yield from self._in_halves(job, model, error)
        if self._capacity == 1 and self._started:
            yield self._finish()

    def shares_cores(self, threads: int) -> bool:
        """Whether so many busy threads would take all cores from the models, which compute on them."""
        if self._threads is None:
            return False
        return self._threads.now <= threads and self._threads.now + threads > self._cores

    def drain(self) -> Iterator[Done]:
        """Finish all that is on its way."""
        while self._started:
            yield self._finish()

    def release(self) -> Iterator[Done]:
        """Finish all that is on its way, and give the device to others: the next pass is not ready yet."""
        yield from self.drain()
        self._device.release()

    def _pass_threads(self, cost: int, *, is_full: bool) -> AbstractContextManager[None]:
        return nullcontext() if self._threads is None else self._threads.of_pass(cost, is_full=is_full)

    def _finish(self) -> Done:
        job, model, pending = self._started.popleft()
        try:
            rows = pending.result()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return _joined(self._in_halves(job, model, error))
        self._pace.add(items=len(job.keys), device_seconds=pending.seconds)
        return Done(job.keys, rows)

    def _in_halves(self, job: _Job, model: Encoder, error: BaseException) -> Iterator[Done]:
        """Make a pass that did not fit again, in two, after all others have gone."""
        _let_go(error)
        yield from self.drain()
        if len(job.keys) == 1:
            raise DeviceError(
                f"there is no memory for a single input: {self._describe(job.keys[0])}.",
                "runtime.device",
                "Leave it out; or use a smaller model, half precision (encoder.precision), a device with more memory.",
            ) from error
        self.size.halve(len(job.keys))
        middle = (len(job.keys) + 1) // 2
        for part in (slice(0, middle), slice(middle, None)):
            half = _Job(job.keys[part], job.inputs[part], job.start)
            try:
                with self._pass_threads(len(half.keys), is_full=False):
                    pending = half.start(model, half.inputs)
                rows = pending.result()
            except (MemoryError, RuntimeError) as failure:
                if not is_out_of_memory(failure):
                    raise
                yield from self._in_halves(half, model, failure)
                continue
            self._pace.add(items=len(half.keys), device_seconds=pending.seconds)
            yield Done(half.keys, rows)


def in_flight(model: Encoder) -> int:
    """Passes that an encoder can have on their way at a time."""
    return int(getattr(model, "in_flight", 1))


def start_images(model: Encoder, prepared: Sequence[Any]) -> Any:
    """Start a pass over prepared images; of an encoder that can only embed, make it."""
    start = getattr(model, "start_images", None)
    return _at_once(lambda: model.encode_images(prepared)) if start is None else start(prepared)


def start_texts(model: Encoder, tokens: Any, rows: np.ndarray) -> Any:
    """Start a pass over some of the tokenised texts; of an encoder that can only embed, make it."""
    start = getattr(model, "start_texts", None)
    return _at_once(lambda: model.encode_texts(tokens, rows)) if start is None else start(tokens, rows)


def _compile(models: Sequence[Encoder], mode: CompileMode) -> None:
    """Have the models compiled that can be; one that is keeps its mode."""
    for model in models:
        compile_images = getattr(model, "compile_images", None)
        if compile_images is not None:
            compile_images(mode)


def _at_once(embed: Callable[[], Float[np.ndarray, "rows dim"]]) -> _Ready:
    started = time.perf_counter()
    rows = embed()
    return _Ready(rows, time.perf_counter() - started)


def _let_go(error: BaseException | None) -> None:
    """Forget what a failed pass held: an exception keeps the variables of all functions that it came through.

    Those are its inputs and what its layers made: as much memory as there was, and the halves would find none.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _joined(parts: Iterator[Done]) -> Done:
    found = list(parts)
    return Done([key for part in found for key in part.keys], np.concatenate([part.vectors for part in found]))


def _device_name(context: Context, encoder: IdentifiedEncoder) -> str:
    if not find_family(encoder.spec.kind).needs_device:
        return "cpu"
    from coder_core.encoders.device import device_name, list_devices

    return device_name(list_devices(context.runtime.device)[0])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory has ended, on the CPU or on a device."""
    if isinstance(error, MemoryError):
        return True
    from coder_core.encoders import device  # torch: asked where a device has failed

    return device.is_out_of_memory(error)
