"""Prepare the training data of the bundled model from the collection in ../shared/data.

    uv run python scripts/bundled_data.py --shared ../shared/data --out data/bundled

Writes data/bundled/manifest.csv, which points to the images where they lie, and cleaned labels of
the images that are trained on (each object one component without holes, nothing below ten pixels).
Rows of the split dev stay out of training and keep the labels that they came with. What may train
a model that is shipped, and with what weight, is said in SETS and nowhere else.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image as PillowImage

from pancyte.data.records import TRAIN, VAL, Record, write_manifest
from pancyte.io.files import write_atomic
from pancyte.ops.labels import fill_holes, keep_largest_component, make_consecutive, remove_small

MIN_SIZE = 10
VAL_SHARE = 0.06
# Smaller sets, or modalities, cannot spare an image for validation.
MIN_GROUPS_FOR_VAL = 6
SEED = 20240
STACK_SLICES = 3


@dataclass(frozen=True)
class Set:
    """One data set that may train the bundled model, or whose images of dev it is scored on."""

    name: str
    weight: float = 1.0
    group: str = ".*"  # what of a sample's name says which samples belong together
    masks: str = "masks"
    stack: bool = False
    held_out: str | None = None  # group to validate on, of a set too small to draw one


# Less weight where images of a set are alike (slices of a stack, frames of one film), or where
# labels were made by a program and corrected (colicoords, cellapp, histolytics).
SETS = (
    Set("dsb2018"),
    Set("usiigaci_phase"),
    Set("axon_myelin_sem", group=r"sub-rat\d+", masks="fibre_masks", held_out="sub-rat1"),
    Set("sbsst265_neuroblastoma"),
    Set("vicar_qpi_iit"),
    Set("tnbc_he", group=r"\d+$"),
    Set("yeastvision_phase", group=r"^[a-z]+\d+"),
    Set("baby_yeast_bf", group=r"^[a-z0-9]+_test[A-Z]+", held_out="evolve_testE"),
    Set("baby_ecoli_mothermachine", weight=0.5),
    Set("colicoords_ecoli", weight=0.5, group=r"^ds\d+_\d+"),
    Set("mouse_embryo_3d", weight=0.5, group=r"Emb\d+", stack=True),
    Set("cellapp_phase", weight=0.3),
    Set("histolytics_he", weight=0.5),
    Set("ecoli_microcolony"),  # all of it is for dev
)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("data/bundled"))
    arguments = parser.parse_args()
    index = arguments.shared / "samples.csv"
    if not index.is_file():
        print(f"{index}: no such file. Say with --shared where the collection is.", file=sys.stderr)
        return 3
    with index.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    records = []
    for data_set in SETS:
        own = [row for row in rows if row["dataset"] == data_set.name]
        made = [record for row in own for record in make_records(row, data_set, arguments)]
        records += hold_out(without_groups_of_dev(made), data_set.held_out)
    write_manifest(arguments.out / "manifest.csv", records)
    report(records)
    return 0


def make_records(row: dict[str, str], data_set: Set, arguments: argparse.Namespace) -> list[Record]:
    """Return the records of one row of samples.csv; several for a stack."""
    sample, split = row["sample"], row["split"]
    if split not in {"train", "dev"}:
        return []
    match = re.search(data_set.group, sample)
    if match is None:
        raise ValueError(f"{data_set.name}: no group {data_set.group!r} in the name {sample!r}")
    folder = arguments.shared / data_set.name
    suffix = "tif" if data_set.stack else "png"
    record = Record(
        image=folder / "images" / f"{sample}.{suffix}",
        labels=folder / data_set.masks / f"{sample}.{suffix}",
        split=split,
        modality=row["modality"],
        weight=data_set.weight,
        group=f"{data_set.name}/{match.group()}",
        source=data_set.name,
    )
    if data_set.stack:
        # Whole stacks are no 2D dev images.
        return slices_of(record, arguments.out) if split == "train" else []
    if split != "train":
        return [record]
    labels = np.asarray(PillowImage.open(record.labels))
    return [write_cleaned(record, labels, arguments.out, sample)]


def write_cleaned(
    record: Record, labels: np.ndarray, out: Path, name: str, image: Path | None = None
) -> Record:
    path = out / "labels" / record.source / f"{name}.tif"
    write_tiff(path, clean(labels))
    return replace(record, labels=path, image=image or record.image)


def clean(labels: np.ndarray) -> np.ndarray:
    """Make each object one component without holes, and drop crumbs."""
    whole = fill_holes(keep_largest_component(labels))
    return make_consecutive(remove_small(whole, MIN_SIZE)).astype(np.uint16)


def slices_of(record: Record, out: Path) -> list[Record]:
    """Return the slices with most objects, at least five apart, of one stack."""
    pixels, labels = tifffile.imread(record.image), tifffile.imread(record.labels)
    counts = np.array([len(np.unique(plane)) - 1 for plane in labels])
    chosen: list[int] = []
    for z in np.argsort(-counts, kind="stable"):
        if len(chosen) < STACK_SLICES and all(abs(z - other) >= 5 for other in chosen):
            chosen.append(int(z))
    made = []
    for z in sorted(chosen):
        name = f"{record.image.stem}_z{z:02d}"
        image = out / "images" / record.source / f"{name}.tif"
        write_tiff(image, pixels[z])
        made.append(write_cleaned(record, labels[z], out, name, image))
    return made


def write_tiff(path: Path, plane: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(
        path,
        lambda file: tifffile.imwrite(
            file, plane, compression="zlib", predictor=2, photometric="minisblack", metadata=None
        ),
    )


def without_groups_of_dev(records: list[Record]) -> list[Record]:
    """Drop what could be trained on but shows a field of view of which another part is in dev."""
    dev = {record.group for record in records if record.split == "dev"}
    return [record for record in records if record.split == "dev" or record.group not in dev]


def hold_out(records: list[Record], named: str | None = None) -> list[Record]:
    """Move some groups of each modality of one data set, and one by name, from train to val."""
    generator = np.random.default_rng(SEED)
    chosen = {record.group for record in records if record.group.endswith(f"/{named}")}
    for modality in sorted({record.modality for record in records}):
        groups = sorted({r.group for r in records if r.modality == modality and r.split == TRAIN})
        if len(groups) >= MIN_GROUPS_FOR_VAL:
            count = max(1, round(VAL_SHARE * len(groups)))
            chosen |= set(generator.choice(groups, count, replace=False))
    return [replace(r, split=VAL) if r.split == TRAIN and r.group in chosen else r for r in records]


def report(records: list[Record]) -> None:
    counts = Counter((r.source, r.modality, r.split) for r in records)
    for (source, modality, split), count in sorted(counts.items()):
        print(f"{source:28} {modality:22} {split:6} {count:5}")
    splits = Counter(split for _, split in {(r.group, r.split) for r in records})
    shared = sum(splits.values()) - len({r.group for r in records})
    print(f"{len(records)} records; {shared} groups in more than one split")


if __name__ == "__main__":
    raise SystemExit(main())
