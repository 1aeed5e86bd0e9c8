"""Operations on one plane of labels: ids, components, cleaning, borders and boundaries.

A plane of labels holds one id per object and 0 for background. Objects of one plane never overlap,
but one may lie inside another. Every function takes any integer type, returns a new array, and
leaves the ids of pixels that stay alone unless its name says otherwise. Work is one or two passes
over the pixels, whatever the number of objects or the size of their ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import cc3d
import numpy as np
import numpy.typing as npt
from numba import njit

from pancyte.ops.holes import fill_enclosed
from pancyte.ops.ids import as_labels, compact_ids, map_ids

if TYPE_CHECKING:
    from pancyte.types import BoolArray, IntArray

_CC3D_CONNECTIVITY: dict[tuple[int, int], Literal[4, 8, 6, 18, 26]] = {
    (2, 1): 4,
    (2, 2): 8,
    (3, 1): 6,
    (3, 2): 18,
    (3, 3): 26,
}


def make_consecutive(labels: npt.ArrayLike) -> IntArray:
    """Renumber the objects 1..n in the order of their ids.

    Parameters
    ----------
    labels
        Array of any shape, of an integer type.

    Returns
    -------
    IntArray
        The same objects with ids 1..n; empty stays empty.

    See Also
    --------
    compact_ids : also returns the old ids.

    Examples
    --------
    >>> make_consecutive(np.array([[0, 9, 9], [4, 4, 0]]))
    array([[0, 2, 2],
           [1, 1, 0]], dtype=int32)
    """
    return compact_ids(labels)[0]


def split_components(labels: npt.ArrayLike, *, connectivity: int = 1) -> IntArray:
    """Give every connected component of every object an id of its own, 1..n.

    Parameters
    ----------
    labels
        Labels of shape (Y, X) or (Z, Y, X).
    connectivity
        Steps along this many axes at once connect two pixels: 1 means shared edges (faces).

    Returns
    -------
    IntArray
        New ids 1..n in scan order.

    Raises
    ------
    ValueError
        If the labels have another number of axes, or the connectivity exceeds it.

    Notes
    -----
    Touching objects stay apart, because their ids differ.

    Examples
    --------
    >>> split_components(np.array([[5, 0, 5], [5, 3, 3]]))
    array([[1, 0, 2],
           [1, 3, 3]], dtype=int32)
    """
    array = as_labels(labels)
    steps = _CC3D_CONNECTIVITY.get((array.ndim, connectivity))
    if steps is None:
        msg = (
            "Expected labels of shape (Y, X) or (Z, Y, X) and a connectivity from 1 to their "
            f"number of axes, but got shape {array.shape} and connectivity {connectivity}"
        )
        raise ValueError(msg)
    if not array.any():  # cc3d returns booleans for an array without pixels
        return np.zeros_like(array)
    if not array.flags.writeable:  # cc3d asks for a writeable buffer, though it only reads
        array = array.copy()
    components = cc3d.connected_components(array, connectivity=steps, out_dtype=np.uint32)
    return as_labels(components)


def keep_largest_component(labels: npt.ArrayLike, *, connectivity: int = 1) -> IntArray:
    """Keep the largest connected component of every object and make the rest background.

    Parameters
    ----------
    labels
        Labels of shape (Y, X) or (Z, Y, X).
    connectivity
        As in :func:`split_components`.

    Returns
    -------
    IntArray
        The same ids, each one connected component; of equally large ones the first in scan order.

    Examples
    --------
    >>> keep_largest_component(np.array([[5, 0, 5, 5], [0, 3, 3, 0]]))
    array([[0, 0, 5, 5],
           [0, 3, 3, 0]], dtype=int32)
    """
    array = as_labels(labels)
    components = split_components(array, connectivity=connectivity)
    num_components = int(components.max(initial=0))
    if num_components == 0:
        return np.zeros_like(array)
    sizes, owner = _component_sizes(components.ravel(), array.ravel(), num_components)
    order = np.lexsort((np.arange(num_components), -sizes[1:], owner[1:])) + 1
    first = np.ones(num_components, dtype=bool)
    first[1:] = owner[order][1:] != owner[order][:-1]
    keep = np.zeros(num_components + 1, dtype=np.int32)
    keep[order[first]] = owner[order[first]]
    return map_ids(components, keep)


def remove_small(labels: npt.ArrayLike, min_size: int) -> IntArray:
    """Make objects of fewer than ``min_size`` pixels background; the others keep their ids.

    Parameters
    ----------
    labels
        Array of any shape, of an integer type.
    min_size
        Smallest number of pixels that is kept; 0 and 1 keep everything.

    Returns
    -------
    IntArray
        The cleaned labels.

    See Also
    --------
    make_consecutive : closes the gaps that this leaves in the ids.

    Examples
    --------
    >>> remove_small(np.array([[1, 1, 0, 2], [1, 0, 0, 0]]), 2)
    array([[1, 1, 0, 0],
           [1, 0, 0, 0]], dtype=int32)
    """
    compact, ids = compact_ids(labels)
    sizes = np.bincount(compact.ravel(), minlength=len(ids))
    return map_ids(compact, np.where(sizes >= min_size, ids, 0))


def fill_holes(labels: npt.ArrayLike) -> IntArray:
    """Fill the holes of every object with its id, never over another object.

    Parameters
    ----------
    labels
        Labels of shape (Y, X) or (Z, Y, X).

    Returns
    -------
    IntArray
        The filled labels.

    Raises
    ------
    ValueError
        If the labels have another number of axes.

    Notes
    -----
    A hole is background that cannot leave the object's bounding box in steps along the axes without
    crossing the object itself. In a volume that is a cavity closed on all sides: tunnels stay open,
    and so do the bays that a slice shows as holes. A volume of one slice is taken as a plane.
    Objects inside a hole survive; background around them is filled. Of several objects that enclose
    a pixel the one with the smallest bounding box gets it. Background enclosed by several objects
    together, but by none of them alone, is no hole. Work is one pass, and the bounding boxes of
    objects with a gap in a row, without which there is no hole.

    Examples
    --------
    >>> fill_holes(np.array([[1, 1, 1, 1], [1, 0, 2, 1], [1, 1, 1, 1]]))
    array([[1, 1, 1, 1],
           [1, 1, 2, 1],
           [1, 1, 1, 1]], dtype=int32)
    """
    compact, ids = compact_ids(labels)
    if compact.ndim not in (2, 3):
        msg = f"Expected labels of shape (Y, X) or (Z, Y, X), but got {compact.shape}"
        raise ValueError(msg)
    volume = compact[None] if compact.ndim == 2 else compact
    return map_ids(fill_enclosed(volume, len(ids) - 1).reshape(compact.shape), ids)


def touches_border(labels: npt.ArrayLike, *, width: int = 1) -> IntArray:
    """Return the ids, ascending, of objects with a pixel in the outer frame of the image.

    Parameters
    ----------
    labels
        Labels of shape (Y, X) or (Z, Y, X).
    width
        Width of the frame in pixels; 0 means no frame.

    Returns
    -------
    IntArray of shape (n,)
        The ids.

    Raises
    ------
    ValueError
        If the width is negative.

    Examples
    --------
    >>> touches_border(np.array([[0, 0, 0], [8, 2, 0], [0, 0, 0]]))
    array([8], dtype=int32)
    """
    if width < 0:
        msg = f"Expected a frame of 0 or more pixels, but got {width}"
        raise ValueError(msg)
    array = as_labels(labels)
    if width == 0:
        return np.zeros(0, dtype=np.int32)
    frame = [
        np.moveaxis(array, axis, 0)[part].ravel()
        for axis in range(array.ndim)
        for part in (slice(None, width), slice(-width, None))
    ]
    ids = np.unique(np.concatenate(frame))
    return ids[ids > 0]


def clear_border(labels: npt.ArrayLike, *, width: int = 1) -> IntArray:
    """Make objects with a pixel in the outer frame of the image background.

    Parameters
    ----------
    labels
        Labels of shape (Y, X) or (Z, Y, X).
    width
        Width of the frame in pixels; 0 keeps everything.

    Returns
    -------
    IntArray
        The labels without these objects; the others keep their ids.

    Examples
    --------
    >>> clear_border(np.array([[0, 1, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]]))
    array([[0, 0, 0, 0],
           [0, 0, 2, 0],
           [0, 0, 0, 0]], dtype=int32)
    """
    compact, ids = compact_ids(labels)
    keep = ids.copy()
    keep[touches_border(compact, width=width)] = 0
    return map_ids(compact, keep)


def boundaries(labels: npt.ArrayLike) -> BoolArray:
    """Mark the pixels of objects that share an edge with another object or with background.

    Parameters
    ----------
    labels
        Labels of shape (..., Y, X); each plane is taken on its own.

    Returns
    -------
    BoolArray
        True on the inner boundary, one pixel wide. The edge of the image is no boundary.

    Raises
    ------
    ValueError
        If the labels have fewer than two axes.

    Examples
    --------
    >>> boundaries(np.array([[1, 1, 1, 2], [1, 1, 1, 2], [1, 1, 1, 2]])).astype(int)
    array([[0, 0, 1, 1],
           [0, 0, 1, 1],
           [0, 0, 1, 1]])
    """
    array = as_labels(labels)
    if array.ndim < 2:
        msg = f"Expected labels of shape (..., Y, X), but got {array.shape}"
        raise ValueError(msg)
    marks = np.zeros(array.shape, dtype=bool)
    if array.size:
        planes = (-1, *array.shape[-2:])
        _mark_boundaries(array.reshape(planes), marks.reshape(planes))
    return marks


@njit(cache=True, nogil=True)
def _component_sizes(
    components: IntArray, labels: IntArray, num_components: int
) -> tuple[npt.NDArray[np.int64], IntArray]:
    sizes = np.zeros(num_components + 1, dtype=np.int64)
    owner = np.zeros(num_components + 1, dtype=np.int32)
    for k in range(components.size):
        sizes[components[k]] += 1
        owner[components[k]] = labels[k]
    return sizes, owner


@njit(cache=True, nogil=True)
def _mark_boundaries(planes: IntArray, marks: BoolArray) -> None:
    num_planes, height, width = planes.shape
    for k in range(num_planes):
        for y in range(height):
            above, below = max(y - 1, 0), min(y + 1, height - 1)
            for x in range(width):
                label = planes[k, y, x]
                if label:
                    marks[k, y, x] = (
                        planes[k, above, x] != label
                        or planes[k, below, x] != label
                        or planes[k, y, max(x - 1, 0)] != label
                        or planes[k, y, min(x + 1, width - 1)] != label
                    )
