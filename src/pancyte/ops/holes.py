"""What an object encloses: the kernels of :func:`pancyte.ops.labels.fill_holes`.

An object whose pixels have no gap in any row encloses nothing, which one pass over the labels
tells; only the bounding boxes of the others are flooded from outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numba import njit

from pancyte.ops.ids import bounding_boxes

if TYPE_CHECKING:
    from pancyte.types import BoolArray, IntArray


def fill_enclosed(volume: IntArray, num_objects: int) -> IntArray:
    """Fill what each of the objects 1..n of a volume encloses: see :func:`labels.fill_holes`.

    Parameters
    ----------
    volume
        Labels of shape (Z, Y, X) with no id above ``num_objects``; one slice is taken as a plane.
    num_objects
        Number of objects.

    Returns
    -------
    IntArray
        The filled labels.

    Examples
    --------
    >>> fill_enclosed(np.array([[[1, 1, 1], [1, 0, 1], [1, 1, 1]]], np.int32), 1)[0, 1]
    array([1, 1, 1], dtype=int32)
    """
    filled = volume.copy()
    gapped = np.flatnonzero(_find_gaps(volume, num_objects))
    if gapped.size:
        boxes = bounding_boxes(volume, num_objects)
        rim = (2 if len(volume) > 1 else 0, 2, 2)
        padded = np.prod(boxes[gapped, 3:] - boxes[gapped, :3] + np.array(rim), axis=1)
        order = gapped[np.argsort(padded, kind="stable")]
        _fill_boxes(volume, filled, boxes, order, int(padded.max()))
    return filled


@njit(cache=True, nogil=True)
def _find_gaps(volume: IntArray, num_objects: int) -> BoolArray:
    """Whether each object 1..n has a row with something else between its pixels."""
    gapped = np.zeros(num_objects, dtype=np.bool_)
    last_row = np.full(num_objects + 1, -1, dtype=np.int64)
    rows = volume.reshape(-1, volume.shape[2])
    for row in range(rows.shape[0]):
        before = 0
        for label in rows[row]:
            if label != before and label:
                if last_row[label] == row:
                    gapped[label - 1] = True
                last_row[label] = row
            before = label
    return gapped


@njit(cache=True, nogil=True)
def _fill_boxes(
    labels: IntArray,
    filled: IntArray,
    boxes: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    largest: int,
) -> None:
    reached = np.empty(largest, dtype=np.uint8)
    stack = np.empty(largest, dtype=np.int64)
    # A rim of one pixel around the box joins everything that is outside the object. A plane has
    # none above and below, where all of it would be outside.
    rim = 1 if labels.shape[0] > 1 else 0
    for index in order:
        label = index + 1
        z0, y0, x0, z1, y1, x1 = boxes[index]
        if z1 - z0 < 1 + 2 * rim or y1 - y0 < 3 or x1 - x0 < 3:  # too small to enclose a pixel
            continue
        shape = (z1 - z0 + 2 * rim, y1 - y0 + 2, x1 - x0 + 2)
        window = reached[: shape[0] * shape[1] * shape[2]].reshape(shape)
        window[:] = 0
        inner = window[rim : rim + z1 - z0, 1:-1, 1:-1]
        box, target = labels[z0:z1, y0:y1, x0:x1], filled[z0:z1, y0:y1, x0:x1]
        for place in np.ndindex(box.shape):
            if box[place] == label:
                inner[place] = 1
        _flood(window, stack)
        for place in np.ndindex(box.shape):
            if target[place] == 0 and not inner[place]:
                target[place] = label


@njit(cache=True, nogil=True)
def _flood(window: npt.NDArray[np.uint8], stack: npt.NDArray[np.int64]) -> None:
    """Mark with 1 every 0 that steps along the axes reach from the first corner."""
    depth, height, width = window.shape
    window[0, 0, 0] = 1
    stack[0] = 0
    top = 1
    while top:
        top -= 1
        z, rest = divmod(stack[top], height * width)
        y, x = divmod(rest, width)
        for dz, dy, dx in ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1)):
            w, v, u = z + dz, y + dy, x + dx
            inside = 0 <= w < depth and 0 <= v < height and 0 <= u < width
            if inside and not window[w, v, u]:
                window[w, v, u] = 1
                stack[top] = (w * height + v) * width + u
                top += 1
