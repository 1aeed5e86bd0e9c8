"""Where the objects of a plane or a volume gather: components, their boxes and their sinks.

Both fields of :mod:`pancyte.ops.flow` start from the sink of a component: in a plane its pixel
nearest to the rounded mean of its coordinates, in a volume its voxel nearest to the mean itself, as
in Cellpose.

References
----------
Stringer et al. 2021, Cellpose, doi:10.1038/s41592-020-01018-x.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from pancyte.ops.ids import bounding_boxes
from pancyte.ops.labels import split_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pancyte.types import IntArray


class Components(NamedTuple):
    """The n connected components of a plane or a volume of labels."""

    labels: IntArray
    """([Z,] Y, X) component 1..n of each pixel, 0 for background."""
    boxes: npt.NDArray[np.int64]
    """(n, 2 ndim) half-open boxes [z0,] y0, x0, [z1,] y1, x1."""
    sinks: npt.NDArray[np.int64]
    """(n, ndim) pixel [z,] y, x where the component gathers."""
    sides: npt.NDArray[np.float64]
    """(3,) size of a voxel along z, y, x in units of its smallest side; 1 for pixels."""


def find_components(labels: npt.ArrayLike, *, spacing: Sequence[float] | None = None) -> Components:
    """Split every object into connected components and find their sinks.

    Parameters
    ----------
    labels
        Labels of shape (Y, X) or (Z, Y, X), of an integer type, with any ids.
    spacing
        Size of a voxel along z, y, x, in any unit; None for cubes.

    Returns
    -------
    Components
        Pixels of a plane that share an edge or a corner belong together, and voxels that share a
        face; the order is that of the scan.

    Raises
    ------
    ValueError
        If the spacing does not fit.

    Examples
    --------
    >>> found = find_components(np.array([[7, 7, 7, 0, 7], [7, 7, 7, 0, 0], [7, 7, 7, 0, 0]]))
    >>> found.sinks
    array([[1, 1],
           [0, 4]])
    """
    # Heat and tracks of a volume pass through faces, so that parts joined by less are on their own.
    steps = 1 if np.ndim(labels) == 3 else 2
    return locate_components(split_components(labels, connectivity=steps), spacing=spacing)


def locate_components(labels: IntArray, *, spacing: Sequence[float] | None = None) -> Components:
    """Return the boxes and sinks of objects 1..n that are taken as they are.

    Notes
    -----
    In a plane the mean is rounded half to even; of equally near pixels the first in scan order is
    the sink. Two passes over the pixels.
    """
    sides = voxel_sides(spacing, labels.ndim)
    volume = labels[None] if labels.ndim == 2 else labels
    boxes = bounding_boxes(volume, int(labels.max(initial=0)))
    sinks = _nearest_to_mean(volume, boxes, sides**2, labels.ndim == 2)
    if labels.ndim == 2:
        boxes, sinks = boxes[:, [1, 2, 4, 5]], sinks[:, 1:]
    return Components(labels, boxes, sinks, sides)


def as_volume(components: Components) -> Components:
    """Return components of a plane as those of a volume of one plane; volumes as they are."""
    labels, boxes, sinks, sides = components
    if labels.ndim == 3:
        return components
    volume_boxes = np.zeros((len(boxes), 6), dtype=np.int64)
    volume_boxes[:, 3] = 1
    volume_boxes[:, [1, 2, 4, 5]] = boxes
    volume_sinks = np.zeros((len(boxes), 3), dtype=np.int64)
    volume_sinks[:, 1:] = sinks
    return Components(labels[None], volume_boxes, volume_sinks, sides)


def voxel_sides(spacing: Sequence[float] | None, ndim: int) -> npt.NDArray[np.float64]:
    """Return the sides z, y, x of a voxel in units of the smallest.

    Raises
    ------
    ValueError
        If the spacing is not of three positive numbers, or given for a plane.

    Examples
    --------
    >>> voxel_sides((2.0, 0.8, 0.8), 3)
    array([2.5, 1. , 1. ])
    """
    if spacing is None:
        return np.ones(3)
    sides = np.asarray(spacing, dtype=np.float64)
    if ndim != 3 or sides.shape != (3,) or not np.isfinite(sides).all() or sides.min() <= 0:
        msg = (
            "Expected a spacing of three positive numbers z, y, x for labels of shape (Z, Y, X), "
            f"but got {tuple(spacing)} for {ndim} axes. Leave it out for a plane."
        )
        raise ValueError(msg)
    relative: npt.NDArray[np.float64] = sides / sides.min()
    return relative


@njit(cache=True, nogil=True)
def _nearest_to_mean(
    labels: IntArray,
    boxes: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    rounded: bool,  # noqa: FBT001 - a kernel
) -> npt.NDArray[np.int64]:
    sinks = np.empty((boxes.shape[0], 3), dtype=np.int64)
    for index in range(boxes.shape[0]):
        z0, y0, x0, z1, y1, x1 = boxes[index]
        area, total_z, total_y, total_x = 0, 0, 0, 0
        for z in range(z1 - z0):
            for y in range(y1 - y0):
                row = labels[z0 + z, y0 + y, x0:x1]
                here, right = 0, 0
                for x in range(row.size):
                    inside = row[x] == index + 1
                    here += inside
                    right += inside * x
                area += here
                total_z += here * z
                total_y += here * y
                total_x += right
        mean_z, mean_y, mean_x = total_z / area, total_y / area, total_x / area
        if rounded:
            # Cellpose rounds inside the box, where half to even depends on where the box begins.
            mean_z, mean_y, mean_x = np.round(mean_z), np.round(mean_y), np.round(mean_x)
        mean = mean_z + z0, mean_y + y0, mean_x + x0
        z, y, x = _first_nearest(mean[0]), _first_nearest(mean[1]), _first_nearest(mean[2])
        if labels[z, y, x] != index + 1:
            z, y, x = _nearest_inside(labels, boxes[index], index + 1, mean, weights)
        sinks[index] = z, y, x
    return sinks


@njit(cache=True, nogil=True)
def _first_nearest(place: float) -> int:
    """Round to the nearest whole number, half downward: the first of two in scan order."""
    return int(np.ceil(place - 0.5))


@njit(cache=True, nogil=True)
def _nearest_inside(
    labels: IntArray,
    box: npt.NDArray[np.int64],
    label: int,
    target: tuple[float, float, float],
    weights: npt.NDArray[np.float64],
) -> tuple[int, int, int]:
    nearest, best = (box[0], box[1], box[2]), np.inf
    for z in range(box[0], box[3]):
        for y in range(box[1], box[4]):
            for x in range(box[2], box[5]):
                if labels[z, y, x] == label:
                    apart = weights[0] * (z - target[0]) ** 2
                    apart += weights[1] * (y - target[1]) ** 2 + weights[2] * (x - target[2]) ** 2
                    if apart < best:
                        nearest, best = (z, y, x), apart
    return nearest
