"""What a network learns about the sizes of objects, on a grid coarser than the image.

A cell of the grid is ``stride`` pixels wide and asks one pixel, that about its middle: of which
object it is, and how large that object is, as the binary logarithm of its diameter over a diameter
of reference. What is seen of an object that a side of the image cuts is the least that it measures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pancyte.ops.ids import compact_ids
from pancyte.ops.labels import touches_border

if TYPE_CHECKING:
    from pancyte.types import BoolArray, FloatArray

BACKGROUND: Final = 0
WHOLE: Final = 1
CUT: Final = 2
UNKNOWN: Final = 3


def size_targets(
    plane: npt.NDArray[np.integer],
    valid: BoolArray | None = None,
    *,
    reference: float,
    stride: int = 4,
) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
    """Return the size of the object in the middle of each cell of a grid, and what is known of it.

    Parameters
    ----------
    plane
        Labels of shape (Y, X).
    valid
        Where they can be trusted, of the same shape; None is everywhere.
    reference
        Diameter in pixels whose size is 0.
    stride
        Side of a cell in pixels. Cells at the end may be smaller.

    Returns
    -------
    sizes : FloatArray of shape (ceil(Y / stride), ceil(X / stride))
        log2(diameter / reference) with the diameter of the circle of the same area; 0 outside of
        objects.
    kinds : uint8 array of the same shape
        ``WHOLE`` where the object is all there; ``CUT`` where it reaches a side or something
        unknown, so that it is at least as large; ``BACKGROUND``; or ``UNKNOWN``, not ``valid``.

    Examples
    --------
    >>> plane = np.zeros((8, 8), int)
    >>> plane[1:6, 1:6] = 7
    >>> sizes, kinds = size_targets(plane, reference=2.82)
    >>> sizes.round(2), kinds
    (array([[1., 0.],
           [0., 0.]], dtype=float32), array([[1, 0],
           [0, 0]], dtype=uint8))
    """
    compact, _ = compact_ids(plane)
    areas = np.bincount(compact.ravel(), minlength=1).astype(np.float64)
    areas[0] = np.pi * reference**2 / 4
    diameters = np.sqrt(areas * 4 / np.pi)
    kinds = np.full(len(areas), WHOLE, dtype=np.uint8)
    kinds[touches_border(compact)] = CUT
    if valid is not None and not valid.all():
        kinds[compact[_beside(~valid)]] = CUT
    kinds[0] = BACKGROUND
    cells = np.ix_(*(cell_middles(length, stride) for length in plane.shape))
    asked = compact[cells]
    known = kinds[asked]
    if valid is not None:
        known = np.where(valid[cells], known, np.uint8(UNKNOWN))
    return np.log2(diameters / reference).astype(np.float32)[asked], known


def cell_middles(length: int, stride: int) -> npt.NDArray[np.int64]:
    """Return the pixel about the middle of each cell along an axis.

    Examples
    --------
    >>> cell_middles(8, 4), cell_middles(9, 4)
    (array([2, 6]), array([2, 6, 8]))
    """
    return np.minimum(np.arange(0, length, stride) + stride // 2, length - 1)


def _beside(mask: BoolArray) -> BoolArray:
    """Return the mask and the pixels that share an edge with it."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown
