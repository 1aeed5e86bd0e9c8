"""What a model finds where nothing is: wells, noise, writing, scenery and photographs.

    uv run python benchmarks/no_objects.py
    uv run python benchmarks/no_objects.py --model runs/mine/checkpoints/best --images 4

For each kind of image the false objects per megapixel, the number of images of which a warning
says that they are outside of what the model knows, the number with any warning, and the false
objects that came without one, per megapixel of all images. Photographs are those that scikit-learn
and matplotlib carry, in color and gray; the others are drawn as those of the training are, from
other seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image as PillowImage
from sklearn.datasets import load_sample_images

from pancyte.data.synthetic.choices import any_negative
from pancyte.data.synthetic.negatives import SUBJECTS, draw_negative
from pancyte.inference.trust import OUTSIDE
from pancyte.io.tables import write_csv
from pancyte.workflows.models import load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from pancyte.inference.model import Model

SIDE = 512
SEED = 1_000_000
COLUMNS = (
    "kind",
    "images",
    "megapixels",
    "objects",
    "per_mp",
    "outside",
    "warned",
    "unwarned_per_mp",
)


def photographs() -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    with get_sample_data("grace_hopper.jpg") as file:
        portrait = np.asarray(PillowImage.open(file))
    for picture in (*load_sample_images().images, portrait):
        yield "photograph", np.ascontiguousarray(picture.transpose(2, 0, 1))
        gray = picture.astype(np.float32).mean(axis=2)
        yield "gray photograph", gray.round().astype(np.uint8)[None]


def drawn(count: int) -> Iterator[tuple[str, npt.NDArray[np.generic]]]:
    for number, subject in enumerate(SUBJECTS):
        for k in range(count):
            generator = np.random.default_rng([SEED, number, k])
            negative = any_negative((SIDE, SIDE), generator, subject=subject)
            pixels, labels = draw_negative(negative, generator)
            assert not labels.any()
            yield subject, np.asarray(pixels).reshape(-1, SIDE, SIDE)


def measure(
    model: Model,
    cases: Iterable[tuple[str, npt.NDArray[np.generic]]],
    *,
    min_score: float | None = None,
) -> dict[str, list[float | str]]:
    """Return the columns of the table, with a row for each kind of image and one for all.

    Parameters
    ----------
    model
        What is asked.
    cases
        Kind and pixels (C, Y, X) of images in which there is nothing to find.
    min_score
        Objects with a lower score are left out; None takes what the model leaves out.
    """
    sums: dict[str, npt.NDArray[np.float64]] = {}
    for kind, pixels in cases:
        found = model.segment(pixels, axes="CYX", min_score=min_score)
        size = pixels.shape[1] * pixels.shape[2] / 1e6
        count = found.objects.num_objects
        outside = any(line.startswith(OUTSIDE) for line in found.warnings)
        warned = bool(found.warnings)
        row = np.array([1, size, count, outside, warned, 0 if warned else count])
        for name in (kind, "all"):
            sums[name] = sums.get(name, 0.0) + row
    sums["all"] = sums.pop("all")
    table: dict[str, list[float | str]] = {name: [] for name in COLUMNS}
    for kind, (images, size, objects, outside, warned, unwarned) in sums.items():
        values = (
            kind, int(images), round(size, 2), int(objects), round(objects / size, 1),
            int(outside), int(warned), round(unwarned / size, 2),
        )  # fmt: skip
        for name, value in zip(COLUMNS, values, strict=True):
            table[name].append(value)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="name or folder; the default is the bundled model")
    parser.add_argument("--images", type=int, default=4, help="drawn images of each kind")
    parser.add_argument("--min-score", type=float, help="leave out objects of a lower score")
    parser.add_argument("--csv", type=Path, help="where to write the table too")
    options = parser.parse_args()
    cases = (*photographs(), *drawn(options.images))
    table = measure(load(options.model), cases, min_score=options.min_score)
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for row in zip(*table.values(), strict=True):
        print("| " + " | ".join(map(str, row)) + " |")
    if options.csv is not None:
        write_csv(options.csv, table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
