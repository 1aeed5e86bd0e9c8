"""Images, maps and labels in another size; pixels are areas, so borders fall on borders.

::

    position in the source = (index + 1/2) * source size / target size - 1/2

Images and maps are interpolated linearly. Where they shrink, the triangle of the interpolation is
widened to the distance of two target pixels, so that each one averages what it covers. Labels take
the id of the nearest pixel.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numba import njit

from pancyte.types import Maps

if TYPE_CHECKING:
    from collections.abc import Callable

    from pancyte.types import FloatArray, IntArray, Window

Shape = tuple[int, int]
_Weights = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]


def scaled_shape(shape: Shape, scale: float) -> Shape:
    """Return the size of an image resized by a factor, at least one pixel along each axis.

    Examples
    --------
    >>> scaled_shape((100, 3), 0.25)
    (25, 1)
    """
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def resize_image(pixels: FloatArray, shape: Shape) -> FloatArray:
    """Resize the last two axes linearly, averaging where they shrink.

    Parameters
    ----------
    pixels : float32 array of shape (..., Y, X)
    shape : (int, int)
        New height and width, at least 1.

    Returns
    -------
    float32 array of shape (..., *shape)
        The same object where the size stays. Values stay within those of the input.

    Raises
    ------
    ValueError
        A size is below 1, or the image is empty.

    Examples
    --------
    >>> resize_image(np.array([[[0.0, 2.0, 4.0, 6.0]]], dtype=np.float32), (1, 2))
    array([[[1.4285715, 4.5714283]]], dtype=float32)
    """
    _check(pixels.shape, shape)
    if pixels.shape[-2:] == shape:
        return pixels
    rows, columns = (
        _weights(old, new, slice(0, new)) for old, new in zip(pixels.shape[-2:], shape, strict=True)
    )
    return _resize(pixels, rows, columns)


def resize_window(
    read: Callable[[slice, slice], FloatArray], old: Shape, new: Shape, window: Window
) -> FloatArray:
    """Return a window of what :func:`resize_image` would give, reading only what it needs.

    Parameters
    ----------
    read
        Returns rows and columns (..., y, x) of the image, float32.
    old, new : (int, int)
        Size of the image, and size to which all of it would be resized.
    window
        Rows and columns of the resized image.

    Raises
    ------
    ValueError
        A size is below 1.

    Examples
    --------
    >>> image = np.array([[[0.0, 2.0, 4.0, 6.0]]], dtype=np.float32)
    >>> resize_window(lambda y, x: image[:, y, x], (1, 4), (1, 2), (slice(0, 1), slice(1, 2)))
    array([[[4.5714283]]], dtype=float32)
    """
    source = source_window(old, new, window)
    if old == new:
        return read(*source)
    axes = [_weights(*sizes) for sizes in zip(old, new, window, strict=True)]
    rows, columns = (
        (first - part.start, weights) for (first, weights), part in zip(axes, source, strict=True)
    )
    return _resize(read(*source), rows, columns)


def source_window(old: Shape, new: Shape, window: Window) -> Window:
    """Return the rows and columns that :func:`resize_window` reads.

    Examples
    --------
    >>> source_window((4, 4), (2, 2), (slice(0, 1), slice(1, 2)))
    (slice(0, 4, None), slice(0, 4, None))
    """
    _check(old, new)
    if old == new:
        return window
    axes = [_weights(*sizes) for sizes in zip(old, new, window, strict=True)]
    rows, columns = (
        slice(int(first.min()), int(first.max()) + weights.shape[1]) for first, weights in axes
    )
    return rows, columns


def resize_maps(maps: Maps[FloatArray], shape: Shape) -> Maps[FloatArray]:
    """Resize the maps of one image; vectors are directions and keep their values.

    Parameters
    ----------
    maps : Maps
        ``scalars`` (S, Y, X) and ``vectors`` (V, 2, Y, X).
    shape : (int, int)
        New size, of about the same proportions: a direction would turn otherwise.

    Examples
    --------
    >>> maps = Maps(np.ones((1, 2, 2), np.float32), np.ones((1, 2, 2, 2), np.float32))
    >>> resize_maps(maps, (4, 4)).vectors.shape
    (1, 2, 4, 4)
    """
    return Maps(resize_image(maps.scalars, shape), resize_image(maps.vectors, shape))


def resize_labels(labels: IntArray, shape: Shape) -> IntArray:
    """Resize the last two axes of labels to the id of the nearest pixel.

    Parameters
    ----------
    labels : int32 array of shape (..., Y, X)
    shape : (int, int)
        New height and width, at least 1.

    Raises
    ------
    ValueError
        A size is below 1, or the image is empty.

    Notes
    -----
    Ids are copied exactly. A thin or small object can vanish or fall apart; the caller cleans up.

    Examples
    --------
    >>> resize_labels(np.array([[1, 1, 7, 7]], dtype=np.int32), (1, 2))
    array([[1, 7]], dtype=int32)
    """
    _check(labels.shape, shape)
    if labels.shape[-2:] == shape:
        return labels
    rows, columns = (
        ((2 * np.arange(new) + 1) * old) // (2 * new)
        for old, new in zip(labels.shape[-2:], shape, strict=True)
    )
    return np.ascontiguousarray(labels[..., rows[:, None], columns])


def _check(old: tuple[int, ...], new: Shape) -> None:
    if min(new) < 1 or min(old[-2:]) < 1:
        msg = f"Expected sizes of at least 1 pixel, but got {old[-2:]} to resize to {new}"
        raise ValueError(msg)


def _resize(pixels: FloatArray, rows: _Weights, columns: _Weights) -> FloatArray:
    planes = np.ascontiguousarray(pixels, dtype=np.float32).reshape(-1, *pixels.shape[-2:])
    shape = len(rows[0]), len(columns[0])
    result = np.empty((len(planes), *shape), dtype=np.float32)
    _resize_planes(planes, *rows, *columns, result)
    return result.reshape(*pixels.shape[:-2], *shape)


def _weights(old: int, new: int, part: slice) -> _Weights:
    """Return the first source index (n,) and the weights (n, taps) of each of n target indices."""
    step = old / new
    radius = max(step, 1.0)
    center = (np.arange(part.start, part.stop) + 0.5) * step - 0.5
    first = np.ceil(center - radius).astype(np.int64)
    taps = min(ceil(2.0 * radius) + 1, old)
    # Sources beyond the border have no weight; the others share it.
    first = np.clip(first, 0, old - taps)
    source = first[:, None] + np.arange(taps)
    weights = np.clip(1.0 - np.abs(source - center[:, None]) / radius, 0.0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    return first, weights.astype(np.float32)


@njit(cache=True, nogil=True)
def _resize_planes(
    planes: FloatArray,
    row_first: npt.NDArray[np.int64],
    row_weights: FloatArray,
    column_first: npt.NDArray[np.int64],
    column_weights: FloatArray,
    result: FloatArray,
) -> None:
    # Rows first, into one buffer of a source row, which stays in the cache for the columns.
    width = planes.shape[2]
    buffer = np.empty(width, dtype=np.float32)
    for c in range(planes.shape[0]):
        for y in range(result.shape[1]):
            buffer[:] = 0.0
            for k in range(row_weights.shape[1]):
                weight = row_weights[y, k]
                if weight > 0.0:
                    source = planes[c, row_first[y] + k]
                    for x in range(width):
                        buffer[x] += weight * source[x]
            for x in range(result.shape[2]):
                total = np.float32(0.0)
                for k in range(column_weights.shape[1]):
                    total += column_weights[x, k] * buffer[column_first[x] + k]
                result[c, y, x] = total
