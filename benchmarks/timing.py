"""CPU time of several functions side by side, and the peak memory of one in a child process."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def best_times(functions: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Seconds of CPU time of each function: the minimum over alternating repetitions.

    Each function runs once before, to warm up.
    """
    best = dict.fromkeys(functions, float("inf"))
    for function in functions.values():
        function()
    for _ in range(repetitions):
        for name, function in functions.items():
            start = process_time()
            function()
            best[name] = min(best[name], process_time() - start)
    return best


def extra_memory(command: Sequence[str]) -> float:
    """MB that a call needs above its inputs: peak of a child minus that of one that skips it.

    The child is this Python with ``command`` and then ``call`` or ``skip``; it prints :func:`peak`.
    """
    call, skip = (
        float(
            subprocess.run(
                [sys.executable, *command, what], check=True, capture_output=True, text=True
            ).stdout.splitlines()[-1]
        )
        for what in ("call", "skip")
    )
    return call - skip


def peak() -> float:
    """High-water mark of this process in MB.

    On Linux that of the program since it was started: what ``getrusage`` says includes the parent
    that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(li for li in status.read_text().splitlines() if li.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
