"""An image with the outlines of its objects, objects that touch in different colors.

The colors answer one question that a biologist has at every border: one cell or two? So they are
a coloring of the graph whose edges join touching objects, found by a greedy pass.
"""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import numpy.typing as npt

from pancyte.ops.ids import compact_ids
from pancyte.ops.labels import boundaries

if TYPE_CHECKING:
    from pancyte.types import IntArray

UintArray = npt.NDArray[np.uint8]
_T = TypeVar("_T", np.uint8, np.int32)

_PALETTE: Final = np.array(
    [
        (255, 225, 25), (0, 230, 255), (255, 60, 200), (90, 255, 60),
        (255, 150, 0), (120, 170, 255), (255, 90, 90), (0, 255, 170),
    ],
    dtype=np.uint8,
)  # fmt: skip
"""Bright and far apart on gray as on stained tissue; more are computed where a graph needs more."""

_DISPLAY_PERCENTILES: Final = (0.5, 99.8)
_READABLE_SIZE: Final = 512
"""Length of the longer side, in pixels, below which a contour one pixel wide is hard to see."""
_MAX_MAGNIFICATION: Final = 8
_SAMPLED_PIXELS: Final = 1_000_000
_STRETCHED_ROWS: Final = 64


def overlay(
    pixels: npt.NDArray[np.generic], labels: IntArray, *, magnification: int = 1
) -> UintArray:
    """Draw the contours of all objects on an image.

    Parameters
    ----------
    pixels
        Image of shape (C, Y, X): one channel is shown gray, two as green and magenta, three as
        red, green, blue, more as the gray of their mean.
    labels
        Labels of shape (K, Y, X), one plane per class; the last plane is drawn on top.
    magnification
        Each pixel becomes a square of that many; see :func:`readable_magnification`.

    Returns
    -------
    uint8 array of shape (Y * magnification, X * magnification, 3)
        Contours lie inside their objects. They are one pixel wide, and two or
        more on magnified and on large pictures.

    Raises
    ------
    ValueError
        If the sizes of image and labels differ.

    Examples
    --------
    >>> overlay(np.zeros((1, 4, 4)), np.ones((1, 4, 4), np.int32)).shape
    (4, 4, 3)
    """
    if pixels.ndim != 3 or labels.ndim != 3 or pixels.shape[1:] != labels.shape[1:]:
        msg = (
            "Expected an image (C, Y, X) and labels (K, Y, X) of the same size, but got "
            f"{pixels.shape} and {labels.shape}"
        )
        raise ValueError(msg)
    picture = magnify(to_display(pixels), magnification, axes=(0, 1))
    if not labels.any():
        return picture
    ids = _number_across_planes(labels)
    colors = object_colors(ids)
    ids = magnify(ids, magnification, axes=(1, 2))
    thickness = max(min(magnification, 2), 1 + max(picture.shape[:2]) // 1500)
    for plane in ids:
        contour = _contour(plane, thickness)
        picture[contour] = colors[plane[contour]]
    return picture


def readable_magnification(shape: tuple[int, int]) -> int:
    """Return by how much to magnify a small image so that single contours can be told apart.

    Examples
    --------
    >>> readable_magnification((209, 23)), readable_magnification((1040, 1388))
    (3, 1)
    """
    return min(_MAX_MAGNIFICATION, -(-_READABLE_SIZE // max(*shape, 1)))


def to_display(pixels: npt.NDArray[np.generic]) -> UintArray:
    """Stretch an image (C, Y, X) between its 0.5th and 99.8th percentile into RGB (Y, X, 3).

    The channels of a colored image share one range, which keeps its colors. A constant image is
    black.
    """
    channels = pixels[:3] if pixels.shape[0] <= 3 else pixels.mean(axis=0, keepdims=True)
    stretched = _stretch(channels)
    if len(stretched) == 3:
        return np.ascontiguousarray(np.moveaxis(stretched, 0, -1))
    if len(stretched) == 2:
        return np.stack([stretched[1], stretched[0], stretched[1]], axis=-1)
    return np.repeat(stretched[0][..., None], 3, axis=-1)


def object_colors(ids: IntArray) -> UintArray:
    """Return a color for each object, different for objects that touch.

    Parameters
    ----------
    ids
        Labels of shape (K, Y, X) with ids 1..n that no two planes share. Objects touch where a
        pixel of one is among the eight neighbors of a pixel of the other, or is the same pixel
        in another plane.

    Returns
    -------
    uint8 array of shape (n + 1, 3)
        Row 0, of the background, is black.
    """
    num_objects = int(ids.max(initial=0))
    indices = greedy_coloring(num_objects + 1, touching_pairs(ids))
    colors = _palette(int(indices.max(initial=0)) + 1)[indices]
    colors[0] = 0
    return colors


def touching_pairs(ids: IntArray) -> npt.NDArray[np.int64]:
    """Return the pairs (i, j), i < j, of objects that touch, each once, as an array (n, 2)."""
    keys = [_pair_keys(first, second) for first, second in _neighboring_views(ids)]
    unique = np.unique(np.concatenate(keys)) if keys else np.zeros(0, np.int64)
    return np.stack([unique >> 32, unique & 0xFFFFFFFF], axis=1)


def greedy_coloring(num_nodes: int, edges: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Color the nodes of a graph so that joined nodes differ.

    Parameters
    ----------
    num_nodes
        Number of nodes 0..n-1.
    edges
        (m, 2) pairs of nodes.

    Returns
    -------
    int64 array of shape (num_nodes,)
        Indices of colors. Nodes with many neighbors are served first; a node without neighbors
        takes any of the palette, so that a sparse picture is colorful too.

    Examples
    --------
    >>> a, b, c = greedy_coloring(3, np.array([[0, 1], [1, 2], [0, 2]]))
    >>> len({int(a), int(b), int(c)})
    3
    """
    neighbors: list[list[int]] = [[] for _ in range(num_nodes)]
    for first, second in edges.tolist():
        neighbors[first].append(second)
        neighbors[second].append(first)
    colors = [-1] * num_nodes
    for node in sorted(range(num_nodes), key=lambda n: -len(neighbors[n])):
        taken = {colors[other] for other in neighbors[node]}
        start = node % len(_PALETTE)
        free = [c for c in range(start, start + len(_PALETTE)) if c % len(_PALETTE) not in taken]
        colors[node] = free[0] % len(_PALETTE) if free else _first_free(taken)
    return np.asarray(colors, dtype=np.int64)


def _first_free(taken: set[int]) -> int:
    return next(c for c in range(len(taken) + 1) if c not in taken)


def _palette(count: int) -> UintArray:
    """Return at least that many colors; hues beyond the palette step by the golden ratio."""
    extra = [
        [round(255 * value) for value in colorsys.hsv_to_rgb(0.618034 * n % 1.0, 0.55, 1.0)]
        for n in range(max(0, count - len(_PALETTE)))
    ]
    return np.concatenate([_PALETTE, np.asarray(extra, np.uint8).reshape(-1, 3)])


def _number_across_planes(labels: IntArray) -> IntArray:
    """Renumber the objects 1..n over all planes, so that an id names one object of one class."""
    planes, offset = [], 0
    for plane in labels:
        compact, ids = compact_ids(plane)
        planes.append(np.where(compact > 0, compact + offset, 0).astype(np.int32))
        offset += len(ids) - 1
    return np.stack(planes)


def _neighboring_views(ids: IntArray) -> list[tuple[IntArray, IntArray]]:
    """Return pairs of equally large views whose elements lie beside or above each other."""
    pairs = [
        (ids[:, :, :-1], ids[:, :, 1:]),
        (ids[:, :-1, :], ids[:, 1:, :]),
        (ids[:, :-1, :-1], ids[:, 1:, 1:]),
        (ids[:, :-1, 1:], ids[:, 1:, :-1]),
    ]
    planes = len(ids)
    pairs += [(ids[k], ids[other]) for k in range(planes) for other in range(k + 1, planes)]
    return pairs


def _pair_keys(first: IntArray, second: IntArray) -> npt.NDArray[np.int64]:
    touching = (first != second) & (first > 0) & (second > 0)
    pairs = np.stack([first[touching], second[touching]]).astype(np.int64)
    pairs.sort(axis=0)
    return np.unique(pairs[0] << 32 | pairs[1])


def _contour(plane: IntArray, thickness: int) -> npt.NDArray[np.bool_]:
    contour = boundaries(plane)
    for _ in range(thickness - 1):
        contour |= boundaries(np.where(contour, 0, plane))
    return contour


def _stretch(channels: npt.NDArray[np.generic]) -> UintArray:
    step = 1 + int((channels.size / _SAMPLED_PIXELS) ** 0.5)
    sample = channels[:, ::step, ::step].astype(np.float32)
    result = np.zeros(channels.shape, np.uint8)
    low, high = np.percentile(sample, _DISPLAY_PERCENTILES) if sample.size else (0.0, 0.0)
    # Some rows at a time: the steps to a picture of 25 megapixels would take a gigabyte.
    for top in range(0, channels.shape[1] if high > low else 0, _STRETCHED_ROWS):
        rows = slice(top, top + _STRETCHED_ROWS)
        unit = (channels[:, rows].astype(np.float32) - low) / (high - low)
        result[:, rows] = np.rint(255 * np.clip(unit, 0, 1))
    return result


def magnify(array: npt.NDArray[_T], factor: int, *, axes: tuple[int, int]) -> npt.NDArray[_T]:
    """Repeat each pixel along two axes; a factor of 1 returns the array itself."""
    for axis in axes if factor > 1 else ():
        array = array.repeat(factor, axis=axis)
    return array
