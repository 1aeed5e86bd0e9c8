"""Means over every object of a plane or a volume, in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    import numpy.typing as npt

    from pancyte.types import FloatArray, IntArray


def mean_squared_difference(
    labels: IntArray, first: FloatArray, second: FloatArray, num_objects: int
) -> FloatArray:
    """Return the mean squared length of the difference of two fields in each of the ids 1..n.

    Parameters
    ----------
    labels
        Labels of shape ([Z,] Y, X) with no id above ``num_objects``.
    first, second
        (ndim, [Z,] Y, X) vectors.
    num_objects
        Number of objects.

    Returns
    -------
    FloatArray
        (num_objects,) means; 0 for an id that is absent.

    Raises
    ------
    ValueError
        The shapes do not agree, or a label is above ``num_objects`` or below 0.

    Examples
    --------
    >>> fields = np.array([[[0.0, 3.0]], [[0.0, 4.0]]], np.float32)
    >>> mean_squared_difference(np.array([[1, 1]], np.int32), fields, 0 * fields, 1)
    array([12.5], dtype=float32)
    """
    return _means(labels, first, second, num_objects)


def mean_per_object(labels: IntArray, values: FloatArray, num_objects: int) -> FloatArray:
    """Return the mean value in each of the ids 1..n.

    Parameters
    ----------
    labels
        Labels of shape ([Z,] Y, X) with no id above ``num_objects``.
    values
        ([Z,] Y, X) what to take the mean of.
    num_objects
        Number of objects.

    Returns
    -------
    FloatArray
        (num_objects,) means; 0 for an id that is absent.

    Raises
    ------
    ValueError
        The shapes do not agree, or a label is above ``num_objects`` or below 0.

    Examples
    --------
    >>> mean_per_object(np.array([[1, 1, 0]], np.int32), np.array([[1, 2, 9]], np.float32), 2)
    array([1.5, 0. ], dtype=float32)
    """
    return _means(labels, values[None], None, num_objects)


def _means(
    labels: IntArray, first: FloatArray, second: FloatArray | None, num_objects: int
) -> FloatArray:
    other = first if second is None else second
    if labels.ndim not in (2, 3) or first.shape[1:] != labels.shape or first.shape != other.shape:
        msg = (
            f"Expected values of the shape of labels ([Z,] Y, X), {labels.shape}, but got "
            f"{first.shape[1:]} and {other.shape[1:]}"
        )
        raise ValueError(msg)
    if labels.ndim == 2:
        labels, first = labels[None], first[:, None]
        second = None if second is None else second[:, None]
    sums, outside = _sums(labels, first, second, num_objects)
    if outside:
        msg = f"Expected labels of 0 to {num_objects}, the number of objects, but got {outside}"
        raise ValueError(msg)
    means: FloatArray = (sums[1:, 0] / np.maximum(sums[1:, 1], 1)).astype(np.float32)
    return means


@njit(cache=True, nogil=True)
def _sums(
    labels: IntArray, first: FloatArray, second: FloatArray | None, num_objects: int
) -> tuple[npt.NDArray[np.float64], int]:
    """Return sum and number of pixels of each id, and a label that is none of them, or 0.

    What is summed are the squared lengths of ``first - second``, or, without ``second``, the values
    of ``first``.
    """
    sums = np.zeros((num_objects + 1, 2))
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                label = labels[z, y, x]
                if label < 0 or label > num_objects:
                    return sums, label  # compiled code would write beside the array
                value = first[0, z, y, x]
                if second is not None:
                    value -= second[0, z, y, x]
                    value *= value
                    for axis in range(1, first.shape[0]):
                        difference = first[axis, z, y, x] - second[axis, z, y, x]
                        value += difference * difference
                sums[label, 0] += value
                sums[label, 1] += 1
    return sums, 0
