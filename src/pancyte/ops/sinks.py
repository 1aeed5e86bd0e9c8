"""Where the objects of a plane gather: connected components, their boxes and their sinks.

The sink of a component is its pixel nearest to the rounded mean of its coordinates, as in Cellpose.
Both fields of :mod:`pancyte.ops.flow` start from it.

References
----------
Stringer et al. 2021, Cellpose, doi:10.1038/s41592-020-01018-x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numba import njit

from pancyte.ops.ids import bounding_boxes
from pancyte.ops.labels import split_components

if TYPE_CHECKING:
    from pancyte.types import IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """The n connected components of a plane of labels."""

    labels: IntArray
    """(Y, X) component 1..n of each pixel, 0 for background."""
    boxes: npt.NDArray[np.int64]
    """(n, 4) half-open boxes y0, x0, y1, x1."""
    sinks: npt.NDArray[np.int64]
    """(n, 2) pixel y, x where the component gathers."""


def find_components(labels: npt.ArrayLike) -> Components:
    """Split every object of a plane into connected components and find their sinks.

    Parameters
    ----------
    labels
        Labels of shape (Y, X), of an integer type, with any ids.

    Returns
    -------
    Components
        Pixels that share an edge or a corner belong together; the order is that of the scan.

    Examples
    --------
    >>> found = find_components(np.array([[7, 7, 7, 0, 7], [7, 7, 7, 0, 0], [7, 7, 7, 0, 0]]))
    >>> found.sinks
    array([[1, 1],
           [0, 4]])
    """
    return locate_components(split_components(labels, connectivity=2))


def locate_components(labels: IntArray) -> Components:
    """Return the boxes and sinks of objects 1..n that are taken as they are.

    Notes
    -----
    The mean is rounded half to even; of equally near pixels the first in scan order is the sink.
    Two passes over the pixels.
    """
    boxes = bounding_boxes(labels, int(labels.max(initial=0)))
    return Components(labels, boxes, _nearest_to_mean(labels, boxes))


@njit(cache=True, nogil=True)
def _nearest_to_mean(labels: IntArray, boxes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    sinks = np.empty((boxes.shape[0], 2), dtype=np.int64)
    for index in range(boxes.shape[0]):
        y0, x0, y1, x1 = boxes[index]
        area, total_y, total_x = 0, 0, 0
        for y in range(y1 - y0):
            row = labels[y0 + y, x0:x1]
            here, right = 0, 0
            for x in range(row.size):
                inside = row[x] == index + 1
                here += inside
                right += inside * x
            area += here
            total_y += here * y
            total_x += right
        # Cellpose rounds inside the box, where half to even depends on where the box begins.
        y, x = y0 + int(np.round(total_y / area)), x0 + int(np.round(total_x / area))
        if labels[y, x] != index + 1:
            y, x = _nearest_inside(labels, boxes[index], index + 1, (y, x))
        sinks[index] = y, x
    return sinks


@njit(cache=True, nogil=True)
def _nearest_inside(
    labels: IntArray, box: npt.NDArray[np.int64], label: int, target: tuple[int, int]
) -> tuple[int, int]:
    nearest, best = target, np.inf
    for y in range(box[0], box[2]):
        for x in range(box[1], box[3]):
            apart = (y - target[0]) ** 2 + (x - target[1]) ** 2
            if labels[y, x] == label and apart < best:
                nearest, best = (y, x), apart
    return nearest
