"""What microscopes show of bacteria: from a relief to light (Y, X), without noise.

The ranges that are drawn from were measured on free images with few exceptions: phase contrast and
bright field have a noise of 0.6 to 2.4 % of the background, fluorescence of 0.5 to 10 % of the
contrast; the mean brightness of cells of one image differs by 4 to 40 %; cells in phase contrast
have 0.3 to 0.9 of the light of the background, halos up to 1.6 times and gaps within a colony up to
2.5 times as much.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, gaussian_laplace

from pancyte.data.synthetic.camera import per_object, texture

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

    from pancyte.data.synthetic.bodies import Relief

Field = npt.NDArray[np.float64]


def phase(relief: Relief, width: float, generator: Generator) -> tuple[Field, float]:
    """Return dark cells with bright halos, and photons of a pixel at the light 1."""
    light = phase_factor(relief, width, generator)
    light += _grain(light.shape, generator) + _dust(light.shape, width, generator)
    return np.maximum(light, 0.02), math.exp(generator.uniform(math.log(1700), math.log(12000)))


def negative_phase(relief: Relief, width: float, generator: Generator) -> tuple[Field, float]:
    """Return bright cells with dark halos, and photons of a pixel at the light 1."""
    light = phase_factor(relief, width, generator, sign=-generator.uniform(0.4, 1.0))
    light += _grain(light.shape, generator) + _dust(light.shape, width, generator)
    return np.maximum(light, 0.02), math.exp(generator.uniform(math.log(1700), math.log(8000)))


def phase_factor(
    relief: Relief,
    width: float,
    generator: Generator,
    *,
    sign: float = 1.0,
    depths: tuple[float, float] = (0.35, 0.9),
) -> Field:
    """Return what cells make of even light in phase contrast; 1 far from them.

    The ring of the objective passes a part of the slow changes too: the more it does, the brighter
    are halos and gaps, and the less dark is the middle of a colony (shade-off). The waves of cell
    and background are added, hence the square. ``sign`` -1 makes cells bright; ``depths`` is the
    range of how much light a cell takes from the wave.
    """
    delay = _thickness(relief, generator.uniform(0.15, 0.8))
    delay *= per_object(relief.labels, generator, spread=generator.uniform(0.03, 0.15))
    delay *= 1.0 + generator.uniform(0.0, 0.08) * texture(delay.shape, 0.15 * width, generator)
    delay = gaussian_filter(delay, max(0.6, generator.uniform(0.06, 0.18) * width))
    near, wide, far = (
        generator.uniform(*span) * width for span in ((0.3, 0.6), (0.7, 1.5), (2, 5))
    )
    slow = generator.uniform(0.0, 0.35) * gaussian_filter(delay, near)
    slow += generator.uniform(0.1, 0.6) * gaussian_filter(delay, wide)
    slow += generator.uniform(0.0, 0.3) * gaussian_filter(delay, far)
    depth = generator.uniform(*depths)
    return np.asarray((1.0 - sign * depth * (delay - slow)) ** 2)


def bright_field(relief: Relief, width: float, generator: Generator) -> tuple[Field, float]:
    """Return cells as bright and dark edges, in or out of focus, and photons at the light 1."""
    height = _thickness(relief, generator.uniform(0.4, 1.0))
    height *= per_object(relief.labels, generator, spread=generator.uniform(0.02, 0.12))
    fine, coarse = generator.uniform(0.1, 0.2) * width, generator.uniform(0.15, 0.38) * width
    # Where the focus lies a little above or below, light gathers in or leaves the thick parts.
    focus = generator.choice([-1.0, 1.0]) * generator.uniform(0.3, 1.0)
    lens = focus * _normalized(gaussian_laplace(height, max(coarse, 1.0)))
    lens += generator.uniform(-0.7, 0.7) * _normalized(gaussian_laplace(height, max(fine, 0.7)))
    lens -= generator.uniform(0.0, 0.5) * gaussian_filter(height, max(fine, 0.7))
    contrast = math.exp(generator.uniform(math.log(0.12), math.log(0.6)))
    light = 1.0 + contrast * lens
    behind = _grain(light.shape, generator) + _dust(light.shape, width, generator)
    light += min(1.0, 2.0 * contrast) * behind
    photons = generator.uniform(1500, 4000) / contrast
    return np.maximum(light, 0.02), min(photons, 12000.0)


def fluorescence(relief: Relief, width: float, generator: Generator) -> tuple[Field, float]:
    """Return stained cells: their body, membrane or DNA; and photons at the light 1."""
    stain = (_body, _membrane, _nucleoid)[generator.choice(3, p=[0.55, 0.25, 0.2])]
    signal = stain(relief, width, generator)
    values = per_object(relief.labels, generator, spread=generator.uniform(0.05, 0.4))
    signal = signal * np.where(relief.labels > 0, np.clip(values, 0.3, 3.0), 1.0)
    sharp = gaussian_filter(signal, max(0.7, generator.uniform(0.07, 0.2) * width))
    haze = gaussian_filter(signal, generator.uniform(0.8, 3.0) * width)
    light = sharp + generator.uniform(0.0, 0.5) * haze
    background = math.exp(generator.uniform(math.log(0.01), math.log(0.5)))
    light += background * (1.0 + generator.uniform(0, 0.15) * _clouds(light.shape, generator))
    light += _debris(light.shape, generator)
    return np.maximum(light, 0.0), math.exp(generator.uniform(math.log(80), math.log(6000)))


LOOKS: Final[dict[str, Callable[[Relief, float, Generator], tuple[Field, float]]]] = {
    "phase": phase,
    "negative-phase": negative_phase,
    "bright-field": bright_field,
    "fluorescence": fluorescence,
}
"""Ways to look at bacteria: from a relief and the width of a cell to light and photons."""


def _cover(relief: Relief) -> Field:
    """Return the part of each pixel that cells cover."""
    return np.clip(relief.depth.astype(np.float64) + 0.5, 0.0, 1.0)


def _thickness(relief: Relief, power: float) -> Field:
    """Return the height of round cells, 0 to 1; a lower power makes them flatter on top."""
    from_middle = np.clip(1.0 - relief.depth / relief.radius, 0.0, 1.0)
    return np.asarray(_cover(relief) * np.sqrt(1.0 - 0.98 * from_middle**2) ** power)


def _body(relief: Relief, width: float, generator: Generator) -> Field:
    grain = 1.0 + generator.uniform(0.0, 0.2) * texture(relief.labels.shape, 0.2 * width, generator)
    signal = _thickness(relief, generator.uniform(0.6, 1.0)) * grain
    if generator.random() < 0.25:  # proteins gather in spots
        spots = (generator.random(signal.shape) < 0.3 / width**2) & (relief.depth > 0.2 * width)
        blurred = gaussian_filter(spots.astype(np.float64), 0.12 * width)
        signal = signal + generator.uniform(0.5, 2.0) * _normalized(blurred)
    return np.asarray(signal)


def _membrane(relief: Relief, width: float, generator: Generator) -> Field:
    """Return a hollow shell, brightest where it is seen edge on."""
    shell = generator.uniform(0.12, 0.25) * width
    rim = np.exp(-(((relief.depth - 0.5 * shell) / shell) ** 2))
    return np.asarray(_cover(relief) * (generator.uniform(0.05, 0.3) + rim))


def _nucleoid(relief: Relief, width: float, generator: Generator) -> Field:
    """Return one or two lobes of DNA in each cell, on a faint body."""
    lobes = generator.integers(1, 3, int(relief.labels.max(initial=0)) + 1)[relief.labels]
    lengthwise = np.abs(np.sin(np.pi * relief.along * lobes)) ** generator.uniform(0.5, 1.5)
    core = _thickness(relief, 2.0) * lengthwise
    grain = 1.0 + 0.25 * texture(core.shape, 0.15 * width, generator)
    return np.asarray(core * grain + generator.uniform(0.1, 0.35) * _thickness(relief, 0.8))


def _normalized(field: Field) -> Field:
    """Return a field whose strongest value, but for a few, is 1 or -1."""
    strong = np.abs(field[np.abs(field) > 0.05 * np.abs(field).max()])
    return np.asarray(field / np.percentile(strong, 95)) if len(strong) else field


def _grain(shape: tuple[int, ...], generator: Generator) -> Field:
    """Return what the light path adds: fine grain and slow clouds."""
    fine = generator.uniform(0.0, 0.012) * texture(shape, generator.uniform(0.8, 3.0), generator)
    return fine + generator.uniform(0.0, 0.03) * _clouds(shape, generator)


def _clouds(shape: tuple[int, ...], generator: Generator) -> Field:
    """Return slow changes of mean 0 and standard deviation 1, also in an image of a few pixels."""
    field = texture(shape, min(generator.uniform(15, 40), min(shape) / 4.0), generator)
    return np.asarray(field - field.mean())


def _dust(shape: tuple[int, ...], width: float, generator: Generator) -> Field:
    """Return rings of dust out of focus and dark specks, which are no objects.

    Most images have a few faint ones; some have as many as cells, and as clear.
    """
    dirty = generator.random() < 0.3
    strength = generator.uniform(0.15, 0.6) if dirty else 0.15
    count = generator.poisson(generator.uniform(2.0, 20.0) if dirty else 1.0)
    field = np.zeros(shape)
    for _ in range(count):
        y, x = (generator.uniform(0, size) for size in shape)
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        if dirty and generator.random() < 0.4:
            distance = np.hypot(rows - y, columns - x) / (generator.uniform(0.12, 0.4) * width)
            field -= generator.uniform(0.3, 0.9) * np.exp(-(distance**4))
            continue
        distance = np.hypot(rows - y, columns - x) / (generator.uniform(0.2, 1.0) * width)
        ring = np.cos(2.5 * distance) * np.exp(-(distance**1.5))
        field += generator.uniform(-strength, strength) * ring
    return field


def _debris(shape: tuple[int, ...], generator: Generator) -> Field:
    """Return faint spots of free stain."""
    rate = generator.choice([0.0, 1e-4, 4e-4])
    spots = (generator.random(shape) < rate) * generator.uniform(0.1, 0.5)
    return np.asarray(gaussian_filter(spots, 1.2) * 9.0)
