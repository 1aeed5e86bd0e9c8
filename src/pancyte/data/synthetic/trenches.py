"""Mother machines: bacteria end to end in narrow trenches of a device, closed at one end.

A trench is wide enough for one row of cells, or for two that lean on each other. It opens into a
channel through which medium flows. The material of the device is bright or dark beside the trenches
and has bright and dark edges, often stronger than the cells are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from pancyte.data.synthetic.bacterial_light import fluorescence, phase_factor
from pancyte.data.synthetic.bodies import Body, constricted, objects_of, paint, straight
from pancyte.data.synthetic.camera import camera, texture, to_bits, uneven_light
from pancyte.data.synthetic.ranges import check_ranges
from pancyte.params import params

if TYPE_CHECKING:
    from numpy.random import Generator

    from pancyte.data.synthetic.bodies import Relief
    from pancyte.types import IntArray

Field = npt.NDArray[np.float64]

_MARGIN: Final = 0.1
"""Part of the height of the image, at most, that lies beyond either end of the trenches."""


@params
class Trenches:
    """Trenches of one device in one image, upright, closed at the top."""

    shape: tuple[int, int] = (210, 24)
    """Height and width of the image in pixels; at least 64 and 12."""
    look: Literal["phase", "fluorescence"] = "phase"
    """Phase contrast, in which the device shows, or fluorescence, in which it hardly does."""
    width: float = 9.0
    """Median width of a cell in pixels, 4 to 30."""
    aspect: float = 3.0
    """Mean length of a cell in widths, 1.2 to 8."""
    trench: float = 1.2
    """Width of a trench in widths of a cell, 1.02 to 2.4; from 1.5 on, cells lie slantwise."""
    pitch: float = 2.5
    """Distance of the middles of neighboring trenches in widths of a cell, more than ``trench``, up
    to 20. An image narrower than two of them shows one trench, in its middle."""
    filled: float = 0.8
    """Part of a trench, from its closed end, that has cells, about; 0 to 1."""
    gap: float = 0.0
    """Room between the ends of neighbors in widths, -0.6 to 1; below 0 they press each other
    flat."""
    bits: Literal[8, 16] = 8
    """Of a pixel: 8 as a picture that somebody stretched, 16 as the counts of a camera."""

    def __post_init__(self) -> None:
        check_ranges(
            {
                "height": (self.shape[0], 64, math.inf),
                "width of the image": (self.shape[1], 12, math.inf),
                "width": (self.width, 4, 30),
                "aspect": (self.aspect, 1.2, 8),
                "trench": (self.trench, 1.02, 2.4),
                "pitch": (self.pitch, self.trench + 0.1, 20),
                "filled": (self.filled, 0, 1),
                "gap": (self.gap, -0.6, 1),
            }
        )


class Device(NamedTuple):
    """Where the trenches of one image are, in pixels."""

    middles: npt.NDArray[np.float64]
    """(n,) x of each."""
    top: float
    """y of the closed ends."""
    bottom: float
    """y of the open ends."""


def draw_trenches(
    settings: Trenches, generator: Generator
) -> tuple[npt.NDArray[np.uint8 | np.uint16], IntArray]:
    """Draw an image of a mother machine, of as many bits as the settings say, and its truth.

    Examples
    --------
    >>> image, labels = draw_trenches(Trenches(), np.random.default_rng(0))
    >>> image.shape, labels.shape
    ((1, 210, 24), (210, 24))
    """
    device = _build(settings, generator)
    bodies = [
        body for middle in device.middles for body in _fill(settings, device, middle, generator)
    ]
    relief = paint(bodies + _washed_out(settings, device, generator), settings.shape)
    light, photons = _LIGHTS[settings.look](settings, device, relief, generator)
    light = light * (1.0 + generator.random() * (uneven_light(settings.shape, generator) - 1.0))
    counts = camera(np.maximum(light, 0.0)[None].astype(np.float32), generator, photons=photons)
    return to_bits(counts, settings.bits, generator), objects_of(relief)


def any_trenches(
    shape: tuple[int, int], generator: Generator, *, look: Literal["phase", "fluorescence"]
) -> Trenches:
    """Draw settings: half of the images are strips of one trench, 20 to 50 pixels wide.

    Parameters
    ----------
    shape
        Height and width of an image of many trenches, in pixels; the height of a strip.
    generator
        Source of randomness.
    look
        As in :class:`Trenches`.
    """
    strip = generator.random() < 0.5
    width = generator.uniform(6.0, 13.0) if strip else generator.uniform(6.0, 18.0)
    slanted = generator.random() < 0.2
    trench = generator.uniform(1.6, 2.0) if slanted else generator.uniform(1.05, 1.45)
    pitch = trench + math.exp(generator.uniform(math.log(0.7), math.log(6.0)))
    if strip:
        pitch = min(pitch, 50.0 / width)
        shape = (max(shape[0], 190), round(np.clip(pitch * width, 20.0, 50.0)))
    return Trenches(
        shape=shape,
        look=look,
        width=width,
        aspect=math.exp(generator.uniform(math.log(1.8), math.log(5.0))),
        trench=trench,
        pitch=pitch,
        filled=generator.uniform(0.3, 1.0),
        gap=generator.uniform(-0.5, 0.25),
        bits=8 if generator.random() < 0.5 else 16,
    )


def _build(settings: Trenches, generator: Generator) -> Device:
    height, width = settings.shape
    pitch = settings.pitch * settings.width
    if width < 2.0 * pitch:
        middles = np.array([width / 2.0 + generator.uniform(-0.08, 0.08) * width])
    else:
        middles = np.arange(generator.random() * pitch, width, pitch)
    # An end that lies outside of the image is not seen.
    top = generator.uniform(-_MARGIN, _MARGIN) * height
    bottom = (1.0 + generator.uniform(-2.0, 1.0) * _MARGIN) * height
    return Device(middles, top, bottom)


def _fill(settings: Trenches, device: Device, middle: float, generator: Generator) -> list[Body]:
    """Return the cells of one trench, from its closed end."""
    slack = max(0.0, settings.trench - 1.0) * settings.width
    slanted = settings.trench >= 1.5
    # In a wide trench a cell leans from wall to wall, beside the end of its neighbor.
    lean = generator.choice([-1.0, 1.0])
    end = device.top + (device.bottom - device.top) * settings.filled * generator.uniform(0.7, 1.2)
    y = device.top + settings.width * generator.uniform(0.05, 0.4)
    bodies: list[Body] = []
    while y < min(end, device.bottom):
        longest = settings.aspect * math.exp(0.3 * generator.standard_normal())
        length = settings.width * max(longest, 1.2)
        tilt = lean * generator.uniform(0.7, 1.0) if slanted else generator.uniform(-0.7, 0.7)
        tilt = math.asin(np.clip(tilt * slack / length, -0.8, 0.8))
        aside = 0.0 if slanted else generator.uniform(-0.35, 0.35) * slack
        used = length * math.cos(tilt)
        radius = 0.5 * settings.width * math.exp(0.04 * generator.standard_normal())
        body = straight(
            np.array([y + used / 2.0, middle + aside]),
            math.pi / 2.0 + tilt,
            length=length,
            radius=radius,
            bend=generator.normal(0.0, 0.08),
        )
        dividing = generator.random() < 0.3 and length > 2.2 * settings.width
        bodies.append(constricted(body, generator.uniform(0.05, 0.45)) if dividing else body)
        nested = 0.6 * slack if slanted else 0.0
        y += used - nested + settings.width * settings.gap * generator.uniform(0.7, 1.3)
        if generator.random() < 0.04:
            y += settings.width * generator.uniform(0.5, 4.0)
    return bodies


def _washed_out(settings: Trenches, device: Device, generator: Generator) -> list[Body]:
    """Return a few cells that lie in the channel."""
    room = settings.shape[0] - device.bottom
    if room < settings.width:
        return []
    number = generator.poisson(0.5 * settings.shape[1] / (6.0 * settings.width))
    bodies: list[Body] = []
    for _ in range(number):
        center = np.array([device.bottom, 0.0]) + generator.random(2) * [room, settings.shape[1]]
        length = settings.width * settings.aspect * generator.uniform(0.7, 1.3)
        angle = generator.uniform(0.0, 2.0 * math.pi)
        body = straight(center, angle, length=length, radius=settings.width / 2.0)
        if body.spine[:, 0].min() > device.bottom + settings.width:
            bodies.append(body)
    return bodies


# ---- light


def _phase(
    settings: Trenches, device: Device, relief: Relief, generator: Generator
) -> tuple[Field, float]:
    width = settings.width
    cells = phase_factor(relief, width, generator, depths=(0.15, 0.75))
    # Where the trench is bright already, its cells have weaker halos.
    cells = np.where(cells > 1.0, 1.0 + generator.uniform(0.4, 1.0) * (cells - 1.0), cells)
    light = _material(settings, device, generator) * cells
    light += generator.uniform(0.0, 0.01) * texture(
        light.shape, generator.uniform(0.8, 2), generator
    )
    light = gaussian_filter(light, generator.uniform(0.0, 0.6))
    return light, math.exp(generator.uniform(math.log(1000), math.log(8000)))


def _fluorescence(
    settings: Trenches, device: Device, relief: Relief, generator: Generator
) -> tuple[Field, float]:
    light, photons = fluorescence(relief, settings.width, generator)
    material = _material(settings, device, generator)
    return light + generator.choice([0.0, 0.03, 0.12]) * material, photons


_LIGHTS: Final = {"phase": _phase, "fluorescence": _fluorescence}


def _material(settings: Trenches, device: Device, generator: Generator) -> Field:
    """Return what the device shows without cells, about 1 in its trenches."""
    width = settings.width
    inside = _trench_mask(settings, device, generator)
    beside = (
        generator.uniform(0.15, 0.9) if generator.random() < 0.75 else generator.uniform(1, 1.6)
    )
    sharp = gaussian_filter(inside, generator.uniform(0.08, 0.25) * width)
    light = beside + (1.0 - beside) * sharp
    for scale, most in ((0.25, 0.8), (0.6, 0.6)):
        slow = gaussian_filter(inside, generator.uniform(0.8, 1.4) * scale * width + 0.3)
        light += generator.uniform(-0.4, 1.0) * most * (sharp - slow)
    light *= _shade(settings, generator)[:, None]
    light += _bands(settings, device, generator)[:, None]
    return np.maximum(light, 0.03)


def _trench_mask(settings: Trenches, device: Device, generator: Generator) -> Field:
    """Return 1 in trenches and channel, 0 in the material; trenches may widen at their mouth."""
    height, width = settings.shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    from_middle = np.abs(x[..., None] - device.middles).min(axis=-1)
    half = 0.5 * settings.trench * settings.width
    mouth = generator.choice([0.0, 0.5, 1.5]) * settings.width
    half = half + mouth * np.exp((y - device.bottom) / settings.width)
    round_end = np.minimum(1.0, np.sqrt(np.clip((y - device.top) / half, 0.0, 1.0)) + 0.3)
    trench = (from_middle < half * round_end) & (y > device.top)
    return np.where(y > device.bottom, 1.0, trench.astype(np.float64))


def _shade(settings: Trenches, generator: Generator) -> Field:
    """Return a factor (Y,) that changes slowly and may fall off towards one end."""
    height = settings.shape[0]
    waves = 1.0 + generator.uniform(0.0, 0.12) * texture((height,), height / 6.0, generator)
    if generator.random() < 0.4:
        start = generator.uniform(-0.05, 0.1) * height
        rows = np.arange(height) - start
        floor = generator.uniform(0.05, 0.6)
        waves *= floor + (1.0 - floor) / (1.0 + np.exp(-rows / (0.02 * height)))
    return np.asarray(np.maximum(waves, 0.03))


def _bands(settings: Trenches, device: Device, generator: Generator) -> Field:
    """Return bright and dark lines (Y,) along the ends of the trenches and the channel."""
    height = settings.shape[0]
    bands = np.zeros(height)
    strength = generator.choice([0.2, 0.6, 3.0], p=[0.5, 0.35, 0.15])
    for end, side in ((device.top, -1.0), (device.bottom, 1.0)):
        for _ in range(generator.integers(0, 4)):
            place = end + side * generator.uniform(0.0, 2.5) * settings.width
            thickness = generator.uniform(0.15, 0.8) * settings.width
            line = np.exp(-(((np.arange(height) - place) / thickness) ** 2))
            bands += strength * generator.uniform(-0.5, 1.0) * line
    return np.asarray(gaussian_filter1d(bands, 1.0))
