"""Many small pictures side by side on one sheet, to see at a glance what a group of images is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pancyte.ops.resample import resize_image
from pancyte.viz.overlay import to_display

if TYPE_CHECKING:
    from collections.abc import Sequence

UintArray = npt.NDArray[np.uint8]

_GAP: Final = 4
_PAPER: Final = 255


def thumbnail(pixels: npt.NDArray[np.generic], *, side: int = 128) -> UintArray:
    """Return a small square picture of the middle of an image.

    Parameters
    ----------
    pixels
        Image of shape (C, Y, X).
    side
        Height and width of the picture. Up to three times as many pixels of the image are shown in
        it; of a larger image, what lies in the middle.

    Returns
    -------
    uint8 array of shape (side, side, 3)
        An image smaller than that is enlarged.

    Examples
    --------
    >>> thumbnail(np.zeros((1, 300, 900)), side=64).shape
    (64, 64, 3)
    """
    shown = min(3 * side, *pixels.shape[1:])
    top, left = ((length - shown) // 2 for length in pixels.shape[1:])
    window = to_display(pixels[:, top : top + shown, left : left + shown])
    planes = np.moveaxis(window, -1, 0).astype(np.float32)
    small = resize_image(np.ascontiguousarray(planes), (side, side))
    return np.ascontiguousarray(np.moveaxis(small, 0, -1).round().clip(0, 255).astype(np.uint8))


def contact_sheet(pictures: Sequence[UintArray], *, columns: int = 6) -> UintArray:
    """Arrange pictures of one size in rows, on white.

    Parameters
    ----------
    pictures
        At least one, of shape (Y, X, 3).
    columns
        Pictures in a row; a sheet with fewer is narrower.

    Returns
    -------
    uint8 array of shape (rows * (Y + 4) + 4, columns * (X + 4) + 4, 3)
        In reading order.

    Raises
    ------
    ValueError
        There is no picture, or they differ in size.

    Examples
    --------
    >>> contact_sheet([np.zeros((8, 8, 3), np.uint8)] * 5, columns=3).shape
    (28, 40, 3)
    """
    shapes = {picture.shape for picture in pictures}
    if len(shapes) != 1 or columns < 1:
        msg = (
            "Expected at least one picture, all of one size, and at least one column, but got "
            f"{sorted(shapes)} and {columns}"
        )
        raise ValueError(msg)
    height, width = pictures[0].shape[:2]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    size = (rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3)
    sheet = np.full(size, _PAPER, dtype=np.uint8)
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        y, x = _GAP + row * (height + _GAP), _GAP + column * (width + _GAP)
        sheet[y : y + height, x : x + width] = picture
    return sheet
