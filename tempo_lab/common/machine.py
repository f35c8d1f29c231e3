"""Free main memory, within the limits of control groups, and the peak of a process. No torch."""

from __future__ import annotations

import math
from pathlib import Path

import psutil

# per version of control groups: mark of the line in /proc/self/cgroup, folder, names of the files
_GROUPS = (
    ("0::", "", "memory.max", "memory.current", "inactive_file"),
    (":memory:", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory() -> int:
    """Return the free bytes of main memory, within the limit of this process's control group."""
    return int(min(psutil.virtual_memory().available, cgroup_free_bytes()))


def cgroup_free_bytes(
    groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> float:
    """Return the free bytes within this process's control groups; infinity if none has a limit.

    Args:
        groups: folder of all control groups.
        own: file that lists the groups of this process.
    """
    free = math.inf
    lines = own.read_text().splitlines() if own.is_file() else []
    for line in lines:
        for mark, folder, limit, usage, cached in _GROUPS:
            if mark not in line:
                continue
            group = groups / folder / line.partition(mark)[2].lstrip("/")
            for each in (group, *group.parents):  # the limits of parent groups count, too
                maximum, used = each / limit, each / usage
                if maximum.is_file() and used.is_file() and maximum.read_text().strip() != "max":
                    rows = (each / "memory.stat").read_text().splitlines()
                    stat = dict(row.split() for row in rows)
                    left = int(maximum.read_text()) - int(used.read_text()) + int(stat[cached])
                    free = min(free, left)
    return free


def reset_peak_memory(own: Path = Path("/proc/self/clear_refs")) -> bool:
    """Start a new measurement of this process's peak memory; False where the system has none.

    Only Linux can: "5" resets the peak (VmHWM) to the memory that is resident now (man proc).

    Args:
        own: the file to write to.
    """
    try:
        own.write_text("5")
    except OSError:
        return False
    return True


def peak_memory(own: Path = Path("/proc/self/status")) -> int | None:
    """Return the peak resident bytes of this process since `reset_peak_memory`, or None.

    Args:
        own: the file to read.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    sizes = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return 1024 * int(sizes[0]) if sizes else None
