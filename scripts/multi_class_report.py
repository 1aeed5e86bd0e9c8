"""Write the tables and pictures of docs/results/multi-class.md from the runs of multi_class.py.

    uv run python scripts/multi_class_report.py --runs runs/multi_class --docs docs/results

Writes multi-class.csv (a row for each model, image and class), multi-class.png and
multi-class-example.jpg, and replaces what stands between the markers in multi-class.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image as PillowImage
from scipy.stats import t as student

import pancyte
from pancyte.data.synthetic import CLASSES as CELL_CLASSES
from pancyte.io.label_files import read_labels
from pancyte.io.tables import read_csv, write_csv

SETS = {"axon": ("axon", "fibre"), "cells": CELL_CLASSES}
NAMES = {"axon": "nerve fibres", "cells": "generated cells"}
SCORES = {"f1": "F1", "average_precision": "AP"}
START, END = "<!-- table: scripts/multi_class_report.py -->", "<!-- end of table -->"
# A generated image, because it may be shown; chosen before any model was trained.
SHOWN = ("cells12", "cells13")
SHOWN_SEED = 1
CROP = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/multi_class"))
    parser.add_argument("--docs", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    table = read_csv(arguments.runs / "scores.csv")
    arguments.docs.mkdir(parents=True, exist_ok=True)
    write_csv(arguments.docs / "multi-class.csv", rounded(table))
    lines = [*score_table(table), "", *cost_table(arguments.runs)]
    page = arguments.docs / "multi-class.md"
    if page.is_file():
        before, rest = page.read_text(encoding="utf-8").split(START)
        after = rest.split(END)[1]
        text = "\n".join([START, "", *lines, "", END])
        page.write_text(before + text + after, encoding="utf-8")
    print("\n".join(lines))
    draw_scores(table, arguments.docs / "multi-class.png")
    draw_example(arguments.runs, arguments.docs / "multi-class-example.jpg")


def rounded(table: dict[str, list[str]]) -> dict[str, list[str]]:
    return table | {name: [f"{float(value):.4f}" for value in table[name]] for name in SCORES}


def cube(table: dict[str, list[str]], data_set: str, label_class: str, score: str) -> np.ndarray:
    """Return the scores (model, image, seed) of a class: joint first, then single."""
    rows = [
        row
        for row in (
            dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)
        )
        if row["set"] == data_set and row["class"] == label_class
    ]
    images = sorted({row["image"] for row in rows})
    seeds = sorted({row["seed"] for row in rows})
    values = np.full((2, len(images), len(seeds)), np.nan)
    for row in rows:
        place = images.index(row["image"]), seeds.index(row["seed"])
        values[("joint", "single").index(row["model"]), *place] = float(row[score])
    if np.isnan(values).any():
        raise ValueError(f"{data_set}, {label_class}: some runs are not complete")
    return values


def score_table(table: dict[str, list[str]]) -> list[str]:
    lines = [
        "| set | class | score | joint | single | joint - single (95 % interval) | each seed |",
        "|---|---|---|---|---|---|---|",
    ]
    for data_set, classes in SETS.items():
        if data_set not in table["set"]:
            continue
        for label_class in classes:
            for score, name in SCORES.items():
                values = cube(table, data_set, label_class, score)
                lines.append(
                    f"| {NAMES[data_set]} | {label_class} | {name} | {spread(values[0])} | "
                    f"{spread(values[1])} | {difference(values[0] - values[1])} |"
                )
    return lines


def spread(values: np.ndarray) -> str:
    by_seed = values.mean(axis=0)
    return f"{by_seed.mean():.3f} ± {by_seed.std(ddof=1):.3f}"


def difference(values: np.ndarray) -> str:
    """Describe differences (image, seed): mean, its interval over images, the mean of each seed."""
    by_image = values.mean(axis=1)
    count = len(by_image)
    half = student.ppf(0.975, count - 1) * by_image.std(ddof=1) / np.sqrt(count)
    mean = by_image.mean()
    seeds = ", ".join(f"{value:+.3f}" for value in values.mean(axis=0))
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f}) | {seeds}"


def cost_table(runs: Path) -> list[str]:
    """Measure the size and the time of the models of one run of the nerve fibres."""
    (path,) = (runs / "data/axon/images").glob("sub-rat2*")
    pixels = pancyte.read_image(path).image.pixels
    size = pixels.size / 1e6
    lines = [f"| model | parameters | seconds for {size:.1f} megapixels |", "|---|---|---|"]
    for classes in ("axon+fibre", "axon", "fibre"):
        model = pancyte.load(
            runs / f"runs/axon/sub-rat2/{classes}-1/checkpoints/best", device="cpu"
        )
        count = sum(parameter.numel() for parameter in model.network.parameters())
        seconds = []
        for _ in range(4):
            start = time.perf_counter()
            model.segment(pixels, axes="CYX")
            seconds.append(time.perf_counter() - start)
        lines.append(f"| {classes.replace('+', ' and ')} | {count:,} | {min(seconds):.1f} |")
    return lines


def draw_scores(table: dict[str, list[str]], path: Path) -> None:
    figure = Figure(figsize=(10, 2.9), layout="constrained")
    panels = [(s, c) for s, classes in SETS.items() if s in table["set"] for c in classes]
    for axes, (data_set, label_class) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        joint, single = cube(table, data_set, label_class, "f1")
        for seed in range(joint.shape[1]):
            axes.plot(single[:, seed], joint[:, seed], ".", label=f"seed {seed + 1}")
        low, high = min(joint.min(), single.min()) - 0.01, max(joint.max(), single.max()) + 0.01
        axes.plot([low, high], [low, high], color="gray", linewidth=0.8)
        axes.set(title=f"{NAMES[data_set]}: {label_class}", xlabel="F1 of the single model")
        axes.set(aspect="equal", xlim=(low, high), ylim=(low, high))
    figure.axes[0].set_ylabel("F1 of the joint model")
    figure.axes[0].legend(fontsize="x-small")
    figure.savefig(path, dpi=80)


def draw_example(runs: Path, path: Path) -> None:
    """Show crops of generated test images: the truth, the joint model, the two single models."""
    rows = []
    for name in SHOWN:
        pixels = pancyte.read_image(runs / f"data/cells/images/{name}.tif").image.pixels
        truth = read_labels(runs / f"data/cells/labels/{name}.tif").labels
        joint = find(runs, "+".join(CELL_CLASSES), pixels)
        single = np.concatenate([find(runs, label_class, pixels) for label_class in CELL_CLASSES])
        panels = [
            # The last plane is drawn on top: the nucleus.
            pancyte.overlay(pixels, labels[::-1], magnification=2)[: 2 * CROP, : 2 * CROP]
            for labels in (np.zeros_like(truth), truth, joint, single)
        ]
        rows.append(np.concatenate(panels, axis=1))
    picture = PillowImage.fromarray(np.concatenate(rows))
    picture.save(path, quality=82, optimize=True)


def find(runs: Path, classes: str, pixels: np.ndarray) -> np.ndarray:
    folder = runs / f"runs/cells/generated/{classes}-{SHOWN_SEED}/checkpoints/best"
    return pancyte.load(folder, device="cpu").segment(pixels, axes="CYX").labels


if __name__ == "__main__":
    main()
