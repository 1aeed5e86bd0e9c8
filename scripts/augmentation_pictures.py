"""Make the pictures of docs/augmentation.md: an example as it is, and three times changed.

uv run python scripts/augmentation_pictures.py
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pancyte.augment.cell_aware import (
    BoundaryExclusion,
    CellAware,
    clear_boundaries,
    diversify_cells,
)
from pancyte.augment.intensity import IntensityAugmentation, augment_intensity
from pancyte.augment.spatial import NO_SPATIAL, SpatialAugmentation, draw_matrix
from pancyte.io.bitmaps import write_png
from pancyte.io.images import read_image
from pancyte.io.label_files import read_labels
from pancyte.ops.preprocess import Preprocessing, preprocess
from pancyte.ops.warp import Window, warp_image
from pancyte.types import Sample
from pancyte.viz.contact_sheet import contact_sheet

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = "fluo_tissue_nuclei"
SIDE = 128
SEEDS = (1, 2, 5)

Picture = np.ndarray


def main() -> None:
    """Write one picture for each change."""
    sample = read_example()
    folder = ROOT / "docs" / "images"
    folder.mkdir(exist_ok=True)
    for name, change in changes().items():
        pictures = [to_picture(sample.image)]
        pictures += [change(sample, np.random.default_rng(seed)) for seed in SEEDS]
        path = folder / f"augment_{name}.png"
        write_png(path, contact_sheet(pictures, columns=4))
        print(path.name, path.stat().st_size)


def whole_example() -> Sample:
    """Return the example, normalized, with its labels."""
    folder = ROOT / "examples" / "images"
    pixels = read_image(next(folder.glob(f"{EXAMPLE}.*"))).image.pixels
    labels = read_labels(next((folder.parent / "labels").glob(f"{EXAMPLE}.*"))).labels
    return Sample(preprocess(pixels, Preprocessing()), labels)


def read_example() -> Sample:
    """Return the middle of the example."""
    whole = whole_example()
    top, left = ((side - SIDE) // 2 for side in whole.image.shape[1:])
    part = np.s_[:, top : top + SIDE, left : left + SIDE]
    return Sample(whole.image[part], whole.labels[part])


def changes() -> dict[str, Callable[[Sample, np.random.Generator], Picture]]:
    """Return a function for each name of a picture."""
    off = {
        field.name: 0.0
        for field in fields(IntensityAugmentation)
        if field.name.endswith("_probability")
    }
    found: dict[str, Callable[[Sample, np.random.Generator], Picture]] = {
        "scale": spatial(replace(NO_SPATIAL, scale=(0.5, 2.0))),
        "turns": spatial(replace(NO_SPATIAL, flip=True, quarter_turns=True)),
        "rotation": spatial(
            replace(SpatialAugmentation(), scale=(1.0, 1.0), rotation_probability=1.0)
        ),
        "cell_aware": lambda sample, generator: to_picture(
            diversify_cells(sample, CellAware(factor=(0.3, 0.7)), generator).image
        ),
        "boundaries": boundaries,
    }
    for name in (
        "invert", "gamma", "brightness", "shading", "blur", "sharpen", "shot_noise", "noise",
        "darken", "smooth", "histogram", "enhance", "tint",
    ):  # fmt: skip
        found[name] = intensity(IntensityAugmentation(**{**off, f"{name}_probability": 1.0}))
    return found


def spatial(settings: SpatialAugmentation) -> Callable[[Sample, np.random.Generator], Picture]:
    """Return the function that shows a geometry."""

    def show(_: Sample, generator: np.random.Generator) -> Picture:
        image = whole_example().image
        middle = tuple(side // 2 - 0.5 for side in image.shape[1:])
        window = Window(middle, draw_matrix(settings, generator), (SIDE, SIDE))
        return to_picture(warp_image(image, window))

    return show


def intensity(settings: IntensityAugmentation) -> Callable[[Sample, np.random.Generator], Picture]:
    """Return the function that shows a change of intensities."""
    return lambda sample, generator: to_picture(
        augment_intensity(sample.image, settings, generator)
    )


def boundaries(sample: Sample, generator: np.random.Generator) -> Picture:
    """Show in red what is taken from objects larger than a number of pixels drawn at random."""
    exclusion = BoundaryExclusion(min_size=int(generator.integers(50, 250)))
    taken = (clear_boundaries(sample, exclusion).labels != sample.labels).any(axis=0)
    picture = to_picture(sample.image)
    picture[taken] = (255, 60, 60)
    return picture


def to_picture(image: npt.NDArray[np.float32]) -> Picture:
    """Show 0 as black and 1 as white, dark pixels brightened, the same for all."""
    shown = np.clip(image[:3], 0, 1) ** 0.6 * 255
    return np.ascontiguousarray(np.moveaxis(np.repeat(shown, 4 - len(shown), axis=0)[:3], 0, -1)
                                .round().astype(np.uint8))  # fmt: skip


if __name__ == "__main__":
    main()
