"""Means over every object of a plane or a volume, in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
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

    Examples
    --------
    >>> fields = np.array([[[0.0, 3.0]], [[0.0, 4.0]]], np.float32)
    >>> mean_squared_difference(np.array([[1, 1]], np.int32), fields, 0 * fields, 1)
    array([12.5], dtype=float32)
    """
    if labels.ndim == 2:
        labels, first, second = labels[None], first[:, None], second[:, None]
    return np.asarray(_mean_squared_difference(labels, first, second, num_objects))


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

    Examples
    --------
    >>> mean_per_object(np.array([[1, 1, 0]], np.int32), np.array([[1, 2, 9]], np.float32), 2)
    array([1.5, 0. ], dtype=float32)
    """
    if labels.ndim == 2:
        labels, values = labels[None], values[None]
    return np.asarray(_mean_per_object(labels, values, num_objects))


@njit(cache=True, nogil=True)
def _mean_squared_difference(
    labels: IntArray, first: FloatArray, second: FloatArray, num_objects: int
) -> FloatArray:
    sums = np.zeros((num_objects + 1, 2))
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                difference = first[0, z, y, x] - second[0, z, y, x]
                squares = difference * difference
                for axis in range(1, first.shape[0]):
                    difference = first[axis, z, y, x] - second[axis, z, y, x]
                    squares += difference * difference
                sums[labels[z, y, x], 0] += squares
                sums[labels[z, y, x], 1] += 1
    return (sums[1:, 0] / np.maximum(sums[1:, 1], 1)).astype(np.float32)


@njit(cache=True, nogil=True)
def _mean_per_object(labels: IntArray, values: FloatArray, num_objects: int) -> FloatArray:
    sums = np.zeros((num_objects + 1, 2))
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                sums[labels[z, y, x], 0] += values[z, y, x]
                sums[labels[z, y, x], 1] += 1
    return (sums[1:, 0] / np.maximum(sums[1:, 1], 1)).astype(np.float32)
