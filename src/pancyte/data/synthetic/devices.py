"""Microfluidic devices that hold yeast: pairs of pillars between which cells lie, and long walls.

A device is a plane from 0, where there is room, to 1 in the solid.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.ndimage import distance_transform_edt

from pancyte.data.synthetic.territory import Blob, Plane, compete

if TYPE_CHECKING:
    from pancyte.data.synthetic.scene import Scene

# Of a cell's diameter: how near to the solid the middle of a cell can be.
_PRESSED: Final = 0.25
_TRIES: Final = 6


def draw_traps(scene: Scene, generator: np.random.Generator) -> tuple[Plane, Plane]:
    """Draw traps side by side, some empty, some so full that cells lie about them.

    Parameters
    ----------
    scene
        The cells; as many as cover what they shall are shared out among the traps.
    generator
        Source of randomness.

    Returns
    -------
    device : array of shape ``scene.larger``
    points : array of shape (n, 2)
        Where cells lie, (y, x); they keep a distance and lie outside of the pillars.
    """
    shape, diameter = scene.larger, scene.diameter
    size = diameter * generator.uniform(0.7, 1.3)
    aspect = generator.uniform(1.35, 2.3)  # as round as cells, they would look like some
    pillar = Blob((0.0, 0.0), size, aspect, generator.uniform(0.0, math.pi), 0.01)
    step = diameter * generator.uniform(4.0, 6.0)
    tilt = generator.uniform(-0.9, 0.9)
    middles = [
        (float(y), float(x))
        for y in np.arange(generator.uniform(0.2, 0.8) * step, shape[0], step)
        for x in np.arange(generator.uniform(0.2, 0.8) * step, shape[1], step)
    ]
    pillars = [
        blob
        for middle in middles
        for blob in pair(middle, pillar, apart=diameter + 1.1 * size, tilt=tilt)
    ]
    solid = compete(shape, pillars, generator)
    device = np.clip(solid.wall / 2.0, 0.0, 1.0)
    return device, _between(scene, np.array(middles), device, generator)


def pair(
    middle: tuple[float, float], pillar: Blob, *, apart: float, tilt: float
) -> tuple[Blob, Blob]:
    """Return two pillars that stand side by side.

    Parameters
    ----------
    middle
        The point (y, x) between them.
    pillar
        What each is but for its place; across its length the other one stands.
    apart
        Distance of their middles in pixels.
    tilt
        Angle by which one is turned one way and the other one the other way, in radians.
    """
    y, x = 0.5 * apart * math.cos(pillar.turn), -0.5 * apart * math.sin(pillar.turn)
    return (
        replace(pillar, center=(middle[0] - y, middle[1] - x), turn=pillar.turn - tilt),
        replace(pillar, center=(middle[0] + y, middle[1] + x), turn=pillar.turn + tilt),
    )


def draw_walls(shape: tuple[int, int], diameter: float, generator: np.random.Generator) -> Plane:
    """Draw long straight walls for cells of a diameter; shape (Y, X)."""
    angle = generator.uniform(0.0, math.pi)
    y, x = np.mgrid[: shape[0], : shape[1]]
    along = y * math.cos(angle) + x * math.sin(angle) + generator.uniform(0.0, 999.0)
    period = diameter * generator.uniform(5.0, 9.0)
    solid = along % period < diameter * generator.uniform(0.4, 2.0)
    return np.clip(np.asarray(distance_transform_edt(solid)) / 2.0, 0.0, 1.0)


def outside(blobs: list[Blob], device: Plane) -> list[Blob]:
    """Leave out what lies in the solid, or so near that more than a flat side would be lost."""
    room = _room(device)
    last = np.array(device.shape) - 1
    kept = []
    for blob in blobs:
        row, column = np.clip(np.array(blob.center).astype(np.intp), 0, last)
        if room[row, column] > _PRESSED * blob.diameter:
            kept.append(blob)
    return kept


def _room(device: Plane) -> Plane:
    """Return the distance to the device in pixels."""
    if not device.any():
        return np.full(device.shape, np.inf)
    return np.asarray(distance_transform_edt(device == 0.0))


def _between(scene: Scene, middles: Plane, device: Plane, generator: np.random.Generator) -> Plane:
    """Return points (n, 2) about the middles, as many as there shall be cells."""
    room = _room(device)
    each = scene.count(least=3) / len(middles)
    # What finds no room between the pillars lies beside them.
    reach = scene.diameter * max(0.8, 0.5 * math.sqrt(each))
    wanted = np.repeat(middles, generator.poisson(each, len(middles)), axis=0)
    points = np.empty_like(wanted)
    found = 0
    for middle in wanted:
        for _ in range(_TRIES):
            point = middle + reach * generator.standard_normal(2)
            if (point < 0.0).any() or (point >= device.shape).any():
                continue
            clear = room[int(point[0]), int(point[1])] > _PRESSED * scene.diameter
            away = ((points[:found] - point) ** 2).sum(axis=1) > (0.75 * scene.diameter) ** 2
            if clear and away.all():
                points[found] = point
                found += 1
                break
    return points[:found]
