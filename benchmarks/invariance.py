"""Whether a model finds the same nuclei however their image is presented.

    uv run python benchmarks/invariance.py data/bundled/manifest.csv
    uv run python benchmarks/invariance.py data/bundled/manifest.csv --model runs/mine

The same images as gray of 8 bits, inverted, in the red or the third channel alone, as 16 bits, as
float from 0 to 1, dim (a tenth of the range, in as few gray values), and saturated (the brightest
tenth of the pixels of objects cut). Prints F1 at IoU 0.5 between the objects found in any two of
them, as mean over images, that with the truth, and the lowest of the means.
"""

from __future__ import annotations

import argparse
import sys
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pancyte.data.record_files import read_pixels, read_targets
from pancyte.data.records import read_manifest
from pancyte.io.tables import write_csv
from pancyte.metrics.matching import Matching, match
from pancyte.metrics.scores import f1
from pancyte.workflows.models import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pancyte.data.records import Record
    from pancyte.inference.model import Model
    from pancyte.types import IntArray

TRUTH = "truth"


def presentations(
    gray: npt.NDArray[np.uint8], truth: IntArray
) -> dict[str, npt.NDArray[np.generic]]:
    """Return the image (Y, X) in all ways, (C, Y, X) each; the truth says where objects are."""
    dark = np.zeros_like(gray)
    inside = gray[truth > 0]
    level = np.percentile(inside, 90) if len(inside) else 255
    return {
        "gray": gray[None],
        "inverted": 255 - gray[None],
        "red": np.stack([gray, dark, dark]),
        "third": np.stack([dark, dark, gray]),
        "16 bits": gray[None].astype(np.uint16) * 257,
        "float": (gray[None] / 255).astype(np.float32),
        "dim": np.round(gray[None] / 10).astype(np.uint8),
        "saturated": np.minimum(gray[None], np.uint8(level)),
    }


def choose(records: list[Record], count: int) -> list[Record]:
    """Return images spread evenly over a list."""
    if not records:
        return []
    places = np.unique(np.linspace(0, len(records) - 1, count).round().astype(int))
    return [records[place] for place in places]


def as_gray(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Return an image (C, Y, X) as 8 bits over its whole range."""
    values = pixels.astype(np.float64).mean(axis=0)
    low, high = values.min(), values.max()
    return np.round(255 * (values - low) / max(high - low, 1e-9)).astype(np.uint8)


def compare(
    model: Model, pixels: npt.NDArray[np.generic], truth: IntArray
) -> dict[tuple[str, str], Matching]:
    """Match what is found in any two presentations of an image, and the truth (Y, X)."""
    shown = presentations(as_gray(pixels), truth)
    found = {
        name: model.segment(image, axes="CYX", min_score=None).labels[0]
        for name, image in shown.items()
    }
    pairs = list(combinations([TRUTH, *found], 2))
    found[TRUTH] = truth
    return {(one, two): match(found[one], found[two], (0.5,)) for one, two in pairs}


def scores(compared: Mapping[tuple[str, str], Matching]) -> dict[tuple[str, str], float]:
    """Return F1 at IoU 0.5 of each pair of which one has objects."""
    found = {pair: float(f1(counts)[0]) for pair, counts in compared.items()}
    return {pair: score for pair, score in found.items() if not np.isnan(score)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path, nargs="+")
    parser.add_argument("--model", help="name or folder; the default is the bundled model")
    parser.add_argument("--splits", nargs="+", default=["val", "dev"])
    parser.add_argument("--modality", default="fluorescence")
    parser.add_argument("--images", type=int, default=12, help="most images, spread evenly")
    parser.add_argument("--csv", type=Path, help="where to write the table too")
    options = parser.parse_args()
    model = load(options.model)
    records = [
        record
        for manifest in options.manifest
        for record in read_manifest(manifest)
        if record.split in options.splits and record.modality == options.modality
    ]
    chosen = choose(records, options.images)
    rows = []
    for record in chosen:
        pixels = read_pixels(record)
        truth = read_targets(record, model.classes, pixels.shape[1:])[0][0]
        rows.append(scores(compare(model, pixels, truth)))
    if not any(rows):
        print(
            f"No objects to compare in {len(chosen)} images of {options.modality} in the splits "
            f"{', '.join(options.splits)}. Choose others with --modality and --splits.",
            file=sys.stderr,
        )
        return 2
    pairs = list(dict.fromkeys(pair for row in rows for pair in row))
    means = {pair: float(np.mean([row[pair] for row in rows if pair in row])) for pair in pairs}
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    print(f"{len(chosen)} images\n| | " + " | ".join(names[1:]) + " |\n|" + "---|" * len(names))
    for one in names[:-1]:
        cells = [f"{means[one, two]:.3f}" if (one, two) in means else "" for two in names[1:]]
        print(f"| {one} | " + " | ".join(cells) + " |")
    between = {pair: mean for pair, mean in means.items() if TRUTH not in pair}
    if between:
        worst = min(between, key=between.__getitem__)
        print(
            f"between any two: mean {np.mean(list(between.values())):.3f}, "
            f"lowest {between[worst]:.3f} ({worst[0]} and {worst[1]})"
        )
    else:
        print("between any two: nothing was found in any of them")
    if options.csv is not None:
        first, second = zip(*means, strict=True)
        write_csv(options.csv, {"one": first, "two": second, "f1": list(means.values())})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
