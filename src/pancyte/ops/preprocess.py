"""What happens to an image between its file and the network, the same in training and prediction.

``preprocess`` = range of intensities -> :func:`~pancyte.ops.intensity.normalize` ->
:func:`map_channels`. Resizing to the object size of the network comes after it and is the caller's
affair, because training varies the size and prediction estimates it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from pancyte.ops.intensity import Range, normalize, percentile_range
from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.types import FloatArray

# A channel shows something if its range is a larger part than this of the largest.
_NOTHING = 0.05

ScalarT = TypeVar("ScalarT", bound=np.generic)


@params
class Preprocessing:
    """What a network expects of its input; stored with its weights."""

    channels: int = 3
    """Number of channels of the network's input, at least 1."""
    normalization: Literal["joint", "channel"] = "joint"
    """One range of intensities for all channels, which keeps colors, or one for each."""
    percentiles: tuple[float, float] = (1.0, 99.8)
    """The percentiles of an image that become 0 and 1."""
    percentiles_of: Literal["all", "nonzero"] = "all"
    """Pixels whose percentiles are taken: ``nonzero`` leaves out those that are 0, as MEDIAR and
    Mediar-V do."""
    lone_channel: Literal["keep", "gray"] = "keep"
    """``gray`` sees an image of which one channel alone shows anything, the range of the others
    being less than a twentieth of its own, as a gray image; ``keep`` as one of several channels.
    JPEG leaves a twenty-fifth of a channel in the others. With ``normalization`` ``channel``, which
    looks at each channel in a range of its own, others must be constant: one pixel that differs
    shows something."""
    diameter: float | None = 30.0
    """Median diameter of objects, in pixels of the network's input, to which images are resized;
    None leaves every image at its own scale."""

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ValueError(f"Expected channels to be at least 1, but got {self.channels}")
        low, high = self.percentiles
        if not 0.0 <= low < high <= 100.0:
            msg = f"Expected percentiles to ascend within 0 and 100, but got {self.percentiles}"
            raise ValueError(msg)
        if self.diameter is not None and not 1.0 <= self.diameter <= 1000.0:
            msg = f"Expected diameter to lie in 1 to 1000 pixels, but got {self.diameter}"
            raise ValueError(msg)


def preprocess(pixels: npt.NDArray[np.generic], settings: Preprocessing) -> FloatArray:
    """Normalize an image and give it the channels that the network expects.

    Parameters
    ----------
    pixels : array of shape (C, Y, X)
        Finite intensities as in the file.

    Returns
    -------
    float32 array of shape (settings.channels, Y, X).

    Examples
    --------
    >>> preprocess(np.full((1, 4, 5), 7), Preprocessing()).shape
    (3, 4, 5)
    """
    seen = shown_channels(pixels, settings)
    low, high = normalization_range(seen, settings)
    return map_channels(normalize(seen, low, high), settings.channels)


def shown_channels(pixels: npt.NDArray[ScalarT], settings: Preprocessing) -> npt.NDArray[ScalarT]:
    """Return the one channel of an image that shows anything, where it shall count as gray.

    Parameters
    ----------
    pixels : array of shape (C, ...)
        Returned as it is where several channels vary, or none.

    Examples
    --------
    >>> red = np.array([[[1, 2, 3]], [[0, 0, 0]], [[7, 7, 7]]])
    >>> shown_channels(red, Preprocessing(lone_channel="gray"))
    array([[[1, 2, 3]]])
    """
    if settings.lone_channel == "keep" or len(pixels) < 2 or pixels[0].size == 0:
        return pixels
    spread = np.array([np.ptp(_range(channel, settings)) for channel in pixels])
    # Each channel in a range of its own is looked at, however dark; and of some, percentiles are 0.
    if settings.normalization == "channel" or not spread.any():
        spread = np.array([float(channel.max()) - float(channel.min()) for channel in pixels])
    least = _NOTHING * spread.max() if settings.normalization == "joint" else 0.0
    shown = np.flatnonzero(spread > least)
    return pixels[shown[0] : shown[0] + 1] if len(shown) == 1 else pixels


def normalization_range(
    pixels: npt.NDArray[np.generic], settings: Preprocessing
) -> tuple[Range, Range]:
    """Return the intensities that become 0 and 1 in each channel.

    Parameters
    ----------
    pixels : array of shape (C, ...)
        Finite.

    Returns
    -------
    low, high : float64 arrays of shape (C,)
        Equal in all channels with joint normalization; ``low == high`` in a constant image.

    Examples
    --------
    >>> low, high = normalization_range(np.arange(1001).reshape(1, 7, 143), Preprocessing())
    >>> low.round(6), high.round(6)
    (array([10.]), array([998.]))
    """
    groups = [pixels] if settings.normalization == "joint" else list(pixels)
    ranges = [_range(group, settings) for group in groups]
    low, high = np.broadcast_to(np.asarray(ranges, dtype=np.float64), (len(pixels), 2)).T
    return low.copy(), high.copy()


def _range(pixels: npt.NDArray[np.generic], settings: Preprocessing) -> tuple[float, float]:
    if settings.percentiles_of == "nonzero":
        low, high = percentile_range(pixels[pixels != 0], settings.percentiles)
        # Where all of them are equal, 0 is what they stand out from.
        if low < high:
            return low, high
    return percentile_range(pixels, settings.percentiles)


def map_channels(pixels: FloatArray, channels: int) -> FloatArray:
    """Give a normalized image the number of channels that a network expects.

    Parameters
    ----------
    pixels : float32 array of shape (C, ...)
    channels : int
        As many as the network has. One gray channel is repeated; missing channels are 0.

    Returns
    -------
    float32 array of shape (channels, ...).

    Raises
    ------
    ValueError
        The image has more channels than the network.

    Examples
    --------
    >>> map_channels(np.ones((2, 1, 1), dtype=np.float32), 3)[:, 0, 0]
    array([1., 1., 0.], dtype=float32)
    """
    count = pixels.shape[0]
    if count == 0 or count > channels:
        raise ValueError(f"Expected an image of 1 to {channels} channels, but got {count}")
    if count == 1:
        return np.repeat(pixels, channels, axis=0)
    result = np.zeros((channels, *pixels.shape[1:]), dtype=np.float32)
    result[:count] = pixels
    return result
