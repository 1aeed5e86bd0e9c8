"""Which windows of a large image stand for all of it: two at fixed places, four where something is.

What is there is told by a map of local contrast: of cells of a few pixels, those whose intensities
vary much more than they do in the quiet part of the image. The share of such cells counts, and not
how bright they are, so that a hot pixel counts as one cell, and a scale bar or a wall as a few.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pancyte.ops.intensity import normalize

if TYPE_CHECKING:
    from pancyte.inference.view import View
    from pancyte.types import FloatArray, Window

# Pixels of all channels that the map of contrast reads; that is less than half a second.
_SAMPLES: Final = 2**23
_LEAST_STRIDE: Final = 2
_CHUNK: Final = 2**20
# Samples along each side of a cell.
_SIDE: Final = 4
# So many percent of the cells are believed to be quiet ...
_QUIET: Final = 25.0
# ... and cells that vary so much more than these, and by this part of the range of intensities,
# stand out. Among cells of noise, the standard deviation of 16 samples differs by a fifth.
_STANDS_OUT: Final = 2.0
_LEAST_SPREAD: Final = 0.05
# A window by content has at least this share of the content of the best one; of those it is the
# one farthest from the others. The last may have less, so that a wall does not take all of them.
_SHARES: Final = (0.7, 0.7, 0.2, 0.2)
_QUARTERS: Final = ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))
_FIXED: Final = (_QUARTERS[0], _QUARTERS[3])
# What networks see is padded to a multiple of this: windows are as large as comes without that.
_MULTIPLE: Final = 32
# A narrower image has no map: it would be of a few rows of cells.
_LEAST_SIDE: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """Where an image shows something."""

    busy: npt.NDArray[np.bool_]
    """(rows, columns) of cells; what is left at the end of the image belongs to none."""
    cell: int
    """Side of a cell in pixels of the image."""


def content_of(view: View) -> Content | None:
    """Return where an image varies more than its quiet parts do; None of a very narrow image.

    Parameters
    ----------
    view
        The image at its own scale.

    Notes
    -----
    At most 8 million regularly spaced pixels are read, a megapixel at a time, so that small objects
    of a very large image are met by chance: of one of 7 pixels in 300 megapixels, every second.
    """
    if min(view.shape) < _LEAST_SIDE:
        return None
    wanted = max(_LEAST_STRIDE, math.ceil(math.sqrt(view.pixels.size / _SAMPLES)))
    stride = min(wanted, min(view.shape) // _SIDE)
    cell = stride * _SIDE
    rows, columns = (side // cell for side in view.shape)
    spread = np.zeros((rows, columns), dtype=np.float32)
    step = max(1, _CHUNK // (len(view.pixels) * columns * _SIDE**2))
    for first in range(0, rows, step):
        stop = min(rows, first + step)
        seen = view.pixels[:, first * cell : stop * cell : stride, : columns * cell : stride]
        spread[first:stop] = _spread(normalize(seen, *view.intensities), (stop - first, columns))
    quiet = float(np.percentile(spread, _QUIET))
    return Content(spread > max(_LEAST_SPREAD, _STANDS_OUT * quiet), cell)


def content_at(shape: tuple[int, int], rows: FloatArray, columns: FloatArray) -> Content:
    """Return the content of an image that shows something at some places.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image.
    rows, columns : arrays of shape (n,)
        The places, in pixels of the image.
    """
    cell = _SIDE * max(_LEAST_STRIDE, math.ceil(math.sqrt(shape[0] * shape[1] / _SAMPLES)))
    busy = np.zeros([max(1, side // cell) for side in shape], dtype=np.bool_)
    cells = (
        np.clip(places // cell, 0, length - 1).astype(np.int64)
        for places, length in zip((rows, columns), busy.shape, strict=True)
    )
    busy[tuple(cells)] = True
    return Content(busy, cell)


def sample_windows(
    shape: tuple[int, int], scale: float, *, most_pixels: float, content: Content | None = None
) -> list[Window]:
    """Return windows of an image that together have at most so many pixels after scaling.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image.
    scale
        By which the windows are resized.
    most_pixels
        Of all windows after that.
    content
        Where the image shows something; None where that is not known.

    Returns
    -------
    list of (slice, slice)
        The whole image where that is small enough. Else two windows about the middles of the first
        and the last quarter and four by content, which show different parts of it and lie apart; or
        one about the middle of each quarter, where the content is not known.

    Examples
    --------
    >>> sample_windows((100, 100), 1.0, most_pixels=10_000)
    [(slice(0, 100, None), slice(0, 100, None))]
    >>> sample_windows((100, 100), 1.0, most_pixels=400)[0]
    (slice(20, 30, None), slice(20, 30, None))
    """
    if shape[0] * shape[1] * scale**2 <= most_pixels:
        return [(slice(0, shape[0]), slice(0, shape[1]))]
    fixed = _QUARTERS if content is None else _FIXED
    count = len(_QUARTERS) if content is None else len(_FIXED) + len(_SHARES)
    side = math.sqrt(most_pixels / count)
    if side >= 2 * _MULTIPLE:
        side = side // _MULTIPLE * _MULTIPLE
    size = _window_size(shape, side / scale)
    windows = [_around((row * shape[0], column * shape[1]), size, shape) for row, column in fixed]
    return windows if content is None else _add_by_content(windows, content, size, shape)


def _window_size(shape: tuple[int, int], side: float) -> tuple[float, float]:
    # A long image gives long windows, of the same number of pixels.
    height = min(side, shape[0] / 2) if shape[0] <= shape[1] else side
    width = min(side**2 / height, shape[1] / 2)
    return min(side**2 / width, shape[0] / 2), width


def _around(
    center: tuple[float, float], size: tuple[float, float], shape: tuple[int, int]
) -> Window:
    """Return the window about a place, moved into the image where it reaches beyond it."""
    rows, columns = (
        _interval(middle, max(1, int(length)), end)
        for middle, length, end in zip(center, size, shape, strict=True)
    )
    return rows, columns


def _interval(middle: float, length: int, end: int) -> slice:
    start = min(max(0, int(middle - length / 2)), end - length)
    return slice(start, start + length)


def _spread(seen: FloatArray, cells: tuple[int, int]) -> FloatArray:
    """Return the largest standard deviation of any channel in cells of 4 x 4 samples."""
    rows, columns = cells
    lines = seen.reshape(len(seen), rows, _SIDE, columns * _SIDE)
    sums, squares = (
        values.sum(axis=2).reshape(len(seen), rows, columns, _SIDE).sum(axis=3)
        for values in (lines, lines * lines)
    )
    variance = squares / _SIDE**2 - (sums / _SIDE**2) ** 2
    spread: FloatArray = np.sqrt(np.maximum(variance, 0.0)).max(axis=0)
    return spread


def _add_by_content(
    windows: list[Window], content: Content, size: tuple[float, float], shape: tuple[int, int]
) -> list[Window]:
    windows = list(windows)
    cell, new = content.cell, content.busy.astype(np.int32)
    for window in windows:
        _clear(new, window, cell)
    cells = tuple(
        min(count, max(1, round(side / cell))) for side, count in zip(size, new.shape, strict=True)
    )
    for share in _SHARES:
        sums = _box_sums(new, (cells[0], cells[1]))
        rows, columns = np.nonzero(sums >= share * sums.max())
        rows, columns = (rows + cells[0] / 2) * cell, (columns + cells[1] / 2) * cell
        nearest = np.full(len(rows), np.inf)
        for window in windows:
            middle_row, middle_column = ((part.start + part.stop) / 2 for part in window)
            distance = (rows - middle_row) ** 2 + (columns - middle_column) ** 2
            nearest = np.minimum(nearest, distance)
        place = int(np.argmax(nearest))
        windows.append(_around((float(rows[place]), float(columns[place])), size, shape))
        _clear(new, windows[-1], cell)
    return windows


def _clear(busy: npt.NDArray[np.int32], window: Window, cell: int) -> None:
    """Take away the content that a window shows, so that the next one shows other content."""
    rows, columns = (slice(part.start // cell, -(-part.stop // cell)) for part in window)
    busy[rows, columns] = 0


def _box_sums(values: npt.NDArray[np.int32], size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return the sum of each box of that size."""
    height, width = size
    total = np.zeros((values.shape[0] + 1, values.shape[1] + 1), dtype=np.int64)
    np.cumsum(np.cumsum(values, axis=0, dtype=np.int64), axis=1, out=total[1:, 1:])
    bands = total[height:] - total[:-height]
    sums: npt.NDArray[np.int64] = bands[:, width:] - bands[:, :-width]
    return sums
