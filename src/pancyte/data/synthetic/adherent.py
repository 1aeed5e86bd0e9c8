"""Cells that spread on a surface: in transmitted light, as quantitative phase, and stained.

Measured on real images as a part of the range from the 1st to the 99th percentile: T98G cells in
phase contrast have noise of 0.005 to 0.011, a background of 0.056 to 0.088 with its dirt, and
interiors as bright as the background on average (a difference of 0.00 to 0.02); HeLa cells a tenth
of that contrast. Quantitative phase has noise of 0.0015 to 0.004 and cells brighter than their
background by 0.37 to 0.66.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from pancyte.data.synthetic.camera import per_object
from pancyte.data.synthetic.cells import debris
from pancyte.data.synthetic.optics import (
    Contrast,
    Exposed,
    any_order,
    fluoresce,
    record,
    transmit,
)
from pancyte.data.synthetic.scene import Scene
from pancyte.data.synthetic.territory import (
    Blob,
    Plane,
    Territory,
    compete,
    draw_bend,
    smooth_noise,
    sprinkle,
)
from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.types import BoolArray, IntArray

_CLEAR = (0.004, 0.06)
_QUANTITATIVE = (0.0015, 0.02)
_STAINED = (0.005, 0.06)

Form = Literal["spread", "spindle", "sheet"]


@params
class AdherentCells:
    """Flat cells in transmitted light, some rounded up, with dirt that is not labelled."""

    scene: Scene = Scene(diameter=50.0, spread=0.25, cover=0.4)
    """The diameter is that of a cell in pixels."""
    contrast: Contrast = "phase"
    """Of the microscope."""
    form: Form = "spread"
    """Irregular cells with processes, long thin ones, or cells that grow side by side."""


@params
class QuantitativeCells:
    """Cells as bright as they are thick: quantitative phase."""

    scene: Scene = Scene(diameter=40.0, spread=0.25, cover=0.4)
    """The diameter is that of a cell in pixels."""
    form: Form = "spread"
    """As of :class:`AdherentCells`."""


@params
class StainedCells:
    """Cells with a stain of the cytoplasm."""

    scene: Scene = Scene(diameter=40.0, spread=0.25, cover=0.4)
    """The diameter is that of a cell in pixels."""
    nuclei: bool = False
    """Whether a stain of the nuclei is in a second channel; the two are in any order."""
    form: Form = "spread"
    """As of :class:`AdherentCells`."""


def draw_adherent(
    settings: AdherentCells, generator: np.random.Generator
) -> tuple[Exposed, IntArray]:
    """Draw adherent cells as a microscope for transmitted light shows them."""
    cells, nuclei, rounded = _cells(settings, generator)
    shape, diameter = settings.scene.larger, settings.scene.diameter
    phase = _flat(cells, nuclei, diameter, generator) * ~rounded
    ball = np.clip(1.0 - cells.level**2, 0.0, 1.0) ** 0.5
    ball *= 1.0 + generator.uniform(0.02, 0.3) * smooth_noise(shape, 1.2, generator)
    phase += generator.uniform(2.0, 6.0) * ball * rounded * (cells.labels > 0)
    phase += 0.6 * debris(shape, 0.5 * diameter, generator, free=cells.labels == 0)
    phase += _dirt(shape, diameter, generator)
    light = transmit(
        phase, generator, contrast=settings.contrast, size=0.7 * diameter, defocus=(0.01, 0.06)
    )
    uneven = generator.random()
    image = record(light, settings.scene, generator, noise=_CLEAR, uneven=uneven, glare=1.1)
    return image, settings.scene.cut(cells.labels)


def draw_quantitative(
    settings: QuantitativeCells, generator: np.random.Generator
) -> tuple[Exposed, IntArray]:
    """Draw cells as quantitative phase shows them."""
    cells, nuclei, rounded = _cells(settings, generator)
    shape, diameter = settings.scene.larger, settings.scene.diameter
    height = np.clip(1.0 - cells.level**1.5, 0.0, 1.0) ** generator.uniform(0.35, 0.8)
    values = per_object(cells.labels, generator, spread=generator.uniform(0.1, 0.45))
    height *= np.where(rounded, 1.5, 1.0) * values
    specks = (generator.random(shape) < 0.004) & (cells.level < 0.7) & (cells.labels > 0)
    height += gaussian_filter(specks.astype(np.float64), 1.2) * generator.uniform(0.5, 3.0)
    height += generator.uniform(0.0, 0.25) * nuclei
    light = gaussian_filter(height, generator.uniform(0.6, 1.2))
    light += 0.25 + 0.012 * smooth_noise(shape, diameter, generator)
    uneven = generator.random()
    image = record(light, settings.scene, generator, noise=_QUANTITATIVE, uneven=uneven)
    return image, settings.scene.cut(cells.labels)


def draw_stained(
    settings: StainedCells, generator: np.random.Generator
) -> tuple[Exposed, IntArray]:
    """Draw cells with a stain; the image has two channels with ``nuclei``, else one."""
    cells, nuclei, _ = _cells(settings, generator)
    shape, diameter = settings.scene.larger, settings.scene.diameter
    values = per_object(cells.labels, generator, spread=generator.uniform(0.1, 0.45))
    thick = 0.35 + 0.65 * np.clip(1.0 - cells.level, 0.0, 1.0) ** generator.uniform(0.3, 1.0)
    grain = max(1.0, diameter * generator.uniform(0.02, 0.06))
    body = values * thick * (1.0 + 0.25 * smooth_noise(shape, grain, generator))
    body *= np.maximum(1.0 + generator.uniform(-0.7, 0.6) * nuclei, 0.0)
    blur = (0.6, 1.0 + 0.015 * diameter)
    light = fluoresce(np.maximum(body, 0.0), generator, blur=blur, size=diameter)
    if settings.nuclei:
        spots = nuclei * per_object(cells.labels, generator, spread=0.3)
        light = any_order(light, fluoresce(spots, generator, blur=blur, size=diameter), generator)
    uneven = generator.random()
    image = record(light, settings.scene, generator, noise=_STAINED, uneven=uneven)
    return image, settings.scene.cut(cells.labels)


def _cells(
    settings: AdherentCells | QuantitativeCells | StainedCells, generator: np.random.Generator
) -> tuple[Territory, Plane, BoolArray]:
    """Return the outlines, nuclei from 0 to 1, and where cells have rounded up (Y, X)."""
    shape = settings.scene.larger
    diameter = settings.scene.diameter
    count = settings.scene.count()
    apart = {"spread": 0.75, "spindle": 0.55, "sheet": 0.85}[settings.form]
    points = sprinkle(
        shape,
        count,
        distance=apart * diameter,
        grouped=generator.uniform(0.3, 0.95),
        generator=generator,
    )
    sizes = settings.scene.draw_diameters(len(points), generator)
    along = generator.uniform(0.0, math.pi)
    ordered = generator.random() < 0.5
    share = generator.uniform(0.0, 0.3) if generator.random() < 0.7 else 0.0
    round_ids = np.zeros(len(points) + 1, dtype=np.bool_)
    blobs = []
    for label, ((y, x), size) in enumerate(zip(points, sizes, strict=True), start=1):
        turn = along + 0.25 * generator.standard_normal() if ordered else 3.14 * generator.random()
        blob = Blob((float(y), float(x)), float(size), turn=turn)
        if generator.random() < share:
            round_ids[label] = True
            blob = replace(blob, diameter=0.6 * blob.diameter, roughness=0.015)
        elif settings.form == "spread":
            arms = int(generator.integers(0, 5))
            aspect = generator.uniform(1.0, 2.5)
            small = 0.9 if arms else 1.0
            blob = replace(
                blob, diameter=small * blob.diameter, aspect=aspect, arms=arms, roughness=0.12
            )
        elif settings.form == "spindle":
            blob = replace(blob, aspect=generator.uniform(2.0, 6.0), roughness=0.08)
        else:
            blob = replace(blob, aspect=generator.uniform(1.0, 1.8), roughness=0.06)
        blobs.append(blob)
    bend = draw_bend(
        shape,
        grain=0.4 * diameter,
        height=generator.uniform(0.0, 0.08) * diameter,
        generator=generator,
    )
    limit = 1.2 if settings.form == "sheet" else 1.0
    cells = compete(shape, blobs, generator, limit=limit, bend=bend)
    return cells, _nuclei(cells, blobs, generator), round_ids[cells.labels]


def _flat(
    cells: Territory, nuclei: Plane, diameter: float, generator: np.random.Generator
) -> Plane:
    """Return the phase of flat cells: thicker about the nucleus, grainy, with a seam at the rim."""
    shape = cells.labels.shape
    inside = cells.labels > 0
    height = 0.22 * 8.0 ** generator.random()
    slope = np.clip(cells.wall / (generator.uniform(0.03, 0.2) * diameter), 0.0, 1.0)
    middle = np.exp(-((cells.level / 0.55) ** 2))
    phase = height * (0.35 * slope + generator.uniform(0.3, 1.0) * middle) * inside
    phase *= np.where(inside, per_object(cells.labels, generator, spread=0.25), 0.0)
    phase += height * generator.uniform(-0.2, 0.35) * nuclei
    ring = gaussian_filter(nuclei, 1.0) - gaussian_filter(nuclei, 2.0)
    phase += generator.uniform(0.0, 0.8) * ring
    # Nucleoli and organelles are seen as grains, more of them about the nucleus.
    fine = smooth_noise(shape, generator.uniform(0.7, 1.4), generator)
    coarse = smooth_noise(shape, max(1.5, 0.04 * diameter), generator)
    rough = generator.uniform(0.1, 0.45) * height * (0.6 * fine + 0.4 * coarse)
    phase += rough * (0.35 + middle) * inside
    drops = (generator.random(shape) < 0.012 * generator.random()) & (cells.level < 0.6) & inside
    phase += gaussian_filter(drops.astype(np.float64), 1.1) * height * generator.uniform(2.0, 10.0)
    seam = np.exp(-((cells.wall - 1.0) ** 2) / 3.0) * inside
    ruffled = np.clip(smooth_noise(shape, 0.2 * diameter, generator), 0.0, 2.0)
    phase += height * generator.uniform(0.0, 1.0) * seam * ruffled
    return np.asarray(phase)


def _nuclei(cells: Territory, blobs: list[Blob], generator: np.random.Generator) -> Plane:
    """Return 1 in a round part near the middle of each cell, else 0, with soft rims."""
    part = generator.uniform(0.35, 0.6)
    inner = [
        Blob(
            blob.center,
            part * generator.uniform(0.85, 1.15) * blob.diameter * blob.aspect**-0.2,
            blob.aspect**0.5,
            blob.turn,
        )
        for blob in blobs
    ]
    drawn = compete(cells.labels.shape, inner, generator)
    inside = (drawn.labels == cells.labels) & (cells.labels > 0)
    return np.asarray(gaussian_filter(inside.astype(np.float64), 0.7))


def _dirt(shape: tuple[int, int], diameter: float, generator: np.random.Generator) -> Plane:
    """Return the phase of shreds and threads, which are no cells, and of an uneven ground."""
    dirt = generator.uniform(0.0, 0.06) * smooth_noise(shape, 0.3 * diameter, generator)
    if generator.random() < 0.5:
        field = smooth_noise(shape, 0.5 * diameter, generator)
        thread = np.exp(-((field / 0.03) ** 2)) * (
            smooth_noise(shape, 1.2 * diameter, generator) > generator.uniform(1.0, 2.0)
        )
        dirt += generator.uniform(0.2, 1.2) * gaussian_filter(thread, 0.8)
    if generator.random() < 0.5:
        patches = smooth_noise(shape, 0.25 * diameter, generator) > generator.uniform(2.0, 3.0)
        grains = np.abs(smooth_noise(shape, 1.5, generator))
        dirt += generator.uniform(0.1, 0.7) * gaussian_filter(patches * grains, 0.7)
    return dirt
