"""Cells as thick curves: their spines, and the pixels that they cover.

A cell is a row of discs whose centers lie on its spine, half a pixel apart or less. That draws
rods, filaments, cocci and everything between them, bent and constricted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from pancyte.ops.ids import map_ids
from pancyte.ops.labels import make_consecutive, remove_small, split_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pancyte.types import FloatArray, IntArray

Points = npt.NDArray[np.float64]

_STEP: Final = 0.5
_RIM: Final = 1.5
_SMALLEST: Final = 12
# What the border leaves of a body must show it this deep, in pixels.
_THINNEST: Final = 1.5


class Body(NamedTuple):
    """One cell."""

    spine: Points
    """(n, 2) centers y, x of its discs, in pixels."""
    radius: npt.NDArray[np.float64]
    """(n,) of its discs, in pixels."""


class Relief(NamedTuple):
    """What pixels show of bodies, each (Y, X)."""

    labels: IntArray
    """Number of the body, from 1; 0 is background."""
    depth: FloatArray
    """Distance to the rim in pixels, above 0 inside; -1.5 wherever no body is near."""
    radius: FloatArray
    """Radius of the disc that the pixel belongs to; 1 outside."""
    along: FloatArray
    """Where the pixel lies between the ends of its body, 0 to 1."""


def straight(
    center: Points, angle: float, *, length: float, radius: float, bend: float = 0.0
) -> Body:
    """Return a rod with round ends; its spine is an arc.

    Parameters
    ----------
    center
        y, x of its middle in pixels.
    angle
        Of its spine, in radians from x towards y.
    length, radius
        From end to end with its caps, and half of its width, in pixels.
    bend
        Angle in radians by which the spine turns from one end to the other.
    """
    core = max(length - 2.0 * radius, 0.0)
    places = np.linspace(-0.5, 0.5, max(2, int(core / _STEP) + 2)) if core > 0 else np.zeros(1)
    turned = angle + bend * places
    steps = np.diff(places, prepend=places[:1]) * core
    spine = np.stack([np.cumsum(steps * np.sin(turned)), np.cumsum(steps * np.cos(turned))], axis=1)
    return Body(spine - spine.mean(axis=0) + center, np.full(len(spine), radius))


def constricted(body: Body, depth: float) -> Body:
    """Return a body that begins to divide in its middle; ``depth`` 1 would part it."""
    arc = arc_length(body.spine)
    from_middle = (arc - arc[-1] / 2.0) / np.maximum(0.7 * body.radius, 1e-6)
    return body._replace(radius=body.radius * (1.0 - depth * np.exp(-(from_middle**2))))


def arc_length(spine: Points) -> npt.NDArray[np.float64]:
    """Return the length of a spine from its first point to each."""
    steps = np.hypot(*np.diff(spine, axis=0).T)
    return np.concatenate([[0.0], np.cumsum(steps)])


def paint(bodies: Sequence[Body], shape: tuple[int, int], *, layered: bool = False) -> Relief:
    """Return the pixels of bodies.

    Parameters
    ----------
    bodies
        In any place; what lies outside is cut off.
    shape
        Height and width.
    layered
        A later body covers an earlier one; else two that overlap share what both cover.
    """
    level = np.full(shape, _RIM)
    owner = np.zeros(shape, dtype=np.int32)
    radius = np.ones(shape)
    along = np.zeros(shape)
    maps = (level, owner, radius, along)
    for number, body in enumerate(bodies, start=1):
        arc = arc_length(body.spine)
        where = arc / arc[-1] if arc[-1] > 0 else np.full(len(arc), 0.5)
        discs = np.column_stack([body.spine, body.radius, where])
        _paint(np.ascontiguousarray(discs), number, layered, maps)
    labels = np.where(level < 0, owner, 0).astype(np.int32)
    narrow = (field.astype(np.float32) for field in (-level, radius, along))
    return Relief(labels, *narrow)


@njit(cache=True)
def _paint(
    discs: Points,
    number: int,
    layered: bool,  # noqa: FBT001 - a kernel
    maps: tuple[Points, IntArray, Points, Points],
) -> None:
    """Add the discs (y, x, radius, along) of one body; level is the distance to the rim."""
    level, owner, radius, along = maps
    height, width = level.shape
    for disc in range(len(discs)):
        y, x, r = discs[disc, 0], discs[disc, 1], discs[disc, 2]
        reach = r + 1.5
        for row in range(max(0, int(y - reach)), min(height, int(y + reach) + 2)):
            for column in range(max(0, int(x - reach)), min(width, int(x + reach) + 2)):
                value = np.sqrt((row - y) ** 2 + (column - x) ** 2) - r
                if value >= 1.5:
                    continue
                before = level[row, column]
                covers = layered and value < 0 and owner[row, column] not in (0, number)
                if value < before or covers:
                    level[row, column] = value
                    owner[row, column] = number
                    radius[row, column] = r
                    along[row, column] = discs[disc, 3]


def objects_of(relief: Relief) -> IntArray:
    """Return one id for each piece of each body, 1..n, without crumbs and slivers."""
    pieces = remove_small(split_components(relief.labels), _SMALLEST)
    thick = np.zeros(int(pieces.max(initial=0)) + 1)
    np.maximum.at(thick, pieces, relief.depth)
    return make_consecutive(map_ids(pieces, np.where(thick < _THINNEST, 0, np.arange(len(thick)))))
