"""The geodesic field: unit vectors along a short way to the sink that stays inside the object.

Pixels that see the sink in a straight line point at it. The others go around corners: each points
at the farthest pixel of its way that it sees, a few pixels ahead::

    s < < < < <       s the sink
    ^ . . . . ^       the way around the corner keeps off the wall where there is room
    ^ . . . . .

so the vectors have length 1 on every shape, however long, thin or bent. To see means that the line,
and every pixel that bilinear reading touches along it, lies inside: who follows the vectors in
steps of one pixel does not leave the object. Objects that hold together by single corners of pixels
are the exception, since any reading between two such pixels touches what is beside them.

Volumes are drawn by the same kernels, with trilinear reading; a plane is a volume of one slice
without a rim above and below. Ways are measured, and vectors have length 1, in units of length, so
that voxels may be longer along one axis.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from pancyte.ops.sinks import as_volume

if TYPE_CHECKING:
    from pancyte.ops.sinks import Components
    from pancyte.types import FloatArray, IntArray

# A pixel holds the one that it points at, or one of these.
_OUTSIDE = -1
_UNSEEN = -2

_LOOK_AHEAD = 6  # pixels of its way that a pixel behind a corner may look at
# A step costs its length, _WALL times as much onto a pixel at the wall, and _SQUEEZE at least where
# it passes a pixel outside.
_WALL = 3
_SQUEEZE = 5.0

Place = tuple[int, int, int]
"""Position z, y, x in the box of an object."""


class _Steps(NamedTuple):
    """The steps to the 8 neighbors of a pixel, or the 26 of a voxel."""

    moves: npt.NDArray[np.int64]
    """(n, 3) along z, y, x, in scan order."""
    lengths: npt.NDArray[np.float64]
    """(n,) in sides of a voxel."""
    corners: npt.NDArray[np.int64]
    """(n, 6) the steps along some axes of each alone, whose pixels it passes; -1 for none."""
    sides: npt.NDArray[np.float64]
    """(3,) of a voxel along z, y, x."""
    rim: int
    """Free slices above and below the object."""


def geodesic_field(components: Components) -> FloatArray:
    """Return the geodesic field (ndim, [Z,] Y, X) of the components; the sinks are zero.

    Notes
    -----
    One pass for objects that are seen whole from their sink; n pixels behind corners take n log n.
    """
    volume = as_volume(components)
    flow = np.zeros((components.labels.ndim, *volume.labels.shape), dtype=np.float32)
    if len(volume.boxes):
        steps = _steps(volume.sides, plane=len(flow) == 2)
        shapes = volume.boxes[:, 3:] - volume.boxes[:, :3] + (2 * steps.rim, 2, 2)
        buffer = np.empty(int(np.prod(shapes, axis=1).max()), dtype=np.int32)
        _draw(volume, steps, buffer, flow)
    return flow.reshape(len(flow), *components.labels.shape)


def _steps(sides: npt.NDArray[np.float64], *, plane: bool) -> _Steps:
    moves = np.array(
        [
            (z, y, x)
            for z in ((0,) if plane else (-1, 0, 1))
            for y in (-1, 0, 1)
            for x in (-1, 0, 1)
            if (z, y, x) != (0, 0, 0)
        ]
    )
    lengths = np.sqrt(((moves * sides) ** 2).sum(axis=1))
    corners = np.full((len(moves), 6), -1)
    for turn, move in enumerate(moves):
        passed = np.flatnonzero(((moves == move) | (moves == 0)).all(axis=1))
        passed = passed[passed != turn]
        corners[turn, : len(passed)] = passed
    return _Steps(moves, lengths, corners, sides, 0 if plane else 1)


@njit(cache=True, nogil=True)
def _draw(components: Components, steps: _Steps, buffer: IntArray, flow: FloatArray) -> None:
    labels, boxes, sinks, _ = components
    rim = steps.rim
    for index in range(boxes.shape[0]):
        z0, y0, x0, z1, y1, x1 = boxes[index]
        shape = (z1 - z0 + 2 * rim, y1 - y0 + 2, x1 - x0 + 2)
        targets = buffer[: shape[0] * shape[1] * shape[2]].reshape(shape)
        targets[:] = _OUTSIDE  # with a rim of one pixel
        area = 0
        for z in range(z1 - z0):
            for y in range(y1 - y0):
                line, row = labels[z0 + z, y0 + y, x0:x1], targets[z + rim, y + 1]
                for x in range(x1 - x0):
                    if line[x] == index + 1:
                        row[x + 1] = _UNSEEN
                        area += 1
        sink = sinks[index, 0] - z0 + rim, sinks[index, 1] - y0 + 1, sinks[index, 2] - x0 + 1
        if _look_from(targets, sink, rim) < area:
            _go_around_corners(targets, sink, steps)
        _write_directions(targets, sink, steps, flow[:, z0:z1, y0:y1, x0:x1])


@njit(cache=True, nogil=True)
def _look_from(targets: IntArray, place: Place, rim: int) -> int:
    """Let every pixel that sees the sink point at it; return how many there are."""
    depth, height, width = targets.shape
    sink = _flat(place, targets.shape)
    targets[place] = sink
    seen = 1
    for slice_ in range(depth - 2 * rim):
        z = _outward(slice_, place[0], depth - rim)
        for row in range(height - 2):
            y = _outward(row, place[1], height - 1)
            for column in range(width - 2):
                x = _outward(column, place[2], width - 1)
                if targets[z, y, x] == _UNSEEN and _sees(targets, (z, y, x), place):
                    targets[z, y, x] = sink
                    seen += 1
    return seen


@njit(cache=True, nogil=True)
def _outward(step: int, begin: int, end: int) -> int:
    """Go from the place of the sink to the end, then from the one before the sink back."""
    return begin + step if begin + step < end else end - 1 - step


@njit(cache=True, nogil=True)
def _flat(place: Place, shape: Place) -> int:
    return (place[0] * shape[1] + place[1]) * shape[2] + place[2]


@njit(cache=True, nogil=True)
def _place(flat: int, shape: Place) -> Place:
    rest, x = flat // shape[2], flat % shape[2]
    return rest // shape[1], rest % shape[1], x


@njit(cache=True, nogil=True)
def _sees(targets: IntArray, place: Place, sink_place: Place) -> bool:
    """Whether the line to the sink goes on between pixels that see it, past none outside."""
    z, y, x = place
    sink = targets[sink_place]
    ahead, down, right = sink_place[0] - z, sink_place[1] - y, sink_place[2] - x
    if ahead:
        return _sees_between_slices(targets, place, (ahead, down, right), sink)
    below, beside = y + np.sign(down), x + np.sign(right)
    if down == 0 or right == 0:
        return bool(targets[z, below, beside] == sink)
    if targets[z, below, beside] != sink:
        return False
    if abs(down) > abs(right):
        return bool(targets[z, below, x] == sink and targets[z, y, beside] != _OUTSIDE)
    if abs(down) < abs(right):
        return bool(targets[z, y, beside] == sink and targets[z, below, x] != _OUTSIDE)
    return bool(targets[z, y, beside] != _OUTSIDE and targets[z, below, x] != _OUTSIDE)


@njit(cache=True, nogil=True)
def _sees_between_slices(targets: IntArray, place: Place, way: Place, sink: int) -> bool:
    """Look at the corners of the cube that the line enters; those that it comes to see the sink."""
    ahead, down, right = way
    longest = max(abs(ahead), abs(down), abs(right))
    step_z, step_y, step_x = np.sign(ahead), np.sign(down), np.sign(right)
    for a in range(1 + abs(step_z)):
        short_z = a == 0 and abs(ahead) == longest
        for b in range(1 + abs(step_y)):
            short_y = short_z or (b == 0 and abs(down) == longest)
            for c in range(1 + abs(step_x)):
                target = targets[
                    place[0] + a * step_z, place[1] + b * step_y, place[2] + c * step_x
                ]
                if target == sink:
                    continue
                comes_to = not (short_y or (c == 0 and abs(right) == longest))
                if target == _OUTSIDE or comes_to:
                    return False
    return True


@njit(cache=True, nogil=True)
def _go_around_corners(targets: IntArray, place: Place, steps: _Steps) -> None:
    """Let the other pixels point at the farthest pixel of their way that they see."""
    shape = targets.shape
    sink = _flat(place, shape)
    flat = targets.ravel()
    hidden = np.flatnonzero(flat == _UNSEEN)
    followers = _find_ways(targets, sink, hidden, steps)
    chosen = followers[hidden]
    for k in range(hidden.size):
        ahead = chosen[k]
        for _ in range(_LOOK_AHEAD - 1):
            if ahead == sink:
                break
            ahead = followers[ahead] if flat[ahead] == _UNSEEN else _towards(ahead, sink, shape)
            if not _is_clear(targets, _place(hidden[k], shape), _place(ahead, shape)):
                break
            chosen[k] = ahead
    for k in range(hidden.size):
        flat[hidden[k]] = chosen[k]


@njit(cache=True, nogil=True)
def _find_ways(
    targets: IntArray, sink: int, hidden: npt.NDArray[np.int64], steps: _Steps
) -> IntArray:
    """Find the next pixel on the cheapest way of each hidden pixel to one that sees the sink."""
    shape, flat = targets.shape, targets.ravel()
    moves, sides = steps.moves, steps.sides
    jumps = (moves[:, 0] * shape[1] + moves[:, 1]) * shape[2] + moves[:, 2]
    followers = np.full(flat.size, -1, dtype=np.int32)
    costs = np.full(flat.size, np.inf)
    dearness = _find_walls(flat, hidden, jumps)
    home = _place(sink, shape)
    queue = [(0.0, np.int64(0)) for _ in range(0)]
    for pixel in hidden:
        for jump in jumps:
            start = pixel + jump
            if flat[start] >= 0 and costs[start] == np.inf:
                z, y, x = _place(start, shape)
                across = np.hypot(sides[1] * (y - home[1]), sides[2] * (x - home[2]))
                costs[start] = np.hypot(across, sides[0] * (z - home[0]))
                queue.append((costs[start], start))
    heapify(queue)
    while queue:
        cost, pixel = heappop(queue)
        for turn in range(jumps.size):
            neighbor = pixel + jumps[turn]
            if flat[neighbor] == _UNSEEN and cost == costs[pixel]:
                length = steps.lengths[turn]
                for corner in steps.corners[turn]:
                    if corner >= 0 and flat[pixel + jumps[corner]] == _OUTSIDE:
                        length = max(length, _SQUEEZE)
                offer = cost + length * dearness[neighbor]
                if offer < costs[neighbor]:
                    costs[neighbor] = offer
                    followers[neighbor] = pixel
                    heappush(queue, (offer, neighbor))
    return followers


@njit(cache=True, nogil=True)
def _find_walls(
    flat: IntArray, hidden: npt.NDArray[np.int64], jumps: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    """By how much a step onto each hidden pixel is dearer than its length."""
    dearness = np.ones(flat.size, dtype=np.uint8)
    for pixel in hidden:
        for jump in jumps:
            if flat[pixel + jump] == _OUTSIDE:
                dearness[pixel] = _WALL
    return dearness


@njit(cache=True, nogil=True)
def _towards(pixel: int, sink: int, shape: Place) -> int:
    """Return the neighbor of a pixel that is nearest to its line to the sink."""
    here, home = _place(pixel, shape), _place(sink, shape)
    ahead, down, right = home[0] - here[0], home[1] - here[1], home[2] - here[2]
    longest = max(abs(ahead), abs(down), abs(right))
    z = here[0] + int(np.round(ahead / longest))
    y = here[1] + int(np.round(down / longest))
    return _flat((z, y, here[2] + int(np.round(right / longest))), shape)


@njit(cache=True, nogil=True)
def _is_clear(targets: IntArray, place: Place, ahead: Place) -> bool:
    """Whether every pixel that linear reading touches on the line to another is inside."""
    z, y, x = place
    deep, down, right = ahead[0] - z, ahead[1] - y, ahead[2] - x
    step_z, step_y, step_x = np.sign(deep), np.sign(down), np.sign(right)
    deep, down, right = abs(deep), abs(down), abs(right)
    longest = max(deep, down, right)
    for along in range(longest):
        for a in range(along * deep // longest, -(-(along + 1) * deep // longest) + 1):
            for b in range(along * down // longest, -(-(along + 1) * down // longest) + 1):
                for c in range(along * right // longest, -(-(along + 1) * right // longest) + 1):
                    if targets[z + step_z * a, y + step_y * b, x + step_x * c] == _OUTSIDE:
                        return False
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _write_directions(targets: IntArray, place: Place, steps: _Steps, flow: FloatArray) -> None:
    shape, sink, rim = targets.shape, targets[place], steps.rim
    first = flow.shape[0] - 2  # 0 in a plane
    side_z, side_y, side_x = steps.sides.astype(np.float32)
    for z in range(flow.shape[1]):
        for y in range(flow.shape[2]):
            for x in range(flow.shape[3]):
                target = targets[z + rim, y + 1, x + 1]
                if target >= 0:
                    at = place if target == sink else _place(target, shape)
                    ahead = side_z * np.float32(at[0] - z - rim)
                    down = side_y * np.float32(at[1] - y - 1)
                    right = side_x * np.float32(at[2] - x - 1)
                    length = np.sqrt(ahead * ahead + down * down + right * right)
                    if length > 0:
                        if first:
                            flow[0, z, y, x] = ahead / length
                        flow[first, z, y, x] = down / length
                        flow[first + 1, z, y, x] = right / length
