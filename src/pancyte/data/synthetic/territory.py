"""Blobs that compete for pixels: each pixel belongs to the one in which it lies deepest.

Within a blob the level rises from 0 in its center to 1 at its rim, however large or rough it is, so
that thickness is a function of the level, and the wall between two neighbors lies where their
levels are equal: curved where they differ in size (a multiplicatively weighted Voronoi diagram).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from pancyte.ops.ids import map_ids
from pancyte.ops.labels import keep_largest_component

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pancyte.types import IntArray

Plane = npt.NDArray[np.float64]

_LEAST_LEFT: Final = 0.3
_TRIES: Final = 12
_ARM_SHARPNESS: Final = 14.0


@dataclass(frozen=True, slots=True)
class Blob:
    """What is drawn as one object; lengths in pixels, angles in radians."""

    center: tuple[float, float]
    diameter: float
    aspect: float = 1.0
    """Length over width; the area stays."""
    turn: float = 0.0
    """Direction of the length, from the x axis."""
    roughness: float = 0.04
    """Size of the waves of the rim as a part of the radius."""
    arms: int = 0
    """Processes that reach out of the body."""


@dataclass(frozen=True, slots=True, eq=False)
class Territory:
    """Who owns each pixel of a scene; arrays of shape (Y, X)."""

    labels: IntArray
    """Place of the blob in the sequence + 1; 0 where no blob is."""
    level: Plane
    """0 in the center of the owner to the limit at its rim, and the limit outside."""
    wall: Plane
    """Distance to the owner's rim in pixels, about; 0 outside."""


def compete(
    shape: tuple[int, int],
    blobs: Sequence[Blob],
    generator: np.random.Generator,
    *,
    limit: float = 1.0,
    bend: tuple[Plane, Plane] | None = None,
) -> Territory:
    """Divide a scene among blobs.

    Parameters
    ----------
    shape : (int, int)
        Height and width.
    blobs
        Who competes.
    generator
        Source of randomness of the rims.
    limit
        Level at which a blob ends where it has no neighbor.
    bend : two arrays of shape (Y, X)
        Displacements along y and x in pixels that curve all outlines; None curves nothing.
    """
    labels = np.zeros(shape, dtype=np.int32)
    level, second = np.full(shape, limit), np.full(shape, limit)
    for label, blob in enumerate(blobs, start=1):
        rows, columns, mine = _level(shape, blob, generator, limit=limit, bend=bend)
        best, other = level[rows, columns], second[rows, columns]
        wins = mine < best
        second[rows, columns] = np.where(wins, best, np.minimum(other, mine))
        level[rows, columns] = np.where(wins, mine, best)
        labels[rows, columns][wins] = label
    labels = without_slivers(labels, blobs)
    level = np.where(labels > 0, level, limit)
    radii = np.array([1.0, *(blob.diameter / 2.0 for blob in blobs)])[labels]
    # Where a neighbor is, both levels change on the way to the wall, so it is half as far.
    wall = np.maximum(second - level, 0.0) * radii * np.where(second < limit, 0.5, 1.0)
    return Territory(labels, level, wall)


def sprinkle(
    shape: tuple[int, int],
    count: int,
    *,
    distance: float,
    grouped: float,
    generator: np.random.Generator,
) -> Plane:
    """Return up to ``count`` points (n, 2) that keep a distance.

    Parameters
    ----------
    shape : (int, int)
        Height and width.
    count
        Fewer are returned where there is no room.
    distance
        Least distance between two points in pixels.
    grouped
        Part of the points that lie beside another one, 0 to 1.
    generator
        Source of randomness.
    """
    points = np.empty((count, 2))
    size = np.asarray(shape, dtype=np.float64)
    found = 0
    for _ in range(_TRIES * count):
        if found == count:
            break
        point = generator.random(2) * size
        if found and generator.random() < grouped:
            angle = 2.0 * math.pi * generator.random()
            step = distance * generator.uniform(1.0, 1.25)
            point = points[generator.integers(found)] + step * np.array(
                [math.sin(angle), math.cos(angle)]
            )
            if (point < 0.0).any() or (point >= size).any():
                continue
        if (((points[:found] - point) ** 2).sum(axis=1) >= distance**2).all():
            points[found] = point
            found += 1
    return points[:found]


def lattice(
    shape: tuple[int, int], spacing: float, *, jitter: float, generator: np.random.Generator
) -> Plane:
    """Return points (n, 2) of a hexagonal grid that covers the shape, moved at random.

    Parameters
    ----------
    shape : (int, int)
        Height and width.
    spacing
        Distance of neighbors in pixels.
    jitter
        Standard deviation of the moves as a part of the spacing.
    generator
        Source of randomness.
    """
    rows = np.arange(-spacing, shape[0] + spacing, spacing * math.sqrt(0.75))
    columns = np.arange(-spacing, shape[1] + spacing, spacing)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    x = x + spacing / 2.0 * (np.arange(len(rows)) % 2)[:, None]
    points = np.stack([y.ravel(), x.ravel()], axis=1)
    return points + jitter * spacing * generator.standard_normal(points.shape)


def draw_bend(
    shape: tuple[int, int], *, grain: float, height: float, generator: np.random.Generator
) -> tuple[Plane, Plane]:
    """Return displacements along y and x in pixels: ``height`` times :func:`smooth_noise`."""
    return (
        height * smooth_noise(shape, grain, generator),
        height * smooth_noise(shape, grain, generator),
    )


def smooth_noise(shape: tuple[int, int], grain: float, generator: np.random.Generator) -> Plane:
    """Return a window of smooth noise of mean 0 and standard deviation 1, ``grain`` pixels large.

    These are the mean and the deviation of a large field. A window of a few grains has another mean
    and varies less, so that what is drawn above some level fills one image and is missing in
    another, as it does when a microscope looks here and there. Coarse noise is made small and
    enlarged linearly, so its cost does not grow with the grain.
    """
    step = max(1, int(grain / 2.0))
    small = (shape[0] // step + 3, shape[1] // step + 3)
    noise = gaussian_filter(
        generator.standard_normal(small, dtype=np.float32), grain / step, mode="wrap"
    ).astype(np.float64)
    noise = (noise - noise.mean()) / max(float(noise.std()), 1e-9)
    if step == 1:
        return np.asarray(noise[: shape[0], : shape[1]])
    y, x = np.arange(shape[0]) / step, np.arange(shape[1]) / step
    top, left = y.astype(np.intp), x.astype(np.intp)
    down, right = (y - top)[:, None], x - left
    rows = noise[top] * (1.0 - down) + noise[top + 1] * down
    return np.asarray(rows[:, left] * (1.0 - right) + rows[:, left + 1] * right)


def without_slivers(labels: IntArray, blobs: Sequence[Blob]) -> IntArray:
    """Take away what is left of blobs that others have nearly taken over, and what they cut off."""
    areas = np.bincount(labels.ravel(), minlength=len(blobs) + 1)
    full = np.array([0.0, *(math.pi / 4.0 * blob.diameter**2 for blob in blobs)])
    kept = np.where(areas >= _LEAST_LEFT * full, np.arange(len(full)), 0).astype(np.int32)
    return keep_largest_component(map_ids(labels, kept))


def _level(
    shape: tuple[int, int],
    blob: Blob,
    generator: np.random.Generator,
    *,
    limit: float,
    bend: tuple[Plane, Plane] | None,
) -> tuple[slice, slice, Plane]:
    """Return a window about a blob, and the level in it."""
    # An arm doubles the radius, at most.
    reach = math.ceil(
        blob.diameter * (0.58 * math.sqrt(blob.aspect) * limit + 0.8 * (blob.arms > 0))
    )
    if bend is not None:
        reach += 2 + round(2.5 * float(np.abs(bend[0][::8, ::8]).mean()))
    center = blob.center
    first = [min(max(0, int(c) - reach), size) for c, size in zip(center, shape, strict=True)]
    last = [max(0, min(size, int(c) + reach + 1)) for c, size in zip(center, shape, strict=True)]
    rows, columns = slice(first[0], last[0]), slice(first[1], last[1])
    dy = np.arange(first[0], last[0])[:, None] - center[0] + np.zeros((1, last[1] - first[1]))
    dx = np.arange(first[1], last[1])[None] - center[1] + np.zeros_like(dy)
    if bend is not None:
        dy, dx = dy + bend[0][rows, columns], dx + bend[1][rows, columns]
    stretch = math.sqrt(blob.aspect)
    along = (dx * math.cos(blob.turn) + dy * math.sin(blob.turn)) / stretch
    across = (dy * math.cos(blob.turn) - dx * math.sin(blob.turn)) * stretch
    distance = np.sqrt(along**2 + across**2)
    angles = np.linspace(-math.pi, math.pi, 181)
    radius = np.interp(np.arctan2(across, along), angles, _radii(angles, blob, generator))
    return rows, columns, distance / radius


def _radii(angles: Plane, blob: Blob, generator: np.random.Generator) -> Plane:
    """Return the radius in each direction."""
    radii = np.ones(angles.shape)
    for wave in range(2, 7):
        height = blob.roughness * generator.standard_normal() * 2.0 / wave
        radii *= 1.0 + np.clip(height, -0.25, 0.25) * np.cos(
            wave * angles + 2.0 * math.pi * generator.random()
        )
    for _ in range(blob.arms):
        toward = 2.0 * math.pi * generator.random()
        length = generator.uniform(0.3, 1.1)
        radii += length * np.exp(_ARM_SHARPNESS * (np.cos(angles - toward) - 1.0))
    return blob.diameter / 2.0 * radii
