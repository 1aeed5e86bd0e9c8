"""The maps of an image of any size, tile by tile, blended where tiles overlap."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

import numpy as np

from pancyte.ops.tiling import Blender, covered_window, cut_tile, tile_grid
from pancyte.params import params
from pancyte.types import Maps

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Sequence

    from pancyte.inference.tta import Predictor
    from pancyte.inference.view import View
    from pancyte.types import FloatArray, Window

# The coarsest stride of common encoders. A tile that starts at a multiple of it goes through the
# same grid of strided convolutions as the whole image would.
_MULTIPLE: Final = 32


@params
class Tiling:
    """How an image is cut into tiles for the network."""

    tile: int = 768
    """Largest side of a tile in pixels of the network's input, a multiple of 32. Tiles are as small
    as their number allows."""
    overlap: int = 96
    """Pixels that neighbouring tiles share. The outer three eighths of them count nothing and the
    quarter in the middle is blended, so that a network that looks at most 3/8 of the overlap to
    each side gives the same as on the whole image. At most half a tile."""
    batch: int = 1
    """Tiles that go through the network at once; 1 to 4 on a CPU, more on a GPU."""

    def __post_init__(self) -> None:
        if self.tile < _MULTIPLE or self.tile % _MULTIPLE:
            raise ValueError(f"Expected tile to be a multiple of {_MULTIPLE}, but got {self.tile}")
        if not 0 <= self.overlap <= min(self.tile // 2, self.tile - _MULTIPLE):
            msg = (
                f"Expected overlap to lie in 0 to half of the tile of {self.tile}, "
                f"but got {self.overlap}"
            )
            raise ValueError(msg)
        if self.batch < 1:
            raise ValueError(f"Expected batch to be at least 1, but got {self.batch}")


class TiledMaps:
    """The maps of an image of any size, window by window.

    Parameters
    ----------
    predictor
        What looks at the tiles.
    view
        The image as the network sees it.
    tiling
        Size and overlap of the tiles.
    on_tile
        Called with the number of finished tiles and that of all tiles.

    Notes
    -----
    Tiles lie on one grid over the whole image, so that a window gives the values that the whole
    would have there. A tile is predicted when a window first reaches into it; windows that follow
    find it among those that were kept for them. An image that is not larger than a tile goes
    through the network as one.

    Memory, beside the image, in bytes: 4 * (S + D * V + 1) for each pixel of a window, with S
    scalars and V vectors of D components per pixel, and for each batch of tiles, of which a CPU
    computes up to four at once, 4 * batch * tile^2 * (C + S + D * V) and what the network needs.
    """

    def __init__(
        self,
        predictor: Predictor,
        view: View,
        *,
        tiling: Tiling,
        on_tile: Callable[[int, int], None] | None = None,
    ) -> None:
        self._predictor, self._view, self._batch = predictor, view, tiling.batch
        self._on_tile = on_tile or _no_report
        self.shape = view.shape
        """Height and width of the maps."""
        self._grid = tile_grid(
            view.shape, tile=tiling.tile, overlap=tiling.overlap, multiple=_MULTIPLE
        )
        self._covered = [covered_window(self._grid, tile) for tile in self._grid.tiles]
        self._kept: dict[int, FloatArray] = {}
        self._done = 0
        self._num_scalars, self._vectors_shape = 0, (0, 0)

    def tiles_of(self, window: Window) -> set[int]:
        """Return the tiles of which a window needs something."""
        return {
            index
            for index, parts in enumerate(self._covered)
            if all(
                a.start < b.stop and b.start < a.stop for a, b in zip(parts, window, strict=True)
            )
        }

    def read(self, window: Window, *, keep: Collection[int] = ()) -> Maps[FloatArray]:
        """Return the maps of a window, and keep the tiles that later windows will ask for.

        Returns
        -------
        Maps
            Of the window's size, float32.

        Raises
        ------
        CheckpointError
            A network gave values that are not finite.
        """
        needed = sorted(self.tiles_of(window))
        missing = [index for index in needed if index not in self._kept]
        blender: Blender | None = None
        with closing(self._predict(missing)) as predicted:
            for index in needed:
                while index not in self._kept:
                    self._kept.update(next(predicted))
                if blender is None:
                    blender = Blender(self._grid, len(self._kept[index]), window)
                blender.add(self._grid.tiles[index], self._kept[index])
                if index not in keep:
                    del self._kept[index]
        assert blender is not None  # noqa: S101 - every pixel lies in a tile
        values = blender.result()
        vectors = values[self._num_scalars :]
        return Maps(
            values[: self._num_scalars],
            vectors.reshape(*self._vectors_shape, *values.shape[1:]),
        )

    def _predict(self, indices: Sequence[int]) -> Generator[dict[int, FloatArray]]:
        """Yield the maps of tiles, a batch at a time."""
        batches = [indices[i : i + self._batch] for i in range(0, len(indices), self._batch)]
        stacks = (
            np.stack([cut_tile(self._view.read, self._grid, self._grid.tiles[i]) for i in batch])
            for batch in batches
        )
        found = self._predictor.predict_each(stacks, count=len(batches))
        for batch, maps in zip(batches, found, strict=True):
            self._num_scalars = maps.scalars.shape[1]
            self._vectors_shape = (maps.vectors.shape[1], maps.vectors.shape[2])
            vectors = maps.vectors.reshape(len(batch), -1, *maps.vectors.shape[3:])
            self._done += len(batch)
            self._on_tile(self._done, len(self._grid.tiles))
            yield {
                index: np.concatenate([maps.scalars[place], vectors[place]])
                for place, index in enumerate(batch)
            }


def _no_report(done: int, total: int) -> None:
    """Report nothing."""
