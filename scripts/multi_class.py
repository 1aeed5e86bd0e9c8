"""Train one network for two nested classes, and one for each of them, and compare.

    uv run python scripts/multi_class.py --shared ../shared --out runs/multi_class

Two sets: nerve fibres and the axons inside them (axon_myelin_sem, one image left out at a time),
and generated cells with nuclei. Every model sees the same images, the same crops in the same order,
the same number of steps and the same size of network; only ``task.classes`` differs. A run that is
complete is not run again, so the command can be stopped and repeated. At the end it writes
scores.csv, with a row for each model, image and class; multi_class_report.py makes the tables and
pictures of docs/results/multi-class.md of it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from PIL import Image as PillowImage

import pancyte
from pancyte.augment.spatial import SpatialAugmentation
from pancyte.data.datasets import Sampling
from pancyte.data.records import TEST, TRAIN, DataSource, Record, write_manifest
from pancyte.data.synthetic.nested import CLASSES as CELL_CLASSES
from pancyte.data.synthetic.nested import NestedCells, draw_nested_cells
from pancyte.io.files import write_atomic
from pancyte.io.label_files import write_labels
from pancyte.io.tables import read_csv, write_csv
from pancyte.ops.labels import fill_holes, keep_largest_component, remove_small
from pancyte.ops.measure import measure_objects
from pancyte.ops.preprocess import Preprocessing
from pancyte.ops.resample import resize_image, resize_labels, scaled_shape
from pancyte.training.optim import Optimization
from pancyte.workflows.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Iterator

# All of this was fixed before the first score of the set was seen.
DIAMETER = 30.0  # of the median object of both classes, to which every image is resized beforehand
MIN_SIZE = 10  # smaller crumbs of the axon labels are dropped, in pixels of the original image
STEPS = 400
SEEDS = (1, 2, 3)
AXON_CLASSES = ("axon", "fibre")
# Animals of which there is one image, so that nothing of the animal is trained on.
FOLDS = ("sub-rat1", "sub-rat2", "sub-rat4", "sub-rat6")
CELL_SEED = 4
CELL_IMAGES = [(TRAIN, 256)] * 12 + [(TEST, 320)] * 16
WEIGHTS = "weights/tf_efficientnet_lite0_timm.safetensors"


@dataclass(frozen=True)
class Run:
    """One training: which data, which classes, which seed."""

    data_set: str
    fold: str
    classes: tuple[str, ...]
    seed: int

    @property
    def model(self) -> str:
        return "joint" if len(self.classes) > 1 else "single"

    @property
    def name(self) -> str:
        return f"{self.data_set}/{self.fold}/{'+'.join(self.classes)}-{self.seed}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, default=Path("runs/multi_class"))
    parser.add_argument("--sets", nargs="+", choices=("axon", "cells"), default=("axon", "cells"))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--joint-only", action="store_true", help="no single models")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, a thread each")
    arguments = parser.parse_args()
    weights = arguments.shared / WEIGHTS
    if not weights.is_file():
        print(f"{weights}: no such file. Say with --shared where it is.", file=sys.stderr)
        return 3
    for data_set in arguments.sets:
        prepare(data_set, arguments)
    runs = list(plan(arguments.sets, arguments.seeds))
    if arguments.joint_only:
        runs = [run for run in runs if run.model == "joint"]
    failed = train_all(runs, arguments, weights)
    collect(arguments.out)
    return 5 if failed else 0


# ---- data


def prepare(data_set: str, arguments: argparse.Namespace) -> None:
    """Write images, two-class labels and a manifest for each fold."""
    folder = arguments.out / "data" / data_set
    if data_set == "axon":
        records = list(write_axons(arguments.shared / "data/axon_myelin_sem", folder))
        for fold in FOLDS:
            splits = [TEST if record.group == fold else TRAIN for record in records]
            split = [replace(r, split=s) for r, s in zip(records, splits, strict=True)]
            write_manifest(folder / f"{fold}.csv", split)
        return
    write_manifest(folder / "generated.csv", list(write_cells(folder)))


def write_axons(source: Path, folder: Path) -> Iterator[Record]:
    for path in sorted((source / "images").glob("*.png")):
        image = np.asarray(PillowImage.open(path))
        fibre = read_plane(source / "fibre_masks" / path.name)
        axon = read_plane(source / "masks" / path.name)
        fibre = remove_small(fill_holes(keep_largest_component(fibre)), MIN_SIZE)
        axon = fill_holes(keep_largest_component(np.where(axon == fibre, axon, 0)))
        axon = remove_small(axon, MIN_SIZE)
        labels = np.stack([axon, fibre])
        scale = DIAMETER / float(np.median(measure_objects(labels)["diameter"]))
        shape = scaled_shape((image.shape[0], image.shape[1]), scale)
        pixels = resize_image(image[None].astype(np.float32), shape)[0].round().astype(np.uint8)
        labels = np.stack([keep_largest_component(resize_labels(p, shape)) for p in labels])
        yield write_pair(folder, path.stem, pixels, labels, AXON_CLASSES)


def write_cells(folder: Path) -> Iterator[Record]:
    """Write generated cells, in fluorescence and phase contrast by turns."""
    for index, (split, size) in enumerate(CELL_IMAGES):
        settings = NestedCells(
            shape=(size, size),
            # Cells and nuclei together then have about the median diameter of the other set.
            diameter=40.0,
            orphans=0.05,
            appearance="phase" if index % 2 else "fluorescence",
        )
        pixels, labels = draw_nested_cells(settings, np.random.default_rng([CELL_SEED, index]))
        record = write_pair(folder, f"cells{index:02d}", pixels, labels, CELL_CLASSES)
        yield replace(record, split=split, modality=settings.appearance)


def read_plane(path: Path) -> np.ndarray:
    return np.asarray(PillowImage.open(path)).astype(np.int32)


def write_pair(
    folder: Path, name: str, pixels: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]
) -> Record:
    image, truth = folder / "images" / f"{name}.tif", folder / "labels" / f"{name}.tif"
    image.parent.mkdir(parents=True, exist_ok=True)
    truth.parent.mkdir(parents=True, exist_ok=True)
    axes = {"axes": "YX" if pixels.ndim == 2 else "CYX"}
    write_atomic(
        image,
        lambda file: tifffile.imwrite(
            file, pixels, compression="zlib", photometric="minisblack", metadata=axes, ome=True
        ),
    )
    write_labels(truth, labels, classes)
    return Record(image=image, labels=truth, group=name.split("_", maxsplit=1)[0])


# ---- training and scoring


def plan(sets: tuple[str, ...], seeds: tuple[int, ...]) -> Iterator[Run]:
    """Yield all runs; whole seeds come first, so that what is done at any time is balanced."""
    for seed in seeds:
        for data_set in sets:
            folds = FOLDS if data_set == "axon" else ("generated",)
            both = AXON_CLASSES if data_set == "axon" else CELL_CLASSES
            for fold in folds:
                for classes in (both, both[:1], both[1:]):
                    yield Run(data_set, fold, classes, seed)


def train_all(runs: list[Run], arguments: argparse.Namespace, weights: Path) -> int:
    """Do what is not done yet, and return how many runs failed."""
    context = multiprocessing.get_context("spawn")
    failed = 0
    with ProcessPoolExecutor(arguments.jobs, mp_context=context) as pool:
        jobs = {
            pool.submit(train_and_score, run, arguments.out, arguments.steps, weights): run
            for run in runs
        }
        for done, job in enumerate(as_completed(jobs), start=1):
            try:
                line = job.result()
            except Exception:  # noqa: BLE001 - the others go on, and the code tells of it
                failed += 1
                line = traceback.format_exc()
            print(f"[{done}/{len(jobs)}] {jobs[job].name}: {line}", flush=True)
    return failed


def train_and_score(run: Run, out: Path, steps: int, weights: Path) -> str:
    folder = out / "runs" / run.name
    manifest = out / "data" / run.data_set / f"{run.fold}.csv"
    if (folder / "scores/scores.csv").is_file():
        return "done before"
    pancyte.train(make_config(run, folder, manifest, steps=steps, weights=weights), resume=True)
    found = pancyte.evaluate(
        folder / "checkpoints/best",
        manifest,
        folder / "scores",
        pancyte.EvaluateConfig(thresholds=(0.5,), split=TEST, device="cpu", predict={"threads": 1}),
        overwrite=True,
    )
    return ", ".join(
        f"{name} F1 {group['f1'][0]:.3f}" for name, group in found.summary.per_class.items()
    )


def make_config(
    run: Run, folder: Path, manifest: Path, *, steps: int, weights: Path
) -> pancyte.TrainConfig:
    """Return settings in which nothing but classes, seed and fold differs between runs."""
    return pancyte.TrainConfig(
        data=(DataSource(path=manifest.resolve()),),
        out=folder.resolve(),
        name=run.name.replace("/", "-"),
        task=pancyte.FlowTask(
            classes=run.classes,
            # Images come at the scale they are worked on, so that all models see the same pixels.
            preprocessing=Preprocessing(diameter=None),
        ),
        initialize=weights.resolve(),
        steps=steps,
        epoch_steps=min(steps, 200),
        batch=8,
        # Crops lie anywhere: about objects, they would depend on which class is looked at.
        sampling=Sampling(patch=128, object_probability=0.0),
        spatial=SpatialAugmentation(scale=(0.7, 1.4)),
        optimization=Optimization(warmup_steps=50, average_decay=0.99),
        # No score is looked at before the end: the last model is the model.
        validation=Validation(every=0),
        seed=run.seed,
        device="cpu",
        threads=1,
        workers=0,
    )


# ---- scores of all runs


def collect(out: Path) -> None:
    """Write the scores of all complete runs into one table."""
    rows: list[dict[str, str]] = []
    for path in sorted((out / "runs").glob("*/*/*/scores/scores.csv")):
        data_set, fold, name = path.parts[-5:-2]
        classes, seed = name.rsplit("-", 1)
        table = read_csv(path)
        for k, threshold in enumerate(table["threshold"]):
            if abs(float(threshold) - 0.5) < 1e-6:
                head = {"set": data_set, "fold": fold, "seed": seed}
                head["model"] = "joint" if "+" in classes else "single"
                kept = ("class", "image", "tp", "fp", "fn", "f1", "average_precision")
                rows.append(head | {column: table[column][k] for column in kept})
    if rows:
        write_csv(out / "scores.csv", {name: [row[name] for row in rows] for name in rows[0]})


if __name__ == "__main__":
    raise SystemExit(main())
