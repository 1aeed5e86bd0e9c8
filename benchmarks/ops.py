"""Speed and memory of the hot array functions beside the packages that do the same.

    uv run --group benchmark python benchmarks/ops.py            # everything, about 15 minutes
    uv run --group benchmark python benchmarks/ops.py --quick    # without peers that take long

CPU seconds on one thread, minimum of three alternating repetitions after a warm-up. Peak memory is
that of a child process minus that of one without the call. Peers that are not installed are named.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cases import Case, Inputs

THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
HEADER = """\
| case | ratio | promised | pancyte, s | peers, s | memory above inputs | |
|---|---|---|---|---|---|---|"""


def installed(package: str) -> str | None:
    """Return the version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def measure(case: Case, folder: Path, *, repetitions: int, quick: bool) -> str:
    """Measure a case and return a line of the table, ratios first."""
    from timing import best_times, extra_memory

    arrays = make_inputs(case, folder)
    columns = {"pancyte": lambda: case.ours(*arrays)}
    remarks = []
    for position, (peer, function) in enumerate(case.peers.items()):
        if not peer.startswith("our ") and not installed(peer):
            remarks.append(f"{peer} not installed")
        elif quick and case.slow and position == 0:
            remarks.append(f"{peer} skipped")
        else:
            columns[peer] = lambda function=function: function(*arrays)
    seconds = best_times(columns, repetitions)
    own = seconds.pop("pancyte")
    ratios = {peer: peer_seconds / own for peer, peer_seconds in seconds.items()}
    kept, promises, memory = [], [], ""
    if case.faster is not None:
        promises.append(f"{case.faster:g} x")
        kept += [ratio >= case.faster for ratio in list(ratios.values())[:1]]
    if case.seconds is not None:
        promises.append(f"{case.seconds:g} s")
        kept.append(own <= case.seconds)
    if case.megabytes is not None:
        promises.append(f"{case.megabytes:.0f} MB")
        used = extra_memory([__file__, "--child", case.name, str(folder)])
        memory = f"{used:.0f} MB"
        kept.append(used <= case.megabytes)
    cells = (
        case.name,
        "; ".join([*(f"{ratio:.1f} x {peer}" for peer, ratio in ratios.items()), *remarks]),
        ", ".join(promises),
        f"{own:.4f}",
        ", ".join(f"{peer_seconds:.3f}" for peer_seconds in seconds.values()),
        memory,
        "" if not kept else "kept" if all(kept) else "MISSED",
    )
    return f"| {' | '.join(cells)} |"


def make_inputs(case: Case, folder: Path) -> Inputs:
    """Return the arrays of a case, and store them for the child process."""
    arrays = case.inputs()
    for position, array in enumerate(arrays):
        np.save(folder / f"{position}.npy", array)
    return arrays


def run_child(case: Case, folder: Path, *, call: bool) -> None:
    """Load the arrays, warm up on a corner, make the call or not, and print the peak memory."""
    from timing import peak

    arrays = [np.load(path) for path in sorted(folder.glob("*.npy"))]
    case.ours(*(np.ascontiguousarray(array[..., :96, :96]) for array in arrays))
    if call:
        case.ours(*arrays)
    print(peak())


def main() -> None:
    """Read the command line and print the table as Markdown."""
    parser = argparse.ArgumentParser(description="Benchmarks of pancyte.ops and pancyte.metrics.")
    parser.add_argument("--quick", action="store_true", help="leave out peers of over 10 seconds")
    parser.add_argument("--repetitions", type=int, default=3, help="of which the best counts")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name has TEXT")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    # Read by the libraries when they are loaded, so everything else is imported after this.
    os.environ.update(dict.fromkeys(THREADS, "1"), TF_CPP_MIN_LOG_LEVEL="3")
    from cases import CASES

    if options.child:
        name, folder, what = options.child
        case = next(case for case in CASES if case.name == name)
        run_child(case, Path(folder), call=what == "call")
        return
    if installed("cellpose"):
        import torch

        torch.set_num_threads(1)
    packages = {name: installed(name) for name in ("numpy", "numba", "cellpose", "stardist")}
    print(
        f"Python {sys.version.split()[0]} on {platform.machine()}, one thread;",
        ", ".join(f"{name} {found or 'not installed'}" for name, found in packages.items()),
    )
    print(f"\n{HEADER}")
    for case in CASES:
        if options.only in case.name:
            with tempfile.TemporaryDirectory() as folder:
                path, repetitions = Path(folder), options.repetitions
                line = measure(case, path, repetitions=repetitions, quick=options.quick)
                print(line, flush=True)


if __name__ == "__main__":
    main()
