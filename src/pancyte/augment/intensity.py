"""Change the brightness, sharpness, noise and color of a training image, never its geometry.

Images come normalized: 0 and 1 are percentiles of the whole image. A gray image (all channels
equal) is changed in one channel, which is faster, and stays gray unless it is tinted on purpose.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

from pancyte.ops.intensity import HIGHEST, LOWEST
from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.types import FloatArray


@params
class IntensityAugmentation:
    """How often (a share of the images, 0 to 1) and how strongly an image is changed."""

    brightness_probability: float = 0.5
    """Shift and stretch of the values."""
    brightness: float = 0.15
    """Largest shift."""
    contrast: float = 1.5
    """Largest factor about the middle of the range; the smallest is its inverse."""
    gamma_probability: float = 0.4
    """Power law."""
    gamma: float = 2.0
    """Largest exponent; the smallest is its inverse."""
    blur_probability: float = 0.15
    """Gaussian blur."""
    blur: float = 1.5
    """Largest standard deviation of the blur, in pixels."""
    sharpen_probability: float = 0.1
    """Unsharp mask."""
    sharpen: float = 1.5
    """Largest weight of the detail that is added."""
    noise_probability: float = 0.3
    """Gaussian noise, the same in all channels of a gray image."""
    noise: float = 0.1
    """Largest standard deviation of the noise."""
    shot_noise_probability: float = 0.15
    """Noise whose variance follows the signal, the normal limit of counting photons."""
    photons: float = 50.0
    """Smallest number of photons at the value 1; the largest is 20 times that."""
    shading_probability: float = 0.15
    """Uneven illumination: a linear ramp across the window."""
    shading: float = 0.5
    """Largest relative change from one side to the other."""
    invert_probability: float = 0.05
    """Dark becomes bright."""
    shuffle_probability: float = 0.1
    """Channels of a color image change places."""
    gray_probability: float = 0.15
    """A color image becomes gray, with weights drawn anew."""
    tint_probability: float = 0.1
    """A gray image becomes colored: channels keep different shares of it, one all of it."""
    drop_probability: float = 0.03
    """A channel of a color image becomes 0."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_probability") and not 0.0 <= value <= 1.0:
                raise ValueError(f"Expected {field.name} in 0 to 1, but got {value}")
            if value < 0.0:
                raise ValueError(f"Expected {field.name} to be at least 0, but got {value}")
        if self.gamma < 1.0 or self.contrast < 1.0 or self.photons <= 0.0:
            msg = (
                "Expected gamma and contrast of at least 1 and photons above 0, "
                f"but got {self.gamma}, {self.contrast} and {self.photons}"
            )
            raise ValueError(msg)


def augment_intensity(
    pixels: FloatArray, settings: IntensityAugmentation, generator: np.random.Generator
) -> FloatArray:
    """Return a changed copy of an image.

    Parameters
    ----------
    pixels
        (C, Y, X) float32, normalized.
    settings
        What is drawn.
    generator
        Source of randomness.

    Returns
    -------
    FloatArray of shape (C, Y, X)
        float32 within -0.5 and 3, as normalization leaves an image.

    Examples
    --------
    >>> image = np.full((3, 8, 8), 0.5, dtype=np.float32)
    >>> augment_intensity(image, IntensityAugmentation(), np.random.default_rng(0)).shape
    (3, 8, 8)
    """
    channels = pixels.shape[0]
    gray = channels > 1 and all(np.array_equal(pixels[0], other) for other in pixels[1:])
    image = (pixels[:1] if gray else pixels).astype(np.float32)
    image = _change_values(image, settings, generator)
    image = _change_detail(image, settings, generator)
    image = _change_colors(image, channels, settings, generator)
    np.clip(image, LOWEST, HIGHEST, out=image)
    return image if len(image) == channels else np.repeat(image, channels, axis=0)


def _change_values(
    image: FloatArray, settings: IntensityAugmentation, generator: np.random.Generator
) -> FloatArray:
    occurs = generator.random(4)
    if occurs[0] < settings.invert_probability:
        image = np.float32(1.0) - image
    if occurs[1] < settings.gamma_probability:
        exponent = np.float32(settings.gamma ** generator.uniform(-1.0, 1.0))
        image = np.sign(image) * np.abs(image) ** exponent
    if occurs[2] < settings.brightness_probability:
        factor = np.float32(settings.contrast ** generator.uniform(-1.0, 1.0))
        shift = np.float32(settings.brightness * generator.uniform(-1.0, 1.0))
        image = image * factor + (np.float32(0.5) * (1 - factor) + shift)
    if occurs[3] < settings.shading_probability:
        slope = settings.shading * generator.uniform(-0.5, 0.5, 2)
        rows = np.linspace(-0.5, 0.5, image.shape[1], dtype=np.float32)[:, None]
        columns = np.linspace(-0.5, 0.5, image.shape[2], dtype=np.float32)
        image = image * (1 + np.float32(slope[0]) * rows + np.float32(slope[1]) * columns)
    return image


def _change_detail(
    image: FloatArray, settings: IntensityAugmentation, generator: np.random.Generator
) -> FloatArray:
    occurs = generator.random(4)
    if occurs[0] < settings.blur_probability:
        image = _blur(image, generator.uniform(0.2, 1.0) * settings.blur)
    elif occurs[1] < settings.sharpen_probability:
        weight = np.float32(settings.sharpen * generator.random())
        image = image + weight * (image - _blur(image, 1.0))
    if occurs[2] < settings.shot_noise_probability:
        photons = np.float32(settings.photons * 20.0 ** generator.random())
        normal = generator.standard_normal(image.shape, dtype=np.float32)
        image = image + normal * np.sqrt(np.maximum(image, 0) / photons)
    if occurs[3] < settings.noise_probability:
        deviation = np.float32(settings.noise * generator.random())
        image = image + deviation * generator.standard_normal(image.shape, dtype=np.float32)
    return image


def _change_colors(
    image: FloatArray,
    channels: int,
    settings: IntensityAugmentation,
    generator: np.random.Generator,
) -> FloatArray:
    occurs = generator.random(3)
    if len(image) < channels:  # gray
        if occurs[0] < settings.tint_probability:
            shares = generator.random(channels).astype(np.float32)
            shares[generator.integers(channels)] = 1.0
            return image * shares[:, None, None]
        return image
    if len(image) == 1:
        return image
    if occurs[0] < settings.gray_probability:
        weights = generator.dirichlet(np.ones(channels)).astype(np.float32)
        return np.tensordot(weights, image, axes=1)[None].astype(np.float32)
    if occurs[1] < settings.shuffle_probability:
        image = image[generator.permutation(channels)]
    if occurs[2] < settings.drop_probability:
        image = image.copy()
        image[generator.integers(channels)] = 0.0
    return image


def _blur(image: FloatArray, deviation: float) -> FloatArray:
    for axis in (1, 2):
        image = gaussian_filter1d(image, deviation, axis=axis, mode="nearest", truncate=3.0)
    return image
