"""Draw images with an exact truth, of what the free data sets lack, to train the bundled model.

    uv run python scripts/generated_data.py --out data/generated --count 4000 --seed 1

Writes images, labels and manifest.csv. An image depends on the seed, its number and the kinds to
draw, so that a larger count begins with the same images. With --sheet, also writes sheets/KIND.png:
a few images of each kind, plain and with the outlines of their objects, for a look before training.

What is drawn, and how often, is said in KINDS and nowhere else.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from PIL import Image as PillowImage

from pancyte.data.records import TRAIN, VAL, Record, write_manifest
from pancyte.data.synthetic.adherent import draw_adherent, draw_quantitative, draw_stained
from pancyte.data.synthetic.cells import draw_suspension, draw_yeast
from pancyte.data.synthetic.choices import (
    any_adherent,
    any_histology,
    any_membranes,
    any_negative,
    any_nuclei,
    any_quantitative,
    any_stained,
    any_suspension,
    any_yeast,
)
from pancyte.data.synthetic.histology import draw_histology
from pancyte.data.synthetic.membranes import draw_membranes
from pancyte.data.synthetic.negatives import draw_negative
from pancyte.data.synthetic.nuclei import draw_hard_nuclei
from pancyte.data.synthetic.rods import any_rods, draw_rods
from pancyte.data.synthetic.trenches import any_trenches, draw_trenches
from pancyte.io.files import write_atomic
from pancyte.viz.contact_sheet import contact_sheet
from pancyte.viz.overlay import overlay

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = "generated"
SIDES = (160, 384)
# Every image of this number and its multiples, counted from 1, is for validation.
VAL_EVERY = 20
SHEET_IMAGES = 12
SHEET_SIDE = 192

Shape = tuple[int, int]
Drawn = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Kind:
    """One kind of image."""

    name: str
    """Its modality is this behind ``generated-``."""
    share: float
    """How often it is drawn, relative to the others."""
    draw: Callable[[Shape, np.random.Generator], Drawn]
    """From a height and width, which it may take as a hint, to an image (C, Y, X) of 8 or 16 bits
    and labels (Y, X)."""


def rods(shape: Shape, generator: np.random.Generator, *, arrangement: str, look: str) -> Drawn:
    return draw_rods(any_rods(shape, generator, arrangement=arrangement, look=look), generator)


def trenches(shape: Shape, generator: np.random.Generator, *, look: str) -> Drawn:
    return draw_trenches(any_trenches(shape, generator, look=look), generator)


def scene(choose: Callable, draw: Callable, shape: Shape, generator: np.random.Generator) -> Drawn:
    return draw(choose(shape, generator), generator)


def tissue(appearance: str) -> Callable[[Shape, np.random.Generator], Drawn]:
    return partial(scene, partial(any_membranes, appearance=appearance), draw_membranes)


def suspension(contrast: str) -> Callable[[Shape, np.random.Generator], Drawn]:
    return partial(scene, partial(any_suspension, contrast=contrast), draw_suspension)


def yeast(contrast: str) -> Callable[[Shape, np.random.Generator], Drawn]:
    return partial(scene, partial(any_yeast, contrast=contrast), draw_yeast)


def adherent(contrast: str) -> Callable[[Shape, np.random.Generator], Drawn]:
    return partial(scene, partial(any_adherent, contrast=contrast), draw_adherent)


def nuclei(where: str) -> Callable[[Shape, np.random.Generator], Drawn]:
    return partial(scene, partial(any_nuclei, place=where), draw_hard_nuclei)


def negative(subject: str) -> Callable[[Shape, np.random.Generator], Drawn]:
    return partial(scene, partial(any_negative, subject=subject), draw_negative)


KINDS = (
    Kind("colony-phase", 20, partial(rods, arrangement="colony", look="phase")),
    Kind("colony-negative-phase", 4, partial(rods, arrangement="colony", look="negative-phase")),
    Kind("colony-bright-field", 6, partial(rods, arrangement="colony", look="bright-field")),
    Kind("colony-fluorescence", 10, partial(rods, arrangement="colony", look="fluorescence")),
    Kind("rods-phase", 8, partial(rods, arrangement="scattered", look="phase")),
    Kind("rods-bright-field", 5, partial(rods, arrangement="scattered", look="bright-field")),
    Kind("rods-fluorescence", 6, partial(rods, arrangement="scattered", look="fluorescence")),
    Kind("filaments-phase", 6, partial(rods, arrangement="filaments", look="phase")),
    Kind("filaments-fluorescence", 6, partial(rods, arrangement="filaments", look="fluorescence")),
    Kind("cocci-phase", 5, partial(rods, arrangement="cocci", look="phase")),
    Kind("cocci-fluorescence", 4, partial(rods, arrangement="cocci", look="fluorescence")),
    Kind("mother-machine-phase", 18, partial(trenches, look="phase")),
    Kind("mother-machine-fluorescence", 6, partial(trenches, look="fluorescence")),
    Kind("membranes-bright", 12, tissue("bright")),
    Kind("membranes-dark", 7, tissue("dark")),
    Kind("membranes-and-nuclei", 7, tissue("stained")),
    Kind("suspension-bright-field", 12, suspension("brightfield")),
    Kind("suspension-phase", 10, suspension("phase")),
    Kind("suspension-relief", 4, suspension("dic")),
    Kind("yeast-bright-field", 10, yeast("brightfield")),
    Kind("yeast-phase", 11, yeast("phase")),
    Kind("yeast-relief", 5, yeast("dic")),
    Kind("adherent-phase", 21, adherent("phase")),
    Kind("adherent-bright-field", 11, adherent("brightfield")),
    Kind("adherent-relief", 6, adherent("dic")),
    Kind("quantitative-phase", 8, partial(scene, any_quantitative, draw_quantitative)),
    Kind("stained-cells", 15, partial(scene, any_stained, draw_stained)),
    Kind("nuclei-culture", 9, nuclei("culture")),
    Kind("nuclei-clusters", 9, nuclei("clusters")),
    Kind("nuclei-tissue", 8, nuclei("tissue")),
    Kind("histology", 20, partial(scene, any_histology, draw_histology)),
    Kind("negative-well", 6, negative("well")),
    Kind("negative-noise", 5, negative("noise")),
    Kind("negative-writing", 4, negative("writing")),
    Kind("negative-scenery", 6, negative("scenery")),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=Path("data/generated"))
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=None, help="processes; all cores if unset")
    parser.add_argument("--kinds", default="", help="begin of the names of the kinds to draw")
    parser.add_argument("--sheet", action="store_true", help="also draw a sheet of each kind")
    arguments = parser.parse_args()
    kinds = tuple(kind for kind in KINDS if kind.name.startswith(arguments.kinds))
    if arguments.count < 1 or not kinds:
        print(
            "Expected --count of 1 or more and --kinds that begins the name of a kind, but got "
            f"{arguments.count} and {arguments.kinds!r}. Kinds: {[kind.name for kind in KINDS]}.",
            file=sys.stderr,
        )
        return 2
    begin = time.perf_counter()
    make = partial(make_image, kinds=kinds, seed=arguments.seed, out=arguments.out)
    # Not forked: numba and torch may have threads.
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        made = list(pool.map(make, range(arguments.count), chunksize=8))
        if arguments.sheet:
            sheet = partial(make_sheet, seed=arguments.seed, out=arguments.out)
            list(pool.map(sheet, kinds))
    write_manifest(arguments.out / "manifest.csv", [record for record, _ in made])
    report(made, time.perf_counter() - begin)
    return 0


def make_image(number: int, *, kinds: tuple[Kind, ...], seed: int, out: Path) -> tuple[Record, int]:
    """Write one image with its labels; return its record and how many objects it has."""
    generator = np.random.default_rng([seed, number])
    shares = np.array([kind.share for kind in kinds], dtype=np.float64)
    kind = kinds[generator.choice(len(kinds), p=shares / shares.sum())]
    image, labels = kind.draw(any_shape(generator), generator)
    name = f"{number:06d}_{kind.name}"
    record = Record(
        image=out / "images" / f"{name}.tif",
        labels=out / "labels" / f"{name}.tif",
        split=VAL if (number + 1) % VAL_EVERY == 0 else TRAIN,
        modality=f"{SOURCE}-{kind.name}",
        group=f"{SOURCE}/{name}",
        source=SOURCE,
    )
    write_tiff(record.image, image)
    write_tiff(record.labels, labels[None].astype(np.uint16))
    return record, int(labels.max(initial=0))


def any_shape(generator: np.random.Generator) -> Shape:
    low, high = (math.log(side) for side in SIDES)
    height, width = np.exp(generator.uniform(low, high, 2)).round().astype(int)
    return int(height), int(width)


def write_tiff(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plane = len(pixels) == 1
    settings = {"metadata": None} if plane else {"metadata": {"axes": "CYX"}, "ome": True}
    write_atomic(
        path,
        lambda file: tifffile.imwrite(
            file,
            pixels[0] if plane else pixels,
            compression="zlib",
            predictor=2,
            photometric="minisblack",
            **settings,
        ),
    )


def make_sheet(kind: Kind, *, seed: int, out: Path) -> None:
    """Write a picture of a few images of one kind, each beside itself with outlines."""
    pictures = []
    for number in range(SHEET_IMAGES):
        generator = np.random.default_rng([seed, number])
        image, labels = kind.draw(any_shape(generator), generator)
        plain = overlay(image, np.zeros_like(labels[None]), magnification=2)
        pictures += [middle(plain), middle(overlay(image, labels[None], magnification=2))]
    path = out / "sheets" / f"{kind.name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(contact_sheet(pictures, columns=6)).save(path)


def middle(picture: np.ndarray) -> np.ndarray:
    """Return the middle of a picture, on gray where it is smaller than a field of the sheet."""
    side = 2 * SHEET_SIDE
    field = np.full((side, side, 3), 128, dtype=np.uint8)
    height, width = (min(side, length) for length in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    window = picture[top : top + height, left : left + width]
    field[(side - height) // 2 :, (side - width) // 2 :][:height, :width] = window
    return field


def report(made: list[tuple[Record, int]], seconds: float) -> None:
    images = Counter((record.modality, record.split) for record, _ in made)
    objects: Counter[tuple[str, str]] = Counter()
    for record, count in made:
        objects[record.modality, record.split] += count
    for (modality, split), count in sorted(images.items()):
        print(f"{modality:40} {split:6} {count:6} images {objects[modality, split]:8} objects")
    print(f"{len(made)} images, {sum(objects.values())} objects in {seconds:.0f} s")


if __name__ == "__main__":
    raise SystemExit(main())
