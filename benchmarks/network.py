"""What the bundled network costs: one tile on one thread, and the first tile of a new process.

    uv run python benchmarks/network.py

CPU seconds (`time.process_time`) of one tile of 512 px, the least of some repetitions that take
turns: the network as it is trained, and folded as it is run, in float32 and in bfloat16. MA-Net on
MiT-B0 beside it, untrained, from segmentation-models-pytorch where that is installed, tells how
fast the machine is just now. The first tile is that of a process of its own, from its start.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

TILE = 512
FIRST_TILE = """
from pancyte.cli.imports import without_garbage_collection
with without_garbage_collection():
    import numpy
    from pancyte.inference.model import Model
    from pancyte.workflows.models import load
    import torch
torch.set_num_threads({threads})
model = load()
tile = numpy.random.default_rng(0).random((1, 3, {tile}, {tile}), numpy.float32)
model._predictor().predict(tile)
"""


def networks() -> dict[str, nn.Module]:
    """Return what is measured: name of the column to network."""
    from pancyte.nn.architectures import EncoderDecoder, build_network
    from pancyte.workflows.models import load

    found: dict[str, nn.Module] = {}
    for precision in ("float32", "bfloat16"):
        model = load(precision=precision)
        found[f"as trained, {precision}"] = model.network
        found[f"folded, {precision}"] = model.fastest_network
    if find_spec("segmentation_models_pytorch"):
        settings = EncoderDecoder(encoder="mit_b0")
        for precision in ("float32", "bfloat16"):
            network = build_network(settings, num_classes=1, in_channels=3).eval()
            found[f"MA-Net on MiT-B0, {precision}"] = network
    return found


def runner(name: str, network: nn.Module, tile: int) -> Callable[[], object]:
    """Return a function that runs a network on a tile, as the library does."""
    import torch

    images = torch.rand(1, 3, tile, tile, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)
    network = network.to(memory_format=torch.channels_last)

    def run() -> object:
        with (
            torch.inference_mode(),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled="bfloat16" in name),
        ):
            return network(images)

    return run


def count(network: nn.Module, tile: int) -> tuple[int, float]:
    """Return the parameters of a network, and the GFLOP of one tile."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.rand(1, 3, tile, tile))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return parameters, counter.get_total_flops() / 1e9


def tile_table(tile: int, repetitions: int) -> str:
    """Return the table of networks as Markdown."""
    import torch

    from timing import best_times

    torch.set_num_threads(1)
    found = networks()
    counts = {
        name.partition(",")[0]: count(network, tile)
        for name, network in found.items()
        if "float32" in name
    }
    seconds = best_times(
        {name: runner(name, network, tile) for name, network in found.items()}, repetitions
    )
    lines = ["| network | parameters | GFLOP | float32, s | bfloat16, s |", "|---|---|---|---|---|"]
    for name, (parameters, gflop) in counts.items():
        times = [seconds[f"{name}, {precision}"] for precision in ("float32", "bfloat16")]
        lines.append(
            f"| {name} | {parameters / 1e6:.2f} M | {gflop:.1f} | {times[0]:.3f} | {times[1]:.3f} |"
        )
    return "\n".join(lines)


def first_tile(tile: int, threads: int, repetitions: int) -> str:
    """Return what a new process takes until it has loaded the model and seen one tile."""
    least = float("inf"), float("inf")
    program = FIRST_TILE.format(tile=tile, threads=threads)
    for _ in range(repetitions):
        start = perf_counter(), os.times()
        subprocess.run([sys.executable, "-c", program], check=True)
        wall, after = perf_counter() - start[0], os.times()
        cpu = after.children_user + after.children_system
        cpu -= start[1].children_user + start[1].children_system
        least = min(least, (cpu, wall))
    return (
        f"Start, model and first tile on {threads} threads: {least[0]:.2f} s of CPU time, "
        f"{least[1]:.2f} s by the clock"
    )


def main() -> None:
    """Read the command line and print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--tile", type=int, default=TILE)
    parser.add_argument("--repetitions", type=int, default=10, help="of which the best counts")
    parser.add_argument("--threads", type=int, default=2, help="of the first tile")
    options = parser.parse_args()
    # As the command sets them, before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    print(first_tile(options.tile, options.threads, min(options.repetitions, 3)))
    print("\n" + tile_table(options.tile, options.repetitions), flush=True)


if __name__ == "__main__":
    main()
