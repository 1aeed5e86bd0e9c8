"""Whether a model finds the same objects in the same images at a quarter to four times their size.

    uv run python benchmarks/scales.py                                  # the examples
    uv run python benchmarks/scales.py --manifest data/bundled/manifest.csv --split val --images 20

Prints F1 at IoU 0.5 of each image at each size, without being told the diameter, and by how much
the median object was too large or too small for the network in the end (1 is the size that it was
trained for); with ``--told`` what would be reached if the size were known. Objects of a diameter
of less than 7 pixels after resizing do not count: neither the true ones, nor predicted ones that
lie on them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pancyte.data.record_files import read_pixels, read_targets
from pancyte.data.records import read_manifest, select_split
from pancyte.io.images import read_image
from pancyte.io.label_files import read_labels
from pancyte.metrics.matching import match
from pancyte.metrics.scores import f1
from pancyte.ops.ids import map_ids
from pancyte.ops.measure import measure_objects
from pancyte.ops.resample import resize_image, resize_labels, scaled_shape
from pancyte.types import Image
from pancyte.workflows.models import load
from pancyte.workflows.validation import choose_records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pancyte.inference.model import Model
    from pancyte.types import FloatArray, IntArray

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
SMALLEST = 7.0
MOST_PIXELS = 20_000_000


class Result(NamedTuple):
    """How an image was segmented at one size."""

    f1: float
    relative_size: float
    """Diameter of the median true object as the network saw it, over that of its training."""
    seconds: float
    """Of CPU time, of the segmentation alone."""
    megapixels: float
    warned: bool


def examples() -> Iterator[tuple[str, FloatArray, IntArray]]:
    """Yield name, pixels (C, Y, X) and labels (Y, X) of what comes with the package."""
    for path in sorted((EXAMPLES / "images").glob("*.tif")):
        labels = read_labels(EXAMPLES / "labels" / path.name).labels
        yield path.stem, read_image(path).image.pixels, labels[0]


def records(
    manifest: Path, split: str, count: int, classes: tuple[str, ...]
) -> Iterator[tuple[str, FloatArray, IntArray]]:
    """Yield name, pixels (C, Y, X) and labels (Y, X) of images of a split, by modality in turn."""
    for record in choose_records(select_split(read_manifest(manifest), split), count):
        pixels = read_pixels(record)
        labels, _ = read_targets(record, classes, pixels.shape[1:])
        yield f"{record.modality} {record.image.stem[:16]}", pixels, labels[0]


def measure(
    model: Model, pixels: FloatArray, labels: IntArray, factor: float, *, told: bool
) -> Result | None:
    """Segment an image at another size; None where too few objects count, or it is too large."""
    shape = scaled_shape(labels.shape, factor)
    if shape[0] * shape[1] > MOST_PIXELS:
        return None
    truth = resize_labels(labels, shape)
    table = measure_objects(truth[None])
    counts = table["diameter"] >= SMALLEST
    if not counts.size or counts.mean() < 0.5:
        return None
    median = float(np.median(table["diameter"]))
    image = Image(resize_image(pixels, shape))
    started = time.process_time()
    found = model.segment(image, diameter=median if told else None)
    seconds = time.process_time() - started
    kept, predicted = drop_small(truth, found.labels[0])
    seen = median * found.scale
    return Result(
        float(f1(match(kept, predicted, [0.5]))[0]),
        seen / (model.task.preprocessing.diameter or seen),
        seconds,
        shape[0] * shape[1] / 1e6,
        bool(found.warnings),
    )


def drop_small(truth: IntArray, prediction: IntArray) -> tuple[IntArray, IntArray]:
    """Leave out true objects that are too small to count, and predicted ones that lie on them."""
    areas = np.bincount(truth.ravel(), minlength=1)
    small = 2.0 * np.sqrt(areas / np.pi) < SMALLEST
    small[0] = False
    on_small = np.bincount(prediction.ravel(), weights=small[truth].ravel())
    dropped = on_small >= 0.5 * np.bincount(prediction.ravel())
    dropped[0] = True
    return _without(truth, small), _without(prediction, dropped)


def _without(labels: IntArray, dropped: np.ndarray) -> IntArray:
    return map_ids(labels, np.where(dropped, 0, np.arange(len(dropped))).astype(np.int32))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--model", default=None, help="name or folder; default: the bundled model")
    parser.add_argument("--manifest", type=Path, default=None, help="default: the examples")
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--factors", type=float, nargs="+", default=FACTORS)
    parser.add_argument("--told", action="store_true", help="tell the true median diameter")
    arguments = parser.parse_args()
    model = load(arguments.model)
    cases = (
        examples()
        if arguments.manifest is None
        else records(arguments.manifest, arguments.split, arguments.images, model.classes)
    )
    print(f"Model {model.name}, {model.precision}. F1@0.5 (relative size); ! where it warned\n")
    print(f"| image | diameter | {' | '.join(f'{factor:g} x' for factor in arguments.factors)} |")
    print("|---|---|" + "---|" * len(arguments.factors))
    rows = []
    for name, pixels, labels in cases:
        results = [
            measure(model, pixels, labels, factor, told=arguments.told)
            for factor in arguments.factors
        ]
        rows.append(results)
        diameters = measure_objects(labels[None])["diameter"]
        diameter = f"{np.median(diameters):.0f}" if diameters.size else "-"
        cells = " | ".join(
            "-" if r is None else f"{r.f1:.2f} ({r.relative_size:.2f}){'!' * r.warned}"
            for r in results
        )
        print(f"| {name} | {diameter} | {cells} |", flush=True)
    if not any(result for row in rows for result in row):
        print(
            f"None of the {len(rows)} images has objects of {SMALLEST:g} pixels or more at any of "
            "these sizes. Choose others with --manifest, --split and --factors.",
            file=sys.stderr,
        )
        return 2
    summarize(rows)
    return 0


def summarize(rows: list[list[Result | None]]) -> None:
    """Print means over images, and how far each image falls behind its best size."""
    columns = list(zip(*rows, strict=True))
    means = [_mean([r.f1 for r in column if r]) for column in columns]
    print(f"| mean | | {' | '.join(means)} |")
    lost = [
        [max(r.f1 for r in row if r) - r.f1 for row in rows if (r := row[place]) is not None]
        for place in range(len(columns))
    ]
    print(f"| mean below the image's best | | {' | '.join(map(_mean, lost))} |")
    done = [r for row in rows for r in row if r]
    off = np.abs(np.log2([r.relative_size for r in done]))
    print(
        f"\nWithin a factor of 1.5: {np.mean(off < np.log2(1.5)):.0%}; of 2: {np.mean(off < 1):.0%}"
        f"; {sum(r.seconds for r in done) / sum(r.megapixels for r in done):.2f} CPU s a megapixel"
    )


def _mean(values: list[float]) -> str:
    return f"{np.mean(values):.3f}" if values else "-"


if __name__ == "__main__":
    raise SystemExit(main())
