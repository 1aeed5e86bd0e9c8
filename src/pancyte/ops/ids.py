"""Ids of a label array: their type, their numbering, and where they are.

Sums over objects are tables with one row per id. :func:`compact_ids` makes such tables as short as
the number of objects, whatever ids a file used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numba import njit

if TYPE_CHECKING:
    from pancyte.types import IntArray

MAX_ID = int(np.iinfo(np.int32).max)
"""Largest id that a label plane can hold."""


def as_labels(labels: npt.ArrayLike) -> IntArray:
    """Return labels as a C-contiguous int32 array, without a copy where they are one.

    Parameters
    ----------
    labels
        Array of any shape, of an integer or boolean type.

    Returns
    -------
    IntArray
        The same ids as int32.

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If an id is negative or larger than 2,147,483,647: nothing is cut in silence.

    Examples
    --------
    >>> as_labels(np.array([0, 70000], dtype=np.uint32))
    array([    0, 70000], dtype=int32)
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "iub":
        msg = f"Expected labels of an integer type, but got {array.dtype}"
        raise TypeError(msg)
    if array.size and array.dtype.kind == "i" and int(array.min()) < 0:
        msg = f"Expected label ids from 0 upward, but got {int(array.min())}"
        raise ValueError(msg)
    larger = array.dtype.itemsize >= 4 and array.dtype != np.int32
    if array.size and larger and int(array.max()) > MAX_ID:
        msg = (
            f"Expected label ids up to {MAX_ID}, but got {int(array.max())}. "
            "Make the ids consecutive before the cast to int32."
        )
        raise ValueError(msg)
    return np.ascontiguousarray(array, dtype=np.int32)


def compact_ids(labels: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    """Renumber the objects 1..n in the order of their ids, and return the ids that they had.

    Parameters
    ----------
    labels
        Array of any shape, of an integer type.

    Returns
    -------
    compact : IntArray
        Labels with ids 1..n.
    ids : IntArray of shape (n + 1,)
        Old id of each new one: ``ids[compact]`` equals the input; ``ids[0]`` is 0.

    Notes
    -----
    Two passes with a table as long as the largest id; where ids are far larger than the array (a
    few objects with ids near 2**31), they are sorted instead.

    Examples
    --------
    >>> compact_ids(np.array([[0, 7, 7], [3, 3, 0]]))
    (array([[0, 2, 2],
           [1, 1, 0]], dtype=int32), array([0, 3, 7], dtype=int32))
    """
    array = as_labels(labels)
    largest = int(array.max(initial=0))
    if largest > 4 * array.size + 65_536:
        ids = np.unique(array)
        ids = np.concatenate([np.zeros(1, np.int32), ids[ids > 0]]).astype(np.int32)
        return np.searchsorted(ids, array).astype(np.int32), ids
    table = np.zeros(largest + 1, dtype=np.int32)
    _mark_present(array.ravel(), table)
    table[0] = 1
    ids = np.flatnonzero(table).astype(np.int32)
    table[ids] = np.arange(len(ids), dtype=np.int32)
    return _look_up(array.ravel(), table).reshape(array.shape), ids


def map_ids(labels: IntArray, table: IntArray) -> IntArray:
    """Replace every id by its entry in a table.

    Parameters
    ----------
    labels
        C-contiguous labels of any shape, with ids below the length of the table.
    table
        (n + 1,) new id of each old one; position 0 is background.

    Returns
    -------
    IntArray
        ``table[labels]``, in one fast pass.

    Examples
    --------
    >>> map_ids(np.array([[0, 1, 2]], np.int32), np.array([0, 7, 0], np.int32))
    array([[0, 7, 0]], dtype=int32)
    """
    return _look_up(labels.ravel(), table).reshape(labels.shape)


def bounding_boxes(labels: IntArray, num_objects: int) -> npt.NDArray[np.int64]:
    """Return the bounding box of each of the ids 1..num_objects in a plane or a volume.

    Parameters
    ----------
    labels
        Labels of shape (Y, X) or (Z, Y, X) with no id above ``num_objects``.
    num_objects
        Number of boxes.

    Returns
    -------
    ndarray of shape (num_objects, 2 * ndim)
        Half-open boxes ``[z0,] y0, x0, [z1,] y1, x1``; all zero for an id that is absent.

    Examples
    --------
    >>> bounding_boxes(np.array([[0, 1, 1], [2, 1, 0]], dtype=np.int32), 2)
    array([[0, 1, 2, 3],
           [1, 0, 2, 1]])
    """
    boxes = np.empty((num_objects + 1, 6), dtype=np.int64)
    boxes[:, :3] = np.iinfo(np.int64).max
    boxes[:, 3:] = 0
    array = np.ascontiguousarray(labels)
    _grow_boxes(array[None] if array.ndim == 2 else array, boxes)
    boxes[boxes[:, 3] == 0] = 0
    return boxes[1:, [1, 2, 4, 5]] if array.ndim == 2 else boxes[1:]


@njit(cache=True, nogil=True)
def _mark_present(flat: IntArray, table: IntArray) -> None:
    for k in range(flat.size):
        table[flat[k]] = 1


@njit(cache=True, nogil=True)
def _look_up(flat: IntArray, table: IntArray) -> IntArray:
    out = np.empty(flat.size, dtype=np.int32)
    for k in range(flat.size):
        out[k] = table[flat[k]]
    return out


@njit(cache=True, nogil=True)
def _grow_boxes(labels: IntArray, boxes: npt.NDArray[np.int64]) -> None:
    depth, height, width = labels.shape
    for z in range(depth):
        for y in range(height):
            x = 0
            while x < width:
                label = labels[z, y, x]
                start = x
                while x < width and labels[z, y, x] == label:
                    x += 1
                if label:
                    box = boxes[label]
                    box[0] = min(box[0], z)
                    box[1] = min(box[1], y)
                    box[2] = min(box[2], start)
                    box[3] = max(box[3], z + 1)
                    box[4] = max(box[4], y + 1)
                    box[5] = max(box[5], x)
