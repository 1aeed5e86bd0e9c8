"""Intensities of an image: what is not a number is replaced, and percentiles map to 0 and 1.

``normalize(p, low, high) = clip((p - low) / (high - low), -0.5, 3)``: the low percentile becomes 0
and the high one 1. Some of what lies outside is kept, so that a bright cell in a dim image still
has a shape; the limits keep a hot pixel from ruling over a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pancyte.types import FloatArray, Pixels

LOWEST: Final = -0.5
HIGHEST: Final = 3.0

_BLOCK: Final = 2**20
_EXACT: Final = 2**24
# Counting such values takes a tenth of the time of sorting them.
_COUNTED: Final = (np.dtype(np.uint8), np.dtype(np.uint16))

Range = npt.NDArray[np.float64]


def replace_non_finite(pixels: npt.NDArray[np.generic]) -> tuple[FloatArray, int]:
    """Replace NaN and infinite pixels by the median of the finite ones of their channel.

    Parameters
    ----------
    pixels : array of shape (C, ...)
        Real numbers or booleans; never modified.

    Returns
    -------
    pixels : float32 array of the same shape
        Always a finite one; the same object where nothing had to change.
    count : int
        Number of replaced pixels.

    Raises
    ------
    ValueError
        A channel holds no finite pixel.

    Notes
    -----
    A finite value beyond the range of float32 becomes infinite in the conversion and is replaced
    and counted too.

    Examples
    --------
    >>> replace_non_finite(np.array([[1.0, np.nan, 3.0, 4.0]]))
    (array([[1., 3., 3., 4.]], dtype=float32), 1)
    """
    with np.errstate(over="ignore"):
        values = pixels.astype(np.float32, copy=False)
    if pixels.dtype.kind != "f":
        return values, 0
    finite = np.isfinite(values)
    count = int(values.size - np.count_nonzero(finite))
    if count == 0:
        return values, 0
    values = values.copy()
    for index, (channel, good) in enumerate(zip(values, finite, strict=True)):
        if good.all():
            continue
        if not good.any():
            raise ValueError(f"channel {index} holds no finite pixel, only NaN or infinity")
        channel[~good] = np.median(channel[good])
    return values, count


def finite_pixels(pixels: npt.NDArray[np.generic], *, keep_type: bool) -> tuple[Pixels, int]:
    """Do what :func:`replace_non_finite` does, and leave small whole numbers as they are.

    Parameters
    ----------
    pixels : array of shape (C, ...)
        Real numbers or booleans; never modified.
    keep_type
        Whether uint8, uint16 and booleans (as uint8) stay small; else all become float32.

    Examples
    --------
    >>> finite_pixels(np.array([[1, 2]], np.uint8), keep_type=True)
    (array([[1, 2]], dtype=uint8), 0)
    """
    if keep_type and pixels.dtype.kind == "b":
        return pixels.view(np.uint8), 0
    if keep_type and pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2:
        # In the byte order of this machine.
        kind = np.uint8 if pixels.dtype.itemsize == 1 else np.uint16
        return pixels.astype(kind, copy=False), 0
    return replace_non_finite(pixels)


def percentile_range(
    pixels: npt.NDArray[np.generic], percentiles: tuple[float, float]
) -> tuple[float, float]:
    """Return the values at two percentiles; the extremes where the percentiles are equal.

    Parameters
    ----------
    pixels : array of any shape
        Finite.
    percentiles : two numbers
        In percent, 0 to 100, ascending.

    Notes
    -----
    An image with few bright pixels on a flat ground has equal percentiles; its minimum and maximum
    are taken instead, so that those pixels are not lost. Above 16 megapixels a regular sample is
    read. An empty array gives (0, 0).

    Examples
    --------
    >>> percentile_range(np.arange(101), (1.0, 99.0))
    (1.0, 99.0)
    """
    values = pixels.reshape(-1)
    if values.size == 0:
        return 0.0, 0.0
    # An odd step does not follow the rows of images of even width.
    step = values.size // _EXACT * 2 + 1 if values.size > _EXACT else 1
    seen = values[::step]
    if seen.dtype in _COUNTED:
        low, high = _percentiles_of_counts(np.bincount(seen), percentiles)
    else:
        # float64, because interpolating between the extremes of float32 would overflow.
        low, high = np.percentile(seen.astype(np.float64), percentiles)
    if high <= low:
        low, high = values.min(), values.max()
    return float(low), float(high)


def _percentiles_of_counts(
    counts: npt.NDArray[np.intp], percentiles: tuple[float, float]
) -> npt.NDArray[np.float64]:
    """Return what ``np.percentile`` says of values of which there are so many of 0, 1, 2, ..."""
    ends = np.cumsum(counts)
    places = np.asarray(percentiles) / 100 * (ends[-1] - 1)
    before = np.floor(places)
    share = places - before
    low, high = (
        np.searchsorted(ends, index, side="right").astype(np.float64)
        for index in (before, np.ceil(places))
    )
    # From the nearer of the two, as numpy does, so that both round alike.
    near_low, near_high = low + (high - low) * share, high - (high - low) * (1 - share)
    values: npt.NDArray[np.float64] = np.where(share < 0.5, near_low, near_high)
    return values


def normalize(pixels: npt.NDArray[np.generic], low: Range, high: Range) -> FloatArray:
    """Map ``low`` to 0 and ``high`` to 1 in each channel, and cut at -0.5 and 3.

    Parameters
    ----------
    pixels : array of shape (C, ...)
        Finite.
    low, high : arrays of shape (C,)
        As :func:`pancyte.ops.preprocess.normalization_range` returns them.

    Returns
    -------
    float32 array of the same shape. A channel whose ``low`` and ``high`` are equal is 0.

    Raises
    ------
    ValueError
        ``low`` and ``high`` do not have one value per channel.

    Examples
    --------
    >>> normalize(np.array([[10.0, 20.0, 30.0, 99.0]]), np.array([10.0]), np.array([30.0]))
    array([[0. , 0.5, 1. , 3. ]], dtype=float32)
    """
    if not len(pixels) == len(low) == len(high):
        msg = (
            f"Expected one low and one high value for each of {len(pixels)} channels, "
            f"but got {len(low)} and {len(high)}"
        )
        raise ValueError(msg)
    result = np.zeros(pixels.shape, dtype=np.float32)
    for channel, start, stop, out in zip(pixels, low, high, result, strict=True):
        if stop <= start:
            continue
        source, target = channel.reshape(-1), out.reshape(-1)
        for first in range(0, source.size, _BLOCK):
            # In float64, because the difference of two float32 values can overflow.
            block = source[first : first + _BLOCK].astype(np.float64)
            block -= start
            block /= stop - start
            np.clip(block, LOWEST, HIGHEST, out=block)
            target[first : first + _BLOCK] = block
    return result
