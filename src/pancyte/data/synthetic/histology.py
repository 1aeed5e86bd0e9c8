"""Sections of tissue with hematoxylin and eosin, as a slide scanner shows them.

A stain takes light away by the law of Beer and Lambert, with color vectors like those of Ruifrok
and Johnston (Anal Quant Cytol Histol 2001, 23:291), varied; eosin is less magenta, as on slides.
Compared with TNBC slides: vesicular nuclei with a dark rim and clumps, small dark lymphocytes,
spindles along the fibers, gaps, red cells.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, map_coordinates

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
    from pancyte.types import IntArray

_HEMATOXYLIN: Final = np.array([0.65, 0.70, 0.29])
_EOSIN: Final = np.array([0.12, 0.90, 0.42])


@params
class Histology:
    """Nests of epithelium, stroma and lymphocytes."""

    scene: Scene = Scene(diameter=26.0, spread=0.2, cover=0.3)
    """The diameter is that of an epithelial nucleus in pixels, the cover the part of the
    epithelium that nuclei cover. Those of stroma are fewer and smaller and cover about two
    fifths of that; lymphocytes are smaller everywhere."""
    epithelium: float = 0.5
    """Part of the image that is epithelium, 0 to 1; the rest is stroma."""
    gray: bool = False
    """Whether a camera without colors recorded it."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.epithelium <= 1.0:
            raise ValueError(f"Expected epithelium from 0 to 1, but got {self.epithelium}")


def draw_histology(
    settings: Histology, generator: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], IntArray]:
    """Draw a stained section, and its nuclei.

    The image is of uint8, with three channels, red, green and blue, or one if ``gray``.
    """
    shape = settings.scene.larger
    diameter = settings.scene.diameter
    field = smooth_noise(shape, generator.uniform(2.0, 4.0) * diameter, generator)
    nests = field < np.quantile(field, settings.epithelium)
    gaps = _gaps(shape, diameter, generator)
    direction = generator.uniform(0.0, math.pi)
    blobs, pale = _blobs(shape, settings, np.where(gaps > 0.4, -1, nests), direction, generator)
    bend = draw_bend(shape, grain=diameter, height=0.05 * diameter, generator=generator)
    nuclei = compete(shape, blobs, generator, bend=bend)
    hematoxylin = _nuclear_stain(nuclei, pale, diameter, generator)
    soft = gaussian_filter(nests.astype(np.float64), 0.15 * diameter)
    hematoxylin += generator.uniform(0.0, 0.25) * soft * (1.0 - gaps)
    eosin = _ground(shape, soft, direction, diameter, generator) * (1.0 - gaps)
    eosin *= generator.uniform(0.25, 1.2)
    if not settings.gray:  # without its color, a red cell looks like a nucleus
        eosin += _red_cells(shape, diameter, generator) * (nuclei.labels == 0)
    hematoxylin *= 1.0 - gaps * (nuclei.labels == 0)
    # The section is thicker here and thinner there.
    thick = 1.0 + 0.12 * smooth_noise(shape, 2.0 * diameter, generator)
    image = _scan(hematoxylin * thick, eosin * thick, generator)
    window = (slice(None), *settings.scene.window)
    image = image[window]
    if settings.gray:
        image = np.rint(image.mean(axis=0, keepdims=True)).astype(np.uint8)
    return np.ascontiguousarray(image), settings.scene.cut(nuclei.labels)


def _blobs(
    shape: tuple[int, int],
    settings: Histology,
    nests: npt.NDArray[np.int64],
    direction: float,
    generator: np.random.Generator,
) -> tuple[list[Blob], Plane]:
    """Return the nuclei of nests (1) and stroma (0), and how pale the middle of each is.

    There are none in gaps (-1). The first value is that of the background.
    """
    diameter = settings.scene.diameter
    count = settings.scene.count(filling=0.6)
    points = sprinkle(
        shape,
        count,
        distance=generator.uniform(0.7, 0.95) * diameter,
        grouped=generator.uniform(0.2, 0.8),
        generator=generator,
    )
    sizes = settings.scene.draw_diameters(len(points), generator)
    immune = smooth_noise(shape, 2.0 * diameter, generator)
    inflamed = generator.uniform(0.3, 2.0)
    vesicular = generator.uniform(0.2, 1.0)
    blobs, pale = [], [0.0]
    for (y, x), size in zip(points, sizes, strict=True):
        row, column = min(int(y), shape[0] - 1), min(int(x), shape[1] - 1)
        if nests[row, column] < 0:
            continue
        turn = generator.uniform(0.0, math.pi)
        center = float(y), float(x)
        if immune[row, column] > inflamed:
            blobs.append(Blob(center, min(float(size), diameter) * 0.55, 1.1, turn, 0.03))
            pale.append(0.1)
        elif nests[row, column]:
            aspect = generator.uniform(1.0, 1.7)
            blobs.append(Blob(center, float(size), aspect, turn, 0.06))
            pale.append(vesicular * generator.uniform(0.6, 1.0))
        elif generator.random() < 0.7:
            turn = direction + 0.35 * generator.standard_normal()
            aspect = generator.uniform(2.0, 4.5)
            blobs.append(Blob(center, 0.7 * float(size), aspect, turn, 0.08))
            pale.append(generator.uniform(0.0, 0.4))
    return blobs, np.asarray(pale)


def _nuclear_stain(
    nuclei: Territory, pale: Plane, diameter: float, generator: np.random.Generator
) -> Plane:
    """Return the hematoxylin of nuclei: a dark rim, clumps, nucleoli, another depth for each."""
    shape = nuclei.labels.shape
    count = len(pale)
    inside = nuclei.labels > 0
    depth = generator.uniform(0.6, 1.3) * np.exp(0.25 * generator.standard_normal(count))
    # Nuclei that lie above or below the section are faint.
    depth *= np.where(generator.random(count) < 0.1, 0.55, 1.0)
    rim = np.exp(-((nuclei.wall / (0.05 * diameter + 0.8)) ** 2))
    clumps = smooth_noise(shape, max(0.9, 0.06 * diameter), generator)
    hollow = 1.0 - pale[nuclei.labels] * (1.0 - rim) * 0.8
    stain = depth[nuclei.labels] * hollow * (1.0 + generator.uniform(0.15, 0.5) * clumps)
    nucleoli = (clumps > 1.9) & inside & (nuclei.level < 0.7)
    stain += 0.5 * gaussian_filter(nucleoli.astype(np.float64), 0.8)
    return np.asarray(np.maximum(stain, 0.15) * inside)


def _ground(
    shape: tuple[int, int],
    nests: Plane,
    direction: float,
    diameter: float,
    generator: np.random.Generator,
) -> Plane:
    """Return the eosin between nuclei: fibers in the stroma, grainy cytoplasm in the nests."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    bend = draw_bend(shape, grain=2.0 * diameter, height=0.5 * diameter, generator=generator)
    across = (y + bend[0]) * math.cos(direction) - (x + bend[1]) * math.sin(direction)
    along = (y + bend[0]) * math.sin(direction) + (x + bend[1]) * math.cos(direction)
    coarse = _streaks(across, along, 0.2 * diameter, generator)
    fine = _streaks(across, along, 0.08 * diameter, generator)
    fibers = generator.uniform(0.25, 0.7) * (1.0 + 0.35 * coarse + 0.25 * fine)
    cytoplasm = generator.uniform(0.15, 0.5) * (
        1.0
        + 0.2 * smooth_noise(shape, 1.5, generator)
        + 0.2 * smooth_noise(shape, 0.1 * diameter, generator)
        + 0.25 * smooth_noise(shape, 0.3 * diameter, generator)
    )
    return np.clip(nests * cytoplasm + (1.0 - nests) * fibers, 0.02, None)


def _streaks(across: Plane, along: Plane, width: float, generator: np.random.Generator) -> Plane:
    """Return noise that is long along the fibers and ``width`` pixels wide across them."""
    size = 128
    noise = gaussian_filter(generator.standard_normal((size, size)), 0.7, mode="wrap")
    where = np.stack([across / max(width, 0.8), along / max(8.0 * width, 4.0)])
    return np.asarray(map_coordinates(noise / noise.std(), where, order=1, mode="grid-wrap"))


def _gaps(shape: tuple[int, int], diameter: float, generator: np.random.Generator) -> Plane:
    """Return where there is no tissue, 0 to 1: clefts, lumina, fat."""
    gaps = np.zeros(shape)
    if generator.random() < 0.6:
        field = smooth_noise(shape, generator.uniform(0.4, 1.5) * diameter, generator)
        gaps = np.maximum(gaps, field > generator.uniform(1.2, 2.5))
    if generator.random() < 0.15:
        count = generator.integers(1, 8)
        holes = [
            Blob((float(y), float(x)), diameter * generator.uniform(1.5, 5.0), 1.2, roughness=0.05)
            for y, x in generator.random((count, 2)) * shape
        ]
        gaps = np.maximum(gaps, compete(shape, holes, generator).wall > 1.5)
    return np.asarray(gaussian_filter(gaps.astype(np.float64), 1.0))


def _red_cells(shape: tuple[int, int], diameter: float, generator: np.random.Generator) -> Plane:
    """Return the eosin of red blood cells, which have no nuclei and are not labelled."""
    if generator.random() < 0.7:
        return np.zeros(shape)
    points = sprinkle(
        shape,
        int(generator.integers(5, 60)),
        distance=0.6 * diameter,
        grouped=0.95,
        generator=generator,
    )
    cells = compete(
        shape, [Blob((float(y), float(x)), 0.65 * diameter) for y, x in points], generator
    )
    return generator.uniform(0.4, 1.0) * (cells.labels > 0) * (0.7 + 0.3 * cells.level)


def _scan(
    hematoxylin: Plane, eosin: Plane, generator: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Return red, green and blue of the light that both stains let through."""
    vectors = [
        np.maximum(vector + 0.06 * generator.standard_normal(3), 0.02)
        for vector in (_HEMATOXYLIN, _EOSIN)
    ]
    density = hematoxylin * vectors[0][:, None, None] + eosin * vectors[1][:, None, None]
    white = generator.uniform(225.0, 250.0) * (1.0 + 0.02 * generator.standard_normal(3))
    light = white[:, None, None] * np.exp(-2.303 * generator.uniform(0.35, 0.6) * density)
    blur = generator.uniform(0.5, 1.1)
    light = gaussian_filter(light, (0.0, blur, blur))
    light += generator.uniform(1.0, 5.0) * generator.standard_normal(light.shape, dtype=np.float32)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)
