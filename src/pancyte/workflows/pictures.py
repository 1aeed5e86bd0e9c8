"""The pictures of a prediction: contours on the image, of all classes and of each one."""

from __future__ import annotations

from math import ceil, sqrt
from typing import TYPE_CHECKING, Final

from pancyte.viz.overlay import overlay, readable_magnification

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pancyte.types import FloatArray, IntArray

LARGEST_PICTURE: Final = 25_000_000
"""Pixels of the largest picture; that of a larger image shows every second or third pixel of it."""


def draw_contours(pixels: FloatArray, labels: IntArray) -> npt.NDArray[np.uint8]:
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
    step = ceil(sqrt(shape[0] * shape[1] / LARGEST_PICTURE))
    return overlay(
        pixels[:, ::step, ::step],
        labels[:, ::step, ::step],
        magnification=readable_magnification(shape),
    )
