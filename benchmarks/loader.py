"""How many training patches two workers deliver, and what a patch costs.

    uv run python benchmarks/loader.py
    uv run python benchmarks/loader.py --samples 1000 --workers 2

Patches of 512 x 512 with all transforms and their targets (the diffusion field among them), cut
from 1024 x 1024 TIFFs of 16 bits. Two recipes, ours and MEDIAR's, each with images that stay in
memory and with images that are read anew for each patch. Seconds of a clock say what a training
sees, and depend on what else the machine does; those of the CPU, the least of three repetitions of
each patch, depend on it less. Two cores to itself give two workers the last column.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pancyte.data.datasets import PatchDataset
    from pancyte.data.records import Record

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
IMAGES, SIDE, PATCH, BATCH = 12, 1024, 512, 4
PROMISED = 80
REPETITIONS = 3
HEADER = """\
| recipe | images | patches/s by the clock | CPU ms each | patches/s of CPU time | |
|---|---|---|---|---|---|"""


def write_images(folder: Path) -> tuple[Record, ...]:
    """Write images of touching cells with noise, and their labels."""
    import tifffile

    from arrays import touching_cells
    from pancyte.data.records import Record

    records = []
    for number in range(IMAGES):
        rng = np.random.default_rng(number)
        labels = np.roll(touching_cells(SIDE), 80 * number, axis=(0, 1))
        brightness = rng.uniform(4000, 20_000, int(labels.max()) + 1)
        brightness[0] = 1000
        pixels = np.clip(brightness[labels] + rng.normal(0, 800, labels.shape), 0, 65_535)
        image, masks = folder / f"{number}.tif", folder / f"{number}_labels.tif"
        tifffile.imwrite(image, pixels.astype(np.uint16))
        tifffile.imwrite(masks, labels.astype(np.uint16), compression="zlib")
        records.append(Record(image=image, labels=masks))
    return tuple(records)


def make_dataset(records: tuple[Record, ...], recipe: str, *, cached: bool) -> PatchDataset:
    """Return the patches of a recipe."""
    from pancyte.augment import intensity, spatial
    from pancyte.augment.cell_aware import CellAware, change_objects
    from pancyte.data.datasets import PatchDataset, Sampling
    from pancyte.ops.preprocess import Preprocessing
    from pancyte.tasks.flow import FlowTask

    mediar = recipe == "MEDIAR"
    sampling = Sampling(patch=PATCH, cache_megabytes=2000 if cached else 0)
    if mediar:
        sampling = Sampling(
            patch=PATCH,
            object_probability=0.0,
            beyond="zeros",
            cache_megabytes=sampling.cache_megabytes,
        )
    shape = spatial.MEDIAR_SPATIAL if mediar else spatial.SpatialAugmentation()
    values = intensity.MEDIAR_INTENSITY if mediar else intensity.IntensityAugmentation()
    return PatchDataset(
        records,
        FlowTask(preprocessing=Preprocessing(diameter=None if mediar else 30.0)),
        sampling=sampling,
        draw_matrix=partial(spatial.draw_matrix, shape),
        change_sample=partial(change_objects, cell_aware=CellAware()) if mediar else None,
        change_intensity=partial(change_intensity, values),
    )


def change_intensity(settings: Any, pixels: Any, generator: Any) -> Any:  # noqa: ANN401 - passed on
    """Hand the arguments over in the order of a patch."""
    from pancyte.augment.intensity import augment_intensity

    return augment_intensity(pixels, settings, generator)


def measure(dataset: PatchDataset, *, samples: int, workers: int) -> tuple[float, float]:
    """Return seconds of a clock and of CPU per patch, the first patches of each worker left out."""
    from torch.utils.data import DataLoader

    keys = [(0, index) for index in range(samples)]
    batches = [keys[first : first + BATCH] for first in range(0, samples, BATCH)]
    warm = [[(1, index) for index in range(IMAGES * 3)]] * workers
    loader = DataLoader(dataset, batch_sampler=warm + batches, num_workers=workers)
    stream = iter(loader)
    for _ in warm:
        next(stream)
    started = perf_counter()
    delivered = sum(len(batch["image"]) for batch in stream)
    wall = (perf_counter() - started) / delivered
    return wall, cpu_of_patches(dataset, min(samples, 80))


def cpu_of_patches(dataset: PatchDataset, samples: int) -> float:
    """Return the mean CPU seconds of a patch in this process, the least of three times for each.

    All patches come before the first one comes again, so that none finds its image just read.
    """
    for index in range(IMAGES * 3):
        dataset.make_patch((1, index))
    times = np.full((REPETITIONS, samples), np.inf)
    for repetition in range(REPETITIONS):
        for index in range(samples):
            started = process_time()
            dataset.make_patch((0, index))
            times[repetition, index] = process_time() - started
    return float(times.min(axis=0).mean())


def main() -> None:
    """Read the command line and print the table as Markdown."""
    parser = argparse.ArgumentParser(description="Benchmark of the loader of patches.")
    parser.add_argument("--samples", type=int, default=240, help="patches of each measurement")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    # Read by the libraries when they are loaded, so everything else is imported after this.
    os.environ.update(dict.fromkeys(THREADS, "1"))
    import torch

    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    print(f"Python {sys.version.split()[0]}, {options.workers} workers, {os.cpu_count()} cores,")
    print(f"load of the machine {load:.1f} before the start\n\n{HEADER}")
    with tempfile.TemporaryDirectory() as folder:
        records = write_images(Path(folder))
        for recipe in ("ours", "MEDIAR"):
            for cached in (True, False):
                dataset = make_dataset(records, recipe, cached=cached)
                samples = options.samples if cached else options.samples // 4
                wall, cpu = measure(dataset, samples=samples, workers=options.workers)
                rate = options.workers / cpu
                cells = (
                    recipe, "in memory" if cached else "read anew", f"{1 / wall:.0f}",
                    f"{1000 * cpu:.1f}", f"{rate:.0f}",
                    "" if not cached else "kept" if rate >= PROMISED else "MISSED",
                )  # fmt: skip
                print(f"| {' | '.join(cells)} |", flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"\nlargest worker: {peak:.0f} MB")


if __name__ == "__main__":
    main()
