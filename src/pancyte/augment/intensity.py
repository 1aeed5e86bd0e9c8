"""Change the brightness, sharpness, noise and color of a training image, never its geometry.

Images come normalized: 0 and 1 are percentiles of the whole image. A gray image (all channels
equal) is changed in one channel, which is faster, and stays gray unless it is tinted on purpose.

The changes come in the order of the settings. The last four before those of color are MEDIAR's, and
off unless a recipe asks for them; with its noise they make :data:`MEDIAR_INTENSITY`.

References
----------
Lee, Kim, Kim, Yun 2023, MEDIAR, arXiv:2212.03465, and the documentation of MONAI's transforms
(RandAdjustContrast, RandGaussianSmooth, RandHistogramShift, RandGaussianSharpen) for what they
draw. Written from the formulas.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pancyte.ops.intensity import HIGHEST, LOWEST
from pancyte.ops.smooth import gaussian_smooth
from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.types import FloatArray

Heights = npt.NDArray[np.float64]
"""Of a curve at points evenly apart."""


@params
class IntensityAugmentation:
    """How often (a share of the images, 0 to 1) and how strongly an image is changed."""

    invert_probability: float = 0.05
    """Dark becomes bright."""
    gamma_probability: float = 0.4
    """Power law."""
    gamma: float = 2.0
    """Largest exponent; the smallest is its inverse."""
    brightness_probability: float = 0.5
    """Shift and stretch of the values."""
    brightness: float = 0.15
    """Largest shift."""
    contrast: float = 1.5
    """Largest factor about the middle of the range; the smallest is its inverse."""
    shading_probability: float = 0.15
    """Uneven illumination: a linear ramp across the window."""
    shading: float = 0.5
    """Largest relative change from one side to the other."""
    blur_probability: float = 0.15
    """Gaussian blur."""
    blur: float = 1.5
    """Largest standard deviation of the blur, in pixels."""
    sharpen_probability: float = 0.1
    """Unsharp mask, for images that are not blurred."""
    sharpen: float = 1.5
    """Largest weight of the detail that is added."""
    shot_noise_probability: float = 0.15
    """Noise whose variance follows the signal, the normal limit of counting photons."""
    photons: float = 50.0
    """Smallest number of photons at the value 1; the largest is 20 times that."""
    noise_probability: float = 0.3
    """Gaussian noise; in a gray image the same in all channels, see ``keep_gray``."""
    noise: float = 0.1
    """Largest standard deviation of the noise."""
    darken_probability: float = 0.0
    """Power law between the smallest and the largest value of the window, which only darkens."""
    darken: tuple[float, float] = (1.0, 2.0)
    """Range of its exponent, at least 1."""
    smooth_probability: float = 0.0
    """Gaussian blur, of a different width in each direction."""
    smooth_y: tuple[float, float] = (1.0, 2.0)
    """Range of its standard deviation from top to bottom, in pixels."""
    smooth_x: tuple[float, float] = (0.25, 1.5)
    """Range of its standard deviation from left to right, in pixels."""
    histogram_probability: float = 0.0
    """A random rising curve, straight between control points, from the smallest value of the window
    to the largest, which both stay."""
    histogram_points: int = 3
    """Number of control points, of which the first and the last are the ends."""
    enhance_probability: float = 0.0
    """Strong sharpening: a blurred image plus a multiple of what a second blur takes from it."""
    enhance_blur: tuple[float, float] = (0.5, 1.0)
    """Range of the standard deviation of the first blur, drawn for each direction, in pixels; that
    of the second lies between the smallest value and the first one."""
    enhance: tuple[float, float] = (10.0, 30.0)
    """Range of the multiple."""
    shuffle_probability: float = 0.1
    """Channels of a color image change places."""
    gray_probability: float = 0.15
    """A color image becomes gray, with weights drawn anew."""
    tint_probability: float = 0.1
    """A gray image becomes colored: channels keep different shares of it, one all of it."""
    drop_probability: float = 0.03
    """A channel of a color image becomes 0."""
    keep_gray: bool = True
    """Whether the noise of a gray image is the same in all of its channels."""
    clip: bool = True
    """Whether values are limited to -0.5 and 3, as in prediction."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_probability") and not 0.0 <= value <= 1.0:
                raise ValueError(f"Expected {field.name} in 0 to 1, but got {value}")
            if isinstance(value, tuple) and not 0.0 <= value[0] <= value[1]:
                msg = f"Expected {field.name} to be a range of at least 0, but got {value}"
                raise ValueError(msg)
            if not isinstance(value, tuple) and value < 0.0:
                raise ValueError(f"Expected {field.name} to be at least 0, but got {value}")
        if self.gamma < 1.0 or self.contrast < 1.0 or self.photons <= 0.0:
            msg = (
                "Expected gamma and contrast of at least 1 and photons above 0, "
                f"but got {self.gamma}, {self.contrast} and {self.photons}"
            )
            raise ValueError(msg)
        if self.darken[0] < 1.0 or self.histogram_points < 3:
            msg = (
                "Expected darken to start at 1 or above and histogram_points of at least 3, "
                f"but got {self.darken} and {self.histogram_points}"
            )
            raise ValueError(msg)


MEDIAR_INTENSITY = IntensityAugmentation(
    invert_probability=0.0,
    gamma_probability=0.0,
    brightness_probability=0.0,
    shading_probability=0.0,
    blur_probability=0.0,
    sharpen_probability=0.0,
    shot_noise_probability=0.0,
    noise_probability=0.25,
    noise=0.1,
    darken_probability=0.25,
    smooth_probability=0.25,
    histogram_probability=0.25,
    enhance_probability=0.25,
    shuffle_probability=0.0,
    gray_probability=0.0,
    tint_probability=0.0,
    drop_probability=0.0,
    keep_gray=False,
    clip=False,
)
"""The changes of MEDIAR and Mediar-V in their order, each for a quarter of the windows."""


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
        float32, within -0.5 and 3 where ``clip`` is set, as normalization leaves an image.

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
    image = _change_detail(image, channels, settings, generator)
    image = _change_like_mediar(image, settings, generator)
    image = _change_colors(image, channels, settings, generator)
    if settings.clip:
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
    image: FloatArray,
    channels: int,
    settings: IntensityAugmentation,
    generator: np.random.Generator,
) -> FloatArray:
    occurs = generator.random(4)
    # Noise of all channels turns the one channel of a gray image into all of them.
    shape = image.shape if settings.keep_gray else (channels, *image.shape[1:])
    if occurs[0] < settings.blur_probability:
        image = _blur(image, generator.uniform(0.2, 1.0) * settings.blur)
    elif occurs[1] < settings.sharpen_probability:
        weight = np.float32(settings.sharpen * generator.random())
        image = image + weight * (image - _blur(image, 1.0))
    if occurs[2] < settings.shot_noise_probability:
        photons = np.float32(settings.photons * 20.0 ** generator.random())
        normal = generator.standard_normal(shape, dtype=np.float32)
        image = image + normal * np.sqrt(np.maximum(image, 0) / photons)
    if occurs[3] < settings.noise_probability:
        deviation = np.float32(settings.noise * generator.random())
        image = image + deviation * generator.standard_normal(shape, dtype=np.float32)
    return image


def _change_like_mediar(
    image: FloatArray, settings: IntensityAugmentation, generator: np.random.Generator
) -> FloatArray:
    probabilities = (
        settings.darken_probability,
        settings.smooth_probability,
        settings.histogram_probability,
        settings.enhance_probability,
    )
    if not any(probabilities):
        return image
    occurs = generator.random(4) < probabilities
    if occurs[0]:
        image = _darken(image, generator.uniform(*settings.darken))
    if occurs[1]:
        deviations = generator.uniform(*settings.smooth_y), generator.uniform(*settings.smooth_x)
        image = gaussian_smooth(image, deviations)
    if occurs[2]:
        image = _shift_histogram(image, draw_curve(settings.histogram_points, generator))
    if occurs[3]:
        image = _enhance(image, settings, generator)
    return image


def _darken(image: FloatArray, exponent: float) -> FloatArray:
    low, span = _range(image)
    if span == 0.0:
        return image
    return ((image - low) / span) ** np.float32(exponent) * span + low


def draw_curve(num_points: int, generator: np.random.Generator) -> Heights:
    """Return the heights of a random curve that rises from 0 to 1, at points evenly apart.

    Each inner point moves, from left to right, to anywhere between its two neighbors.

    Examples
    --------
    >>> draw_curve(3, np.random.default_rng(0))
    array([0.        , 0.63696169, 1.        ])
    """
    heights = np.linspace(0.0, 1.0, num_points)
    for k in range(1, num_points - 1):
        heights[k] = generator.uniform(heights[k - 1], heights[k + 1])
    return heights


def _shift_histogram(image: FloatArray, heights: Heights) -> FloatArray:
    low, span = _range(image)
    if span == 0.0:
        return image
    # A sum of hinges is faster than looking up the section of each pixel.
    steps = len(heights) - 1
    slopes = np.diff(heights) * steps
    out = low + np.float32(slopes[0]) * (image - low)
    for k in range(1, steps):
        bend = low + span * np.float32(k / steps)
        out += np.float32(slopes[k] - slopes[k - 1]) * np.maximum(image - bend, 0)
    return np.clip(out, low, low + span, out=out)


def _enhance(
    image: FloatArray, settings: IntensityAugmentation, generator: np.random.Generator
) -> FloatArray:
    smallest, largest = settings.enhance_blur
    first = generator.uniform(smallest, largest, 2)
    second = generator.uniform(smallest, first)
    blurred = gaussian_smooth(image, (first[0], first[1]))
    detail = blurred - gaussian_smooth(blurred, (second[0], second[1]))
    return blurred + np.float32(generator.uniform(*settings.enhance)) * detail


def _range(image: FloatArray) -> tuple[np.float32, np.float32]:
    low = image.min(initial=np.inf)
    return np.float32(low), np.float32(image.max(initial=-np.inf) - low)


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
    return gaussian_smooth(image, (deviation, deviation))
