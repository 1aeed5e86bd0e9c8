"""Cut a window out of an image and its labels under one affine map, with one gather for each.

::

    source position = center + matrix @ (window position - middle of the window)

Turn, flip, shear and scale are one 2 x 2 matrix, so pixels are interpolated once and an id is never
interpolated at all: it is copied from the nearest pixel, exact at any size. Positions are indices
of pixel centers in axis order (y, x).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numba import njit

if TYPE_CHECKING:
    from pancyte.types import BoolArray, FloatArray, IntArray

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Where a window lies in an image, and how it is turned and scaled."""

    center: tuple[float, float]
    """Position (y, x) in the image of the middle of the window."""
    matrix: Matrix
    """(2, 2): a step in the window to a step in the image; the identity copies pixels."""
    shape: tuple[int, int]
    """Height and width of the window in its own pixels."""

    def __post_init__(self) -> None:
        if self.matrix.shape != (2, 2) or not np.isfinite(self.matrix).all():
            msg = f"Expected a finite matrix of shape (2, 2), but got {self.matrix.tolist()}"
            raise ValueError(msg)
        if min(self.shape) < 1:
            raise ValueError(f"Expected a window of at least one pixel, but got {self.shape}")

    @property
    def origin(self) -> Matrix:
        """(2,) position in the image of the window's pixel (0, 0)."""
        middle = (np.asarray(self.shape, dtype=np.float64) - 1.0) / 2.0
        return np.asarray(self.center, dtype=np.float64) - self.matrix @ middle

    @property
    def shrink(self) -> float:
        """Image pixels along one window pixel, in the direction in which they are most."""
        return float(np.linalg.svd(self.matrix, compute_uv=False)[0])


def warp_image(pixels: npt.NDArray[np.generic], window: Window) -> FloatArray:
    """Return the pixels of a window, interpolated bilinearly.

    Parameters
    ----------
    pixels
        Image of shape (C, Y, X) with at least one pixel, of any real type.
    window
        The window.

    Returns
    -------
    FloatArray of shape (C, *window.shape)
        float32. Beyond its border the image is mirrored about the outermost pixels.

    Raises
    ------
    ValueError
        If the pixels are not (C, Y, X), or there are none.

    Notes
    -----
    Where the image shrinks, each pixel is the mean of n x n positions, n being the factor rounded
    up from a quarter on, and at most 4: halve an image (:func:`halve`) before warping it further
    down than that.

    Examples
    --------
    >>> row = np.array([[[0, 10, 20, 30]]], dtype=np.uint8)
    >>> warp_image(row, Window((0.0, 1.0), np.diag([1.0, 0.5]), (1, 3)))
    array([[[ 5., 10., 15.]]], dtype=float32)
    """
    if pixels.ndim != 3 or 0 in pixels.shape[1:]:
        msg = f"Expected pixels of shape (C, Y, X) with at least one, but got {pixels.shape}"
        raise ValueError(msg)
    out = np.empty((pixels.shape[0], *window.shape), dtype=np.float32)
    samples = min(4, max(1, int(np.ceil(window.shrink - 0.25))))
    pixels = np.ascontiguousarray(pixels)
    (down, across), (up, along) = window.matrix
    if across == up == 0.0:
        _gather_straight(pixels, window.origin, (down, along), samples, out)
    elif down == along == 0.0:
        turned = np.empty((len(pixels), *window.shape[::-1]), dtype=np.float32)
        _gather_straight(pixels, window.origin, (across, up), samples, turned)
        out[...] = turned.swapaxes(1, 2)
    else:
        _gather_bilinear(pixels, window.origin, window.matrix, samples, out)
    return out


def warp_labels(labels: npt.NDArray[np.integer | np.bool_], window: Window) -> IntArray:
    """Return the labels of a window, each the id of the nearest pixel.

    Parameters
    ----------
    labels
        Labels of shape (K, Y, X), with ids that int32 holds.
    window
        The window.

    Returns
    -------
    IntArray of shape (K, *window.shape)
        Ids as they were; 0 beyond the border.

    Raises
    ------
    ValueError
        If the labels are not (K, Y, X).

    Examples
    --------
    >>> turn = np.array([[0.0, 1.0], [-1.0, 0.0]])  # a quarter turn
    >>> warp_labels(np.array([[[1, 2], [3, 4]]]), Window((0.5, 0.5), turn, (2, 2)))
    array([[[2, 4],
            [1, 3]]], dtype=int32)
    """
    if labels.ndim != 3:
        raise ValueError(f"Expected labels of shape (K, Y, X), but got {labels.shape}")
    out = np.empty((labels.shape[0], *window.shape), dtype=np.int32)
    _gather_nearest(np.ascontiguousarray(labels), window.origin, window.matrix, out)
    return out


def inside_image(shape: tuple[int, int], window: Window) -> BoolArray:
    """Mark the pixels of a window whose nearest pixel lies in the image.

    Parameters
    ----------
    shape
        Height and width of the image.
    window
        The window.

    Returns
    -------
    BoolArray of shape window.shape
        Where :func:`warp_labels` reads a pixel.

    Examples
    --------
    >>> inside_image((1, 2), Window((0.0, 0.0), np.eye(2), (1, 3)))
    array([[False,  True,  True]])
    """
    out = np.empty(window.shape, dtype=np.bool_)
    _mark_inside(shape[0], shape[1], window.origin, window.matrix, out)
    return out


def halve(pixels: npt.NDArray[np.generic]) -> FloatArray:
    """Return an image of half the size, each pixel the mean of 2 x 2.

    Parameters
    ----------
    pixels
        Image of shape (C, Y, X).

    Returns
    -------
    FloatArray of shape (C, Y // 2, X // 2)
        Its pixel j lies at position 2 j + 0.5 of the input; an odd last row or column is dropped.

    Examples
    --------
    >>> halve(np.array([[[0, 4, 9], [4, 8, 9]]], dtype=np.uint16))
    array([[[4.]]], dtype=float32)
    """
    height, width = pixels.shape[1] // 2 * 2, pixels.shape[2] // 2 * 2
    even = pixels[:, :height, :width].astype(np.float32)
    rows = even[:, 0::2] + even[:, 1::2]
    return np.ascontiguousarray((rows[..., 0::2] + rows[..., 1::2]) * np.float32(0.25))


def halved_window(window: Window) -> Window:
    """Return the window that shows in a halved image what this one shows in the image."""
    center = ((window.center[0] - 0.5) / 2.0, (window.center[1] - 0.5) / 2.0)
    return Window(center, window.matrix / 2.0, window.shape)


@njit(cache=True, nogil=True)
def _mirror(index: int, size: int) -> int:
    if size == 1:
        return 0
    period = 2 * (size - 1)
    index = abs(index) % period
    return min(index, period - index)


@njit(cache=True, nogil=True)
def _gather_straight(
    pixels: npt.NDArray[np.generic],
    origin: Matrix,
    steps: tuple[float, float],
    samples: int,
    out: FloatArray,
) -> None:
    """Gather along the axes of the image: each of its rows is interpolated once, then pairs."""
    height, width = pixels.shape[1:]
    lefts, rights, weights = _plan_columns(origin[1], steps[1], samples, (width, out.shape[2]))
    rows = np.empty((2, samples, out.shape[2]), dtype=np.float32)
    out[:] = 0
    for c in range(pixels.shape[0]):
        held = np.array([-1, -1])
        for i in range(out.shape[1]):
            for a in range(samples):
                y = origin[0] + steps[0] * (i + (a + 0.5) / samples - 0.5)
                y0 = int(np.floor(y))
                first, second = _mirror(y0, height), _mirror(y0 + 1, height)
                upper = 1 if held[1] == first else 0
                for slot, row in ((upper, first), (1 - upper, second)):
                    if held[slot] != row:
                        _fill_row(pixels[c, row], lefts, rights, weights, rows[slot])
                        held[slot] = row
                _add_between(rows[upper], rows[1 - upper], np.float32(y - y0), out[c, i])
    if samples > 1:
        out /= np.float32(samples * samples)


@njit(cache=True, nogil=True)
def _plan_columns(
    origin: float, step: float, samples: int, sizes: tuple[int, int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray]:
    """Return the columns left and right of each position, and the weight of the right one."""
    width, columns = sizes
    lefts = np.empty((samples, columns), dtype=np.int64)
    rights = np.empty((samples, columns), dtype=np.int64)
    weights = np.empty((samples, columns), dtype=np.float32)
    for b in range(samples):
        for j in range(columns):
            x = origin + step * (j + (b + 0.5) / samples - 0.5)
            x0 = int(np.floor(x))
            weights[b, j] = np.float32(x - x0)
            lefts[b, j], rights[b, j] = _mirror(x0, width), _mirror(x0 + 1, width)
    return lefts, rights, weights


@njit(cache=True, nogil=True)
def _add_between(above: FloatArray, below: FloatArray, weight: np.float32, row: FloatArray) -> None:
    for b in range(above.shape[0]):
        upper, lower = above[b], below[b]
        for j in range(row.size):
            row[j] += upper[j] + weight * (lower[j] - upper[j])


@njit(cache=True, nogil=True)
def _fill_row(
    line: npt.NDArray[np.generic],
    lefts: npt.NDArray[np.int64],
    rights: npt.NDArray[np.int64],
    weights: FloatArray,
    row: FloatArray,
) -> None:
    for b in range(lefts.shape[0]):
        for j in range(lefts.shape[1]):
            left = np.float32(line[lefts[b, j]])
            row[b, j] = left + weights[b, j] * (np.float32(line[rights[b, j]]) - left)


@njit(cache=True, nogil=True)
def _gather_bilinear(
    pixels: npt.NDArray[np.generic],
    origin: Matrix,
    matrix: Matrix,
    samples: int,
    out: FloatArray,
) -> None:
    height, width = pixels.shape[1:]
    columns = out.shape[2]
    reach = 0.5 - 0.5 / samples
    for i in range(out.shape[1]):
        # Positions are linear along a row, so those that need no mirror are one run of columns.
        first, last = 0, columns
        for axis in range(2):
            size = height if axis == 0 else width
            start, step = origin[axis] + matrix[axis, 0] * i, matrix[axis, 1]
            margin = 1e-6 + reach * (abs(matrix[axis, 0]) + abs(step))
            first, last = _cut_run(first, last, (start, step), (margin, size - 1 - margin))
        for j in range(first):
            _gather_mirrored(pixels, origin, matrix, samples, (i, j), out)
        for j in range(first, last):
            _gather_inside(pixels, origin, matrix, samples, (i, j), out)
        for j in range(last, columns):
            _gather_mirrored(pixels, origin, matrix, samples, (i, j), out)


@njit(cache=True, nogil=True)
def _cut_run(
    first: int, last: int, line: tuple[float, float], bounds: tuple[float, float]
) -> tuple[int, int]:
    """Return the part of a run of columns j in which start + step * j lies within the bounds."""
    start, step = line
    low, high = bounds
    if low > high:
        return first, first
    if abs(step) < 1e-9:
        inside = low <= start + step * first <= high and low <= start + step * last <= high
        return (first, last) if inside else (first, first)
    one, other = (low - start) / step, (high - start) / step
    left, right = np.ceil(min(one, other)), np.floor(max(one, other))
    begin = int(min(max(left, first), last))
    return begin, int(max(min(right + 1.0, last), begin))


@njit(cache=True, nogil=True, inline="always")
def _gather_inside(
    pixels: npt.NDArray[np.generic],
    origin: Matrix,
    matrix: Matrix,
    samples: int,
    place: tuple[int, int],
    out: FloatArray,
) -> None:
    i, j = place
    for c in range(pixels.shape[0]):
        total = np.float32(0.0)
        for a in range(samples):
            v = i + (a + 0.5) / samples - 0.5
            y_v, x_v = origin[0] + matrix[0, 0] * v, origin[1] + matrix[1, 0] * v
            for b in range(samples):
                u = j + (b + 0.5) / samples - 0.5
                y, x = y_v + matrix[0, 1] * u, x_v + matrix[1, 1] * u
                y0, x0 = int(y), int(x)
                wy, wx = np.float32(y - y0), np.float32(x - x0)
                above = np.float32(pixels[c, y0, x0])
                above += wx * (np.float32(pixels[c, y0, x0 + 1]) - above)
                below = np.float32(pixels[c, y0 + 1, x0])
                below += wx * (np.float32(pixels[c, y0 + 1, x0 + 1]) - below)
                total += above + wy * (below - above)
        out[c, i, j] = total / np.float32(samples * samples)


@njit(cache=True, nogil=True)
def _gather_mirrored(
    pixels: npt.NDArray[np.generic],
    origin: Matrix,
    matrix: Matrix,
    samples: int,
    place: tuple[int, int],
    out: FloatArray,
) -> None:
    i, j = place
    channels, height, width = pixels.shape
    for c in range(channels):
        out[c, i, j] = 0.0
    for k in range(samples * samples):
        v = i + (k // samples + 0.5) / samples - 0.5
        u = j + (k % samples + 0.5) / samples - 0.5
        y = origin[0] + matrix[0, 0] * v + matrix[0, 1] * u
        x = origin[1] + matrix[1, 0] * v + matrix[1, 1] * u
        y0, x0 = int(np.floor(y)), int(np.floor(x))
        wy, wx = np.float32(y - y0), np.float32(x - x0)
        y1, x1 = _mirror(y0 + 1, height), _mirror(x0 + 1, width)
        y0, x0 = _mirror(y0, height), _mirror(x0, width)
        for c in range(channels):
            above = np.float32(pixels[c, y0, x0])
            above += wx * (np.float32(pixels[c, y0, x1]) - above)
            below = np.float32(pixels[c, y1, x0])
            below += wx * (np.float32(pixels[c, y1, x1]) - below)
            out[c, i, j] += above + wy * (below - above)
    for c in range(channels):
        out[c, i, j] /= np.float32(samples * samples)


@njit(cache=True, nogil=True)
def _gather_nearest(
    labels: npt.NDArray[np.generic], origin: Matrix, matrix: Matrix, out: IntArray
) -> None:
    planes, height, width = labels.shape
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            y = int(np.floor(origin[0] + matrix[0, 0] * i + matrix[0, 1] * j + 0.5))
            x = int(np.floor(origin[1] + matrix[1, 0] * i + matrix[1, 1] * j + 0.5))
            if 0 <= y < height and 0 <= x < width:
                for k in range(planes):
                    out[k, i, j] = labels[k, y, x]
            else:
                for k in range(planes):
                    out[k, i, j] = 0


@njit(cache=True, nogil=True)
def _mark_inside(height: int, width: int, origin: Matrix, matrix: Matrix, out: BoolArray) -> None:
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            y = int(np.floor(origin[0] + matrix[0, 0] * i + matrix[0, 1] * j + 0.5))
            x = int(np.floor(origin[1] + matrix[1, 0] * i + matrix[1, 1] * j + 0.5))
            out[i, j] = 0 <= y < height and 0 <= x < width
