"""Tissues in which cells fill the plane, with stained or dark walls: epithelia and plants.

No free set shows them with outlines drawn by hand; what they look like was compared with confocal
images of membranes (MDCK with ZO-1, maize): walls of 1.5 to 4 px, 3 to 10 times as bright as the
cytoplasm, uneven along their length, some nearly missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from pancyte.data.synthetic.optics import Exposed, any_order, fluoresce, record
from pancyte.data.synthetic.scene import Scene
from pancyte.data.synthetic.territory import (
    Blob,
    Plane,
    Territory,
    compete,
    draw_bend,
    lattice,
    smooth_noise,
)
from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.types import IntArray

_NOISE = (0.008, 0.08)


@params
class Membranes:
    """Cells that fill the image or a part of it, parted by walls."""

    scene: Scene = Scene(diameter=36.0, spread=0.2, cover=1.0)
    """The diameter is that of a cell in pixels, the cover the part of the image that is tissue."""
    appearance: Literal["bright", "dark", "stained"] = "bright"
    """Bright walls in fluorescence, dark walls in bright field, or bright walls in one channel and
    nuclei in another."""


def draw_membranes(settings: Membranes, generator: np.random.Generator) -> tuple[Exposed, IntArray]:
    """Draw a tissue, and its cells up to the middle of their walls.

    The image has two channels, in any order, for ``stained``, else one.
    """
    shape = settings.scene.larger
    tissue = _tissue(shape, settings, generator)
    walls = _walls(tissue, settings.scene.diameter, generator)
    inside = _cytoplasm(tissue, settings.scene.diameter, generator)
    if settings.appearance == "dark":
        light = 1.0 - generator.uniform(0.25, 0.6) * gaussian_filter(
            walls, generator.uniform(0.5, 1.0)
        )
        light -= generator.uniform(0.0, 0.4) * inside
        # Light is bent at a wall, so that it has a bright side.
        light += generator.uniform(0.0, 0.25) * np.clip(
            gaussian_filter(walls, 3.0) - gaussian_filter(walls, 1.0), 0.0, None
        )
        light = np.maximum(light, 0.02)
    else:
        stained = walls + generator.uniform(0.05, 1.0) * inside
        blur = (0.6, 1.0 + 0.01 * settings.scene.diameter)
        light = fluoresce(stained, generator, blur=blur, size=settings.scene.diameter)
        if settings.appearance == "stained":
            nuclei = (tissue.level < generator.uniform(0.4, 0.6)) & (tissue.labels > 0)
            spots = nuclei * (1.0 + 0.3 * smooth_noise(shape, 1.5, generator))
            second = fluoresce(spots, generator, blur=(0.8, 1.5), size=settings.scene.diameter)
            light = any_order(light, second, generator)
    image = record(light, settings.scene, generator, noise=_NOISE)
    return image, settings.scene.cut(tissue.labels)


def _tissue(
    shape: tuple[int, int], settings: Membranes, generator: np.random.Generator
) -> Territory:
    diameter = settings.scene.diameter
    points = lattice(
        shape, 0.95 * diameter, jitter=generator.uniform(0.08, 0.22), generator=generator
    )
    if settings.scene.cover < 1.0:
        field = smooth_noise(shape, 2.5 * diameter, generator)
        rows, columns = (
            np.clip(points[:, axis].astype(np.intp), 0, shape[axis] - 1) for axis in (0, 1)
        )
        points = points[field[rows, columns] <= np.quantile(field, settings.scene.cover)]
    sizes = settings.scene.draw_diameters(len(points), generator)
    aspect = 1.0 + 1.2 * generator.random() ** 3
    turn = np.pi * generator.random()
    blobs = [
        Blob((float(y), float(x)), float(size), aspect, turn, 0.03)
        for (y, x), size in zip(points, sizes, strict=True)
    ]
    bend = draw_bend(
        shape,
        grain=0.3 * diameter,
        height=generator.uniform(0.01, 0.07) * diameter,
        generator=generator,
    )
    if generator.random() < 0.3:  # walls that zigzag
        fine = draw_bend(shape, grain=2.5, height=generator.uniform(0.5, 1.2), generator=generator)
        bend = bend[0] + fine[0], bend[1] + fine[1]
    return compete(shape, blobs, generator, limit=generator.uniform(1.25, 1.6), bend=bend)


def _walls(tissue: Territory, diameter: float, generator: np.random.Generator) -> Plane:
    """Return how much wall there is: uneven from place to place, fainter here and there."""
    width = max(0.7, diameter * generator.uniform(0.015, 0.06))
    walls = np.exp(-0.5 * (tissue.wall / width) ** 2) * (tissue.labels > 0)
    along = np.exp(0.35 * smooth_noise(walls.shape, 0.35 * diameter, generator))
    beads = 1.0 + generator.uniform(0.0, 0.4) * smooth_noise(walls.shape, 1.2, generator)
    gaps = smooth_noise(walls.shape, 0.25 * diameter, generator) < -generator.uniform(1.3, 3.0)
    faint = 1.0 - generator.uniform(0.5, 0.9) * gaussian_filter(gaps.astype(np.float64), 2.0)
    return walls * along * np.maximum(beads, 0.1) * faint


def _cytoplasm(tissue: Territory, diameter: float, generator: np.random.Generator) -> Plane:
    """Return what is inside of the cells, 0 to about 0.5: grainy, some with a dark nucleus."""
    values = 0.25 * np.exp(0.4 * generator.standard_normal(int(tissue.labels.max(initial=0)) + 1))
    values[0] = generator.uniform(0.0, 0.1)
    inside = values[tissue.labels]
    inside *= 1.0 + 0.25 * smooth_noise(inside.shape, max(1.0, 0.04 * diameter), generator)
    if generator.random() < 0.4:
        inside *= 1.0 - 0.6 * (tissue.level < 0.45)
    specks = generator.random(inside.shape) < 0.002 * generator.random()
    inside += gaussian_filter(specks.astype(np.float64), 0.8) * 2.0
    return np.maximum(inside, 0.0)
