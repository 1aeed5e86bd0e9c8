"""Objects of an image of any size: small ones at once, large ones block by block.

A block with its halo is read from the tiles of the network, decoded, and joined with the blocks
before it (:mod:`pancyte.ops.seams`). Tiles at a seam are kept for the blocks that follow, so that
each is predicted once, and the maps are those that the whole image would have had.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from pancyte.ops.resample import resize_maps, resize_window, source_window
from pancyte.ops.seams import Joined, SeamJoiner, plan_blocks
from pancyte.params import params
from pancyte.types import Maps, ObjectTable, Part, Segmentation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pancyte.inference.tiles import TiledMaps
    from pancyte.protocols import Task
    from pancyte.types import FloatArray, Window

_LEAST_HALO = 16
_USUAL_HALO = 256
# Columns that say nothing of an object where only parts of it were looked at: the flow of half an
# object leads to a middle that is not its own.
_OF_WHOLE_OBJECTS = ("flow_error",)


@params
class Blocks:
    """How a large image is decoded in blocks, whose memory does not grow with it."""

    above: int = 25_000_000
    """Pixels of the image from which on it is decoded in blocks: 5000 x 5000."""
    size: int = 2048
    """Largest side of a block in pixels, without its halo; at least 64."""
    halo: int | None = None
    """Pixels around a block that are decoded too, at least 16. Objects smaller than the halo come
    out as if the image had been decoded at once; larger ones are put together from their parts.
    None is 256, and twice the diameter of large objects where that is more."""

    def __post_init__(self) -> None:
        if self.above < 1:
            raise ValueError(f"Expected above to be at least 1 pixel, but got {self.above}")
        if self.size < 4 * _LEAST_HALO:
            raise ValueError(f"Expected size to be at least 64 pixels, but got {self.size}")
        if self.halo is not None and self.halo < _LEAST_HALO:
            raise ValueError(f"Expected halo to be at least 16 pixels, but got {self.halo}")

    def halo_for(self, diameter: float | None) -> int:
        """Return the halo for objects whose large ones have a diameter in pixels of the image."""
        if self.halo is not None:
            return self.halo
        return max(_USUAL_HALO, min(ceil(2 * (diameter or 0.0)), self.size))


def find_objects(
    task: Task,
    maps: TiledMaps,
    shape: tuple[int, int],
    *,
    scale: float,
    blocks: Blocks,
    diameter: float | None = None,
) -> Segmentation:
    """Find the objects of an image.

    Parameters
    ----------
    task
        Says what an object is.
    maps
        Of the image as the network sees it.
    shape : (int, int)
        Size that the labels shall have, at least that of the maps.
    scale
        Size of a pixel of the labels in pixels of the maps, at most 1.
    blocks
        From which size on, and how, the image is cut.
    diameter
        That of large objects, in pixels of the labels; None where it is not known.

    Returns
    -------
    Segmentation
        Ids 1..n in each class, and the columns of the task. An object that was put together has the
        means of what its parts have, such as the score, by their area; its ``flow_error`` is NaN.

    Notes
    -----
    Memory of a large image, in bytes: 4 * K for each pixel of the labels; 4 * (S + D * V) for each
    pixel of one row of tiles, at the seam; and what it takes to decode one block. Parts of objects
    larger than the halo are not tested for their error.
    """
    if shape[0] * shape[1] < blocks.above:
        whole = maps.read((slice(0, maps.shape[0]), slice(0, maps.shape[1])))
        # A part that is all of the image: what relates its objects comes later, at its own size.
        everything = Part(shape[0] * shape[1], ((False, False), (False, False)))
        return task.decode(resize_maps(whole, shape), scale=scale, part=everything)
    planned = plan_blocks(shape, size=blocks.size, halo=blocks.halo_for(diameter))
    windows = [block.window for block in planned]
    labels = np.zeros((len(task.classes), *shape), dtype=np.int32)
    joiners = [SeamJoiner(plane) for plane in labels]
    tables: list[ObjectTable] = []
    for block, part in zip(planned, _read_all(maps, shape, windows), strict=True):
        found = task.decode(part, scale=scale, part=block.part)
        tables.append(found.objects)
        for joiner, plane in zip(joiners, found.labels, strict=True):
            joiner.add(block, plane)
    objects = _below(tables)
    parts = [
        _objects_of(joiner.result(), objects.select(objects["class"] == name))
        for joiner, name in zip(joiners, task.classes, strict=True)
    ]
    return Segmentation(labels, _below(parts), task.classes)


def _read_all(
    maps: TiledMaps, shape: tuple[int, int], windows: Sequence[Window]
) -> Iterator[Maps[FloatArray]]:
    """Yield the maps of each window, at the size of the labels."""
    sources = [source_window(maps.shape, shape, window) for window in windows]
    needed = [maps.tiles_of(source) for source in sources]
    last = {tile: index for index, tiles in enumerate(needed) for tile in tiles}
    for index, (window, source) in enumerate(zip(windows, sources, strict=True)):
        keep = {tile for tile in needed[index] if last[tile] > index}
        seen = maps.read(source, keep=keep)
        yield Maps(
            _enlarged(seen.scalars, maps.shape, shape, window),
            _enlarged(seen.vectors, maps.shape, shape, window),
        )


def _enlarged(
    values: FloatArray, old: tuple[int, int], new: tuple[int, int], window: Window
) -> FloatArray:
    """Return a window of enlarged maps from the values of its source window."""

    def read(rows: slice, columns: slice) -> FloatArray:  # noqa: ARG001 - read already
        return values

    return resize_window(read, old, new, window)


def _below(tables: Sequence[ObjectTable]) -> ObjectTable:
    """Put tables of the same columns below each other."""
    return ObjectTable(
        {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    )


def _objects_of(joined: Joined, pieces: ObjectTable) -> ObjectTable:
    """Return the table of the objects of one class: the row of each one's largest piece."""
    order = np.lexsort((-joined.areas, joined.owners))
    owners, areas = joined.owners[order], joined.areas[order]
    rows = pieces.select(joined.pieces[order])
    first = np.ones(len(owners), dtype=np.bool_)
    first[1:] = owners[1:] != owners[:-1]
    count = int(first.sum())
    in_parts = np.bincount(owners, minlength=count + 1)[1:] > 1
    totals = np.bincount(owners, weights=areas, minlength=count + 1)[1:]
    means = {
        name: np.bincount(owners, weights=areas * column, minlength=count + 1)[1:] / totals
        for name, column in rows.items()
        if column.dtype.kind == "f"
    }
    for name in _OF_WHOLE_OBJECTS:
        if name in means:
            means[name][in_parts] = np.nan
    labels = {"label": np.arange(1, count + 1, dtype=np.int32)}
    return rows.select(first).with_columns(
        labels | {name: mean.astype(np.float32) for name, mean in means.items()}
    )
