"""Make the picture of the README: the contours that a model finds in three of the examples.

uv run python scripts/readme_picture.py [MODEL]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import pancyte
from pancyte.io.bitmaps import write_png

ROOT = Path(__file__).resolve().parents[1]
NAMES = (
    "fluo_tissue_nuclei",
    "histology_multiclass",
    "phase_contrast_hela",
)
HEIGHT = 384
GAP = 6


def main() -> None:
    model = pancyte.load(*sys.argv[1:2])
    panels = []
    for name in NAMES:
        image = pancyte.read_image(ROOT / f"examples/images/{name}.tif").image
        result = model.segment(image)
        print(f"{name}: {result.objects.num_objects} objects")
        magnification = -(-HEIGHT // image.pixels.shape[1])
        panel = pancyte.overlay(image.pixels, result.labels, magnification=magnification)
        # Whole pixels of the magnified picture are kept: contours stay sharp.
        panels += [fit(panel), np.full((HEIGHT, GAP, 3), 255, np.uint8)]
    write_png(ROOT / "docs/images/overlay.png", np.concatenate(panels[:-1], axis=1))


def fit(panel: np.ndarray) -> np.ndarray:
    """Crop a panel to the height of the picture, or to the middle of it."""
    top = (panel.shape[0] - HEIGHT) // 2
    return panel[top : top + HEIGHT, :HEIGHT]


if __name__ == "__main__":
    main()
