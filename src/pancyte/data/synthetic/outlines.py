"""Outlines of blobs: star-shaped curves, alone and in a crowd in which neighbors share borders.

Cells with nuclei are drawn with these, to the bit as those of docs/results/multi-class.md; other
scenes of cells use :mod:`territory`, which also knows elongated, branched and bent ones, and
bacteria :mod:`bodies`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pancyte.data.synthetic.scene import SMALLEST
from pancyte.ops.labels import fill_holes, keep_largest_component, remove_small

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pancyte.types import IntArray

_WAVES: Final = 4
# Centers of cells are this far apart at least, and cells this much larger before neighbors part
# them, both relative to the diameter that they end with.
_APART: Final = 0.8
_OVERLAP: Final = 1.1


def crowd(
    shape: tuple[int, int],
    *,
    diameter: float,
    spread: float,
    cover: float,
    generator: np.random.Generator,
) -> IntArray:
    """Draw blobs that crowd together and share borders where they meet.

    Parameters
    ----------
    shape : (int, int)
        Height and width.
    diameter, spread
        Median diameter in pixels, and standard deviation of its natural logarithm.
    cover
        Part of the area that the blobs cover, about.
    generator
        Source of randomness.

    Returns
    -------
    IntArray of shape (Y, X)
        Ids 1..n of single components without holes; an id may be missing.

    Notes
    -----
    A blob is a star-shaped curve: an ellipse whose radius is changed by a few random waves. A pixel
    that lies in several belongs to the one in which it lies deepest, relative to the radius.
    """
    labels = np.zeros(shape, dtype=np.int32)
    depth = np.ones(shape)
    covered = 0
    most = math.ceil(4.0 * math.prod(shape) / diameter**2)
    points = scatter(shape, most, _APART * diameter, generator)
    for label, point in enumerate(points, start=1):
        size = diameter * math.exp(spread * generator.standard_normal())
        rows, columns, level = star(shape, point, _OVERLAP * size, generator, roughness=0.06)
        window = depth[rows, columns]
        deeper = level < window
        covered += int(np.count_nonzero(deeper & (window == 1.0)))
        window[deeper] = level[deeper]
        labels[rows, columns][deeper] = label
        if covered >= cover * depth.size:
            break
    return remove_small(fill_holes(keep_largest_component(labels)), SMALLEST)


def scatter(
    shape: tuple[int, int], most: int, distance: float, generator: np.random.Generator
) -> Iterator[npt.NDArray[np.float64]]:
    """Yield points (y, x) that keep a distance, most of them in groups."""
    points = np.zeros((0, 2))
    for _ in range(20 * most):
        point = generator.random(2) * shape
        if len(points) and generator.random() < 0.85:
            angle = 2.0 * math.pi * generator.random()
            step = distance * generator.uniform(1.0, 1.3)
            near = points[generator.integers(len(points))]
            point = near + step * np.array([math.sin(angle), math.cos(angle)])
        outside = (point < 0).any() or (point >= shape).any()
        if not outside and (((points - point) ** 2).sum(axis=1) >= distance**2).all():
            points = np.vstack([points, point])
            yield point


def star(
    shape: tuple[int, ...],
    center: tuple[float, float] | npt.NDArray[np.float64],
    diameter: float,
    generator: np.random.Generator,
    *,
    roughness: float,
) -> tuple[slice, slice, npt.NDArray[np.float64]]:
    """Return a window about a random blob, and how deep each of its pixels lies: 1 is its rim."""
    reach = math.ceil(0.9 * diameter) + 1
    first = [max(0, int(c) - reach) for c in center]
    last = [min(size, int(c) + reach + 1) for c, size in zip(center, shape, strict=True)]
    y, x = np.mgrid[first[0] : last[0], first[1] : last[1]]
    dy, dx = y - center[0], x - center[1]
    turn = 2.0 * math.pi * generator.random()
    stretch = generator.uniform(1.0, 1.25)
    along = (dx * math.cos(turn) + dy * math.sin(turn)) / stretch
    across = (dy * math.cos(turn) - dx * math.sin(turn)) * stretch
    angle = np.arctan2(across, along)
    radius = np.full(angle.shape, diameter / 2.0)
    for wave in range(2, 2 + _WAVES):
        height = roughness * generator.standard_normal() * 2.0 / wave
        radius *= 1.0 + np.clip(height, -0.2, 0.2) * np.cos(
            wave * angle + 6.28 * generator.random()
        )
    level = np.hypot(along, across) / radius
    return slice(first[0], last[0]), slice(first[1], last[1]), level
