"""At which scale a network shall see an image: the one at which objects have the size it knows.

If the user does not give the diameter of the objects, it is estimated. The image is segmented at
its own scale; the median diameter found there says at which scale to look again; when the objects
found at a scale agree with that scale, it is settled. A network reports nonsense about objects far
from its size, so that an estimate counts only if it is confirmed at the scale that it leads to, and
if half of that scale does not show much more: parts of large objects can look like small objects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from pancyte.types import Column, ObjectTable

# An object within this factor of the network's size is seen well enough not to look again.
_TOLERANCE: Final = 1.25
_MOST_PASSES: Final = 3
# Objects at half of a scale that cover this much more tell that the scale shows only parts of them.
_MUCH_MORE: Final = 1.5
# Where to look when nothing is found at the scale of the image.
_OTHER_SCALES: Final = (0.5, 2.0, 0.25)
_LARGEST_SCALE: Final = 8.0
_LOWEST_SCALE: Final = 1 / 64
# An enlarged image has no more pixels than this (or than the image itself).
_MOST_PIXELS: Final = 2**26
# Objects cut by the border look small; they are left out where this many others remain.
_ENOUGH_OBJECTS: Final = 5


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found at one scale."""

    scale: float
    """Size of the image before the network, relative to its own."""
    diameter: float | None
    """Median diameter of the objects in pixels of the image; None where there are none."""
    support: float
    """Share of the image that objects cover, weighted by their score."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The scale to use, and what to say about it."""

    scale: float
    diameter: float | None
    warnings: tuple[str, ...] = ()


def settle_scale(
    probe: Callable[[float], Probe], shape: tuple[int, int], *, target: float
) -> Settled:
    """Find the scale at which the objects of an image have the size that a network knows.

    Parameters
    ----------
    probe
        Segments the image (or a sample of it) at a scale. Called twice or three times where the
        network knows the kind of image, the cheap one at half of the final scale among them.
    shape : (int, int)
        Height and width of the image.
    target : float
        Diameter in pixels of the network's input at which it works.

    Returns
    -------
    Settled
        With a warning where no scale agreed with the objects found at it.
    """
    tried: list[Probe] = []

    def look(scale: float) -> Probe:
        tried.append(probe(limit_scale(scale, shape)))
        return tried[-1]

    start = look(1.0)
    for scale in _OTHER_SCALES:
        if start.diameter is not None:
            break
        start = look(scale)
    if start.diameter is None:
        message = (
            "No objects were found at the image's own scale, nor at half, twice and a quarter of "
            "it. If there are some, give their diameter in pixels."
        )
        return Settled(1.0, None, (message,))
    agreed = _agree(look, start, shape, target)
    coarse = _coarser(tried, agreed) or look(agreed.scale / 2) if agreed else None
    if agreed and coarse and coarse.support > _MUCH_MORE * agreed.support:
        other = _agree(look, coarse, shape, target)
        if other and other.support > _MUCH_MORE * agreed.support:
            agreed = other
    if agreed:
        return _settled(agreed, shape, target)
    best = max(tried, key=lambda candidate: candidate.support)
    found = ", ".join(f"{p.diameter:.0f}" for p in tried if p.diameter is not None)
    message = (
        f"The size of the objects could not be settled: estimates are {found} pixels. The result "
        "may be poor; give the diameter in pixels."
    )
    return Settled(best.scale, best.diameter, (message,))


def _agree(
    look: Callable[[float], Probe], start: Probe, shape: tuple[int, int], target: float
) -> Probe | None:
    """Look again where objects have the target size, until they have it; None if never."""
    current = start
    for passes_left in reversed(range(_MOST_PASSES)):
        if current.diameter is None:
            return None
        wanted = limit_scale(target / current.diameter, shape)
        if _near(wanted, current.scale):
            return current
        if passes_left:
            current = look(wanted)
    return None


def _coarser(tried: list[Probe], agreed: Probe) -> Probe | None:
    """Return a probe at about half of the scale that was agreed on, if there is one."""
    return next((p for p in tried if 0.3 <= p.scale / agreed.scale <= 0.7), None)


def _settled(agreed: Probe, shape: tuple[int, int], target: float) -> Settled:
    assert agreed.diameter is not None  # noqa: S101 - scales agree about objects only
    wanted = target / agreed.diameter
    limited = not _near(wanted, limit_scale(wanted, shape))
    warnings = (limited_message(agreed.scale, wanted),) if limited else ()
    return Settled(agreed.scale, agreed.diameter, warnings)


def _near(one: float, other: float) -> bool:
    return 1 / _TOLERANCE <= one / other <= _TOLERANCE


def limited_message(scale: float, wanted: float) -> str:
    """Return the warning that an image was resized by ``scale`` instead of ``wanted``."""
    return (
        f"The image was resized by {scale:.3g} and not by {wanted:.3g}, as the size of its objects "
        "asks for, because it would become too large or too small. The result may be poor."
    )


def limit_scale(scale: float, shape: tuple[int, int]) -> float:
    """Return the scale, held within what memory and sense allow for an image of that shape.

    Examples
    --------
    >>> limit_scale(0.5, (100, 100)), limit_scale(50.0, (100, 100))
    (0.5, 8.0)
    """
    pixels = shape[0] * shape[1]
    largest = min(_LARGEST_SCALE, math.sqrt(max(pixels, _MOST_PIXELS) / pixels))
    return min(max(scale, _LOWEST_SCALE), largest)


def sample_windows(
    shape: tuple[int, int], scale: float, *, most_pixels: int
) -> list[tuple[slice, slice]]:
    """Return windows of an image that together have at most so many pixels after scaling.

    The whole image where that is small enough, else four windows about the middles of its
    quarters.

    Examples
    --------
    >>> sample_windows((100, 100), 1.0, most_pixels=10_000)
    [(slice(0, 100, None), slice(0, 100, None))]
    >>> sample_windows((100, 100), 1.0, most_pixels=400)[0]
    (slice(20, 30, None), slice(20, 30, None))
    """
    if shape[0] * shape[1] * scale**2 <= most_pixels:
        return [(slice(0, shape[0]), slice(0, shape[1]))]
    # A long image gives long windows, of the same number of pixels.
    side = math.sqrt(most_pixels / 4) / scale
    height = min(side, shape[0] / 2) if shape[0] <= shape[1] else side
    width = min(side**2 / height, shape[1] / 2)
    height = min(side**2 / width, shape[0] / 2)
    windows = []
    for row in (0.25, 0.75):
        for column in (0.25, 0.75):
            top = int(row * shape[0] - height / 2)
            left = int(column * shape[1] - width / 2)
            bottom = top + max(1, int(height))
            windows.append((slice(top, bottom), slice(left, left + max(1, int(width)))))
    return windows


def median_diameter(objects: ObjectTable) -> float | None:
    """Return the median of the column diameter, without cut objects where others suffice."""
    diameters: Column = objects["diameter"]
    whole = diameters[~objects["touches_border"]]
    if len(whole) >= _ENOUGH_OBJECTS:
        diameters = whole
    return float(np.median(diameters)) if len(diameters) else None
