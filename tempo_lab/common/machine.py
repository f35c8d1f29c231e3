"""What this machine has free; without torch, for what loads no model."""

from __future__ import annotations

import math
from pathlib import Path

import psutil

# of a version of control groups: which line of /proc/self/cgroup, where its folders are, its files
_GROUPS = (
    ("0::", "", "memory.max", "memory.current", "inactive_file"),
    (":memory:", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory() -> int:
    """Bytes of main memory that are free, within the limit of this process's control group."""
    return int(min(psutil.virtual_memory().available, cgroup_free_bytes()))


def cgroup_free_bytes(
    groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> float:
    """Bytes that the control groups of this process leave it; infinity where none has a limit.

    Args:
        groups: the folder of all groups.
        own: says which groups this process is in.
    """
    free = math.inf
    lines = own.read_text().splitlines() if own.is_file() else []
    for line in lines:
        for mark, folder, limit, usage, cached in _GROUPS:
            if mark not in line:
                continue
            group = groups / folder / line.partition(mark)[2].lstrip("/")
            for each in (group, *group.parents):  # a limit of any group above counts, too
                most, used = each / limit, each / usage
                if most.is_file() and used.is_file() and most.read_text().strip() != "max":
                    rows = (each / "memory.stat").read_text().splitlines()
                    stat = dict(row.split() for row in rows)
                    left = int(most.read_text()) - int(used.read_text()) + int(stat[cached])
                    free = min(free, left)
    return free
