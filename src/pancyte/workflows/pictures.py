"""The pictures of a prediction: contours on the image, of all classes and of each one.

Their names, and how much of a large image they show, are those of the pictures of errors too.
"""

from __future__ import annotations

import re
from math import ceil, sqrt
from typing import TYPE_CHECKING, Final

from pancyte.viz.overlay import overlay, readable_magnification

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from pancyte.types import IntArray, Pixels

LARGEST_PICTURE: Final = 25_000_000
"""Pixels of the largest picture; that of a larger image shows every second or third pixel of it."""


def picture_step(shape: tuple[int, int]) -> int:
    """Return n, where the picture of an image of a shape shows every n-th pixel of it.

    Examples
    --------
    >>> picture_step((5000, 5000)), picture_step((5000, 5001))
    (1, 2)
    """
    return max(ceil(sqrt(shape[0] * shape[1] / LARGEST_PICTURE)), 1)


def class_stems(stem: Path, classes: Sequence[str]) -> list[Path]:
    """Return the path without ending of the picture of each class of an image.

    Parameters
    ----------
    stem
        Path of the image without its suffix.
    classes
        Names of the classes, which may hold characters that a file name cannot.

    Returns
    -------
    list of Path
        All different. For one class that is ``stem``.

    Examples
    --------
    >>> from pathlib import Path
    >>> [path.name for path in class_stems(Path("a"), ["cell", "CD3/CD4", "CD3 CD4"])]
    ['a_cell', 'a_CD3-CD4', 'a_CD3-CD4-2']
    """
    if len(classes) == 1:
        return [stem]
    names: dict[str, str] = {}
    for label_class in classes:
        name = base = re.sub(r"[^\w.+-]+", "-", label_class)
        number = 1
        # Letter case does not tell names apart, since it does not on every file system.
        while name.casefold() in names:
            number += 1
            name = f"{base}-{number}"
        names[name.casefold()] = name
    return [stem.with_name(f"{stem.name}_{name}") for name in names.values()]


def draw_contours(pixels: Pixels, labels: IntArray) -> npt.NDArray[np.uint8]:
    """Draw the contours of all objects on an image, in a size that can be looked at.

    Parameters
    ----------
    pixels
        Image of shape (C, Y, X).
    labels
        Labels of shape (K, Y, X).

    Returns
    -------
    uint8 array of shape (y, x, 3)
        A small image is magnified, and of a large one only every n-th pixel is shown.
    """
    shape = pixels.shape[1], pixels.shape[2]
    step = picture_step(shape)
    return overlay(
        pixels[:, ::step, ::step],
        labels[:, ::step, ::step],
        magnification=readable_magnification(shape),
    )
