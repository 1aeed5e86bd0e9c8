"""Write the tables and pictures of docs/results/multi-class.md from the runs of multi_class.py.

    uv run python scripts/multi_class_report.py --runs runs/multi_class --docs docs/results

Writes multi-class.csv (a row for each model, image and class), multi-class.png and
multi-class-example.jpg, and replaces the tables between the markers in multi-class.md.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image as PillowImage
from scipy.stats import t as student

import pancyte
from pancyte.data.records import TEST, read_manifest, select_split
from pancyte.data.synthetic.nested import CLASSES as CELL_CLASSES
from pancyte.io.label_files import read_labels
from pancyte.io.tables import read_csv, write_csv
from pancyte.ops.labels import clear_border
from pancyte.ops.overlap import overlap_table
from pancyte.runtime import set_threads

SETS = {"axon": ("axon", "fibre"), "cells": CELL_CLASSES}
NAMES = {"axon": "nerve fibres", "cells": "generated cells"}
SCORES = {"f1": "F1", "average_precision": "AP"}
# A generated image, because it may be shown; chosen before any model was trained.
SHOWN = ("cells12", "cells13")
SHOWN_SEED = "1"
CROP = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/multi_class"))
    parser.add_argument("--docs", type=Path, default=Path("docs/results"))
    parser.add_argument("--twice", type=Path, help="runs of joint models with twice the steps")
    arguments = parser.parse_args()
    table = read_csv(arguments.runs / "scores.csv")
    arguments.docs.mkdir(parents=True, exist_ok=True)
    write_csv(arguments.docs / "multi-class.csv", rounded(table))
    parts = {"scores": score_table(table)}
    if arguments.twice is not None:
        parts["twice"] = twice_table(table, read_csv(arguments.twice / "scores.csv"))
    draw_scores(table, arguments.docs / "multi-class.png")
    draw_example(arguments.runs, arguments.docs / "multi-class-example.jpg")
    parts["orphans"] = orphan_table(arguments.runs, sorted(set(table["seed"])))
    parts["costs"] = cost_table(arguments.runs)
    for name, lines in parts.items():
        print("\n".join(lines), end="\n\n")
        insert(arguments.docs / "multi-class.md", name, lines)


def insert(page: Path, name: str, lines: list[str]) -> None:
    """Replace what stands between the markers of a table."""
    text = page.read_text(encoding="utf-8")
    start, end = f"<!-- table of {name} -->", f"<!-- end of {name} -->"
    before, rest = text.split(start)
    after = rest.split(end)[1]
    page.write_text("\n".join([before + start, "", *lines, "", end + after]), encoding="utf-8")


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
        "| set | class | images | score | joint | single | joint - single, 95 % | each seed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for data_set, classes in SETS.items():
        if data_set not in table["set"]:
            continue
        for label_class, (score, name) in itertools.product(classes, SCORES.items()):
            values = cube(table, data_set, label_class, score)
            lines.append(
                f"| {NAMES[data_set]} | {label_class} | {values.shape[1]} | {name} | "
                f"{spread(values[0])} | {spread(values[1])} | {difference(values[0] - values[1])} |"
            )
    return lines


def twice_table(table: dict[str, list[str]], longer: dict[str, list[str]]) -> list[str]:
    """Compare joint models with twice the steps to the single models of their sets and seeds."""
    there = set(zip(longer["set"], longer["seed"], strict=True))
    rows = zip(table["model"], table["set"], table["seed"], strict=True)
    single = [
        k
        for k, (model, data_set, seed) in enumerate(rows)
        if model == "single" and (data_set, seed) in there
    ]
    return score_table({name: longer[name] + [table[name][k] for k in single] for name in longer})


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


def orphan_table(runs: Path, seeds: list[str]) -> list[str]:
    """Count found nuclei with and without a cell, and cells drawn about the latter."""
    records = select_split(read_manifest(runs / "data/cells/generated.csv"), TEST)
    kinds = {record.modality for record in records}
    lines = [
        "| images | model | nuclei found in cells | lone nuclei found | cells drawn about them |",
        "|---|---|---|---|---|",
    ]
    for kind, model in itertools.product(sorted(kinds), ("joint", "single")):
        total = np.zeros(5, np.int64)
        for record, seed in itertools.product(records, seeds):
            if record.modality == kind:
                pixels = pancyte.read_image(record.image).image.pixels
                found = segment(runs, model, seed, pixels)
                total += count_orphans(read_labels(record.labels).labels, found)
        paired, found_paired, lone, found_lone, around = total
        lines.append(
            f"| {kind} | {model} | {found_paired / paired:.3f} of {paired} | "
            f"{found_lone / lone:.2f} of {lone} | {around / lone:.2f} of {lone} |"
        )
    return lines


def count_orphans(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return paired nuclei, those found, lone nuclei, those found, lone nuclei within a cell."""
    # At the border the partner of an object can lie beyond it.
    inner = {int(label) for label in np.unique(clear_border(truth[0]))} - {0}
    paired = inner & {int(label) for label in np.unique(truth[1])}
    lone = inner - paired
    table = overlap_table(truth[0], found[0])
    matched = set(table.truth_ids[table.truth_index[table.iou >= 0.5]].tolist())
    around = [label for label in lone if (found[1][truth[0] == label] > 0).mean() > 0.5]
    counts = (paired, paired & matched, lone, lone & matched, around)
    return np.array([len(group) for group in counts])


def cost_table(runs: Path) -> list[str]:
    """Measure the models of one run; processor time does not depend on what else is running."""
    (path,) = (runs / "data/axon/images").glob("sub-rat2*")
    pixels = pancyte.read_image(path).image.pixels
    size = pixels.size / 1e6
    lines = [f"| model | parameters | CPU seconds for {size:.1f} megapixels |", "|---|---|---|"]
    set_threads(1)
    for classes in ("axon+fibre", "axon", "fibre"):
        model = pancyte.load(
            runs / f"runs/axon/sub-rat2/{classes}-1/checkpoints/best", device="cpu"
        )
        count = sum(parameter.numel() for parameter in model.network.parameters())
        seconds = []
        for _ in range(4):
            start = time.process_time()
            model.segment(pixels, axes="CYX")
            seconds.append(time.process_time() - start)
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
        found = [segment(runs, model, SHOWN_SEED, pixels) for model in ("joint", "single")]
        panels = [
            # The last plane is drawn on top: the nucleus.
            pancyte.overlay(pixels, labels[::-1], magnification=2)[: 2 * CROP, : 2 * CROP]
            for labels in (np.zeros_like(truth), truth, *found)
        ]
        rows.append(np.concatenate(panels, axis=1))
    picture = PillowImage.fromarray(np.concatenate(rows))
    picture.save(path, quality=82, optimize=True)


def segment(runs: Path, model: str, seed: str, pixels: np.ndarray) -> np.ndarray:
    """Return both planes, of the joint model or of the two single ones."""
    names = ("+".join(CELL_CLASSES),) if model == "joint" else CELL_CLASSES
    planes = [load(runs, name, seed).segment(pixels, axes="CYX").labels for name in names]
    return np.concatenate(planes)


@functools.cache
def load(runs: Path, classes: str, seed: str) -> pancyte.Model:
    folder = runs / f"runs/cells/generated/{classes}-{seed}/checkpoints/best"
    return pancyte.load(folder, device="cpu")


if __name__ == "__main__":
    main()
