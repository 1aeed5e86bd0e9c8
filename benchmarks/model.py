"""What the bundled model does on the bundled examples, and how far its answer depends on settings.

    uv run pancyte evaluate generalist data/bundled/manifest.csv --split dev -o out/dev
    uv run python benchmarks/model.py --data ../shared/data --scores out/dev/scores.csv

Prints the tables of the model card: F1 at IoU 0.5 of each example at its own, half and twice its
size; F1 at IoU 0.9 between tiles of 256 and of 768 pixels, with ``--data`` also on images large
enough for several tiles; and with ``--scores`` the scores of an evaluation by data set.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pancyte.data.records import read_manifest
from pancyte.inference.tiles import Tiling
from pancyte.io.images import read_image
from pancyte.io.label_files import read_labels
from pancyte.io.tables import read_csv
from pancyte.metrics.matching import Matching, match
from pancyte.metrics.scores import f1
from pancyte.ops.resample import resize_image, resize_labels
from pancyte.types import Image
from pancyte.workflows.models import load

if TYPE_CHECKING:
    from pancyte.inference.model import Model
    from pancyte.types import FloatArray, IntArray

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
MANIFEST = ROOT / "data" / "bundled" / "manifest.csv"
LARGE = {"usiigaci_phase", "vicar_qpi_iit", "yeastvision_phase", "dsb2018"}


def resized(pixels: FloatArray, labels: IntArray, factor: float) -> tuple[FloatArray, IntArray]:
    shape = (round(pixels.shape[1] * factor), round(pixels.shape[2] * factor))
    return resize_image(pixels, shape), np.stack([resize_labels(plane, shape) for plane in labels])


def f1_at(truth: IntArray, prediction: IntArray, threshold: float) -> float:
    counts = [match(t, p, [threshold]) for t, p in zip(truth, prediction, strict=True)]
    return float(f1(sum(counts[1:], start=counts[0]))[0])


def large_images(data: Path) -> list[Path]:
    """Return images of the dev split that need several tiles, at most four of a data set."""
    chosen: dict[str, list[Path]] = {name: [] for name in sorted(LARGE)}
    with (data / "samples.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            large = min(map(int, row["shape"].split("x"))) >= 500
            if row["split"] == "dev" and row["dataset"] in chosen and large:
                chosen[row["dataset"]].append(
                    data / row["dataset"] / "images" / f"{row['sample']}.png"
                )
    return [path for paths in chosen.values() for path in paths[:4]]


def scale_table(model: Model) -> None:
    print("| example | objects | F1@0.5, own size | half | twice | factors used |")
    print("|---|---|---|---|---|---|")
    for path in sorted((EXAMPLES / "images").glob("*.tif")):
        pixels = read_image(path).image.pixels
        labels = read_labels(EXAMPLES / "labels" / path.name).labels
        scores, factors = [], []
        for factor in (1.0, 0.5, 2.0):
            image, truth = resized(pixels, labels, factor)
            found = model.segment(Image(image))
            scores.append(f"{f1_at(truth, found.labels, 0.5):.2f}")
            factors.append(f"{found.scale:.2f}")
        print(f"| {path.stem} | {labels.max()} | {' | '.join(scores)} | {', '.join(factors)} |")


def tile_table(model: Model, data: Path | None) -> None:
    paths = sorted((EXAMPLES / "images").glob("*.tif"))
    if data is not None:
        paths += large_images(data)
    print("\n| image | objects | F1@0.9 between tiles of 256 and 768 |")
    print("|---|---|---|")
    total: Matching | None = None
    for path in paths:
        image = read_image(path).image
        # The scale is settled once, so that tiles alone make the difference.
        first = model.segment(image)
        diameter = model.task.preprocessing.diameter
        given = None if diameter is None else diameter / first.scale
        small, large = (
            replace(model, tiling=Tiling(tile=tile)).segment(image, diameter=given).labels
            for tile in (256, 768)
        )
        matching = match(small[0], large[0], [0.9])
        total = matching if total is None else total + matching
        print(f"| {path.stem} | {large.max()} | {f1(matching)[0]:.3f} |")
    if total is not None:
        print(f"| all | | {f1(total)[0]:.3f} |")


def data_set_table(scores: Path, manifest: Path) -> None:
    """Average the image-wise scores of an evaluation over each modality of each data set."""
    records = {record.image.parts[-3:]: record for record in read_manifest(manifest)}
    table = read_csv(scores)
    groups: dict[tuple[str, str], dict[str, list[float]]] = {}
    for image, threshold, f1_value, ap, pq in zip(
        *(table[name] for name in ("image", "threshold", "f1", "average_precision")),
        table["panoptic_quality"],
        strict=True,
    ):
        record = records[Path(image).parts[-3:]]
        for modality in (record.modality, "all"):
            values = groups.setdefault((record.source, modality), {})
            level = round(float(threshold), 2)
            if level in (0.5, 0.75, 0.9):
                values.setdefault(f"ap {level}", []).append(float(ap))
            if level == 0.5:
                values.setdefault("f1", []).append(float(f1_value))
                values.setdefault("pq", []).append(float(pq))
    # A set of one modality needs no second row.
    single = {s for s, _ in groups if sum(other == s for other, _ in groups) == 2}
    groups = {key: v for key, v in groups.items() if key[1] != "all" or key[0] not in single}
    print("\n| data set | modality | images | F1@0.5 | AP@0.5 | AP@0.75 | AP@0.9 | PQ@0.5 |")
    print("|---|---|---|---|---|---|---|---|")
    names = ("f1", "ap 0.5", "ap 0.75", "ap 0.9", "pq")
    for (source, modality), values in sorted(groups.items()):
        means = " | ".join(with_interval(np.array(values[name])) for name in names)
        print(f"| {source} | {modality} | {len(values['f1'])} | {means} |")


def with_interval(values: np.ndarray, *, draws: int = 2000) -> str:
    """Return the mean over images with its 95 % bootstrap interval; of one image, it alone."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return f"{values.mean():.3f}" if len(values) else "-"
    chosen = np.random.default_rng(0).integers(len(values), size=(draws, len(values)))
    low, high = np.percentile(values[chosen].mean(axis=1), (2.5, 97.5))
    return f"{values.mean():.3f} ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--model", default=None, help="name or folder; default: the bundled model")
    parser.add_argument("--data", type=Path, default=None, help="folder of the shared data sets")
    parser.add_argument("--scores", type=Path, default=None, help="scores.csv of pancyte evaluate")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="manifest that was scored")
    arguments = parser.parse_args()
    model = load(arguments.model)
    print(f"Model {model.name}, {model.precision}\n")
    scale_table(model)
    tile_table(model, arguments.data)
    if arguments.scores is not None:
        data_set_table(arguments.scores, arguments.manifest)


if __name__ == "__main__":
    main()
