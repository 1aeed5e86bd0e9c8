"""Nuclei with a stained DNA, and what makes them hard to part and to see.

Clusters of equal brightness, dim beside bright nuclei, nuclei out of focus, chromosomes of dividing
cells, tissue. Measured on the nuclei of the Data Science Bowl 2018 as a part of the range from the
1st to the 99th percentile: noise of 0.002 to 0.02, a background of 0.017 to 0.039 of standard
deviation that is uneven by 3 to 23 percent, nuclei brighter than it by 0.4 and more. Here noise
goes to 0.15, to be hard.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from pancyte.data.synthetic.optics import Exposed, record
from pancyte.data.synthetic.scene import Scene
from pancyte.data.synthetic.territory import (
    Blob,
    Plane,
    compete,
    smooth_noise,
    sprinkle,
)
from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.types import IntArray

_NOISE = {"culture": (0.003, 0.08), "clusters": (0.003, 0.06), "tissue": (0.005, 0.08)}
_DIM_NOISE = (0.05, 0.15)
_LAYERS = 3


@params
class HardNuclei:
    """Nuclei in fluorescence."""

    scene: Scene = Scene(diameter=24.0, spread=0.2, cover=0.25)
    """The diameter is that of a nucleus in pixels."""
    place: Literal["culture", "clusters", "tissue"] = "culture"
    """Cells on a dish, some dividing; clusters of equal brightness; crowded and of any focus."""
    dim: bool = False
    """Whether there is little light and much noise."""


def draw_hard_nuclei(
    settings: HardNuclei, generator: np.random.Generator
) -> tuple[Exposed, IntArray]:
    """Draw nuclei, all labelled, sharp or blurred; the two halves of a division are two objects.

    Not labelled are crumbs, and the faint ghosts of nuclei that lie far beyond the focus.
    """
    shape = settings.scene.larger
    diameter = settings.scene.diameter
    blobs, bright = _blobs(shape, settings, generator)
    nuclei = compete(shape, blobs, generator)
    inside = nuclei.labels > 0
    height = np.clip(1.0 - nuclei.level**2, 0.0, 1.0) ** generator.uniform(0.1, 0.5)
    # The clefts between nuclei that touch are seen, or hardly.
    cleft = np.clip(nuclei.wall / generator.uniform(0.5, 2.5), 0.0, 1.0)
    stain = np.maximum(height, 0.3) * (0.6 + 0.4 * cleft) * inside
    stain *= _chromatin(shape, diameter, generator)
    focus = generator.integers(0, _LAYERS, len(blobs) + 1, dtype=np.int32)
    focus[0] = 0
    light = _focused(stain * bright[nuclei.labels], focus[nuclei.labels], settings, generator)
    light += _haze(light, settings, generator)
    light *= 1.0 + generator.uniform(0.0, 0.3) * smooth_noise(shape, 3.0 * diameter, generator)
    if generator.random() < 0.15:  # too long an exposure
        light = np.minimum(light, np.quantile(light[inside], 0.4) if inside.any() else 1.0)
    noise = _DIM_NOISE if settings.dim else _NOISE[settings.place]
    uneven = 2.0 * generator.random()
    image = record(light, settings.scene, generator, noise=noise, uneven=uneven)
    return image, settings.scene.cut(nuclei.labels)


def _blobs(
    shape: tuple[int, int], settings: HardNuclei, generator: np.random.Generator
) -> tuple[list[Blob], Plane]:
    """Return the nuclei, and the brightness of each, after one of the background."""
    diameter, place = settings.scene.diameter, settings.place
    grouped = {"culture": 0.3, "clusters": 0.9, "tissue": 0.7}[place]
    apart = {"culture": 0.95, "clusters": 0.85, "tissue": 0.8}[place]
    count = settings.scene.count()
    points = sprinkle(shape, count, distance=apart * diameter, grouped=grouped, generator=generator)
    sizes = settings.scene.draw_diameters(len(points), generator)
    widths = {"culture": (0.1, 0.7), "clusters": (0.0, 0.15), "tissue": (0.2, 0.6)}[place]
    spread = generator.uniform(*widths)
    longest = generator.uniform(1.2, 2.6 if place == "tissue" else 1.8)
    along = generator.uniform(0.0, math.pi)
    turns = along + generator.uniform(0.1, 2.0) * generator.standard_normal(len(points))
    dividing = generator.uniform(0.0, 0.12) if place == "culture" else 0.0
    roughness = generator.uniform(0.02, 0.07)
    blobs, bright = [], [0.0]
    for (y, x), size, turn in zip(points, sizes, turns, strict=True):
        center, light = (
            (float(y), float(x)),
            math.exp(min(max(spread * generator.standard_normal(), -1.1), 1.3)),
        )
        if generator.random() < dividing:
            plates = chromosomes(center, float(size), float(turn), generator)
            blobs += plates
            bright += [2.2 * light] * len(plates)
        else:
            aspect = generator.uniform(1.0, longest)
            blobs.append(Blob(center, float(size), aspect, float(turn), roughness))
            bright.append(light)
    return blobs, np.asarray(bright)


def chromosomes(
    center: tuple[float, float], diameter: float, turn: float, generator: np.random.Generator
) -> list[Blob]:
    """Draw the chromosomes of a nucleus that divides.

    Parameters
    ----------
    center, diameter
        Of the nucleus in pixels.
    turn
        Direction in which the plates are long, from the x axis, in radians.
    generator
        Source of randomness.

    Returns
    -------
    list of Blob
        The plate of a metaphase, or the two of an anaphase, side by side.
    """
    size = 0.7 * diameter
    if generator.random() < 0.5:
        return [Blob(center, size, generator.uniform(2.2, 3.5), turn, 0.08)]
    apart = diameter * generator.uniform(0.3, 0.5)
    away = apart * np.array([math.cos(turn), -math.sin(turn)])
    return [
        Blob((center[0] + sign * away[0], center[1] + sign * away[1]), 0.8 * size, 2.4, turn, 0.08)
        for sign in (-1.0, 1.0)
    ]


def _chromatin(shape: tuple[int, int], diameter: float, generator: np.random.Generator) -> Plane:
    """Return a factor of mean about 1: grains, spots and dark nucleoli."""
    fine = smooth_noise(shape, max(0.8, 0.04 * diameter), generator)
    coarse = smooth_noise(shape, max(1.2, 0.12 * diameter), generator)
    strength = generator.uniform(0.03, 0.4)
    factor = 1.0 + strength * (0.5 * fine + 0.6 * coarse)
    if generator.random() < 0.35:  # chromocenters, as of mice
        factor += generator.uniform(0.3, 1.2) * (coarse > 1.5)
    if generator.random() < 0.35:
        factor -= generator.uniform(0.2, 0.6) * (coarse < -1.5)
    return np.maximum(factor, 0.15)


def _focused(
    stain: Plane, focus: IntArray, settings: HardNuclei, generator: np.random.Generator
) -> Plane:
    """Return the stain with nuclei in the layers of ``focus`` as sharp as their layer is."""
    diameter = settings.scene.diameter
    first = generator.uniform(0.5, 0.8 + 0.03 * diameter)
    deep = {"culture": 0.04, "clusters": 0.05, "tissue": 0.12}[settings.place]
    step = deep * diameter * generator.random()
    if step < 0.5:
        return np.asarray(gaussian_filter(stain, first))
    layers = [
        gaussian_filter(stain * (focus == layer), first + layer * step) for layer in range(_LAYERS)
    ]
    return np.asarray(np.sum(layers, axis=0))


def _haze(light: Plane, settings: HardNuclei, generator: np.random.Generator) -> Plane:
    """Return the light from beyond the focus: a glow, ghosts of other nuclei, crumbs."""
    shape, diameter = (light.shape[0], light.shape[1]), settings.scene.diameter
    haze = generator.uniform(0.02, 0.3) * np.ones(shape)
    haze += generator.uniform(0.0, 0.35) * gaussian_filter(light, 0.8 * diameter)
    ghosts = {"culture": 0.2, "clusters": 0.2, "tissue": 0.8}[settings.place]
    if generator.random() < ghosts:
        strength = generator.uniform(0.05, 0.3)
        far = gaussian_filter(np.roll(light, 3 * light.shape[0] // 7, axis=0), 0.3 * diameter)
        haze += strength * far
    if generator.random() < 0.3:
        field = smooth_noise(shape, 0.4 * diameter, generator)
        haze += generator.uniform(0.02, 0.12) * np.maximum(field, 0.0)
    crumbs = generator.random(shape) < generator.uniform(0.0, 0.15) / diameter**2
    return haze + gaussian_filter(crumbs.astype(np.float64), 0.8 + 0.03 * diameter) * 4.0
