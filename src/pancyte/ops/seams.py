"""Objects of a large image, found block by block, joined into one plane of labels.

::

    +------------+------------+      Each block is decoded with a halo around its core. An object
    |  core 1   -|-           |      that is whole there belongs to the block whose core holds its
    |         (  x  ) core 2  |      anchor x, and all of it comes from there. What other blocks saw
    |           -|-           |      of it is dropped. Only objects that reach the outer rim of a
    +------------+------------+      halo, larger than it, are put together from their pieces.

A piece is what a block found and does not own: it reaches the rim, or its anchor lies in another
core. Pieces of different blocks are joined where one covers half of the other in the pixels that
both blocks saw. A piece that an owned object covers by half is that object; one that no other
block confirms is dropped, since a neighbor that saw all of it did not find it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pancyte.ops.ids import bounding_boxes, map_ids
from pancyte.ops.labels import keep_largest_component
from pancyte.ops.overlap import OverlapTable, overlap_table
from pancyte.ops.sinks import locate_components
from pancyte.types import Part

if TYPE_CHECKING:
    from pancyte.types import BoolArray, IntArray, Window

_BAND = 512  # rows that are renumbered at once


@dataclass(frozen=True, slots=True)
class Block:
    """One block of an image."""

    core: Window
    """What only this block answers for; cores cover the image without overlap."""
    window: Window
    """The core and its halo, as far as the image goes."""
    part: Part
    """Where the image goes on beyond the window."""


def plan_blocks(shape: tuple[int, int], *, size: int, halo: int) -> list[Block]:
    """Cut an image into blocks.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image.
    size : int
        Largest side of a core, in pixels, at least 1. Cores are about equally large.
    halo : int
        Pixels around a core that are looked at too, at least 0.

    Returns
    -------
    list of Block
        Row by row.

    Examples
    --------
    >>> [block.window for block in plan_blocks((10, 30), size=15, halo=2)]
    [(slice(0, 10, None), slice(0, 17, None)), (slice(0, 10, None), slice(13, 30, None))]
    """
    if min(shape) < 1 or size < 1 or halo < 0:
        msg = (
            "Expected an image of at least one pixel, a size of at least 1 and a halo of at least "
            f"0, but got {shape}, {size} and {halo}"
        )
        raise ValueError(msg)
    rows, columns = (_cut(length, size) for length in shape)
    return [_block((row, column), shape, halo) for row in rows for column in columns]


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """One plane of labels, and where its objects come from."""

    labels: IntArray
    """(Y, X) ids 1..n, each one connected component."""
    pieces: npt.NDArray[np.int64]
    """(m,) number of each piece that objects were made of, in the order in which pieces came."""
    owners: IntArray
    """(m,) id of the object that each of these pieces belongs to."""
    areas: npt.NDArray[np.int64]
    """(m,) pixels of each of these pieces."""


class SeamJoiner:
    """Puts the objects of blocks together; blocks come in the order of :func:`plan_blocks`.

    Parameters
    ----------
    plane : int32 array of shape (Y, X)
        Zeros; the ids are written into it.

    Notes
    -----
    Memory is that of the plane, about ten times that of the labels of one block, and a few numbers
    per object.
    """

    def __init__(self, plane: IntArray) -> None:
        self._labels = plane
        # One entry for each id of the plane so far, of which 0 is the background.
        self._parent = np.zeros(1, dtype=np.int64)
        self._whole = np.zeros(1, dtype=np.bool_)
        self._damaged = np.zeros(1, dtype=np.bool_)
        self._number = np.full(1, -1, dtype=np.int64)
        self._seen = 0

    def add(self, block: Block, labels: IntArray) -> None:
        """Take in the objects of one block.

        Parameters
        ----------
        block
            Where it lies.
        labels
            (y, x) labels of the block's window, ids 1..n.
        """
        count = int(labels.max(initial=0))
        before = self._labels[block.window]
        place = _Place.of(block)
        components = locate_components(labels)
        owned = place.holds(components.sinks) & ~block.part.cut(components.boxes, labels.shape)
        table = _Pairs.of(overlap_table(before, labels), count)
        # What an owned object of an earlier block covers by half is that object.
        known = self._whole[table.old]
        covered = table.sum_by_new(known)
        kept = 2 * covered <= table.new_areas
        in_core = np.bincount(labels[place.core].ravel(), minlength=count + 1)[1:] > 0
        kept &= owned | in_core
        ids = np.zeros(count + 1, dtype=np.int32)
        ids[1:][kept] = len(self._parent) + np.arange(kept.sum())
        self._append(owned[kept], self._seen + np.flatnonzero(kept))
        self._seen += count
        replaced = self._replaced(table, owned & kept)
        self._join(table, ids, place.known_areas(labels, count), ~owned & kept, replaced)
        self._write(before, labels, ids, place, replaced)

    def _append(self, whole: BoolArray, numbers: npt.NDArray[np.int64]) -> None:
        first = len(self._parent)
        self._parent = np.append(self._parent, first + np.arange(len(numbers)))
        self._whole = np.append(self._whole, whole)
        self._damaged = np.append(self._damaged, ~whole)
        self._number = np.append(self._number, numbers)

    def _replaced(self, table: _Pairs, owned: BoolArray) -> IntArray:
        """Return the pieces of earlier blocks that objects of this block cover by half."""
        ids, index = np.unique(table.old, return_inverse=True)
        counts = np.where(owned[table.new], table.counts, 0)
        covered = np.bincount(index, weights=counts, minlength=len(ids))
        areas = np.zeros(len(ids), np.int64)
        areas[index] = table.old_areas
        replaced: IntArray = ids[(2 * covered > areas) & ~self._whole[ids]].astype(np.int32)
        return replaced

    def _join(
        self,
        table: _Pairs,
        ids: IntArray,
        known_areas: npt.NDArray[np.int64],
        pieces: BoolArray,
        replaced: IntArray,
    ) -> None:
        """Join the pieces of this block with those of earlier blocks that they overlap."""
        smaller = np.minimum(table.old_areas, known_areas[table.new])
        same = (2 * table.counts > smaller) & pieces[table.new] & ~self._whole[table.old]
        same &= ~np.isin(table.old, replaced)
        for old, new in zip(table.old[same], ids[1:][table.new[same]], strict=True):
            self._parent[self._root(int(new))] = self._root(int(old))

    def _root(self, index: int) -> int:
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = int(self._parent[index])
        return index

    def _write(
        self, before: IntArray, labels: IntArray, ids: IntArray, place: _Place, replaced: IntArray
    ) -> None:
        """Write owned objects, over pieces, and the pieces of the core where nothing is yet."""
        new = map_ids(np.ascontiguousarray(labels), ids)
        whole = self._whole[new]
        core = np.zeros(new.shape, dtype=np.bool_)
        core[place.core] = True
        gone = np.zeros(len(self._parent), dtype=np.bool_)
        gone[replaced] = True
        before[gone[before]] = 0
        free = ~self._whole[before]
        lost = np.unique(new[whole & ~free])
        self._damaged[lost] = True
        taken = whole & free
        before[taken] = new[taken]
        rest = core & ~whole & (before == 0)
        before[rest] = new[rest]

    def result(self) -> Joined:
        """Return the labels of the whole image, after all blocks were added."""
        roots = np.array([self._root(index) for index in range(len(self._parent))])
        areas = self._count_pixels()
        pieces_of = np.bincount(roots[areas > 0], minlength=len(roots))
        # A piece that is alone was not confirmed by the block on the other side.
        alone = ~self._whole & (pieces_of[roots] < 2)
        kept = (areas > 0) & ~alone
        kept[0] = False
        present = np.unique(roots[kept])
        ids = np.zeros(len(roots), dtype=np.int32)
        ids[kept] = np.searchsorted(present, roots[kept]) + 1
        for first in range(0, len(self._labels), _BAND):
            band = self._labels[first : first + _BAND]
            band[...] = map_ids(np.ascontiguousarray(band), ids)
        self._mend(np.unique(ids[self._damaged & kept]), len(present))
        used = np.flatnonzero(kept)
        return Joined(self._labels, self._number[used], ids[used], areas[used])

    def _count_pixels(self) -> npt.NDArray[np.int64]:
        areas = np.zeros(len(self._parent), dtype=np.int64)
        for first in range(0, len(self._labels), _BAND):
            band = self._labels[first : first + _BAND]
            areas += np.bincount(band.ravel(), minlength=len(areas))
        return areas

    def _mend(self, ids: IntArray, count: int) -> None:
        """Leave one connected component of objects that were put together or lost pixels."""
        if not len(ids):
            return
        boxes = bounding_boxes(self._labels, count)
        for label in ids.tolist():
            y0, x0, y1, x1 = boxes[label - 1]
            window = self._labels[y0:y1, x0:x1]
            inside = window == label
            window[inside & (keep_largest_component(inside.astype(np.uint8)) == 0)] = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """A block's core, in pixels of its window."""

    core: Window

    @classmethod
    def of(cls, block: Block) -> _Place:
        rows, columns = (
            slice(core.start - window.start, core.stop - window.start)
            for core, window in zip(block.core, block.window, strict=True)
        )
        return cls((rows, columns))

    def holds(self, points: npt.NDArray[np.int64]) -> BoolArray:
        """Return which points (n, 2) lie in the core."""
        low = np.array([part.start for part in self.core])
        high = np.array([part.stop for part in self.core])
        inside = (points >= low) & (points < high)
        return inside[:, 0] & inside[:, 1]

    def known_areas(self, labels: IntArray, count: int) -> npt.NDArray[np.int64]:
        """Return the pixels (n,) of each object in the cores of earlier blocks."""
        rows, columns = self.core
        above = np.bincount(labels[: rows.start].ravel(), minlength=count + 1)
        left = np.bincount(labels[rows, : columns.start].ravel(), minlength=count + 1)
        return (above + left)[1:]


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Objects of earlier blocks and of a new one that share pixels."""

    old: IntArray
    """(p,) id in the plane."""
    new: npt.NDArray[np.int64]
    """(p,) id in the block, minus 1."""
    counts: npt.NDArray[np.int64]
    """(p,) pixels that both share."""
    old_areas: npt.NDArray[np.int64]
    """(p,) pixels of the old object in the window."""
    new_areas: npt.NDArray[np.int64]
    """(n,) pixels of each object of the block."""

    @classmethod
    def of(cls, table: OverlapTable, count: int) -> _Pairs:
        areas = np.zeros(count, dtype=np.int64)
        areas[table.prediction_ids - 1] = table.prediction_areas
        return cls(
            old=table.truth_ids[table.truth_index],
            new=table.prediction_ids[table.prediction_index].astype(np.int64) - 1,
            counts=table.counts,
            old_areas=table.truth_areas[table.truth_index],
            new_areas=areas,
        )

    def sum_by_new(self, chosen: BoolArray) -> npt.NDArray[Any]:
        """Return the pixels (n,) of each new object that it shares with the chosen pairs."""
        counts = np.where(chosen, self.counts, 0)
        return np.bincount(self.new, weights=counts, minlength=len(self.new_areas))


def _cut(length: int, size: int) -> list[slice]:
    count = -(-length // size)
    edges = [i * length // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _block(core: Window, shape: tuple[int, int], halo: int) -> Block:
    rows, columns = (
        slice(max(0, part.start - halo), min(length, part.stop + halo))
        for part, length in zip(core, shape, strict=True)
    )
    sides = tuple(
        (part.start > 0, part.stop < length)
        for part, length in zip((rows, columns), shape, strict=True)
    )
    return Block(core, (rows, columns), Part(shape[0] * shape[1], sides))
