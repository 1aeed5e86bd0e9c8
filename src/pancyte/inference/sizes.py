"""The scale of an image by a network that tells how large the objects are that it sees.

Such a look costs half of what the maps at full resolution cost, needs no decoding, and holds far
from the size at which the network segments well: mostly one look says by how much to resize, and a
second one there confirms it. What a look says about objects far outside of its training is too near
to that size, so that the image is resized in steps, of which there may be six. The objects that are
found in the end are measured too: where they are of another size, the scale that they ask for is
tried as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from pancyte.inference.scale import (
    OTHER_SCALES,
    Settled,
    limits_met,
    search_scale,
    settle_scale,
)
from pancyte.ops.tiling import cut_tile, tile_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from pancyte.inference.scale import Probe
    from pancyte.inference.tta import Predictor
    from pancyte.inference.view import View
    from pancyte.types import FloatArray

# A look that says that objects are within this factor of the network's size is not repeated, since
# what is said of objects of other sizes is too near to it.
_CONFIRMED: Final = 1.15
_MOST_LOOKS: Final = 7
_LARGEST_STRIDE: Final = 2.0
# Objects found at a scale may differ by this factor from what the look at it said.
_AGREES: Final = 1.6
# Objects that are of the size at which they were found are believed, also if they cover less than
# those that are not, down to this part: blobs of several small objects cover more than these.
_ENOUGH: Final = 0.4
# In a much magnified image, parts of objects and specks can look like objects of the right size.
# Where objects are seen at this part of the scale too, and cover so much more, they are what is
# meant; a cluster of objects that looks like one covers little more than they do.
_COARSE: Final = 0.25
_MUCH_MORE: Final = 2.5
# A cell of the network's grid in which an object is seen.
_SEEN: Final = 0.5
# Which object stands for all, below the median: what is seen are the sizes of whole objects, while
# images are scaled in training by the median of objects of which some are cut by the border; and
# objects that are too small for the network are missed and merged sooner than large ones are.
_RANK: Final = 0.3
# Fewer objects than this, in parts of one, are none.
_LEAST_OBJECTS: Final = 0.25
# Objects are not believed to be smaller than this, in pixels of the network's input, when they are
# counted: one cell that is taken for a speck would otherwise count as many objects.
_SMALLEST: Final = 4.0
# Side of the cells in pixels of the network's input.
_CELL: Final = 4
_MULTIPLE: Final = 32


@dataclass(frozen=True, slots=True)
class Look:
    """What sizes a network saw at one scale."""

    scale: float
    """Size of the image before the network, relative to its own."""
    diameter: float | None
    """Typical diameter of the objects in pixels of the image; None where there are none."""


def look_at(
    predictor: Predictor, views: Sequence[View], *, tile: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    """Return the probability of an object and its log2 size in the cells of some views.

    Parameters
    ----------
    predictor
        Its first network is asked.
    views
        The image, or parts of it, as the network sees it.
    tile
        Largest side of the tiles in which they are looked at.

    Returns
    -------
    probabilities, sizes : float32 arrays of shape (n,)
        Of the cells of all views, classes and tiles; None where the network knows no sizes.
    """
    parts = [
        (probabilities.ravel(), sizes.ravel())
        for _, probabilities, sizes in _look_in_tiles(predictor, views, tile=tile)
    ]
    if not parts:
        return None
    probabilities, sizes = (np.concatenate(values) for values in zip(*parts, strict=True))
    return probabilities, sizes


def _look_in_tiles(
    predictor: Predictor, views: Sequence[View], *, tile: int
) -> Iterator[tuple[tuple[int, int], FloatArray, FloatArray]]:
    """Yield what :func:`look_at` returns tile by tile; nothing where no sizes are known.

    Yields
    ------
    start : (int, int)
        First row and column of the tile in its view.
    probabilities, sizes : float32 arrays of shape (K, y, x)
        Of its cells, each of 4 x 4 pixels.
    """
    grids = [tile_grid(view.shape, tile=tile, overlap=0, multiple=_MULTIPLE) for view in views]
    parts = [
        (view, grid, part) for view, grid in zip(views, grids, strict=True) for part in grid.tiles
    ]
    tiles = (cut_tile(view.read, grid, part)[None] for view, grid, part in parts)
    looks = predictor.sizes_each(tiles, count=len(parts))
    for (_, grid, part), found in zip(parts, looks, strict=False):
        # Cells beyond the end of the image hold mirrored objects.
        rows, columns = (
            -(-min(length, size - start) // _CELL)
            for length, size, start in zip(grid.tile, grid.image, part.start, strict=True)
        )
        probabilities, sizes = (values[0, :, :rows, :columns] for values in found)
        yield part.start, probabilities, sizes


def seen_at(
    predictor: Predictor, view: View, *, tile: int, target: float
) -> tuple[FloatArray, FloatArray] | None:
    """Return where objects are seen in a view, in pixels of it.

    Parameters
    ----------
    predictor, view, tile
        As in :func:`look_at`, of one view.
    target : float
        Diameter in pixels of the network's input at which it works.

    Returns
    -------
    rows, columns : arrays of shape (n,)
        The middles of cells of objects, none where :func:`typical_size` sees too little of them;
        None where the network knows no sizes.
    """
    looks = list(_look_in_tiles(predictor, [view], tile=tile))
    if not looks:
        return None
    probabilities = np.concatenate([seen.ravel() for _, seen, _ in looks])
    sizes = np.concatenate([values.ravel() for _, _, values in looks])
    if typical_size(probabilities, sizes, target=target) is None:
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    places = []
    for start, seen, _ in looks:
        cells = np.argwhere((seen > _SEEN).any(axis=0))
        places.append(np.asarray(start) + _CELL * (cells + 0.5))
    rows, columns = np.concatenate(places).astype(np.float32).T
    return rows, columns


def typical_size(probabilities: FloatArray, sizes: FloatArray, *, target: float) -> float | None:
    """Return the diameter of the usual object of a look, in pixels of the network's input.

    Parameters
    ----------
    probabilities, sizes : float32 arrays of shape (n,)
        Of cells: that of an object, and log2 of its diameter over ``target``.
    target : float
        Diameter in pixels of the network's input at which it works.

    Returns
    -------
    float or None
        None where less than a part of one object was seen. A cell counts as the part of its object
        that it is, so that objects count alike and not pixels.

    Examples
    --------
    >>> typical_size(np.ones(1000), np.ones(1000), target=30.0)
    60.0
    """
    seen = probabilities > _SEEN
    diameters = target * np.exp2(sizes[seen].astype(np.float64))
    area = np.pi / 4 * np.maximum(diameters, _SMALLEST) ** 2
    counts = probabilities[seen] * _CELL**2 / area
    if counts.sum() < _LEAST_OBJECTS:
        return None
    order = np.argsort(diameters, kind="stable")
    reached = np.cumsum(counts[order])
    return float(diameters[order][np.searchsorted(reached, reached[-1] * _RANK)])


def settle_by_sizes(
    look: Callable[[float], Look | None],
    probe: Callable[[float], Probe],
    shape: tuple[int, int],
    *,
    target: float,
) -> Settled | None:
    """Find the scale at which the objects of an image have the size that a network knows.

    Parameters
    ----------
    look
        Asks the network for sizes at a scale; None where it knows none. Called two or three times
        where objects are near the size that the network knows, the one at a quarter of the scale
        among them; else more often, at most 17 times.
    probe
        Segments the image (or a sample of it) at a scale. Called once where it agrees, or twice
        where much larger objects are seen too; never twice at the same scale.
    shape : (int, int)
        Height and width of the image.
    target : float
        Diameter in pixels of the network's input at which it works.

    Returns
    -------
    Settled
        With a warning where the objects found do not have the size that was seen, or where they are
        too small to be sought; without a diameter where nothing was found. None where the network
        knows no sizes.
    """
    probe = cache(probe)
    first = look(search_scale(1.0, shape, target))
    if first is None:
        return None
    scale, diameter = _narrow_down(look, first, shape, target)
    found = None if diameter is None else probe(scale)
    if found is None or found.diameter is None:
        # Where the network sees nothing at other scales, what it outlines there is mostly false.
        return settle_scale(probe, shape, target=target, elsewhere=())
    if _agrees(found, shape, target):
        larger = _much_larger(look, probe, found, target=target)
        if larger is not None and _agrees(larger, shape, target):
            return _settled(larger, larger.diameter, target)
        return _settled(found, diameter, target)
    other = probe(search_scale(target / found.diameter, shape, target))
    if _agrees(other, shape, target) and other.support > _ENOUGH * found.support:
        return _settled(other, other.diameter, target)
    message = (
        f"The size of the objects could not be settled: it looks like {diameter:.0f} pixels, "
        f"but the objects found have {found.diameter:.0f}. The result may be poor; give the "
        "diameter in pixels."
    )
    return Settled(found.scale, found.diameter, (message,))


def _narrow_down(
    look: Callable[[float], Look | None], first: Look, shape: tuple[int, int], target: float
) -> tuple[float, float | None]:
    """Look until objects have the target size; return the scale and their diameter, if any.

    Where the looks run out, those of the one at which they were nearest to it; where the next scale
    shows nothing, that scale all the same.
    """
    current = first
    for scale in OTHER_SCALES:
        if current.diameter is None:
            current = look(search_scale(scale, shape, target)) or current
    if current.diameter is None:
        return current.scale, None
    low, high = -math.inf, math.inf  # log2 of scales that were too small and too large
    last, stride, best = 0.0, 1.0, current
    for _ in range(_MOST_LOOKS - 1):
        place, excess = math.log2(current.scale), _excess(current, target)
        low, high = (low, min(high, place)) if excess > 0 else (max(low, place), high)
        if abs(excess) <= math.log2(_CONFIRMED) or high - low <= math.log2(_CONFIRMED):
            return current.scale, current.diameter
        # A look that finds too little to change says so again: then larger steps are taken.
        stride = min(2.0 * stride, _LARGEST_STRIDE) if last * excess > 0 else 1.0
        wanted = place - stride * excess
        wanted = 2.0 ** (wanted if low < wanted < high else (low + high) / 2)
        wanted = search_scale(wanted, shape, target)
        following = _look_towards(look, current, wanted)
        if following is None:
            return wanted, current.diameter
        last, current = excess, following
        best = min(best, current, key=lambda seen: abs(_excess(seen, target)))
    return best.scale, best.diameter


def _look_towards(look: Callable[[float], Look | None], current: Look, scale: float) -> Look | None:
    """Look at a scale, or half way there if nothing is seen at it; None if nothing is seen."""
    if scale == current.scale:
        return None
    for place in (scale, math.sqrt(scale * current.scale)):
        found = look(place)
        if found is not None and found.diameter is not None:
            return found
    return None


def _excess(seen: Look, target: float) -> float:
    """Return log2 of how much larger than the target objects are at the scale of a look."""
    assert seen.diameter is not None  # noqa: S101 - asked about looks that saw something
    return math.log2(seen.diameter * seen.scale / target)


def _much_larger(
    look: Callable[[float], Look | None],
    probe: Callable[[float], Probe],
    found: Probe,
    *,
    target: float,
) -> Probe | None:
    """Return objects of which those that were found are parts or specks, if there are any."""
    coarse = look(found.scale * _COARSE)
    if coarse is None or coarse.diameter is None or abs(_excess(coarse, target)) > 0.5:
        return None
    larger = probe(target / coarse.diameter)
    return larger if larger.support > _MUCH_MORE * found.support else None


def _agrees(found: Probe, shape: tuple[int, int], target: float) -> bool:
    if found.diameter is None:
        return False
    return _near(search_scale(target / found.diameter, shape, target), found.scale, _AGREES)


def _settled(found: Probe, diameter: float | None, target: float) -> Settled:
    assert diameter is not None  # noqa: S101 - scales agree about objects only
    warnings = limits_met(found.scale, diameter, target, factor=_AGREES)
    return Settled(found.scale, diameter, warnings)


def _near(one: float, other: float, factor: float) -> bool:
    return 1 / factor <= one / other <= factor
