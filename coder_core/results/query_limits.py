"""How much a query may take: memory, time, and rows of the answer. Whoever asks for more is told so in one line."""

import os
from dataclasses import dataclass, field
from pathlib import Path

SHARE_OF_MEMORY = 4
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def _memory_of_machine() -> int:
    """Bytes that this process may count on: what the machine has, or what its container is allowed."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(memory, int(_CGROUP_LIMIT.read_text("ascii")))
    except (OSError, ValueError):
        return memory


@dataclass(frozen=True)
class QueryLimits:
    """What one query may take.

    Args:
        memory_bytes: Of the process that answers it; by default a quarter of the machine's memory.
        seconds: From the question to the last row of the answer.
        rows: Of the answer.
        answer_bytes: Of the answer, as it travels between processes.
    """

    memory_bytes: int = field(default_factory=lambda: _memory_of_machine() // SHARE_OF_MEMORY)
    seconds: float = 120.0
    rows: int = 100_000
    answer_bytes: int = 256 * 2**20
