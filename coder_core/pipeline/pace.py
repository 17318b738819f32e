"""How fast inputs go through a model, and what the work waits for meanwhile."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from coder_core.pipeline.artifact_handle import Handle


class Pace(Handle):
    """What embedding took, added up over shards and workers.

    Attributes:
        items: Texts, images or views that went through the model.
        seconds: How long that took, from the first to the last.
        device_seconds: Of these the device computed; with several devices more than `seconds`.
        decode_seconds: The work waited for an image to be decoded and prepared, or for texts to become tokens.
        read_seconds: It waited for bytes.
        write_seconds: It waited for vectors to be written.
        devices: Devices that worked side by side.
    """

    items: int = 0
    seconds: float = 0.0
    device_seconds: float = 0.0
    decode_seconds: float = 0.0
    read_seconds: float = 0.0
    write_seconds: float = 0.0
    devices: int = 1

    @property
    def items_per_second(self) -> float | None:
        """Rate of one worker; None before anything is done."""
        return self.items / self.seconds if self.seconds > 0 else None

    def share(self, name: str) -> float | None:
        """The share of the time that `<name>_seconds` make, 0..1; None before anything is done."""
        if self.seconds <= 0:
            return None
        whole = self.seconds * (self.devices if name == "device" else 1)
        return min(1.0, float(getattr(self, f"{name}_seconds")) / whole)


class PaceMeter:
    """Takes the times of one step while it works."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[str, float] = {}
        self._devices = 1
        self._started: list[float] = []

    @property
    def total(self) -> Pace | None:
        """What was taken so far; None where nothing went through a model."""
        with self._lock:
            sums, started, now = dict(self._sums), list(self._started), time.perf_counter()
        if started:
            sums["seconds"] = sums.get("seconds", 0.0) + sum(now - start for start in started)
        items = int(sums.pop("items", 0))
        return Pace(items=items, devices=self._devices, **sums) if items else None

    def add(self, **more: float) -> None:
        """Add to numbers of `Pace`; of devices the most count."""
        with self._lock:
            self._devices = max(self._devices, int(more.pop("devices", 1)))
            for name, value in more.items():
                self._sums[name] = self._sums.get(name, 0) + value

    @contextmanager
    def working(self) -> Iterator[None]:
        """Take the time of a block as `seconds`; what is asked for meanwhile counts them up to then."""
        started = time.perf_counter()
        with self._lock:
            self._started.append(started)
        try:
            yield
        finally:
            with self._lock:
                self._started.remove(started)
            self.add(seconds=time.perf_counter() - started)

    @contextmanager
    def waiting(self, name: str) -> Iterator[None]:
        """Take the time of a block as `<name>_seconds`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(**{f"{name}_seconds": time.perf_counter() - started})

    def describe(self) -> str:
        """One phrase for a progress line; empty before anything is done."""
        total = self.total
        if total is None or not total.items or not total.items_per_second:
            return ""
        waits = {name: total.share(name) or 0.0 for name in ("read", "decode", "write")}
        most = max(waits, key=lambda name: waits[name])
        waited = f", waits for {most} {waits[most]:.0%}" if waits[most] >= 0.05 else ""
        return f"{total.items_per_second:.1f}/s, device busy {total.share('device') or 0.0:.0%}{waited}"
