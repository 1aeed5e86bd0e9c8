"""Pictures of what is no microscopy: landscapes, walls, leaves, patterns, edges and polygons."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw
from scipy import fft
from scipy.ndimage import gaussian_filter

from pancyte.data.synthetic.territory import smooth_noise

if TYPE_CHECKING:
    from pancyte.data.synthetic.territory import Plane

Draw = Callable[[tuple[int, int], np.random.Generator], "Plane"]


def fractal(shape: tuple[int, int], generator: np.random.Generator, *, slope: float) -> Plane:
    """Return noise of the amplitude 1 / frequency^slope, as natural images have it; 0 to 1.

    References
    ----------
    Field, J Opt Soc Am A 1987, doi:10.1364/JOSAA.4.002379.
    """
    y, x = fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])[None]
    frequency = np.maximum(np.hypot(y, x), 1.0 / max(shape))
    spectrum = fft.rfft2(generator.standard_normal(shape)) / frequency**slope
    noise = fft.irfft2(spectrum, s=shape)
    low, high = np.percentile(noise, (0.5, 99.5))
    return np.asarray(np.clip((noise - low) / (high - low), 0.0, 1.0))


def clouds(shape: tuple[int, int], generator: np.random.Generator) -> Plane:
    """Draw clouds, smoke or skin: fractal noise."""
    return fractal(shape, generator, slope=generator.uniform(0.8, 2.2))


def landscape(shape: tuple[int, int], generator: np.random.Generator) -> Plane:
    """Draw ridges behind each other under a sky."""
    y = np.arange(shape[0], dtype=np.float64)[:, None]
    light = 0.8 + 0.2 * fractal(shape, generator, slope=1.5)
    levels = int(generator.integers(2, 6))
    for level in range(levels):
        ridge = shape[0] * ((level + 1) / (levels + 1))
        line = fractal((8, shape[1]), generator, slope=1.3)[4]
        hidden = y > ridge + shape[0] * 0.3 * (line[None] - 0.5)
        ground = fractal(shape, generator, slope=generator.uniform(0.6, 1.6))
        tone = generator.uniform(0.1, 0.7)
        light = np.where(hidden, tone + 0.35 * (ground - 0.5), light)
    return np.asarray(np.maximum(light, 0.0))


def polygons(shape: tuple[int, int], generator: np.random.Generator) -> Plane:
    """Draw straight-edged shapes over each other, as of houses and furniture."""
    canvas = PillowImage.new("L", shape[::-1], int(generator.integers(0, 256)))
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(generator.integers(3, 25))):
        count = int(generator.integers(3, 6))
        center = generator.random(2) * shape[::-1]
        # Larger than what objects of this image could be, or they would look like some.
        size = max(shape) * generator.uniform(0.3, 0.9)
        points = center + size * generator.uniform(-1.0, 1.0, (count, 2))
        tone = int(generator.integers(0, 256))
        pen.polygon([(float(x), float(y)) for x, y in points], fill=tone)
    flat = np.asarray(canvas, dtype=np.float64) / 255.0
    shaded = flat + 0.3 * generator.random() * (fractal(shape, generator, slope=1.5) - 0.5)
    return np.maximum(gaussian_filter(shaded, generator.uniform(0.0, 1.2)), 0.0)


def bricks(shape: tuple[int, int], generator: np.random.Generator) -> Plane:
    """Draw a wall of bricks or tiles with joints."""
    y, x = _turned(shape, generator)
    height = generator.uniform(8.0, 40.0)
    width = height * generator.uniform(1.0, 3.0)
    row = np.floor(y / height)
    shifted = x / width + 0.5 * (row % 2) * generator.integers(0, 2)
    joint = generator.uniform(0.8, 3.0)
    seam = (y % height < joint) | ((shifted % 1.0) * width < joint)
    tones = generator.uniform(0.4, 0.8, 4096)
    stone = tones[((row * 57.0 + np.floor(shifted) * 131.0) % 4096).astype(np.intp)]
    stone = stone * (0.8 + 0.4 * fractal(shape, generator, slope=0.8))
    light = np.where(seam, generator.uniform(0.1, 1.0), stone)
    return np.asarray(gaussian_filter(light, generator.uniform(0.4, 1.0)))


def checkers(shape: tuple[int, int], generator: np.random.Generator) -> Plane:
    """Draw a checkerboard."""
    y, x = _turned(shape, generator)
    size = 3.0 * 20.0 ** generator.random()
    board = (np.floor(y / size) + np.floor(x / size)) % 2
    low = generator.uniform(0.0, 0.6)
    return np.asarray(gaussian_filter(low + (1.0 - low) * board, generator.uniform(0.0, 1.0)))


def grating(shape: tuple[int, int], generator: np.random.Generator) -> Plane:
    """Draw stripes, sharp or soft, straight or curved; two sets of them would look like spots."""
    y, _ = _turned(shape, generator)
    bent = y + generator.choice([0.0, 5.0, 20.0]) * smooth_noise(shape, 60.0, generator)
    wave = np.cos(2.0 * math.pi * bent / (3.0 * 20.0 ** generator.random()))
    if generator.random() < 0.4:
        wave = np.sign(wave)
    return np.asarray(1.0 + generator.uniform(0.1, 0.9) * wave)


def wood(shape: tuple[int, int], generator: np.random.Generator) -> Plane:
    """Draw the grain of wood or marble: contours of a stretched landscape."""
    y, _ = _turned(shape, generator)
    stretched = y + generator.uniform(3.0, 30.0) * smooth_noise(shape, 50.0, generator)
    rings = np.sin(2.0 * math.pi * stretched / generator.uniform(6.0, 40.0))
    fibers = gaussian_filter(generator.standard_normal(shape), (0.6, 8.0)) * 4.0
    return np.maximum(1.0 + 0.25 * rings + 0.1 * fibers, 0.0)


def leaves(shape: tuple[int, int], generator: np.random.Generator) -> Plane:
    """Draw grass: curved blades over each other, none alone as a filament would be."""
    canvas = PillowImage.new("L", shape[::-1], int(generator.integers(60, 160)))
    pen = ImageDraw.Draw(canvas)
    length = max(shape) * generator.uniform(0.3, 1.0)
    widest = max(shape) * generator.uniform(0.03, 0.1)
    steps = np.linspace(0.0, 1.0, 14)
    for _ in range(int(generator.integers(120, 250))):
        start = generator.random(2) * shape[::-1]
        turn = generator.uniform(0.0, 2.0 * math.pi) + generator.uniform(-1.5, 1.5) * steps
        path = start + np.cumsum(length / 14.0 * np.stack([np.cos(turn), np.sin(turn)], 1), 0)
        side = np.stack([-np.sin(turn), np.cos(turn)], 1) * (widest * (1.0 - steps))[:, None] / 2.0
        outline = np.concatenate([path + side, (path - side)[::-1]])
        tone = int(generator.integers(30, 220))
        pen.polygon([(float(x), float(y)) for x, y in outline], fill=tone)
    light = np.asarray(canvas, dtype=np.float64) / 255.0
    return np.asarray(gaussian_filter(light, generator.uniform(0.3, 1.5)))


def gradient(shape: tuple[int, int], generator: np.random.Generator) -> Plane:
    """Draw a slope, a vignette or a step of light."""
    y, x = _turned(shape, generator)
    span = float(max(shape))
    slope = 1.0 + generator.uniform(0.05, 0.9) * y / span
    center = generator.uniform(-0.5, 0.5, 2) * span
    around = np.exp(
        -((y - center[0]) ** 2 + (x - center[1]) ** 2) / (generator.uniform(0.4, 2.0) * span) ** 2
    )
    light = slope + generator.uniform(0.0, 2.0) * around
    if generator.random() < 0.3:
        light += generator.uniform(0.1, 1.0) * (x > center[1])
    return np.asarray(np.maximum(light, 0.0))


def collage(shape: tuple[int, int], generator: np.random.Generator) -> Plane:
    """Draw several of the others side by side, parted by lines or along soft, random curves."""
    light = np.zeros(shape)
    kinds = sorted(set(SCENERY) - {"collage"})
    for _ in range(int(generator.integers(2, 6))):
        part = SCENERY[kinds[generator.integers(len(kinds))]](shape, generator)
        part = generator.uniform(0.2, 1.0) * part / max(float(part.max()), 1e-6)
        if generator.random() < 0.5:
            where = smooth_noise(shape, 0.25 * max(shape), generator)
        else:
            where = _turned(shape, generator)[0] / max(shape) + generator.uniform(-0.5, 0.5)
        soft = generator.choice([0.01, 0.05, 0.3])
        share = 1.0 / (1.0 + np.exp(-np.clip(where / soft, -50.0, 50.0)))
        light = light * (1.0 - share) + part * share
    return light


def _turned(shape: tuple[int, int], generator: np.random.Generator) -> tuple[Plane, Plane]:
    """Return the coordinates (y, x) from the middle of the image, turned at random."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    y, x = y - shape[0] / 2.0, x - shape[1] / 2.0
    angle = generator.choice([0.0, generator.uniform(0.0, math.pi)])
    return y * math.cos(angle) - x * math.sin(angle), y * math.sin(angle) + x * math.cos(angle)


SCENERY: Final[dict[str, Draw]] = {
    "bricks": bricks,
    "checkers": checkers,
    "clouds": clouds,
    "collage": collage,
    "gradient": gradient,
    "grating": grating,
    "landscape": landscape,
    "leaves": leaves,
    "polygons": polygons,
    "wood": wood,
}
"""What can be drawn: from (Y, X) to light of this shape, at least 0."""
