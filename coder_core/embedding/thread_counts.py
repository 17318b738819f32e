"""How many threads a pass on the CPU has: asked for, remembered for this machine, or found in the first passes.

The trials are passes of the work itself, so they cost only what a slower count costs, once for each machine and
encoder, and decoders and other tasks share the cores meanwhile as they do later. What was found while other programs
kept the machine busy is forgotten with the process: few threads win then, and lose later. Vectors differ at most by
rounding (1e-6), so the count is no part of any key. A pass alone has it: before and after, torch has its own.
"""

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain

from coder_core.cores import are_cores_wanted_by_others, physical_cores, processor_name, usable_cores
from coder_core.embedding.found_numbers import FoundNumbers
from coder_core.encoders.base import IdentifiedEncoder
from coder_core.specs import Runtime

logger = logging.getLogger(__name__)

ROUNDS = 2
"""Passes with each count; the faster one counts."""
HOPELESS = 0.8
"""A count that reaches less than this share of the fastest is not tried again, and no smaller one either."""
WORTH = 1.05
"""So many times the rate of torch's own count are worth another: less is what two passes differ by anyway."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Whoever sets one has chosen: a person, Slurm, or a Dask or Ray worker, that shares the machine with others."""

FASTEST = FoundNumbers("threads.json")
"""Threads that were fastest."""


class ThreadCount:
    """Threads of the passes of one encoder on the CPU.

    Args:
        runtime: May ask for a count.
        encoder: Whose passes; precision and preprocessing are part of its key.
        what: `images` or `texts`.
        is_compiled: Whether another count would have the model compiled anew: then there are no trials.
    """

    def __init__(self, runtime: Runtime, encoder: IdentifiedEncoder, what: str, *, is_compiled: bool = False) -> None:
        self._what, self._decoders = what, runtime.workers if what == "images" else 0
        self.now = usual = TORCH.usual
        self._trials: _Trials | None = None
        if runtime.threads is not None:
            self.now = runtime.threads
        elif not is_compiled and not (TORCH.heeds_environment and is_chosen_in_environment()):
            self._choose(runtime, encoder, usual)

    def _choose(self, runtime: Runtime, encoder: IdentifiedEncoder, usual: int) -> None:
        cores = most_threads(usual)
        shared = f"{runtime.workers} {runtime.task_runner}" if self._what == "images" else runtime.task_runner
        self._place = f"{processor_name()}/{cores} cores/{shared}/{self._what}/{encoder.key}"
        found = FASTEST.get(self._place)
        self.now = min(found or usual, cores)
        if found is None:
            counts = counts_to_try(cores, usual=self.now, decoders=self._decoders)
            self._trials = _Trials(counts, usual=self.now) if len(counts) > 1 else None

    @contextmanager
    def of_pass(self, cost: int, *, is_full: bool) -> Iterator[None]:
        """Give torch the threads of one pass for a block, and its own again after it.

        Args:
            cost: Of the pass: images, or tokens.
            is_full: Whether it is as large as most are: others say little about a count.
        """
        trials = self._trials if is_full else None
        count = self.now if trials is None else trials.count
        started = time.perf_counter()
        with TORCH.set_to(count):
            yield
        if trials is not None:
            trials.note(cost / max(time.perf_counter() - started, 1e-9))
            self._settle(trials)

    def _settle(self, trials: "_Trials") -> None:
        if trials.fastest is None:
            return
        self._trials, self.now = None, trials.fastest
        is_disturbed = are_cores_wanted_by_others(self._decoders)
        FASTEST.put(self._place, self.now, is_lasting=not is_disturbed)
        kept = "for this process alone, as others keep the machine busy" if is_disturbed else f"kept in {FASTEST.file}"
        logger.info(
            "threads of a pass over %s on this CPU: %d (%s a second: %s), %s; CODER_THREADS overrules it",
            self._what,
            self.now,
            "images" if self._what == "images" else "tokens",
            ", ".join(f"{rate:,.1f} with {count}" for count, rate in trials.rates.items()),
            kept,
        )


class _Trials:
    """Which count is next, and which was the fastest.

    Args:
        counts: Descending.
        usual: Torch's own: it stays where no other is clearly faster.
    """

    def __init__(self, counts: Iterable[int], *, usual: int) -> None:
        self._usual = usual
        self._left = list(counts)
        self.rates: dict[int, float] = {}
        self.count = usual
        self.fastest: int | None = None
        self._next = chain.from_iterable(self._round(number) for number in range(ROUNDS))
        self._is_first = True

    def note(self, rate: float) -> None:
        """Take the rate of a pass with `count` threads; the very first pass does not count: all else is new, too."""
        if not self._is_first:
            self.rates[self.count] = max(rate, self.rates.get(self.count, 0.0))
        self._is_first = False
        count = next(self._next, None)
        if count is None:
            best = max(self.rates, key=lambda each: self.rates[each])
            is_better = self.rates[best] >= WORTH * self.rates.get(self._usual, 0.0)
            self.fastest = best if is_better else self._usual
        else:
            self.count = count

    def _round(self, number: int) -> Iterator[int]:
        if number:
            self._left = [count for count in self._left if self._is_hopeful(count)]
            if len(self._left) == 1:
                return
        for place, count in enumerate(self._left):
            yield count
            if not self._is_hopeful(count):
                self._left = self._left[:place]
                return

    def _is_hopeful(self, count: int) -> bool:
        return self.rates[count] >= HOPELESS * max(self.rates.values())


def counts_to_try(cores: int, *, usual: int, decoders: int) -> tuple[int, ...]:
    """Counts that may be the fastest, the largest first.

    Args:
        cores: Threads, at most.
        usual: Torch's own count.
        decoders: Threads that decode meanwhile: the model may do better with what they leave.
    """
    counts = {cores, usual, cores - decoders, physical_cores() or cores, cores // 2, 1}
    return tuple(sorted((count for count in counts if 1 <= count <= cores), reverse=True))


def most_threads(usual: int) -> int:
    """Threads that a pass may have: the cores of this process, unless somebody has given torch fewer.

    Args:
        usual: Torch's own count: without a word from anybody it has all physical cores at least.
    """
    cores = usable_cores()
    return cores if usual >= min(cores, physical_cores() or cores) else usual


def is_chosen_in_environment() -> bool:
    """Whether the environment of this process names a count."""
    return any(os.environ.get(name) for name in THREAD_VARIABLES)


class _TorchThreads:
    """Torch's number of threads.

    A thread takes the number that torch has when it first computes, and keeps it: so one that began while another made
    a pass has the count of that pass, which is not torch's own.

    Attributes:
        heeds_environment: Whether a count in the environment is somebody's choice; false in a process that was given
            torch's usual one only to have it.
    """

    def __init__(self) -> None:
        self.heeds_environment = True
        self._usual: int | None = None
        self._given: set[int] = set()

    @property
    def usual(self) -> int:
        """Torch's own count; 1 where it is not loaded: an encoder of one's own may do without."""
        torch = sys.modules.get("torch")
        if torch is None:
            return 1
        now = int(torch.get_num_threads())
        if self._usual is None or now not in self._given:
            self._usual = now
        return self._usual

    @contextmanager
    def set_to(self, count: int) -> Iterator[None]:
        """Give torch another count for a block."""
        torch, usual = sys.modules.get("torch"), self.usual
        if torch is None or torch.get_num_threads() == count:
            yield
            return
        self._given |= {count} - {usual}
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(usual)


TORCH = _TorchThreads()
