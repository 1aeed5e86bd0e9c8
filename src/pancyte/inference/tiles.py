"""The maps of an image of any size, tile by tile, blended where tiles overlap."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from pancyte.errors import CheckpointError
from pancyte.ops.tiling import Blender, TileGrid, cut_tile, tile_grid
from pancyte.params import params
from pancyte.types import Maps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from pancyte.protocols import Task
    from pancyte.runtime import Precision
    from pancyte.types import FloatArray

# The coarsest stride of common encoders. A tile that starts at a multiple of it goes through the
# same grid of strided convolutions as the whole image would.
_MULTIPLE: Final = 32


@params
class Tiling:
    """How an image is cut into tiles for the network."""

    tile: int = 512
    """Side of a tile in pixels of the network's input, a multiple of 32."""
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


def predict_tiles(
    task: Task,
    network: nn.Module,
    pixels: FloatArray,
    *,
    tiling: Tiling | None = None,
    precision: Precision = "float32",
    on_tile: Callable[[int, int], None] | None = None,
) -> Maps[FloatArray]:
    """Predict the maps of an image.

    Parameters
    ----------
    task
        Says how the network is run on a batch of tiles.
    network
        On the device where it shall run. It is put into evaluation mode meanwhile.
    pixels : float32 array of shape (C, Y, X)
        Normalized, with the channels that the network expects.
    tiling
        Size and overlap of the tiles; None for the default.
    precision
        What convolutions are computed in. The maps are float32 in any case.
    on_tile
        Called with the number of finished tiles and that of all tiles.

    Returns
    -------
    Maps
        Of the image's size, float32.

    Raises
    ------
    CheckpointError
        The network gave values that are not finite.

    Notes
    -----
    Memory, beside the image, in bytes: 4 * (S + D * V + 1) * Y * X for S scalars and V vectors of D
    components per pixel, and for one batch of tiles 4 * batch * tile^2 * (C + S + D * V) and what
    the network needs. An image that is not larger than a tile goes through the network as one.
    """
    tiling = tiling or Tiling()
    height, width = pixels.shape[-2:]
    grid = tile_grid((height, width), tile=tiling.tile, overlap=tiling.overlap, multiple=_MULTIPLE)
    blender: Blender | None = None
    num_scalars, vectors_shape = 0, torch.Size()
    with _evaluating(network), _autocast(network, precision):
        for first in range(0, len(grid.tiles), tiling.batch):
            tiles = grid.tiles[first : first + tiling.batch]
            images = np.stack([cut_tile(pixels, grid, tile) for tile in tiles])
            maps = task.infer(network, _to_device(images, network))
            values = _stack_maps(maps, grid)
            if blender is None:
                blender = Blender(grid, values.shape[1])
                num_scalars, vectors_shape = maps.scalars.shape[1], maps.vectors.shape[1:3]
            for tile, value in zip(tiles, values, strict=True):
                blender.add(tile, value)
            if on_tile is not None:
                on_tile(first + len(tiles), len(grid.tiles))
    assert blender is not None  # noqa: S101 - a grid has at least one tile
    joined = blender.result()
    return Maps(joined[:num_scalars], joined[num_scalars:].reshape(*vectors_shape, height, width))


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        network.train(training)


def _autocast(network: nn.Module, precision: Precision) -> torch.autocast:
    return torch.autocast(
        _device(network).type, dtype=torch.bfloat16, enabled=precision == "bfloat16"
    )


def _device(network: nn.Module) -> torch.device:
    parameter = next(network.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _to_device(images: FloatArray, network: nn.Module) -> Tensor:
    # Channels last is what convolutions on a CPU and on tensor cores are fastest with.
    return torch.from_numpy(images).to(_device(network), memory_format=torch.channels_last)


def _stack_maps(maps: Maps[Tensor], grid: TileGrid) -> FloatArray:
    """Return all values of a batch as (B, D, *tile) on the host."""
    values = torch.cat([maps.scalars, maps.vectors.flatten(1, 2)], dim=1).float()
    if values.shape[-2:] != grid.tile:
        msg = f"Expected maps as large as the tile {grid.tile}, but got {tuple(values.shape)}"
        raise ValueError(msg)
    result: FloatArray = values.cpu().numpy()
    if not np.isfinite(result).all():
        msg = (
            "The network gave values that are not finite. Its weights are damaged, or this device "
            "computes wrongly in low precision: try --set precision=float32."
        )
        raise CheckpointError(msg)
    return result
