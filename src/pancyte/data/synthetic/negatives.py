"""Images without objects: empty wells, noise, writing, and photographs of other things.

A model that has only seen images full of objects finds some in every image. The labels are all 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from pancyte.data.synthetic.optics import Exposed, expose, quantize, transmit
from pancyte.data.synthetic.ranges import check_ranges
from pancyte.data.synthetic.scenery import SCENERY
from pancyte.data.synthetic.territory import Plane, smooth_noise
from pancyte.ops.resample import resize_image
from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.types import IntArray

Subject = Literal["well", "noise", "writing", "scenery"]

SUBJECTS: Final[tuple[Subject, ...]] = ("well", "noise", "writing", "scenery")

_LETTERS: Final = "abcdefghiklmnoprstuvwxyzABCDEFGHKLMNPRSTUVWXYZ0123456789.,:;()/+- "


@params
class Negative:
    """An image without objects."""

    shape: tuple[int, int] = (256, 256)
    """Height and width of the image in pixels."""
    subject: Subject = "well"
    """An empty well with dust, scratches and fringes; the noise of a camera that sees nothing;
    writing, rulers and diagrams; landscapes, walls, leaves and patterns."""
    color: bool = False
    """Whether there are three channels; else one."""
    magnification: float = 1.0
    """How much larger than usual everything is, 1 to 8. A model that looks for the scale of an
    image sees letters, dust and noise much enlarged."""

    def __post_init__(self) -> None:
        check_ranges(
            {"shape": (min(self.shape), 16, math.inf), "magnification": (self.magnification, 1, 8)}
        )


def draw_negative(settings: Negative, generator: np.random.Generator) -> tuple[Exposed, IntArray]:
    """Draw an image without objects: the labels are all 0.

    The image has three channels with ``color``, else one.
    """
    labels = np.zeros(settings.shape, dtype=np.int32)
    height, width = (max(16, math.ceil(side / settings.magnification)) for side in settings.shape)
    shape = (height, width)
    channels = 3 if settings.color else 1
    if settings.subject == "noise":
        return _enlarged(_noise(shape, channels, generator), settings.shape), labels
    if settings.subject == "well":
        light = _well(shape, generator)
        noise = (0.005, 0.8)
    elif settings.subject == "writing":
        light = _writing(shape, generator)
        noise = (0.001, 0.05)
    else:
        kinds = sorted(SCENERY)
        kind = "collage" if generator.random() < 0.35 else kinds[generator.integers(len(kinds))]
        light = SCENERY[kind](shape, generator)
        noise = (0.002, 0.06)
    # Seen by a lens that enlarges, or enlarged later, with its noise.
    if generator.random() < 0.5:
        light = resize_image(light.astype(np.float32), settings.shape).astype(np.float64)
    image = _colored(light, generator) if settings.color else light[None]
    exposed = expose(image, generator, noise=noise, uneven=generator.random())
    return _enlarged(exposed, settings.shape), labels


def _enlarged(image: Exposed, shape: tuple[int, int]) -> Exposed:
    """Return an image (C, Y, X) in another size, of the same type."""
    if image.shape[1:] == shape:
        return image
    larger = np.rint(resize_image(image.astype(np.float32), shape))
    return larger.astype(np.uint8) if image.dtype == np.uint8 else larger.astype(np.uint16)


def _colored(light: Plane, generator: np.random.Generator) -> Plane:
    """Return three channels: a range between two colors, which drift over the image."""
    # Few things have pure colors.
    pure = generator.random((2, 1, 1, 1)) ** 2
    gray = generator.random((2, 1, 1, 1))
    first, second = gray + pure * (generator.random((2, 3, 1, 1)) - gray)
    light = np.clip(light / max(float(np.percentile(light, 99.5)), 1e-6), 0.0, 1.2)
    drift = 0.05 * np.stack([smooth_noise(light.shape, 40.0, generator) for _ in range(3)])
    color = first + (second - first) * light + drift * generator.random()
    return np.asarray(np.maximum(color, 0.0))


def _noise(shape: tuple[int, int], channels: int, generator: np.random.Generator) -> Exposed:
    """Return what a camera reads out where there is nothing to see."""
    size = (channels, *shape)
    noise: Plane = generator.standard_normal(size, dtype=np.float32).astype(np.float64)
    kind = generator.choice(["read", "photons", "resampled", "lines", "hot", "blocks", "smooth"])
    if kind == "photons":
        noise = generator.poisson(20.0 * generator.random() + 0.1, size).astype(np.float64)
    elif kind == "resampled":
        noise = gaussian_filter(noise, (0.0, *generator.uniform(0.4, 2.0, 2)))
    elif kind == "smooth":
        noise += 20.0 * gaussian_filter(noise, (0.0, *generator.uniform(3.0, 40.0, 2)))
    elif kind == "lines":
        noise += generator.uniform(0.3, 3.0) * generator.standard_normal((channels, 1, shape[1]))
        if generator.random() < 0.5:
            noise = noise + generator.standard_normal((channels, shape[0], 1))
    elif kind == "hot":
        hot = generator.random(size) < 10.0 ** generator.uniform(-4.0, -2.0)
        noise += hot * generator.exponential(20.0, size)
    elif kind == "blocks":  # as a strong compression leaves them
        coarse = noise[:, ::8, ::8].repeat(8, axis=1).repeat(8, axis=2)
        noise = 0.3 * noise + coarse[:, : shape[0], : shape[1]]
    spread = max(float(noise.std()), 1e-6)
    level = 10.0 ** generator.uniform(0.3, 2.0)
    return quantize(np.maximum(noise / spread + level, 0.0), generator, top=2.0 * level)


def _well(shape: tuple[int, int], generator: np.random.Generator) -> Plane:
    """Return an empty field of view: a lamp, and of dirt, fringes and rings some or nothing."""
    y, x = np.mgrid[: shape[0], : shape[1]] / max(shape)
    light = 1.0 + 0.002 * smooth_noise(shape, 30.0, generator)
    center = generator.uniform(-0.3, 1.3, 2)
    away = (y - center[0]) ** 2 + (x - center[1]) ** 2
    light *= 1.0 - generator.choice([0.0, 0.02, 0.1, 0.4]) * away
    if generator.random() < 0.25:  # the wall of the well
        turn = generator.uniform(0.0, 2.0 * math.pi)
        edge = math.cos(turn) * (x - 0.5) + math.sin(turn) * (y - 0.5) - generator.uniform(0.1, 0.5)
        width = generator.uniform(0.002, 0.05)
        light *= 1.0 - generator.uniform(0.1, 0.95) / (
            1.0 + np.exp(-np.clip(edge / width, -50, 50))
        )
    if generator.random() < 0.3:  # light that interferes with itself
        angle, period = generator.uniform(0.0, math.pi), generator.uniform(0.01, 0.3)
        bent = (y * math.cos(angle) + x * math.sin(angle)) / period + 0.3 * smooth_noise(
            shape, 60.0, generator
        )
        light += generator.uniform(0.002, 0.05) * np.cos(2.0 * math.pi * bent)
    if generator.random() < 0.6:
        light = light * _dust(shape, generator)
    if generator.random() < 0.25:
        light += (
            generator.choice([-1.0, 1.0])
            * generator.uniform(0.02, 0.4)
            * _lines(shape, int(generator.integers(1, 8)), generator)
        )
    return np.maximum(light, 0.0)


def _dust(shape: tuple[int, int], generator: np.random.Generator) -> Plane:
    """Return the light that passes dust: grains in focus, and rings and shades out of it."""
    spots = np.zeros(shape)
    count = int(generator.exponential(2e-4) * math.prod(shape))
    rows, columns = (generator.integers(0, side, count) for side in shape)
    spots[rows, columns] = generator.exponential(1.0, count)
    size = generator.choice([0.7, 1.2, 1.8])
    phase = gaussian_filter(spots, size) * size**2 * generator.uniform(1.0, 6.0)
    blur = float(generator.choice([0.05, 0.3, 1.0]))
    light = transmit(
        phase, generator, contrast="brightfield", size=20.0, defocus=(0.3 * blur, blur)
    )
    return light - 0.3 * np.minimum(gaussian_filter(spots, 1.5) * 8.0, 1.0) * generator.random()


def _lines(shape: tuple[int, int], count: int, generator: np.random.Generator) -> Plane:
    """Return scratches and hairs, 0 to 1."""
    canvas = PillowImage.new("L", shape[::-1])
    pen = ImageDraw.Draw(canvas)
    for _ in range(count):
        start = generator.random(2) * shape[::-1]
        turn = generator.uniform(0.0, 2.0 * math.pi) + np.cumsum(
            generator.uniform(0.0, 0.3) * generator.standard_normal(20)
        )
        steps = max(shape) * generator.uniform(0.005, 0.05) * np.stack([np.cos(turn), np.sin(turn)])
        points = start[:, None] + np.cumsum(steps, axis=1)
        pen.line(
            [(float(px), float(py)) for px, py in points.T],
            fill=int(generator.integers(80, 256)),
            width=int(generator.integers(1, 4)),
        )
    lines = np.asarray(canvas, dtype=np.float64) / 255.0
    return np.asarray(gaussian_filter(lines, generator.uniform(0.3, 1.5)))


def _writing(shape: tuple[int, int], generator: np.random.Generator) -> Plane:
    """Return letters, scale bars, rulers and diagrams on plain paper, bright or dark."""
    canvas = PillowImage.new("L", shape[::-1])
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(generator.integers(1, 5))):
        font = ImageFont.load_default(size=float(generator.integers(8, 48)))
        left, top = (float(generator.uniform(-0.1, 0.7) * side) for side in shape[::-1])
        pen.multiline_text((left, top), _words(generator), fill=255, font=font)
    if generator.random() < 0.6:
        _draw_ruler(pen, shape, generator)
    if generator.random() < 0.3:
        _draw_diagram(pen, shape, generator)
    ink = np.asarray(canvas, dtype=np.float64) / 255.0
    if generator.random() < 0.4:
        ink = gaussian_filter(ink, generator.uniform(0.4, 1.2))
    paper = 0.05 * generator.random() * smooth_noise(shape, 20.0, generator)
    if generator.random() < 0.5:
        return np.asarray(np.maximum(1.0 - generator.uniform(0.3, 1.0) * ink + paper, 0.0))
    return np.asarray(np.maximum(generator.uniform(0.0, 0.5) + ink + paper, 0.0))


def _words(generator: np.random.Generator) -> str:
    letters: npt.NDArray[np.str_] = np.array(list(_LETTERS))
    lines = [
        "".join(generator.choice(letters, int(generator.integers(1, 30))))
        for _ in range(int(generator.integers(1, 9)))
    ]
    return "\n".join(lines)


def _draw_ruler(
    pen: ImageDraw.ImageDraw, shape: tuple[int, int], generator: np.random.Generator
) -> None:
    """Draw a scale bar with its length, or a ruler with ticks."""
    left, top = (int(generator.uniform(0.05, 0.6) * side) for side in shape[::-1])
    length = int(generator.uniform(0.15, 0.6) * shape[1])
    thick = int(generator.integers(1, 8))
    pen.rectangle((left, top, left + length, top + thick), fill=255)
    if generator.random() < 0.5:
        font = ImageFont.load_default(size=float(generator.integers(8, 24)))
        pen.text((left, top + thick + 2), f"{generator.integers(1, 500)} um", fill=255, font=font)
        return
    step = int(generator.integers(4, 20))
    for number, place in enumerate(range(left, left + length, step)):
        height = 16 if number % 5 == 0 else 8
        pen.line((place, top, place, top + thick + height), fill=255, width=1)


def _draw_diagram(
    pen: ImageDraw.ImageDraw, shape: tuple[int, int], generator: np.random.Generator
) -> None:
    """Draw the axes, bars and curve of a plot."""
    height, width = shape
    pen.line((0.1 * width, 0.1 * height, 0.1 * width, 0.9 * height), fill=255, width=2)
    pen.line((0.1 * width, 0.9 * height, 0.9 * width, 0.9 * height), fill=255, width=2)
    values = generator.uniform(0.15, 0.9, 10) * height
    places = np.linspace(0.15, 0.85, 10) * width
    pen.line([(float(x), float(y)) for x, y in zip(places, values, strict=True)], fill=200, width=2)
    if generator.random() < 0.5:
        for x, y in zip(places, values, strict=True):
            pen.rectangle((x, y, x + 0.04 * width, 0.9 * height), outline=255)
