"""Compare the two flow fields: what blurred vectors cost, and what a network learns of each.

    uv run python scripts/generated_data.py --out data/generated --count 1600 --seed 1
    uv run python scripts/fields.py shapes data/generated/manifest.csv
    uv run python scripts/fields.py train --out runs/fields
    uv run python scripts/fields.py scores runs/fields

``shapes`` draws both fields of generated objects, blurs them as a network does, and decodes them
again. ``train`` trains the recipe of the bundled model with each field and seed for a short while;
a run that is complete is not run again. ``scores`` shows how well those are on the images of val.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

import pancyte
from pancyte.data.record_files import read_pixels, read_targets
from pancyte.data.records import Record, read_manifest
from pancyte.io.tables import read_csv
from pancyte.metrics.matching import match
from pancyte.metrics.scores import f1
from pancyte.ops.flow import FlowDecoding, decode_flow, labels_to_flow
from pancyte.ops.measure import measure_objects
from pancyte.ops.resample import resize_labels, scaled_shape
from pancyte.workflows.train_config import read_train_config

FIELDS = ("diffusion", "geodesic")
SEEDS = (1, 2, 3)
STEPS = 600
# Standard deviations of the blur in pixels; the second is worse than what a trained network does.
BLURS = (2.0, 4.0)
NOISE = 0.3
MOST_PIXELS = 400_000
RECIPE = Path(__file__).resolve().parents[1] / "configs" / "bundled.toml"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    shapes = commands.add_parser("shapes")
    shapes.add_argument("manifest", type=Path)
    shapes.add_argument("--count", type=int, default=300)
    training = commands.add_parser("train")
    training.add_argument("--out", type=Path, default=Path("runs/fields"))
    training.add_argument("--steps", type=int, default=STEPS)
    scores = commands.add_parser("scores")
    scores.add_argument("runs", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "shapes":
        show_shapes(read_manifest(arguments.manifest)[: arguments.count])
    elif arguments.command == "train":
        train_all(arguments.out, arguments.steps)
    else:
        show_scores(arguments.runs)
    return 0


def show_shapes(records: tuple[Record, ...]) -> None:
    task = read_train_config(RECIPE).task
    found: dict[str, dict[tuple[float, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for index, record in enumerate(records):
        labels = at_scale(record, task.preprocessing.diameter)
        if labels is None:
            continue
        kind = record.modality.removeprefix("generated-")
        for field in FIELDS:
            for blur in BLURS:
                score = blurred_score(labels, field, blur, seed=index, decoding=task.decoding)
                found[kind][blur, field].append(score)
    columns = [(blur, field) for blur in BLURS for field in FIELDS]
    print("| kind | images |" + "".join(f" {field}, blur {blur:g} |" for blur, field in columns))
    print("|---|---|" + "---|" * len(columns))
    for kind, scores in sorted(found.items()):
        means = "".join(f" {np.nanmean(scores[key]):.3f} |" for key in columns)
        print(f"| {kind} | {len(scores[columns[0]])} |{means}")


def at_scale(record: Record, diameter: float) -> np.ndarray | None:
    """Return the labels (Y, X) with this median diameter; None of few or very small objects."""
    shape = read_pixels(record).shape[1:]
    labels = read_targets(record, ("object",), shape)[0]
    if labels.max() < 2:
        return None
    scale = diameter / float(np.median(measure_objects(labels)["diameter"]))
    target = scaled_shape(shape, scale)
    return resize_labels(labels, target)[0] if math.prod(target) <= MOST_PIXELS else None


def blurred_score(
    labels: np.ndarray, field: str, blur: float, *, seed: int, decoding: FlowDecoding | None = None
) -> float:
    """Return F1 at an IoU of 0.5 of objects whose field was made noisy, blurred, and decoded."""
    generator = np.random.default_rng(seed)
    flow = labels_to_flow(labels, field=field)
    noisy = flow + NOISE * generator.standard_normal(flow.shape, dtype=np.float32)
    smooth = np.stack([gaussian_filter(component, blur) for component in noisy])
    # A network gives vectors of about unit length where it is sure of the direction.
    smooth /= np.maximum(np.sqrt((smooth**2).sum(axis=0)), 0.3)
    foreground = (labels > 0).astype(np.float32)
    found = decode_flow(foreground, smooth.astype(np.float32), decoding, field=field)
    return float(f1(match(labels, found.labels, (0.5,)))[0])


def train_all(out: Path, steps: int) -> None:
    recipe = read_train_config(RECIPE)
    for seed in SEEDS:
        for field in FIELDS:
            run = out / f"{field}_{seed}"
            if (run / "COMPLETE").exists():
                continue
            config = replace(
                recipe,
                task=replace(recipe.task, field=field),
                seed=seed,
                steps=steps,
                epoch_steps=steps // 3,
                out=run,
                name=run.name,
            )
            pancyte.train(config, resume=run.exists())


def show_scores(runs: Path) -> None:
    print("| field | " + " | ".join(f"seed {seed}" for seed in SEEDS) + " | mean |")
    print("|---|" + "---|" * (len(SEEDS) + 1))
    for score in ("f1", "ap"):
        for field in FIELDS:
            values = [last_score(runs / f"{field}_{seed}" / "metrics.csv", score) for seed in SEEDS]
            cells = " | ".join("-" if value is None else f"{value:.3f}" for value in values)
            known = [value for value in values if value is not None]
            mean = f"{np.mean(known):.3f}" if known else "-"
            print(f"| {field}, {score} | {cells} | {mean} |")


def last_score(path: Path, score: str) -> float | None:
    """Return the last score of a run that is in its log."""
    if not path.exists():
        return None
    values = [text for text in read_csv(path)[f"val/{score}"] if text]
    return float(values[-1]) if values else None


if __name__ == "__main__":
    raise SystemExit(main())
