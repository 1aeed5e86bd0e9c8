"""Peak memory of segmenting large images, in blocks and at once, and whether both find the same.

    uv run python benchmarks/blocks.py                     # 3000, 6000 and 12000 px in blocks
    uv run python benchmarks/blocks.py --at-once 3000 6000 # these also as a whole
    uv run python benchmarks/blocks.py --compare 3000      # the objects of both
    uv run python benchmarks/blocks.py --sizes --files 17320  # 300 megapixels, from file to files

Each size is measured in a process of its own (Linux): the high-water mark of its memory less what
it has after a small image has gone the same way. The image is gray, 8 bits, full of touching bumps
of 30 px; the network costs nothing and answers with their slopes, so that decoding has its usual
work. A real network adds what one tile takes in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
import torch
from torch import Tensor, cat, nn

from pancyte.inference.blocks import Blocks
from pancyte.inference.model import Model
from pancyte.ops.overlap import overlap_table
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks.flow import FlowTask
from pancyte.workflows import predict as workflow

SIZES = (3000, 6000, 12000)
BUMP = 30
NEVER = 10**15


class Slopes(nn.Module):
    """Answers with what is bright as foreground, and with the way up as flow."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        padded = nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
        down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
        right = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
        slope = cat([down, right], dim=1)
        length = slope.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-3)
        return {"foreground": 20 * (images - 0.2), "flow": slope / length}


def bumps(size: int) -> npt.NDArray[np.uint8]:
    """Return an image of bumps of different heights, some of which touch."""
    y, x = np.mgrid[:BUMP, :BUMP] - (BUMP - 1) / 2
    bump = np.clip(1.2 - np.hypot(y, x) / (BUMP / 2), 0, 1)
    count = -(-size // BUMP)
    image = np.tile((255 * bump).astype(np.uint8), (count, count))[:size, :size]
    image[::BUMP] //= 2  # neighbors differ a little
    return image


def model(*, blocks: bool) -> Model:
    """Return the model that costs nothing."""
    preprocessing = Preprocessing(channels=1, percentiles=(0.0, 100.0), diameter=None)
    task = FlowTask(preprocessing=preprocessing)
    return Model(task, Slopes(), blocks=Blocks(above=1 if blocks else NEVER))


def memory(entry: str) -> int:
    """Return an entry of this process's status, in bytes: VmRSS now, VmHWM the most so far."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(entry)).split()[1]) * 1024


def measure(size: int, *, blocks: bool) -> dict[str, float]:
    """Measure one image in this process."""
    # A small image in blocks reaches every kernel, and loads what is loaded once.
    small = replace(model(blocks=True), blocks=Blocks(above=1, size=128, halo=64))
    small.segment(bumps(300))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the most so far
    before = memory("VmRSS")
    image = bumps(size)
    start = time.process_time()
    found = model(blocks=blocks).segment(image)
    return {
        "size": size,
        "objects": found.objects.num_objects,
        "cpu_s": time.process_time() - start,
        "peak": memory("VmHWM") - before,
        "unique": len(np.unique(found.objects["label"])) == found.objects.num_objects,
    }


def measure_files(size: int) -> dict[str, float]:
    """Measure the prediction of one image file, mostly empty, in this process."""
    workflow.load = lambda *_, **__: model(blocks=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stem, side in (("small", 700), ("large", size)):
            image = np.zeros((side, side), np.uint8)
            image[:600, :600] = bumps(600)
            tifffile.imwrite(folder / f"{stem}.tif", image)
            del image
        small = workflow.PredictConfig(blocks=Blocks(above=1, size=256, halo=64))
        workflow.predict(folder / "small.tif", folder / "small", small)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = memory("VmRSS")
        start = time.process_time()
        workflow.predict(folder / "large.tif", folder / "large")
        return {
            "size": size,
            "objects": len((folder / "large/objects.csv").read_text("utf-8").splitlines()) - 1,
            "cpu_s": time.process_time() - start,
            "peak": memory("VmHWM") - before,
        }


def compare(size: int) -> None:
    """Print how many objects are the same in blocks and at once."""
    image = bumps(size)
    at_once = model(blocks=False).segment(image)
    in_blocks = model(blocks=True).segment(image)
    table = overlap_table(at_once.labels[0], in_blocks.labels[0])
    print(
        f"{size}: {at_once.objects.num_objects} objects at once, "
        f"{in_blocks.objects.num_objects} in blocks, {int((table.iou == 1).sum())} the same, "
        f"{int((table.iou >= 0.99).sum())} at IoU 0.99"
    )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--at-once", nargs="*", type=int, default=())
    parser.add_argument("--compare", nargs="*", type=int, default=())
    parser.add_argument("--files", nargs="*", type=int, default=())
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        size, way = options.child
        found = (
            measure_files(int(size))
            if way == "files"
            else measure(int(size), blocks=way == "blocks")
        )
        print(json.dumps(found))
        return
    for size in options.compare:
        compare(size)
    print("| image | way | objects | CPU s | peak, MB | bytes per pixel | image and labels, MB |")
    print("|---|---|---|---|---|---|---|")
    runs = [(size, "blocks") for size in options.sizes]
    runs += [(size, "at once") for size in options.at_once]
    runs += [(size, "files") for size in options.files]
    for size, way in runs:
        command = [sys.executable, __file__, "--child", str(size), way]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        row = json.loads(result.stdout.splitlines()[-1])
        peak, pixels = row["peak"], size**2
        print(
            f"| {size} | {way} | {row['objects']} | {row['cpu_s']:.0f} | {peak / 1e6:.0f} "
            f"| {peak / pixels:.1f} | {5 * pixels / 1e6:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
