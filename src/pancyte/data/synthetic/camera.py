"""What light becomes before it is an image: uneven lamps, grain, and the noise of a camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from pancyte.types import FloatArray, IntArray


def texture(
    shape: tuple[int, ...], grain: float, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return smooth noise of mean 0 and standard deviation 1; ``grain`` is its size in pixels."""
    noise = gaussian_filter(generator.standard_normal(shape), grain, mode="wrap")
    return np.asarray(noise / noise.std())


def uneven_light(shape: tuple[int, ...], generator: np.random.Generator) -> FloatArray:
    """Return a factor (Y, X) of mean 1: a slope, and less light away from some point."""
    y, x = (np.linspace(-1.0, 1.0, size) for size in shape)
    slope = generator.uniform(-0.2, 0.2, 2)
    center = generator.uniform(-0.5, 0.5, 2)
    fall = generator.uniform(0.0, 0.2)
    distance = (y[:, None] - center[0]) ** 2 + (x - center[1]) ** 2
    light = 1.0 + slope[0] * y[:, None] + slope[1] * x - fall * distance
    light = np.maximum(light, 0.2)
    return np.asarray(light / light.mean(), dtype=np.float32)


def per_object(
    labels: IntArray, generator: np.random.Generator, *, spread: float
) -> npt.NDArray[np.float64]:
    """Return a brightness for each object, log-normal with median 1; 0 outside."""
    values = np.exp(spread * generator.standard_normal(int(labels.max(initial=0)) + 1))
    values[0] = 0.0
    return np.asarray(values[labels])


def camera(
    light: FloatArray, generator: np.random.Generator, *, photons: float
) -> npt.NDArray[np.uint16]:
    """Count photons as a scientific camera does.

    Parameters
    ----------
    light : FloatArray of shape (C, Y, X)
        At least 0.
    generator
        Source of randomness.
    photons
        Mean number of photoelectrons at the light 1.

    Returns
    -------
    uint16 array of shape (C, Y, X)
        Poisson counts, read noise of 2 electrons, a gain of 2 counts an electron and an offset of
        100 counts; so the variance of a pixel is 4 * (electrons + 4).

    References
    ----------
    Janesick, Photon Transfer, SPIE 2007, doi:10.1117/3.725073.
    """
    electrons = generator.poisson(light * photons) + 2.0 * generator.standard_normal(light.shape)
    counts = np.clip(np.rint(2.0 * electrons + 100.0), 0, np.iinfo(np.uint16).max)
    return np.asarray(counts, dtype=np.uint16)


def to_bits(
    counts: npt.NDArray[np.uint16], bits: int, generator: np.random.Generator
) -> npt.NDArray[np.uint8 | np.uint16]:
    """Keep counts, or stretch them to 8 bits as people do before they save a picture.

    Parameters
    ----------
    counts : uint16 array of shape (C, Y, X)
        Of a camera.
    bits
        16 keeps them; 8 stretches what all channels show to 0..255 and cuts up to 0.5 % of the
        pixels off at either end.
    generator
        Source of randomness.
    """
    if bits == 16:
        return counts
    low, high = np.percentile(counts, [generator.uniform(0, 0.5), 100 - generator.uniform(0, 0.5)])
    low *= generator.random()
    stretched = (counts - low) * (255.0 / max(high - low, 1.0))
    return np.asarray(np.clip(np.rint(stretched), 0, 255), dtype=np.uint8)
