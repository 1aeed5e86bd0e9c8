"""Follow the vectors of a field from every foreground pixel, and find the sinks where they gather.

A pixel moves by the vector at its place, at most one pixel a step, with the field read between
pixels bilinearly, between voxels trilinearly, and zero outside the foreground::

    p <- p + pace * v(p)        until the step is shorter than 0.001 px

Where the direction turns back, the track has passed the sink, and the pace is halved: it then ends
on the sink instead of jumping around it. A track that is 2 px away from its pixel is handed over to
the pixel where it is, so that each pixel takes a few steps, whatever the length of the object.
Where voxels are longer along one axis, a step is at most the shortest side long.

References
----------
Stringer et al. 2021, Cellpose, doi:10.1038/s41592-020-01018-x, for tracking by 200 steps and the
histogram of ends; handing over and the ways to stop are ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numba import njit

from pancyte.ops.ids import MAX_ID
from pancyte.ops.sinks import voxel_sides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pancyte.types import BoolArray, FloatArray, IntArray

_SHORTEST_STEP_2 = 1e-6  # px squared
_LEAST_PACE = 0.1  # a pace at or below is not halved again
_HAND_OVER_2 = 4.0  # px squared
_PATIENCE = 256  # steps after which a track within 2 px of its pixel is taken to be at its end
_REACH = 5  # px that a sink may grow from its seed
_GROWS_AT = 3  # ends at a pixel that a sink takes in

# What the array of ends holds while it is made: the pixel to go on from, or one of these.
_BACKGROUND = -1
_ON_THE_WAY = np.iinfo(np.int32).min
# An end e is kept as -2 - e.


def follow_flow(
    flow: FloatArray,
    foreground: BoolArray,
    *,
    max_iterations: int | None = None,
    spacing: Sequence[float] | None = None,
) -> IntArray:
    """Return where the track of each foreground pixel ends.

    Parameters
    ----------
    flow
        (ndim, [Z,] Y, X) vectors towards the sinks; longer ones are cut to length 1.
    foreground
        ([Z,] Y, X) which pixels move.
    max_iterations
        Most steps of one pixel, which is then followed alone, as Cellpose does. None lets tracks
        join: every pixel arrives, and long objects cost no more than round ones.
    spacing
        Size of a voxel along z, y, x, in any unit; None for cubes.

    Returns
    -------
    IntArray
        ([Z,] Y, X) flat index ``(z * Y + y) * X + x`` of the pixel nearest to the end; -1 for
        background.

    Raises
    ------
    ValueError
        If there are 2**31 pixels or more, or the spacing does not fit.

    Notes
    -----
    Tracks that never rest (a whirl) end at one of their pixels.

    Examples
    --------
    >>> flow = np.zeros((2, 1, 3), np.float32)
    >>> flow[1, 0, 0] = 1
    >>> follow_flow(flow, np.array([[True, True, False]]))
    array([[ 1,  1, -1]], dtype=int32)
    """
    if foreground.size > MAX_ID:
        msg = f"Expected at most {MAX_ID} pixels, but got {foreground.size}. Cut them into blocks."
        raise ValueError(msg)
    ends = np.full(foreground.shape, _BACKGROUND, dtype=np.int32)
    if foreground.any():
        stop = (_PATIENCE, _HAND_OVER_2) if max_iterations is None else (max_iterations, np.inf)
        scales = (1 / voxel_sides(spacing, foreground.ndim)).astype(np.float32)
        if foreground.ndim == 2:
            vectors = _interleave(flow[:, None], foreground[None], scales)[0]
            _follow(vectors, foreground, stop, ends)
        else:
            _follow_in_volume(_interleave(flow, foreground, scales), foreground, stop, ends)
        _join(ends.ravel())
    return ends


@njit(cache=True, nogil=True)
def _interleave(flow: FloatArray, foreground: BoolArray, scales: FloatArray) -> FloatArray:
    """Vectors in pixels as (Z + 1, Y + 1, X + 1, ndim), so that a reading is few short stretches.

    A plane, of which nothing is read above and below, keeps its one slice.
    """
    depth, height, width = foreground.shape
    first = flow.shape[0] - 2  # 0 in a plane
    vectors = np.zeros((depth + first, height + 1, width + 1, 2 + first), dtype=np.float32)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if foreground[z, y, x]:
                    down, right = flow[first, z, y, x], flow[first + 1, z, y, x]
                    squares = down * down + right * right
                    if first:
                        squares += flow[0, z, y, x] * flow[0, z, y, x]
                    length = np.sqrt(squares) if squares > 1 else np.float32(1)
                    if first:
                        vectors[z, y, x, 0] = flow[0, z, y, x] / length * scales[0]
                    vectors[z, y, x, first] = down / length * scales[1]
                    vectors[z, y, x, first + 1] = right / length * scales[2]
    return vectors


@njit(cache=True, nogil=True)
def _follow(
    vectors: FloatArray, foreground: BoolArray, stop: tuple[int, float], ends: IntArray
) -> None:
    flat_vectors, flat_foreground = vectors.ravel(), foreground.ravel()
    for y in range(foreground.shape[0]):
        for x in range(foreground.shape[1]):
            if foreground[y, x]:
                ends[y, x] = _follow_one(
                    flat_vectors, flat_foreground, foreground.shape, (y, x), stop
                )


@njit(cache=True, nogil=True)
def _follow_one(
    vectors: FloatArray,
    foreground: BoolArray,
    shape: tuple[int, int],
    start: tuple[int, int],
    stop: tuple[int, float],
) -> int:
    height, width = shape
    half, bottom, right = np.float32(0.5), np.float32(height - 1), np.float32(width - 1)
    start_y, start_x = np.float32(start[0]), np.float32(start[1])
    y, x, pace = start_y, start_x, np.float32(1)
    last_y, last_x = np.float32(0), np.float32(0)
    for _ in range(stop[0]):
        vy, vx = _read(vectors, width + 1, y, x)
        if vy * last_y + vx * last_x < 0 and pace > _LEAST_PACE:
            pace *= half
        last_y, last_x = vy, vx
        vy *= pace
        vx *= pace
        if vy * vy + vx * vx < _SHORTEST_STEP_2:
            break
        y = min(max(y + vy, np.float32(0)), bottom)
        x = min(max(x + vx, np.float32(0)), right)
        if (y - start_y) ** 2 + (x - start_x) ** 2 >= stop[1]:
            here = int(y + half) * width + int(x + half)
            if foreground[np.uint64(here)]:
                return here
    return -2 - (int(y + half) * width + int(x + half))


@njit(cache=True, nogil=True)
def _read(
    vectors: FloatArray, stride: int, y: np.float32, x: np.float32
) -> tuple[np.float32, np.float32]:
    """Vector at a place between pixels."""
    row, column = int(y), int(x)
    near = np.uint64(2 * (row * stride + column))
    far = near + np.uint64(2 * stride)
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    down, right = y - np.float32(row), x - np.float32(column)
    up, left = np.float32(1) - down, np.float32(1) - right
    vy = up * (left * vectors[near] + right * vectors[near + two])
    vx = up * (left * vectors[near + one] + right * vectors[near + three])
    vy += down * (left * vectors[far] + right * vectors[far + two])
    vx += down * (left * vectors[far + one] + right * vectors[far + three])
    return vy, vx


@njit(cache=True, nogil=True)
def _follow_in_volume(
    vectors: FloatArray, foreground: BoolArray, stop: tuple[int, float], ends: IntArray
) -> None:
    flat_vectors, flat_foreground = vectors.ravel(), foreground.ravel()
    depth, height, width = foreground.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if foreground[z, y, x]:
                    ends[z, y, x] = _follow_voxel(
                        flat_vectors, flat_foreground, foreground.shape, (z, y, x), stop
                    )


@njit(cache=True, nogil=True)
def _follow_voxel(
    vectors: FloatArray,
    foreground: BoolArray,
    shape: tuple[int, int, int],
    start: tuple[int, int, int],
    stop: tuple[int, float],
) -> int:
    """Do what :func:`_follow_one` does, along three axes."""
    height, width = shape[1], shape[2]
    zero, half = np.float32(0), np.float32(0.5)
    last = np.float32(shape[0] - 1), np.float32(height - 1), np.float32(width - 1)
    start_z, start_y, start_x = np.float32(start[0]), np.float32(start[1]), np.float32(start[2])
    z, y, x, pace = start_z, start_y, start_x, np.float32(1)
    last_z, last_y, last_x = zero, zero, zero
    for _ in range(stop[0]):
        vz, vy, vx = _read_in_volume(vectors, (height + 1, width + 1), z, y, x)
        if vz * last_z + vy * last_y + vx * last_x < 0 and pace > _LEAST_PACE:
            pace *= half
        last_z, last_y, last_x = vz, vy, vx
        vz *= pace
        vy *= pace
        vx *= pace
        if vz * vz + vy * vy + vx * vx < _SHORTEST_STEP_2:
            break
        z = min(max(z + vz, zero), last[0])
        y = min(max(y + vy, zero), last[1])
        x = min(max(x + vx, zero), last[2])
        if (z - start_z) ** 2 + (y - start_y) ** 2 + (x - start_x) ** 2 >= stop[1]:
            here = (int(z + half) * height + int(y + half)) * width + int(x + half)
            if foreground[np.uint64(here)]:
                return here
    return -2 - ((int(z + half) * height + int(y + half)) * width + int(x + half))


@njit(cache=True, nogil=True)
def _read_in_volume(
    vectors: FloatArray, strides: tuple[int, int], z: np.float32, y: np.float32, x: np.float32
) -> tuple[np.float32, np.float32, np.float32]:
    """Vector at a place between voxels."""
    slice_, row, column = int(z), int(y), int(x)
    deep, down, right = z - np.float32(slice_), y - np.float32(row), x - np.float32(column)
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    vz, vy, vx = np.float32(0), np.float32(0), np.float32(0)
    for a in range(2):
        share_z = deep if a else np.float32(1) - deep
        for b in range(2):
            share_y = share_z * (down if b else np.float32(1) - down)
            near_share, far_share = share_y * (np.float32(1) - right), share_y * right
            line = (slice_ + a) * strides[0] + row + b
            near = np.uint64(3 * (line * strides[1] + column))
            far = near + three
            vz += near_share * vectors[near] + far_share * vectors[far]
            vy += near_share * vectors[near + one] + far_share * vectors[far + one]
            vx += near_share * vectors[near + two] + far_share * vectors[far + two]
    return vz, vy, vx


@njit(cache=True, nogil=True)
def _join(ends: IntArray) -> None:
    """Replace, in place, the pixel to go on from by the end that it leads to."""
    path = np.empty(1024, dtype=np.int64)
    for first in range(ends.size):
        pixel, length = first, 0
        while ends[pixel] >= 0:
            if length == path.size:
                path = np.concatenate((path, np.empty(path.size, dtype=np.int64)))
            path[length] = pixel
            length += 1
            follower = ends[pixel]
            ends[pixel] = _ON_THE_WAY
            pixel = follower
        if length:
            end = -2 - pixel if ends[pixel] == _ON_THE_WAY else ends[pixel]
            for k in range(length):
                ends[path[k]] = end
    for pixel in range(ends.size):
        if ends[pixel] != _BACKGROUND:
            ends[pixel] = -2 - ends[pixel]


def label_sinks(ends: IntArray, *, min_count: int) -> IntArray:
    """Give the pixels whose tracks gather at one place one id.

    Parameters
    ----------
    ends
        ([Z,] Y, X) flat index of the end of each pixel's track, -1 for background.
    min_count
        Fewest tracks that make a sink.

    Returns
    -------
    IntArray
        ([Z,] Y, X) ids 1..n, those of more crowded sinks first; 0 for pixels that gather nowhere.

    Notes
    -----
    A sink is a pixel where at least ``min_count`` tracks end, no fewer than at its neighbors. It
    takes in neighbors with more than 2 ends, again and again, up to 5 px away, and other sinks on
    the way. Of equal sinks the first in scan order begins. Cellpose looks for the largest of 5 x 5
    pixels instead, which loses thin objects beside each other.

    Examples
    --------
    >>> label_sinks(np.array([[1, 1, 1, -1, 4]], np.int32), min_count=2)
    array([[1, 1, 1, 0, 0]], dtype=int32)
    """
    counts = _count_ends(ends[None] if ends.ndim == 2 else ends)
    seeds = _find_seeds(counts, max(min_count, 1))
    seeds = seeds[np.argsort(-counts.ravel()[seeds], kind="stable")]
    return _read_ids(ends, _grow_seeds(counts, seeds))


@njit(cache=True, nogil=True)
def _count_ends(ends: IntArray) -> IntArray:
    counts = np.zeros(ends.shape, dtype=np.int32)
    flat = counts.ravel()
    for end in ends.flat:
        if end >= 0:
            flat[end] += 1
    return counts


@njit(cache=True, nogil=True)
def _find_seeds(counts: IntArray, min_count: int) -> npt.NDArray[np.int64]:
    depth, height, width = counts.shape
    seeds = [np.int64(0) for _ in range(0)]
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                count = counts[z, y, x]
                if count >= min_count:
                    around = counts[
                        max(z - 1, 0) : z + 2, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2
                    ]
                    if around.max() == count:
                        seeds.append(np.int64((z * height + y) * width + x))
    return np.array(seeds, dtype=np.int64)


@njit(cache=True, nogil=True)
def _grow_seeds(counts: IntArray, seeds: npt.NDArray[np.int64]) -> IntArray:
    depth, height, width = counts.shape
    ids = np.zeros(counts.shape, dtype=np.int32)
    stack = np.empty((_REACH * 2 + 1) ** 3, dtype=np.int64)
    num_objects = 0
    for seed in seeds:
        z, y, x = seed // width // height, seed // width % height, seed % width
        if ids[z, y, x]:
            continue
        num_objects += 1
        ids[z, y, x] = num_objects
        first, last = max(z - _REACH, 0), min(z + _REACH + 1, depth)
        top, bottom = max(y - _REACH, 0), min(y + _REACH + 1, height)
        left, right = max(x - _REACH, 0), min(x + _REACH + 1, width)
        stack[0] = seed
        size = 1
        while size:
            size -= 1
            line, column = stack[size] // width, stack[size] % width
            layer, row = line // height, line % height
            for w in range(max(layer - 1, first), min(layer + 2, last)):
                for v in range(max(row - 1, top), min(row + 2, bottom)):
                    for u in range(max(column - 1, left), min(column + 2, right)):
                        if counts[w, v, u] >= _GROWS_AT and not ids[w, v, u]:
                            ids[w, v, u] = num_objects
                            stack[size] = (w * height + v) * width + u
                            size += 1
    return ids


@njit(cache=True, nogil=True)
def _read_ids(ends: IntArray, ids: IntArray) -> IntArray:
    labels = np.zeros(ends.shape, dtype=np.int32)
    flat_labels, flat_ids, flat_ends = labels.ravel(), ids.ravel(), ends.ravel()
    for k in range(flat_ends.size):
        if flat_ends[k] >= 0:
            flat_labels[k] = flat_ids[flat_ends[k]]
    return labels
