"""What a microscope shows of a scene: transmitted light, and the recording of it.

A thin, clear object changes the phase of the light that passes. The image is that of coherent
light, so that halos, fringes out of focus, bright round cells and relief come out as they do in a
microscope and need no rules of their own::

    intensity = | inverse Fourier( Fourier(exp(i phase)) * pupil ) |^2

    bright field   pupil = exp(i defocus k^2 / 2)
    phase          pupil turns and dims the light that was not diffracted   (Zernike)
    dic            pupil = sin(k shear + bias)                              (Nomarski)

Born and Wolf, Principles of Optics, doi:10.1017/CBO9781139644181; Goodman, Introduction to Fourier
Optics.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.ndimage import gaussian_filter

from pancyte.data.synthetic.camera import uneven_light

if TYPE_CHECKING:
    from pancyte.data.synthetic.scene import Scene
    from pancyte.data.synthetic.territory import Plane
    from pancyte.types import FloatArray

Contrast = Literal["brightfield", "phase", "dic"]
Pupil = npt.NDArray[np.complexfloating[Any, Any]]
Exposed = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

CONTRASTS: Final[tuple[Contrast, ...]] = ("brightfield", "phase", "dic")

_UNDIFFRACTED: Final = 0.55  # amplitude that the ring of a phase objective lets pass, about

# Over the standard deviation that is left of noise by a blur of 0.6 pixels, 1.
_SMOOTHED: Final = 2.0


def transmit(
    phase: Plane,
    generator: np.random.Generator,
    *,
    contrast: Contrast,
    size: float,
    defocus: tuple[float, float] = (0.02, 0.12),
) -> Plane:
    """Return the light that passes a clear object.

    Parameters
    ----------
    phase : array of shape (Y, X)
        How much the object delays the light, in radians.
    generator
        Source of randomness: sharpness, side of the focus, strength of the ring, direction.
    contrast
        Of the microscope.
    size
        Diameter of the objects in pixels, which sets the widths of halos and fringes.
    defocus
        Range of the distance from the focus, as a part of what spreads fringes over an object.

    Returns
    -------
    array of shape (Y, X)
        Light, 1 where there is no object.
    """
    height, width = phase.shape
    beyond = [(0, fft.next_fast_len(side) - side) for side in (height, width)]
    soft = np.pad(gaussian_filter(phase, generator.uniform(0.5, 0.8)), beyond, mode="edge")
    spectrum = fft.fft2(np.exp(1j * soft).astype(np.complex64))
    y = 2.0 * math.pi * fft.fftfreq(soft.shape[0])[:, None]
    x = 2.0 * math.pi * fft.fftfreq(soft.shape[1])[None]
    aperture = np.exp(-(y**2 + x**2) * generator.uniform(0.5, 1.0) ** 2 / 2.0)
    if contrast == "brightfield":
        blur = generator.uniform(*defocus) * size * generator.choice([-1.0, 1.0])
        # A lamp is not a point, so that fringes fade away from the rim.
        source = generator.uniform(0.02, 0.06) * blur**2
        pupil = np.exp((0.5j * blur * abs(blur) - 0.5 * source**2) * (y**2 + x**2))
    elif contrast == "phase":
        pupil = _phase_pupil(y, x, size, generator)
    else:
        pupil = _relief_pupil(y, x, generator)
    wave = fft.ifft2(spectrum * (pupil * aperture).astype(np.complex64))[:height, :width]
    light = (wave.real**2 + wave.imag**2) / abs(pupil[0, 0]) ** 2
    return np.asarray(light, dtype=np.float64)


def record(
    light: Plane,
    scene: Scene,
    generator: np.random.Generator,
    *,
    noise: tuple[float, float],
    uneven: float = 1.0,
    glare: float | None = None,
) -> Exposed:
    """Expose what the field of view shows of the light of a scene.

    Parameters
    ----------
    light : array of shape (Y, X) or (C, Y, X)
        Of all that was drawn, that is of ``scene.larger``.
    scene
        Where the field of view lies.
    generator
        Source of randomness.
    noise, uneven
        As of :func:`expose`.
    glare
        How many times as bright as 999 in 1000 pixels a pixel can be; None for any brightness.

    Returns
    -------
    uint8 or uint16 array of shape (C, Y, X)
        Of ``scene.shape``; one channel for light without channels.
    """
    channels = light if light.ndim == 3 else light[None]
    seen = channels[:, *scene.window]
    top = np.inf if glare is None else glare * np.percentile(seen, 99.9)
    return expose(np.clip(seen, 0.0, top), generator, noise=noise, uneven=uneven)


def any_order(first: Plane, second: Plane, generator: np.random.Generator) -> Plane:
    """Return two channels (2, Y, X) in either order, as files have them."""
    return np.stack([first, second])[:: generator.choice([-1, 1])]


def expose(
    light: Plane | FloatArray,
    generator: np.random.Generator,
    *,
    noise: tuple[float, float],
    uneven: float = 1.0,
) -> Exposed:
    """Record light as a camera and a file format do.

    Parameters
    ----------
    light : array of shape (C, Y, X)
        At least 0.
    generator
        Source of randomness.
    noise
        Range of the standard deviation of the noise, drawn log-uniformly, as a part of the range
        from the 1st to the 99th percentile of the light.
    uneven
        Strength of uneven light; 0 for none.

    Returns
    -------
    uint8 or uint16 array of shape (C, Y, X)
        With part of the noise growing with the light as that of photons does, one in four images
        with noise that a resampling smoothed, sometimes dim, sometimes saturated.
    """
    lit = np.asarray(light, dtype=np.float64)
    if uneven:
        lit = lit * uneven_light(lit.shape[1:], generator) ** (uneven * generator.random())
    low, high = np.percentile(lit[:, ::2, ::2], (1.0, 99.0))
    span = max(float(high - low), 1e-3 * max(float(high), 1e-6))
    sigma = span * noise[0] * (noise[1] / noise[0]) ** generator.random()
    grain = generator.standard_normal(lit.shape, dtype=np.float32).astype(np.float64)
    if generator.random() < 0.25:
        grain = gaussian_filter(grain, (0.0, 0.6, 0.6)) * _SMOOTHED
    photons = generator.uniform(0.0, 0.9)
    top = max(float(high), 1e-6)
    grain *= sigma * np.sqrt(1.0 - photons + photons * np.clip(lit / top, 0.0, 4.0))
    return quantize(lit + grain, generator, top=low + span)


def quantize(light: Plane, generator: np.random.Generator, *, top: float) -> Exposed:
    """Return light as 8- or 16-bit counts; ``top`` becomes something dim to slightly saturated."""
    if generator.random() < 0.5:
        full = 255.0 * generator.choice([0.35, 0.7, 0.9, 1.0, 1.1], p=[0.1, 0.25, 0.3, 0.25, 0.1])
        return np.asarray(np.clip(np.rint(light * (full / top)), 0, 255), dtype=np.uint8)
    full = 600.0 * 100.0 ** generator.random()
    offset = generator.choice([0.0, 100.0, 500.0])
    return np.asarray(np.clip(np.rint(light * (full / top) + offset), 0, 65535), dtype=np.uint16)


def fluoresce(
    stained: Plane, generator: np.random.Generator, *, blur: tuple[float, float], size: float
) -> Plane:
    """Return the light of a stain: blurred, over a haze from beyond the focus and a dark level.

    Parameters
    ----------
    stained : array of shape (Y, X)
        Where how much of the stain is, 0 to about 1.
    generator
        Source of randomness.
    blur
        Range of the blur in pixels.
    size
        Diameter of the objects in pixels; the haze is as wide.
    """
    sharp = gaussian_filter(stained, generator.uniform(*blur))
    haze = gaussian_filter(sharp, 0.5 * size)
    dark = generator.uniform(0.01, 0.12)
    return np.asarray(dark + sharp + generator.uniform(0.0, 0.3) * haze)


def _phase_pupil(y: Plane, x: Plane, size: float, generator: np.random.Generator) -> Pupil:
    """Return a pupil that turns the light that was hardly diffracted, and lets less of it pass."""
    width = 0.07 * 7.0 ** generator.random() * size
    passed = _UNDIFFRACTED * generator.uniform(0.35, 1.4)
    low = np.exp(-(y**2 + x**2) * width**2 / 2.0)
    return np.asarray(1.0 - low - 1j * passed * low)


def _relief_pupil(y: Plane, x: Plane, generator: np.random.Generator) -> Pupil:
    """Return a pupil that compares the light with itself beside; sharp whatever the size."""
    angle = generator.uniform(0.0, 2.0 * math.pi)
    # A shear is below what the objective parts.
    shear = generator.uniform(0.4, 0.9)
    toward = math.sin(angle) * y + math.cos(angle) * x
    return np.asarray(np.sin(shear * toward + generator.uniform(0.4, 0.9)) + 0j)
