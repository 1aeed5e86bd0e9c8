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
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numba import njit

if TYPE_CHECKING:
    from pancyte.ops.sinks import Components
    from pancyte.types import FloatArray, IntArray

# A pixel holds the one that it points at, or one of these.
_OUTSIDE = -1
_UNSEEN = -2

_LOOK_AHEAD = 6  # pixels of its way that a pixel behind a corner may look at
# A step costs its length, _WALL times as much onto a pixel at the wall, and _SQUEEZE where it
# passes the corner of a pixel outside.
_WALL = 3.0
_SQUEEZE = 5.0
_DIAGONAL = float(np.sqrt(2))
_DOWN = (-1, -1, -1, 0, 0, 1, 1, 1)  # the eight neighbors
_RIGHT = (-1, 0, 1, -1, 1, -1, 0, 1)


def geodesic_field(components: Components) -> FloatArray:
    """Return the geodesic field (2, Y, X) of the components; the sinks themselves are zero.

    Notes
    -----
    One pass for objects that are seen whole from their sink; n pixels behind corners take n log n.
    """
    flow = np.zeros((2, *components.labels.shape), dtype=np.float32)
    boxes = components.boxes
    if len(boxes):
        largest = int(np.max(np.prod(boxes[:, 2:] - boxes[:, :2] + 2, axis=1)))
        buffer = np.empty(largest, dtype=np.int32)
        _draw(components.labels, boxes, components.sinks, buffer, flow)
    return flow


@njit(cache=True, nogil=True)
def _draw(
    labels: IntArray,
    boxes: npt.NDArray[np.int64],
    sinks: npt.NDArray[np.int64],
    buffer: IntArray,
    flow: FloatArray,
) -> None:
    for index in range(boxes.shape[0]):
        y0, x0, y1, x1 = boxes[index]
        height, width = y1 - y0, x1 - x0
        targets = buffer[: (height + 2) * (width + 2)].reshape(height + 2, width + 2)
        targets[:] = _OUTSIDE  # with a rim of one pixel
        area = 0
        for y in range(height):
            for x in range(width):
                if labels[y0 + y, x0 + x] == index + 1:
                    targets[y + 1, x + 1] = _UNSEEN
                    area += 1
        sink_y, sink_x = sinks[index, 0] - y0 + 1, sinks[index, 1] - x0 + 1
        if _look_from(targets, sink_y, sink_x) < area:
            _go_around_corners(targets, sink_y, sink_x)
        _write_directions(targets, (sink_y, sink_x), flow[:, y0:y1, x0:x1])


@njit(cache=True, nogil=True)
def _look_from(targets: IntArray, sink_y: int, sink_x: int) -> int:
    """Let every pixel that sees the sink point at it; return how many there are."""
    height, width = targets.shape
    sink = sink_y * width + sink_x
    targets[sink_y, sink_x] = sink
    seen = 1
    for row in range(1, height - 1):
        # From the row of the sink downward, then from the row above it upward; columns alike.
        y = sink_y + row - 1 if row < height - sink_y else height - 1 - row
        for column in range(1, width - 1):
            x = sink_x + column - 1 if column < width - sink_x else width - 1 - column
            if targets[y, x] == _UNSEEN and _sees(targets, y, x, (sink_y, sink_x)):
                targets[y, x] = sink
                seen += 1
    return seen


@njit(cache=True, nogil=True)
def _sees(targets: IntArray, y: int, x: int, place: tuple[int, int]) -> bool:
    """Whether the line to the sink goes on between pixels that see it, past none outside."""
    sink = targets[place]
    down, right = place[0] - y, place[1] - x
    below, beside = y + np.sign(down), x + np.sign(right)
    if down == 0 or right == 0:
        return bool(targets[below, beside] == sink)
    if targets[below, beside] != sink:
        return False
    if abs(down) > abs(right):
        return bool(targets[below, x] == sink and targets[y, beside] != _OUTSIDE)
    if abs(down) < abs(right):
        return bool(targets[y, beside] == sink and targets[below, x] != _OUTSIDE)
    return bool(targets[y, beside] != _OUTSIDE and targets[below, x] != _OUTSIDE)


@njit(cache=True, nogil=True)
def _go_around_corners(targets: IntArray, sink_y: int, sink_x: int) -> None:
    """Let the other pixels point at the farthest pixel of their way that they see."""
    width = targets.shape[1]
    sink = sink_y * width + sink_x
    flat = targets.ravel()
    hidden = np.flatnonzero(flat == _UNSEEN)
    followers = np.full(flat.size, -1, dtype=np.int32)
    _find_ways(targets, sink, hidden, followers)
    chosen = followers[hidden]
    for k in range(hidden.size):
        ahead = chosen[k]
        for _ in range(_LOOK_AHEAD - 1):
            if ahead == sink:
                break
            ahead = followers[ahead] if flat[ahead] == _UNSEEN else _towards(ahead, sink, width)
            if not _is_clear(targets, hidden[k] // width, hidden[k] % width, ahead):
                break
            chosen[k] = ahead
    for k in range(hidden.size):
        flat[hidden[k]] = chosen[k]


@njit(cache=True, nogil=True)
def _find_ways(
    targets: IntArray, sink: int, hidden: npt.NDArray[np.int64], followers: IntArray
) -> None:
    """Find the next pixel on the cheapest way of each hidden pixel to one that sees the sink."""
    width = targets.shape[1]
    flat = targets.ravel()
    costs = np.full(flat.size, np.inf)
    queue = [(0.0, np.int64(0)) for _ in range(0)]
    for pixel in hidden:
        for turn in range(8):
            start = pixel + _DOWN[turn] * width + _RIGHT[turn]
            if flat[start] >= 0 and costs[start] == np.inf:
                costs[start] = np.hypot(
                    start // width - sink // width, start % width - sink % width
                )
                queue.append((costs[start], start))
    heapify(queue)
    while queue:
        cost, pixel = heappop(queue)
        for turn in range(8):
            neighbor = pixel + _DOWN[turn] * width + _RIGHT[turn]
            if flat[neighbor] == _UNSEEN and cost == costs[pixel]:
                offer = cost + _step_cost(flat, int(pixel), turn, width)
                if offer < costs[neighbor]:
                    costs[neighbor] = offer
                    followers[neighbor] = pixel
                    heappush(queue, (offer, neighbor))


@njit(cache=True, nogil=True)
def _step_cost(flat: IntArray, pixel: int, turn: int, width: int) -> float:
    """Cost of the step from a pixel to a neighbor: dear along walls, and through a squeeze."""
    down, right = _DOWN[turn] * width, _RIGHT[turn]
    length = 1.0 if down == 0 or right == 0 else _DIAGONAL
    if flat[pixel + down] == _OUTSIDE or flat[pixel + right] == _OUTSIDE:
        length = _SQUEEZE
    for k in range(8):
        if flat[pixel + down + right + _DOWN[k] * width + _RIGHT[k]] == _OUTSIDE:
            return length * _WALL
    return length


@njit(cache=True, nogil=True)
def _towards(pixel: int, sink: int, width: int) -> int:
    """Return the neighbor of a pixel that is nearest to its line to the sink."""
    down, right = sink // width - pixel // width, sink % width - pixel % width
    longer = max(abs(down), abs(right))
    return int(pixel + int(np.round(down / longer)) * width + int(np.round(right / longer)))


@njit(cache=True, nogil=True)
def _is_clear(targets: IntArray, y: int, x: int, ahead: int) -> bool:
    """Whether every pixel that bilinear reading touches on the line to another is inside."""
    width = targets.shape[1]
    down, right = ahead // width - y, ahead % width - x
    step_y, step_x = np.sign(down), np.sign(right)
    longer, shorter = max(abs(down), abs(right)), min(abs(down), abs(right))
    for along in range(longer):
        first, last = along * shorter // longer, -(-(along + 1) * shorter // longer)
        for across in range(first, last + 1):
            for forward in range(along, along + 2):
                if abs(down) >= abs(right):
                    pixel = targets[y + step_y * forward, x + step_x * across]
                else:
                    pixel = targets[y + step_y * across, x + step_x * forward]
                if pixel == _OUTSIDE:
                    return False
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _write_directions(targets: IntArray, place: tuple[int, int], flow: FloatArray) -> None:
    width, sink = targets.shape[1], targets[place]
    for y in range(flow.shape[1]):
        for x in range(flow.shape[2]):
            target = targets[y + 1, x + 1]
            if target >= 0:
                row, column = place if target == sink else (target // width, target % width)
                down, right = np.float32(row - y - 1), np.float32(column - x - 1)
                length = np.sqrt(down * down + right * right)
                if length > 0:
                    flow[0, y, x] = down / length
                    flow[1, y, x] = right / length
