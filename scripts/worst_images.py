"""Put the pictures of the images on which an evaluation found a model worst on one sheet.

    uv run pancyte evaluate generalist data/bundled/manifest.csv --split dev -o out/dev
    uv run python scripts/worst_images.py out/dev docs/models/generalist_worst.jpg

Prints the list as a table, the worst first: what was found, invented and missed at an IoU of 0.5.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from pancyte.io.images import ERRORS_SUFFIX
from pancyte.io.tables import read_csv
from pancyte.viz.contact_sheet import contact_sheet
from pancyte.workflows.error_pictures import PICTURES

COUNT = 10
COLUMNS = 5
SIDE = 320


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("evaluation", type=Path, help="folder of pancyte evaluate")
    parser.add_argument("sheet", type=Path, help="picture to write")
    arguments = parser.parse_args()
    rows = worst(read_csv(arguments.evaluation / "scores.csv"))
    print("| | image | F1@0.5 | found | invented | missed |")
    print("|---|---|---|---|---|---|")
    pictures = []
    for place, (image, score, tp, fp, fn) in enumerate(rows, start=1):
        print(f"| {place} | {Path(image).with_suffix('')} | {score:.2f} | {tp} | {fp} | {fn} |")
        pictures.append(picture_of(arguments.evaluation, Path(image)))
    PillowImage.fromarray(contact_sheet(pictures, columns=COLUMNS)).save(arguments.sheet)
    return 0


def worst(table: dict[str, list[str]]) -> list[tuple[str, float, str, str, str]]:
    """Return image, F1 and counts of the images with the lowest F1 at an IoU of 0.5."""
    columns = ("image", "f1", "tp", "fp", "fn")
    rows = [
        (image, float(score), tp, fp, fn)
        for threshold, image, score, tp, fp, fn in zip(
            table["threshold"], *(table[name] for name in columns), strict=True
        )
        if float(threshold) == 0.5 and score not in {"", "nan"}
    ]
    return sorted(rows, key=lambda row: row[1])[:COUNT]


def picture_of(evaluation: Path, image: Path) -> np.ndarray:
    """Return the picture of the errors of an image, fit into a square of the sheet."""
    path = evaluation / PICTURES / image.with_name(image.stem + ERRORS_SUFFIX)
    if not path.is_file():
        raise SystemExit(f"{path}: no such picture. Evaluate without pictures=false.")
    with PillowImage.open(path) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((SIDE, SIDE))
    field = PillowImage.new("RGB", (SIDE, SIDE), (128, 128, 128))
    field.paste(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
    return np.asarray(field)


if __name__ == "__main__":
    raise SystemExit(main())
