"""The processor, and the cores that this process may use: by its affinity, and by the quota of its container.

Torch knows the affinity, but no quota: in a container that may use two of 64 cores it starts as many threads as the
machine has, and the kernel stops all of them for most of the time.
"""

import math
import os
import platform
from pathlib import Path

V1_CONTROLLER = "cpu"


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may keep busy: at least 1; half a core counts as one.

    Args:
        root: Where `proc` and `sys` are.
    """
    return max(1, math.ceil(min(len(_allowed()), _quota(root))))


def physical_cores(root: Path = Path("/")) -> int | None:
    """Cores without those that are the second thread of another, among the allowed ones; None where nobody tells."""
    folder = root / "sys/devices/system/cpu"
    siblings = {_text(folder / f"cpu{number}/topology/thread_siblings_list") for number in _allowed()}
    return len(siblings) if "" not in siblings else None


def are_cores_wanted_by_others(own: int) -> bool:
    """Whether other programs keep more threads busy than the machine has cores; False where nobody tells.

    Args:
        own: Threads beside one for each core that are this process's own.
    """
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):
        return False
    return load > (os.cpu_count() or 1) + own


def processor_name(root: Path = Path("/")) -> str:
    """What the processor is called by its maker, else its architecture."""
    return _said("model name", root) or platform.processor() or platform.machine()


def processor_maker(root: Path = Path("/")) -> str:
    """As the processor itself says it (`AuthenticAMD`, `GenuineIntel`); empty where nobody tells."""
    return _said("vendor_id", root)


def _said(what: str, root: Path) -> str:
    for line in _text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == what:
            return " ".join(value.split())
    return ""


def _allowed() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _quota(root: Path) -> float:
    """The least quota, in cores, of this process's control groups and of all that hold them; infinite without one."""
    quotas = [math.inf]
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, read = root / "sys/fs/cgroup", _quota_v2
        elif V1_CONTROLLER in controllers.split(","):
            mount, read = root / "sys/fs/cgroup" / V1_CONTROLLER, _quota_v1
        else:
            continue
        inner = Path(path.lstrip("/"))  # in a container it may name what is only seen from outside
        quotas += [read(mount / folder) for folder in (inner, *inner.parents)]
    return min(quotas)


def _quota_v2(folder: Path) -> float:
    """Of `cpu.max`: microseconds of CPU, or `max`, in a period of so many."""
    return _ratio(*(_text(folder / "cpu.max").split() or ("", "")))


def _quota_v1(folder: Path) -> float:
    return _ratio(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float:
    """Cores; infinite for `max`, -1, and what is no number."""
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return math.inf
    return int(quota) / int(period)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
