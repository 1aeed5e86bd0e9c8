"""Cut an image into overlapping tiles of one size, and join what a network says about them.

::

    tile i    |--------------------~~~~xxxx|
    tile i+1                  |xxxx~~~~--------------------|

In the overlap of two tiles, the outer ``x`` of each counts nothing, since the network lacked
surroundings there; in the quarter ``~`` in the middle the weight passes smoothly from one tile to
the other. At the border of the image nothing is cut off. Tiles start at multiples of ``multiple``,
the stride of the network, where it sees the image as it would see the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable

    from pancyte.types import FloatArray, Window


@dataclass(frozen=True, slots=True)
class Tile:
    """Where one tile lies; the tile may reach beyond the image, at its end."""

    start: tuple[int, int]
    """First row and column."""
    rows: tuple[float, ...]
    """Weight of each row of the tile, 0 to 1."""
    columns: tuple[float, ...]
    """Weight of each column of the tile, 0 to 1."""


@dataclass(frozen=True, slots=True)
class TileGrid:
    """All tiles of one image."""

    image: tuple[int, int]
    """Height and width of the image."""
    tile: tuple[int, int]
    """Height and width of every tile."""
    tiles: tuple[Tile, ...]
    """Row by row."""


def tile_grid(shape: tuple[int, int], *, tile: int, overlap: int, multiple: int = 1) -> TileGrid:
    """Cover an image with tiles.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image, at least 1.
    tile : int
        Largest side of a tile, a multiple of ``multiple``. Tiles are as small as their number
        allows: one where the image is no larger, else at least twice the overlap.
    overlap : int
        Pixels that neighbouring tiles share at least; at most half a tile.
    multiple : int
        What tiles start and end at multiples of.

    Raises
    ------
    ValueError
        A size is not as above.

    Examples
    --------
    >>> grid = tile_grid((5, 20), tile=8, overlap=4, multiple=2)
    >>> grid.tile, [tile.start for tile in grid.tiles]
    ((6, 8), [(0, 0), (0, 4), (0, 8), (0, 12)])
    >>> grid.tiles[1].columns
    (0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
    >>> tile_grid((30, 100), tile=80, overlap=10, multiple=2).tile
    (30, 56)
    """
    if min(shape) < 1:
        raise ValueError(f"Expected an image of at least one pixel, but got shape {shape}")
    if tile < 1 or tile % multiple or not 0 <= overlap <= tile - max(multiple, tile // 2):
        msg = (
            f"Expected a tile of a multiple of {multiple} pixels and an overlap of at most half "
            f"of it, but got tile {tile} and overlap {overlap}"
        )
        raise ValueError(msg)
    axes = [_axis(size, tile, overlap, multiple) for size in shape]
    (rows, row_weights), (columns, column_weights) = axes
    tiles = tuple(
        Tile(start=(y, x), rows=weights_y, columns=weights_x)
        for y, weights_y in zip(rows, row_weights, strict=True)
        for x, weights_x in zip(columns, column_weights, strict=True)
    )
    return TileGrid(shape, (len(row_weights[0]), len(column_weights[0])), tiles)


def cut_tile(read: Callable[[slice, slice], FloatArray], grid: TileGrid, tile: Tile) -> FloatArray:
    """Return the pixels (C, *grid.tile) of a tile of an image.

    Beyond the end of the image they are mirrored, or, where it is too short for that, repeated.

    Parameters
    ----------
    read
        Returns rows and columns of the image, (C, y, x).
    """
    rows, columns = (
        _indices(start, length, size)
        for start, length, size in zip(tile.start, grid.tile, grid.image, strict=True)
    )
    top, left = int(rows.min()), int(columns.min())
    pixels = read(slice(top, int(rows.max()) + 1), slice(left, int(columns.max()) + 1))
    return pixels[:, (rows - top)[:, None], columns - left]


def covered_window(grid: TileGrid, tile: Tile) -> Window:
    """Return the rows and columns of the image in which a tile has weight."""
    rows, columns = (
        _extent(weights, start, size)
        for weights, start, size in zip(
            (tile.rows, tile.columns), tile.start, grid.image, strict=True
        )
    )
    return rows, columns


class Blender:
    """Joins the values of tiles into the values of the image, or of a window of it.

    Parameters
    ----------
    grid : TileGrid
    channels : int
        Number of values per pixel, D.
    window : (slice, slice)
        Rows and columns of the image to join; None means all.

    Notes
    -----
    A tile is mixed into what is there by its share of the weight so far, so that the result is
    always a weighted mean: equal values stay exactly equal, and nothing has to be divided at the
    end. Memory: 4 bytes x (D + 1) per pixel of the window.
    """

    def __init__(self, grid: TileGrid, channels: int, window: Window | None = None) -> None:
        self._grid = grid
        self._window = window or (slice(0, grid.image[0]), slice(0, grid.image[1]))
        shape = tuple(part.stop - part.start for part in self._window)
        self._values = np.zeros((channels, *shape), dtype=np.float32)
        self._weight = np.zeros(shape, dtype=np.float32)

    def add(self, tile: Tile, values: FloatArray) -> None:
        """Mix in the values (D, *grid.tile) of one tile, which may lie outside of the window."""
        # Rows and columns of the image that tile and window share.
        rows, columns = (
            slice(max(covered.start, part.start), min(covered.stop, part.stop))
            for covered, part in zip(covered_window(self._grid, tile), self._window, strict=True)
        )
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        source = _moved(rows, tile.start[0]), _moved(columns, tile.start[1])
        inside = _moved(rows, self._window[0].start), _moved(columns, self._window[1].start)
        weight = np.outer(tile.rows[source[0]], tile.columns[source[1]]).astype(np.float32)
        self._weight[inside] += weight
        target = self._values[:, *inside]
        difference = values[:, *source] - target
        difference *= weight / self._weight[inside]
        target += difference

    def result(self) -> FloatArray:
        """Return the values (D, *window), after all tiles that reach into it have been added."""
        return self._values


def _moved(part: slice, origin: int) -> slice:
    return slice(part.start - origin, part.stop - origin)


def _axis(
    size: int, tile: int, overlap: int, multiple: int
) -> tuple[list[int], list[tuple[float, ...]]]:
    """Return the starts of the tiles along one axis, and the weights of each tile's pixels."""
    padded = -(-size // multiple) * multiple
    tile = min(tile, padded)
    step = (tile - overlap) // multiple
    gaps = -(-(padded - tile) // (step * multiple)) if padded > tile else 0
    if gaps:
        # Larger tiles than are needed would show the same pixels more often.
        least = max(-(-(padded + gaps * overlap) // (gaps + 1)), 2 * overlap)
        # The distance between tiles is rounded down to a multiple, which may take one more.
        tile = min(tile, -(-least // multiple) * multiple)
        while gaps * ((tile - overlap) // multiple) * multiple < padded - tile:
            tile += multiple
    units = (padded - tile) // multiple
    # Whole units, as even as they go: no two neighbours are further apart than `step` units.
    starts = [i * units // gaps * multiple for i in range(gaps)] + [padded - tile]
    seams = [(a + b + tile) / 2 for a, b in pairwise(starts)]
    ramp = overlap / 4
    position = np.arange(tile) + 0.5
    weights = []
    for i, start in enumerate(starts):
        weight = np.ones(tile, dtype=np.float64)
        if i > 0:
            weight *= _rise(position + start - seams[i - 1], ramp)
        if i < gaps:
            weight *= _rise(seams[i] - position - start, ramp)
        weights.append(tuple(weight.tolist()))
    return starts, weights


def _rise(distance: npt.NDArray[Any], ramp: float) -> npt.NDArray[np.float64]:
    """Pass from 0 to 1 within a ramp about 0, smoothly; rise(d) + rise(-d) = 1."""
    t: npt.NDArray[np.float64] = np.clip(distance / max(ramp, 1e-6) + 0.5, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _extent(weights: tuple[float, ...], start: int, size: int) -> slice:
    """Return the part of the image along one axis in which a tile has weight."""
    inside = np.flatnonzero(np.asarray(weights[: size - start]))
    return slice(start + int(inside[0]), start + int(inside[-1]) + 1)


def _indices(start: int, length: int, size: int) -> npt.NDArray[np.int64]:
    index = np.arange(start, start + length)
    # The same rule as the network's own padding.
    beyond = start + length - size
    mirrored = 2 * (size - 1) - index if beyond < size else np.full(length, size - 1)
    return np.where(index < size, index, mirrored)
