"""The diffusion field: unit vectors up the slope of heat that enters each object at its sink.

In a plane, with (h, w) the box of an object and n the largest 2 (h + w + 2), n times::

    T[sink] += 1
    T[p] <- 1/9 * sum of T over p and those of its eight neighbors that are of the same object

and then, over the whole plane, ``(T[y + 1] - T[y - 1], T[x + 1] - T[x - 1])`` made unit length.
In a volume, heat passes through faces alone: n is the largest 6 (d + h + w + 3), the sum is over p
and six neighbors, and the share 1/7. This is Cellpose's field, with what that brings: borders
absorb heat, n comes from the largest object, and where two objects touch, the slope is taken across
both, so that some of their pixels point at the other one.

Voxels that are no cubes, which Cellpose does not know, conduct in proportion to 1 / side^2 along
each axis, and slopes are per side: the field of the same object cut into cubes.

References
----------
Stringer et al. 2021, Cellpose, doi:10.1038/s41592-020-01018-x; written from the formula.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from pancyte.ops.sinks import as_volume

if TYPE_CHECKING:
    from pancyte.ops.sinks import Components
    from pancyte.types import BoolArray, FloatArray, IntArray

Floats = npt.NDArray[np.floating]

# Heat below this loses digits in float32, whose smallest full number is 1.2e-38.
_FAINT_HEAT = 1e-30
# After this many iterations per squared side, heat goes on rising in all pixels alike. With the
# geometric sum from there on, 99 % of the vectors of touching cells of 12 to 40 px stay within 1
# degree of those of n iterations, and 99.9 % within 5. Through faces, heat takes 7/3 as long.
_SETTLED = 0.10
_SETTLED_VOLUME = 0.10 * 7 / 3
_LEAST_ITERATIONS = 16
# Rows that start at multiples of this many numbers are read faster.
_ALIGNMENT = 8
# What it costs to begin a stretch of voxels, in voxels.
_STRETCH_COST = 40


class _Body(NamedTuple):
    """One object in its box, as flat arrays with free pixels around it."""

    heat: Floats
    spare: Floats
    share: Floats
    """What a pixel keeps of the sum over its neighbors, 1 for a voxel; 0 outside the object."""
    plane: int
    """Steps to the same pixel of the next slice; 0 in a plane."""
    row: int
    """Steps to the same pixel of the next row."""
    sink: int
    stretches: npt.NDArray[np.int64]
    """(m, 2) begin and end of the stretches that hold the voxels."""
    weights: Floats
    """Share of a pixel, or conduction from the voxel itself and its neighbors along z, y, x."""


def diffusion_field(components: Components) -> FloatArray:
    """Return the diffusion field (ndim, [Z,] Y, X) of the components.

    Notes
    -----
    Heat falls exponentially along thin objects. Float32 serves most; where it runs out, the object
    is done again in float64, and where that runs out too (bars 2 px wide beyond about 600 px from
    the sink, or ways longer than n) the vector is zero. A sink with symmetric heat has no
    direction and stays zero as well. Once heat has settled, the rest is a geometric sum.
    """
    volume = as_volume(components)
    flow = np.zeros((components.labels.ndim, *volume.labels.shape), dtype=np.float32)
    if len(volume.boxes):
        heat = np.zeros(volume.labels.shape, dtype=np.float32)
        every = np.ones(len(volume.boxes), dtype=np.bool_)
        faint = _warm(volume, every, heat, plane=len(flow) == 2)
        if faint.any():
            precise = heat.astype(np.float64)
            _warm(volume, faint, precise, plane=len(flow) == 2)
            _write_unit_slope(volume.labels, precise, 1 / volume.sides, flow)
        else:
            inverse = (1 / volume.sides).astype(np.float32)
            _write_unit_slope(volume.labels, heat, inverse, flow)
    return flow.reshape(len(flow), *components.labels.shape)


def _warm(components: Components, chosen: BoolArray, heat: Floats, *, plane: bool) -> BoolArray:
    """Write the heat of the chosen objects; return those for which its type has too few digits."""
    sides = components.boxes[:, 3:] - components.boxes[:, :3]
    extents = sides * components.sides
    if plane:
        weights = np.array([1 / 9], dtype=heat.dtype)
        count = 2 * int(extents[:, 1:].sum(axis=1).max() + 2)
        settled = _SETTLED * extents.max(axis=1) ** 2
    else:
        conduction = components.sides**-2 / 7
        weights = np.array([1 - 2 * conduction.sum(), *conduction], dtype=heat.dtype)
        count = 6 * int(np.ceil(extents.sum(axis=1).max() + 3))
        settled = _SETTLED_VOLUME * extents.max(axis=1) ** 2
    shapes = sides + np.array([0 if plane else 2, 2, 1 + _ALIGNMENT])
    buffers = np.zeros((3, int(np.prod(shapes, axis=1).max())), dtype=heat.dtype)
    counts = np.full((2, len(sides)), count)
    counts[0] = np.minimum(count, settled.astype(np.int64) + _LEAST_ITERATIONS)
    return _diffuse(components, chosen, counts, weights, buffers, heat)


@njit(cache=True, nogil=True)
def _diffuse(
    components: Components,
    chosen: BoolArray,
    counts: npt.NDArray[np.int64],
    weights: Floats,
    buffers: Floats,
    heat: Floats,
) -> BoolArray:
    """Write the heat of the chosen objects after counts[0] iterations, continued to counts[1]."""
    faint = np.zeros(chosen.size, dtype=np.bool_)
    for index in range(chosen.size):
        if chosen[index]:
            body = _lay_out(components, index, weights, buffers)
            _spread(body, counts[0, index])
            if counts[0, index] < counts[1, index]:
                _spread_on(body, counts[1, index] - counts[0, index])
            faint[index] = _read_out(components, index, body, heat) < _FAINT_HEAT
    return faint


@njit(cache=True, nogil=True)
def _lay_out(components: Components, index: int, weights: Floats, buffers: Floats) -> _Body:
    labels, boxes, sinks, _ = components
    z0, y0, x0, z1, y1, x1 = boxes[index]
    # A free row above and below; the free pixels before a row are also those after the last, and
    # the free row above a slice is also that below the last.
    row = -(-(x1 - x0 + 1) // _ALIGNMENT) * _ALIGNMENT
    plane = (y1 - y0 + 1) * row if weights.size > 1 else 0
    size = (z1 - z0 + 1) * plane + (y1 - y0 + 2) * row + 1
    heat, spare, share = buffers[0, :size], buffers[1, :size], buffers[2, :size]
    heat[:] = 0
    spare[:] = 0
    share[:] = 0
    own = share.dtype.type(1) if plane else weights[0]
    for z in range(z0, z1):
        for y in range(y0, y1):
            line = labels[z, y, x0:x1]
            shares = share[(z - z0 + 1) * plane + (y - y0 + 1) * row + 1 :]
            for x in range(x1 - x0):
                shares[x] = own * (line[x] == index + 1)
    depth, down, right = sinks[index, 0] - z0, sinks[index, 1] - y0, sinks[index, 2] - x0
    sink = (depth + 1) * plane + (down + 1) * row + 1 + right
    stretches = _find_stretches(share) if plane else np.empty((0, 2), dtype=np.int64)
    return _Body(heat, spare, share, plane, row, sink, stretches, weights)


@njit(cache=True, nogil=True)
def _find_stretches(share: Floats) -> npt.NDArray[np.int64]:
    """Return the stretches that hold all voxels, joined where going on costs less than beginning.

    So the work on a thin object in a large box is in proportion to the object.
    """
    stretches = [(np.int64(0), np.int64(0)) for _ in range(0)]
    begin = end = np.int64(-1)
    for k in range(share.size):
        if share[k]:
            if begin < 0 or k > end + _STRETCH_COST:
                if begin >= 0:
                    stretches.append((begin, end))
                begin = np.int64(k)
            end = np.int64(k + 1)
    stretches.append((begin, end))
    return np.array(stretches)


@njit(cache=True, nogil=True)
def _spread(body: _Body, count: int) -> None:
    """Let heat in and spread it, ``count`` times."""
    if body.plane:
        _spread_in_volume(body, count)
    else:
        _spread_in_plane(body, count)


@njit(cache=True, nogil=True)
def _spread_in_plane(body: _Body, count: int) -> None:
    """Spread over eight neighbors, in place: a sum over rows, then over columns."""
    heat, sums, row = body.heat, body.spare, body.row
    size = heat.size - 2 * row - 1
    above, here, below = heat[:size], heat[row:][:size], heat[2 * row :][:size]
    left, middle, right = sums[row - 1 :][:size], sums[row:][:size], sums[row + 1 :][:size]
    shares = body.share[row:][:size]
    for _ in range(count):
        heat[body.sink] += 1
        for k in range(size):
            middle[k] = above[k] + here[k] + below[k]
        for k in range(size):
            here[k] = shares[k] * (left[k] + middle[k] + right[k])


@njit(cache=True, nogil=True)
def _spread_in_volume(body: _Body, count: int) -> None:
    """Spread through six faces, from one array to the other and back."""
    heat, spare, plane, row = body.heat, body.spare, body.plane, body.row
    own, along_z, along_y, along_x = body.weights
    for _ in range(count):
        heat[body.sink] += 1
        for stretch in range(len(body.stretches)):
            begin, end = body.stretches[stretch]
            target, share, here = spare[begin:end], body.share[begin:end], heat[begin:end]
            back, front = heat[begin - plane : end - plane], heat[begin + plane : end + plane]
            above, below = heat[begin - row : end - row], heat[begin + row : end + row]
            left, right = heat[begin - 1 : end - 1], heat[begin + 1 : end + 1]
            for k in range(target.size):
                target[k] = share[k] * (
                    own * here[k]
                    + along_z * (back[k] + front[k])
                    + along_y * (above[k] + below[k])
                    + along_x * (left[k] + right[k])
                )
        heat, spare = spare, heat
    if count % 2:
        body.heat[:] = heat


@njit(cache=True, nogil=True)
def _spread_on(body: _Body, count: int) -> None:
    """Spread settled heat ``count`` times more: two steps give the factor of a geometric sum."""
    heat = body.heat
    totals = np.empty(3)
    before = heat
    for step in range(3):
        totals[step] = heat.astype(np.float64).sum()
        if step < 2:
            before = heat.copy()
            _spread(body, 1)
    gain = totals[1] - totals[0]
    if gain > 0 and totals[2] > totals[1]:
        factor = min((totals[2] - totals[1]) / gain, 1 - 1e-9)
        heat += (factor * (1 - factor ** (count - 2)) / (1 - factor)) * (heat - before)


@njit(cache=True, nogil=True)
def _read_out(components: Components, index: int, body: _Body, heat: Floats) -> float:
    """Write the heat of an object into that of the volume; return the lowest."""
    coldest, labels = np.inf, components.labels
    z0, y0, x0, z1, y1, x1 = components.boxes[index]
    for z in range(z0, z1):
        for y in range(y0, y1):
            first = (z - z0 + 1) * body.plane + (y - y0 + 1) * body.row + 1
            own, line, target = body.heat[first:], labels[z, y, x0:x1], heat[z, y, x0:x1]
            for x in range(line.size):
                if line[x] == index + 1:
                    coldest = min(coldest, own[x])
                    target[x] = own[x]
    return coldest


@njit(cache=True, nogil=True)
def _write_unit_slope(labels: IntArray, heat: Floats, scales: Floats, flow: FloatArray) -> None:
    """Write the unit vectors up the slope of heat, wherever there is an object."""
    depth, height, width = labels.shape
    nothing = np.zeros(width, dtype=heat.dtype)
    for z in range(depth):
        for y in range(height):
            rows = heat[z, y - 1] if y else nothing, heat[z, y + 1] if y + 1 < height else nothing
            if flow.shape[0] == 2:
                _write_row(labels[z, y], rows, heat[z, y], (flow[0, z, y], flow[1, z, y]))
            else:
                back = heat[z - 1, y] if z else nothing
                front = heat[z + 1, y] if z + 1 < depth else nothing
                slopes = np.zeros((3, width), dtype=heat.dtype)
                slopes[0] = scales[0] * (front - back)
                slopes[1] = scales[1] * (rows[1] - rows[0])
                slopes[2, :-1] = heat[z, y, 1:]
                slopes[2, 1:] -= heat[z, y, :-1]
                slopes[2] *= scales[2]
                _write_row_of_volume(labels[z, y], slopes, flow[:, z, y])


@njit(cache=True, nogil=True, error_model="numpy")
def _write_row(
    labels: IntArray,
    rows: tuple[Floats, Floats],
    heat: Floats,
    flow: tuple[FloatArray, FloatArray],
) -> None:
    (above, below), (along_y, along_x) = rows, flow
    width = labels.size
    for x in range(width):
        if not labels[x]:
            continue
        down = below[x] - above[x]
        right = (heat[x + 1] if x + 1 < width else 0.0) - (heat[x - 1] if x else 0.0)
        largest = max(abs(down), abs(right))  # squares of small numbers would vanish
        if largest > 0:
            down /= largest
            right /= largest
            length = np.sqrt(down * down + right * right)
            along_y[x] = down / length
            along_x[x] = right / length


@njit(cache=True, nogil=True, error_model="numpy")
def _write_row_of_volume(labels: IntArray, slopes: Floats, flow: FloatArray) -> None:
    for x in range(labels.size):
        ahead, down, right = slopes[0, x], slopes[1, x], slopes[2, x]
        largest = max(abs(ahead), abs(down), abs(right))
        if labels[x] and largest > 0:
            ahead /= largest
            down /= largest
            right /= largest
            length = np.sqrt(ahead * ahead + down * down + right * right)
            flow[0, x] = ahead / length
            flow[1, x] = down / length
            flow[2, x] = right / length
