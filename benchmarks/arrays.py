"""The arrays that every column of a benchmark sees, from a committed seed.

Touching cells like tissue: one seed in each square of a grid, moved at random, some left out; a
pixel belongs to the nearest seed, counted in units of that seed's size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SEED = 2026
PITCH = 26.5  # px between seeds: 1024 x 1024 then holds about 1,300 cells of 15 to 40 px
VOLUME_PITCH = 22.0  # 64 x 256 x 256 then holds about 400 cells of 7,500 voxels
SMALL_PITCH = 12.5  # 4096 x 4096 then holds 100,000 cells and more


def touching_cells(
    side: int,
    *,
    pitch: float = PITCH,
    num_objects: int | None = None,
    shift: float = 0.0,
    seed: int = SEED,
) -> Array:
    """Labels (side, side) int32 with ids 1..n; ``shift`` moves every seed by about so many px.

    Two calls that differ only in ``shift`` give an annotation and a prediction of the same cells.
    """
    rng = np.random.default_rng(seed)
    cells = int(np.ceil(side / pitch))
    jitter = rng.random((2, cells, cells)).astype(np.float32)
    size = rng.uniform(0.7, 1.15, (cells, cells)).astype(np.float32)
    dropped = rng.random((cells, cells)) < (0.12 if num_objects is None else 0.0)
    jitter += rng.normal(0, 1, jitter.shape).astype(np.float32) * shift / pitch
    seeds = (np.stack(np.mgrid[:cells, :cells]) + jitter) * pitch
    labels = nearest(side, pitch, seeds, size)
    labels[np.isin(labels, 1 + np.flatnonzero(dropped))] = 0
    ids = np.unique(labels[labels > 0])
    if num_objects is not None:
        ids = ids[:num_objects]
    table = np.zeros(cells * cells + 1, np.int32)
    table[ids] = np.arange(1, len(ids) + 1)
    return table[labels]


def nearest(side: int, pitch: float, seeds: Array, size: Array) -> Array:
    """Number of the nearest seed of each pixel, among those of its square and the eight around."""
    cells = seeds.shape[1]
    row, column = np.mgrid[:side, :side].astype(np.int32)
    y, x = row.astype(np.float32), column.astype(np.float32)
    row, column = (row // pitch).astype(np.int32), (column // pitch).astype(np.int32)
    best = np.full((side, side), np.float32(0.72 * pitch))
    labels = np.zeros((side, side), np.int32)
    for up in (-1, 0, 1):
        for left in (-1, 0, 1):
            i, j = np.clip(row + up, 0, cells - 1), np.clip(column + left, 0, cells - 1)
            apart = np.hypot(y - seeds[0][i, j], x - seeds[1][i, j]) / size[i, j]
            closer = apart < best
            best[closer] = apart[closer]
            labels[closer] = (i * cells + j + 1)[closer]
    return labels


def touching_cells_in_volume(
    shape: tuple[int, int, int], *, pitch: float = VOLUME_PITCH, seed: int = SEED
) -> Array:
    """Labels (Z, Y, X) int32 with ids 1..n, made as in a plane."""
    rng = np.random.default_rng(seed)
    cells = tuple(int(np.ceil(side / pitch)) for side in shape)
    seeds = (np.stack(np.indices(cells)) + rng.random((3, *cells))).astype(np.float32) * pitch
    size = rng.uniform(0.7, 1.15, cells).astype(np.float32)
    dropped = rng.random(cells) < 0.12
    place = np.stack(np.indices(shape)).astype(np.float32)
    own = (place // pitch).astype(np.int32)
    best = np.full(shape, np.float32(0.72 * pitch))
    labels = np.zeros(shape, np.int32)
    for step in np.ndindex(3, 3, 3):
        square = tuple(np.clip(own[k] + step[k] - 1, 0, cells[k] - 1) for k in range(3))
        apart = np.sqrt(sum((place[k] - seeds[k][square]) ** 2 for k in range(3))) / size[square]
        closer = apart < best
        best[closer] = apart[closer]
        labels[closer] = (np.ravel_multi_index(square, cells) + 1)[closer]
    labels[np.isin(labels, 1 + np.flatnonzero(dropped))] = 0
    ids = np.unique(np.concatenate([[0], labels.ravel()]))
    return np.searchsorted(ids, labels).astype(np.int32)


def noisy_prediction(flow: Array, foreground: Array, *, seed: int = SEED) -> tuple[Array, Array]:
    """A field and a probability as a good network predicts them: the true ones with noise."""
    rng = np.random.default_rng(seed)
    axes = foreground.ndim
    coarse = tuple(side // 4 for side in foreground.shape)
    noise = rng.normal(0, 0.15, (axes + 1, *coarse)).astype(np.float32)
    for axis in range(1, axes + 1):
        noise = noise.repeat(4, axis=axis)
    probability = np.clip(0.9 * foreground + 0.05 + 0.3 * noise[axes], 0.001, 0.999)
    return (flow + noise[:axes]).astype(np.float32), probability.astype(np.float32)
