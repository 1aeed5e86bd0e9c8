"""Round cells in transmitted light: suspension cells, and budding yeast with and without traps.

A cell is a drop that delays the light by its thickness; what it looks like in bright field, phase
contrast or relief follows from :func:`pancyte.data.synthetic.optics.transmit`. Measured on real
images as a part of the range from the 1st to the 99th percentile: noise of 0.045 to 0.055 (yeast in
phase contrast) and 0.006 to 0.105 (yeast in bright field), light uneven by 0.3 to 3 percent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from pancyte.data.synthetic.devices import draw_traps, draw_walls, outside
from pancyte.data.synthetic.optics import Contrast, Exposed, record, transmit
from pancyte.data.synthetic.scene import Scene
from pancyte.data.synthetic.territory import (
    Blob,
    Plane,
    Territory,
    compete,
    smooth_noise,
    sprinkle,
    without_slivers,
)
from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.types import BoolArray, IntArray

_NOISE = (0.005, 0.09)


@params
class SuspensionCells:
    """Round cells that float or have settled, alone, in pairs and in clusters, with debris."""

    scene: Scene = Scene(diameter=30.0, spread=0.12, cover=0.25)
    """The diameter is that of a cell in pixels."""
    contrast: Contrast = "brightfield"
    """Of the microscope."""


@params
class Yeast:
    """Mothers and buds that touch, in colonies."""

    scene: Scene = Scene(diameter=28.0, spread=0.12, cover=0.25)
    """The diameter is that of a mother in pixels."""
    contrast: Contrast = "phase"
    """Of the microscope."""
    device: Literal["none", "traps", "walls"] = "none"
    """What of a microfluidic device is in the image: nothing, pairs of pillars that hold cells, or
    walls. None of it is labelled."""


def draw_suspension(
    settings: SuspensionCells, generator: np.random.Generator
) -> tuple[Exposed, IntArray]:
    """Draw round cells, and debris that is not labelled."""
    shape = settings.scene.larger
    grouped = generator.uniform(0.0, 0.9)
    blobs = _round_blobs(shape, settings, generator, grouped=grouped)
    drops = compete(shape, blobs, generator)
    phase = _drops(drops, generator, height=generator.uniform(1.2, 5.0))
    phase += _grains(drops, settings.scene.diameter, generator)
    phase += debris(shape, settings.scene.diameter, generator, free=drops.labels == 0)
    return _finish(phase, drops.labels, settings, generator)


def draw_yeast(settings: Yeast, generator: np.random.Generator) -> tuple[Exposed, IntArray]:
    """Draw budding yeast, and the device that holds it, which is not labelled.

    A bud is an object of its own. Cells that touch the device have a flat side there.
    """
    shape = settings.scene.larger
    device, mothers = _held(settings, generator)
    blobs = outside(_with_buds(mothers, generator), device)
    drops = compete(shape, blobs, generator)
    labels = without_slivers(np.where(device > 0.3, 0, drops.labels), blobs)
    cells = Territory(labels, np.where(labels > 0, drops.level, 1.0), drops.wall * (labels > 0))
    phase = _drops(cells, generator, height=generator.uniform(0.8, 2.8))
    rim = generator.uniform(0.02, 0.05) * settings.scene.diameter + 0.6
    phase += generator.uniform(0.1, 0.8) * np.exp(-(((cells.wall - rim) / rim) ** 2)) * (labels > 0)
    phase += _grains(cells, settings.scene.diameter, generator)
    phase -= _vacuoles(blobs, cells, generator) * generator.uniform(0.2, 0.9)
    phase += generator.uniform(1.0, 3.5) * device
    if generator.random() < 0.5:
        free = (labels == 0) & (device < 0.1)
        phase += debris(shape, settings.scene.diameter, generator, free=free)
    return _finish(phase, labels, settings, generator)


def debris(
    shape: tuple[int, int],
    diameter: float,
    generator: np.random.Generator,
    *,
    free: BoolArray,
) -> Plane:
    """Return the phase of specks of 0.05 to 0.2 of a cell's diameter, where it is free.

    In some images many of them lie together in flakes, up to half as large as a cell.
    """
    places = generator.random((int(generator.exponential(0.15) * np.prod(shape) / diameter**2), 2))
    places *= shape
    if generator.random() < 0.3:
        places = np.concatenate([places, _flakes(shape, diameter, generator)])
    count = len(places)
    sizes = np.maximum(1.5, diameter * generator.uniform(0.05, 0.2, count))
    blobs = [
        Blob((float(y), float(x)), float(size), generator.uniform(1.0, 2.0), roughness=0.2)
        for (y, x), size in zip(places, sizes, strict=True)
    ]
    specks = compete(shape, blobs, generator)
    heights = generator.uniform(0.3, 2.5, count + 1)
    heights[0] = 0.0
    away = np.asarray(gaussian_filter(free.astype(np.float64), 1.0)) > 0.9
    return heights[specks.labels] * np.sqrt(np.clip(1.0 - specks.level**2, 0.0, 1.0)) * away


def _flakes(shape: tuple[int, int], diameter: float, generator: np.random.Generator) -> Plane:
    """Return the places (n, 2) of specks that lie together in flakes."""
    count = int(generator.exponential(0.25) * np.prod(shape) / diameter**2)
    middles = generator.random((count, 2)) * shape
    sizes = generator.integers(2, 13, count)
    reach = np.repeat(diameter * generator.uniform(0.05, 0.2, count), sizes)
    away = generator.standard_normal((len(reach), 2)) * reach[:, None]
    return np.asarray(np.repeat(middles, sizes, axis=0) + away)


def _finish(
    phase: Plane,
    labels: IntArray,
    settings: SuspensionCells | Yeast,
    generator: np.random.Generator,
) -> tuple[Exposed, IntArray]:
    """Look through the microscope, and cut out what it shows."""
    light = transmit(phase, generator, contrast=settings.contrast, size=settings.scene.diameter)
    drift = 0.01 * smooth_noise(light.shape, settings.scene.diameter, generator)
    light = np.maximum(light + drift, 0.0)
    if settings.contrast == "phase" and generator.random() < 0.5:
        light = light**0.7
    uneven = generator.uniform(0.0, 1.0)
    image = record(light, settings.scene, generator, noise=_NOISE, uneven=uneven, glare=1.2)
    return image, settings.scene.cut(labels)


def _held(settings: Yeast, generator: np.random.Generator) -> tuple[Plane, list[Blob]]:
    """Return the device, and the mothers in it."""
    scene = settings.scene
    if settings.device == "traps":
        device, points = draw_traps(scene, generator)
        return device, [_mother((y, x), scene, generator) for y, x in points.tolist()]
    grouped = generator.uniform(0.5, 0.97)
    mothers = _round_blobs(scene.larger, settings, generator, grouped=grouped)
    if settings.device == "walls":
        return draw_walls(scene.larger, scene.diameter, generator), mothers
    return np.zeros(scene.larger), mothers


def _round_blobs(
    shape: tuple[int, int],
    settings: SuspensionCells | Yeast,
    generator: np.random.Generator,
    *,
    grouped: float,
) -> list[Blob]:
    count = settings.scene.count(least=3)
    distance = settings.scene.diameter * generator.uniform(0.8, 0.95)
    points = sprinkle(shape, count, distance=distance, grouped=grouped, generator=generator)
    sizes = settings.scene.draw_diameters(len(points), generator)
    longest = 1.1 if isinstance(settings, SuspensionCells) else generator.uniform(1.05, 1.6)
    return [
        Blob(
            (float(y), float(x)),
            float(size),
            generator.uniform(1.0, longest),
            generator.uniform(0.0, math.pi),
            0.015,
        )
        for (y, x), size in zip(points, sizes, strict=True)
    ]


def _mother(point: tuple[float, float], scene: Scene, generator: np.random.Generator) -> Blob:
    size = float(scene.draw_diameters(1, generator)[0])
    turn = generator.uniform(0.0, math.pi)
    return Blob(point, size, generator.uniform(1.0, 1.25), turn, 0.015)


def _with_buds(mothers: list[Blob], generator: np.random.Generator) -> list[Blob]:
    """Return the mothers, some with a bud of 0.3 to 0.9 of their diameter at their rim."""
    blobs = list(mothers)
    for mother in mothers:
        if generator.random() < 0.55:
            size = mother.diameter * generator.uniform(0.3, 0.9)
            angle = generator.uniform(0.0, 2.0 * math.pi)
            apart = 0.48 * (mother.diameter + size)
            y = mother.center[0] + apart * math.sin(angle)
            x = mother.center[1] + apart * math.cos(angle)
            blobs.append(Blob((y, x), size, generator.uniform(1.0, 1.25), angle, 0.015))
    return blobs


def _drops(drops: Territory, generator: np.random.Generator, *, height: float) -> Plane:
    """Return the phase of drops: half spheres, higher or lower from one to the next."""
    heights = height * np.exp(
        0.15 * generator.standard_normal(int(drops.labels.max(initial=0)) + 1)
    )
    power = generator.uniform(0.35, 0.6)
    # A drop that a neighbor presses has no cliff at the wall between them.
    edge = np.clip(drops.wall / 2.5, 0.0, 1.0) ** 0.5
    round_top = np.clip(1.0 - drops.level**2, 0.0, 1.0) ** power
    return heights[drops.labels] * round_top * edge * (drops.labels > 0)


def _grains(drops: Territory, diameter: float, generator: np.random.Generator) -> Plane:
    """Return the phase of what is inside: organelles and granules."""
    grain = max(0.8, diameter * generator.uniform(0.02, 0.07))
    rough = generator.uniform(0.02, 0.3) * smooth_noise(drops.labels.shape, grain, generator)
    return rough * (drops.labels > 0) * (drops.level < 0.9)


def _vacuoles(blobs: list[Blob], cells: Territory, generator: np.random.Generator) -> Plane:
    inner = [
        Blob(
            (
                blob.center[0] + 0.15 * blob.diameter * generator.standard_normal(),
                blob.center[1] + 0.15 * blob.diameter * generator.standard_normal(),
            ),
            blob.diameter * generator.uniform(0.2, 0.5),
        )
        for blob in blobs
        if generator.random() < 0.6
    ]
    drops = compete(cells.labels.shape, inner, generator)
    inside = (drops.labels > 0) & (cells.labels > 0) & (cells.level < 0.8)
    return np.sqrt(np.clip(1.0 - drops.level**2, 0.0, 1.0)) * inside
