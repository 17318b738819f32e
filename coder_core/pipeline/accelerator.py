"""The accelerator: held around forward passes, by few at a time, and by nobody who reads or decodes.

Within a process a counter keeps the number of holders below `Runtime.gpu_slots`. What keeps processes and runs apart is
the runner's affair: it passes an `Accelerator` of its own (`tasks/gpu.py` asks Prefect's server). On the CPU there is
nothing to share.
"""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from coder_core.interruption import check_interruption, not_counted
from coder_core.specs import Runtime

PATIENCE_SECONDS = 5.0
"""How long one attempt waits: between two the step looks whether its run has ended."""


class Accelerator(Protocol):
    """Who may use the device."""

    def hold(self) -> AbstractContextManager[None]:
        """Wait for the device, and hold it for a block. Waiting does not count against a time limit."""
        ...


class _Slots:
    """Counts the holders of this process; the limit comes with every request."""

    def __init__(self) -> None:
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, limit: int) -> Iterator[None]:
        """Wait until fewer than `limit` hold a slot, and hold one."""
        with self._changed, not_counted():
            while self._held >= limit:
                check_interruption()
                self._changed.wait(PATIENCE_SECONDS)
            self._held += 1
        try:
            yield
        finally:
            with self._changed:
                self._held -= 1
                self._changed.notify()


_SLOTS = _Slots()


class LocalAccelerator:
    """Keeps the threads of this process apart.

    Args:
        runtime: Which device, and how many may hold it.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def hold(self) -> AbstractContextManager[None]:
        """See `Accelerator`."""
        return nullcontext() if is_cpu(self._runtime) else _SLOTS.hold(self._runtime.gpu_slots)


def is_cpu(runtime: Runtime) -> bool:
    """Whether the models of a runtime work on the CPU."""
    if runtime.device != "auto":
        return runtime.device == "cpu"
    from coder_core.encoders.device import choose_device  # torch: asked by those who are about to use it

    return choose_device(runtime.device) == "cpu"


class HeldDevice:
    """Holds the accelerator from one forward pass to the next, as long as the next batch is ready.

    Taking a slot may be a question to a server, so it is not given back between two batches that come at once. Who has
    to wait for a batch calls `release` first.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._held: AbstractContextManager[None] | None = None

    def acquire(self) -> None:
        """Hold the device; once it is held this costs nothing."""
        if self._held is None:
            held = self._accelerator.hold()
            held.__enter__()
            self._held = held

    def release(self) -> None:
        """Give the device back, if it is held."""
        held, self._held = self._held, None
        if held is not None:
            held.__exit__(None, None, None)

    def __enter__(self) -> "HeldDevice":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
