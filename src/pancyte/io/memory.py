"""How much memory this process may still take: the machine, its container and its own limits."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def available_memory() -> int:
    """Return the number of bytes that can be allocated without swapping or being killed.

    Notes
    -----
    The least of what the machine has available, what the memory limits (cgroup v2) of a container
    or a cluster job leave, and what the limit of the address space (``ulimit -v``) leaves.
    """
    machine = psutil.virtual_memory().available
    return max(0, min([machine, *_left_in_cgroups(), *_left_in_space()]))


def in_words(num_bytes: int) -> str:
    """Return a number of bytes as people read it.

    Examples
    --------
    >>> in_words(2_340_000_000), in_words(12)
    ('2.34 GB', '12 bytes')
    """
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if num_bytes >= size:
            return f"{num_bytes / size:.3g} {unit}"
    return f"{num_bytes} bytes"


def _left_in_cgroups() -> list[int]:
    """Return what the limits of this process's cgroup and of those above it leave."""
    try:
        lines = _OWN_CGROUP.read_text().splitlines()
    except OSError:
        return []  # no Linux
    own = next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
    folder = _CGROUPS / own
    folders = [folder, *(above for above in folder.parents if above.is_relative_to(_CGROUPS))]
    return [left for folder in folders if (left := _left_in_cgroup(folder)) is not None]


def _left_in_cgroup(folder: Path) -> int | None:
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        statistics = (folder / "memory.stat").read_text().split()
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    # Cached pages of files count as used, but are given up when the memory is needed.
    names, values = statistics[::2], statistics[1::2]
    cached = next((int(v) for n, v in zip(names, values, strict=False) if n == "inactive_file"), 0)
    return int(limit) - used + cached


def _left_in_space() -> list[int]:
    if sys.platform == "win32":
        return []
    import resource  # noqa: PLC0415 - Unix alone has it

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return []
    return [limit - psutil.Process().memory_info().vms]
