"""Forward passes on a device: inputs are copied to it and results back while other passes compute.

On CUDA a pass is only put into the queue: its inputs lie in page-locked memory, go over on a stream of their own, and
its result comes back into page-locked memory, so that nothing waits until somebody asks for the result. The buffers of
a pass are used again by a later one. On the CPU a pass is done when it has been started.
"""

import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from coder_core.encoders.compiled import Forward, compiled
from coder_core.encoders.device import is_out_of_memory
from coder_core.encoders.onednn import ONEDNN_PRECISIONS, is_onednn_faster, take_onednn
from coder_core.errors import DeviceError
from coder_core.specs.encoder_specs import Precision
from coder_core.specs.runtime import CompileMode

IN_FLIGHT = 3
"""Passes on their way on a CUDA device: one computes, one's input is copied, one's result is taken."""

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Pending(Protocol):
    """A pass that was started."""

    def result(self) -> Float[np.ndarray, "rows dim"]:
        """Wait for the rows: L2-normalised float32.

        Raises:
            torch.OutOfMemoryError: The device has too little memory for this pass.
        """
        ...

    @property
    def seconds(self) -> float:
        """How long the device was busy with it; known once the result is."""
        ...


class Finished(NamedTuple):
    """A pass that was done at once."""

    rows: Float[np.ndarray, "rows dim"]
    seconds: float

    def result(self) -> Float[np.ndarray, "rows dim"]:
        """See `Pending`."""
        return self.rows


class Buffers:
    """Host memory of one pass, kept for the next: page-locked where that helps."""

    def __init__(self, *, is_pinned: bool) -> None:
        self._is_pinned = is_pinned
        self._held: dict[str, Tensor] = {}

    def take(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Memory for a tensor; what it holds is what the last pass left there."""
        held = self._held.get(name)
        rows, *rest = shape
        if held is None or held.dtype != dtype or list(held.shape[1:]) != rest or len(held) < rows:
            held = torch.empty(tuple(shape), dtype=dtype, pin_memory=self._is_pinned)
            self._held[name] = held
        return held[:rows]

    def stack(self, name: str, tensors: Sequence[Tensor]) -> Tensor:
        """Tensors of one shape as one, in this memory."""
        first = tensors[0]
        return torch.stack(list(tensors), out=self.take(name, (len(tensors), *first.shape), first.dtype))


Fill = Callable[[Buffers], dict[str, Tensor]]


class Passes:
    """Starts the passes of one model on one device, one at a time; safe in several threads.

    Args:
        device: Where the model is.
        precision: In what numbers it computes.

    Raises:
        DeviceError: The device cannot compute so.
    """

    def __init__(self, device: str, precision: Precision) -> None:
        self.device = torch.device(device)
        _check_autocast(self.device, precision)
        self.in_flight = IN_FLIGHT if self.device.type == "cuda" else 1
        self._precision = precision
        self._starting = threading.Lock()
        self._free: list[Buffers] = []
        self._thread: ThreadPoolExecutor | None = None
        self._copies = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, and of images that go in."""
        return _DTYPES.get(self._precision, torch.float32)

    def place(self, model: Any) -> Any:
        """Bring a model to the device, in its precision, ready for evaluation.

        Raises:
            DeviceError: The device has too little memory for the weights, or does not know their numbers.
        """
        try:
            placed = model.to(device=self.device, dtype=self.dtype).eval().requires_grad_(requires_grad=False)
        except TypeError as error:  # so says MPS of what its macOS does not know
            raise _cannot_compute(self.device, self._precision, error) from error
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            problem = f"the weights do not fit into the memory of {self.device}."
            raise DeviceError(problem, "encoder", "Use a smaller model.") from error
        is_known = self.device.type == "cpu" and self._precision in ONEDNN_PRECISIONS
        return take_onednn(placed) if is_known and is_onednn_faster() else placed

    def unit_rows(self, rows: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        """Rows that a tower has normalised itself, in float32: half precision leaves lengths that are not 1."""
        return rows if self._precision == "float32" else functional.normalize(rows.float(), dim=-1)

    def start(self, fill: Fill, forward: Forward) -> Pending:
        """Start a pass.

        Args:
            fill: Puts the inputs into host memory and returns them by name.
            forward: The model, from inputs on the device to normalised rows.
        """
        with self._starting:
            if self._thread is None:
                return self._start_here(fill, forward)
            return self._thread.submit(self._start_here, fill, forward).result()

    def compiled(self, forward: Forward, mode: CompileMode) -> Forward:
        """The pass, compiled by `torch.compile` in a mode when it is first made."""
        if self.device.type == "cuda" and mode != "default":
            self.keep_to_one_thread()
        return compiled(forward, mode)

    def keep_to_one_thread(self) -> None:
        """Have one thread start all passes from now on, whoever asks for them.

        CUDA graphs belong to the thread that recorded them: every shard, which is a thread of its own, would record
        them anew, in memory of its own.
        """
        self._thread = self._thread or ThreadPoolExecutor(1, "passes")

    @torch.inference_mode()
    def _start_here(self, fill: Fill, forward: Forward) -> Pending:
        if self._copies is None:
            return self._compute(fill, forward)
        return self._enqueue(fill, forward, self._copies)

    def _compute(self, fill: Fill, forward: Forward) -> Finished:
        buffers = self._take_buffers()
        inputs = {name: tensor.to(self.device) for name, tensor in fill(buffers).items()}
        started = time.perf_counter()
        with self._autocast():
            rows = np.array(forward(inputs).float().cpu().numpy())
        self._free.append(buffers)
        return Finished(rows, time.perf_counter() - started)

    def _enqueue(self, fill: Fill, forward: Forward, copies: "torch.cuda.Stream") -> Pending:
        buffers = self._take_buffers()
        host = fill(buffers)
        stream = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(copies):
            inputs = {name: tensor.to(self.device, non_blocking=True) for name, tensor in host.items()}
        stream.wait_stream(copies)
        for tensor in inputs.values():
            tensor.record_stream(stream)
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begun.record(stream)
        with self._autocast():
            rows = forward(inputs).float()
        ended.record(stream)
        out = buffers.take("rows", rows.shape, torch.float32)
        out.copy_(rows, non_blocking=True)
        back = torch.cuda.Event()
        back.record(stream)
        return _Enqueued(out, back, (begun, ended), lambda: self._free.append(buffers))

    def _take_buffers(self) -> Buffers:
        try:
            return self._free.pop()
        except IndexError:  # more passes on their way than before: this one's memory is kept, too
            return Buffers(is_pinned=self._copies is not None)

    def _autocast(self) -> Any:
        dtype = _autocast_dtype(self._precision)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype=dtype)


def _autocast_dtype(precision: Precision) -> torch.dtype | None:
    name = precision.removeprefix("autocast_")
    return None if name == precision else _DTYPES[name]


def _check_autocast(device: torch.device, precision: Precision) -> None:
    """Refuse what torch would only warn of: it goes on in float32, and the vectors would have another's name.

    Raises:
        DeviceError: The device has no such autocast.
    """
    dtype = _autocast_dtype(precision)
    if dtype is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            torch.autocast(device.type, dtype=dtype)
        except (RuntimeError, UserWarning) as error:
            raise _cannot_compute(device, precision, error) from error


def _cannot_compute(device: torch.device, precision: Precision, error: Exception) -> DeviceError:
    reason = " ".join(str(error).split())[:200].rstrip(".")
    problem = f"{device} does not compute in {precision} ({reason})."
    return DeviceError(problem, "encoder.precision", "Use float32, or another device (runtime.device).")


class _Enqueued:
    """A pass in the queue of a CUDA device."""

    def __init__(
        self,
        out: Tensor,
        back: "torch.cuda.Event",
        span: tuple["torch.cuda.Event", "torch.cuda.Event"],
        release: Callable[[], None],
    ) -> None:
        self._out, self._back, self._span, self._release = out, back, span, release
        self.seconds = 0.0

    def result(self) -> Float[np.ndarray, "rows dim"]:
        """See `Pending`."""
        self._back.synchronize()
        rows = np.array(self._out.numpy())
        self.seconds = self._span[0].elapsed_time(self._span[1]) / 1000
        self._release()
        return rows
