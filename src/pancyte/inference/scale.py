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
OTHER_SCALES: Final = (0.5, 2.0, 0.25)
_LARGEST_SCALE: Final = 8.0
# A search does not look for objects of fewer pixels of the image: models are made for 7 pixels and
# more, and magnified further, dust, noise and strokes of writing look like objects without end. Who
# gives a diameter may go beyond.
_SMALLEST_SOUGHT: Final = 5.0
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
    probe: Callable[[float], Probe],
    shape: tuple[int, int],
    *,
    target: float,
    elsewhere: tuple[float, ...] = OTHER_SCALES,
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
    elsewhere
        Scales at which to look, one after the other, where nothing is found at the image's own.

    Returns
    -------
    Settled
        With a warning where no scale agreed with the objects found at it, or where they are too
        small to be sought. Without a diameter where nothing was found.
    """
    tried: list[Probe] = []

    def look(scale: float) -> Probe:
        tried.append(probe(search_scale(scale, shape, target)))
        return tried[-1]

    start = look(1.0)
    for scale in elsewhere:
        if start.diameter is not None:
            break
        start = look(scale)
    if start.diameter is None:
        return Settled(1.0, None)
    agreed = _agree(look, start, shape, target)
    coarse = _coarser(tried, agreed) or look(agreed.scale / 2) if agreed else None
    if agreed and coarse and coarse.support > _MUCH_MORE * agreed.support:
        other = _agree(look, coarse, shape, target)
        if other and other.support > _MUCH_MORE * agreed.support:
            agreed = other
    if agreed:
        return _settled(agreed, target)
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
        wanted = search_scale(target / current.diameter, shape, target)
        if _near(wanted, current.scale):
            return current
        if passes_left:
            current = look(wanted)
    return None


def _coarser(tried: list[Probe], agreed: Probe) -> Probe | None:
    """Return a probe at about half of the scale that was agreed on, if there is one."""
    return next((p for p in tried if 0.3 <= p.scale / agreed.scale <= 0.7), None)


def _settled(agreed: Probe, target: float) -> Settled:
    assert agreed.diameter is not None  # noqa: S101 - scales agree about objects only
    warnings = limits_met(agreed.scale, agreed.diameter, target, factor=_TOLERANCE)
    return Settled(agreed.scale, agreed.diameter, warnings)


def _near(one: float, other: float) -> bool:
    return 1 / _TOLERANCE <= one / other <= _TOLERANCE


def limits_met(scale: float, diameter: float, target: float, *, factor: float) -> tuple[str, ...]:
    """Say in one line why the scale is not the one that the size of the objects asks for, if so.

    Parameters
    ----------
    scale
        That was settled on.
    diameter
        Of the objects that were seen, in pixels of the image.
    target
        Diameter in pixels of the network's input at which it works.
    factor
        By which the scale may differ from the one that is asked for.
    """
    wanted, largest = target / diameter, _largest_sought(target)
    if wanted > largest:
        message = (
            f"What is seen has about {diameter:.1f} pixels, smaller than what the model can outline"
            f" ({target / largest:.0f} pixels and more). The image was resized by {scale:.3g} and "
            f"not by {wanted:.3g}; the result may be poor. If objects are larger, give their "
            "diameter in pixels."
        )
        return (message,)
    return () if 1 / factor <= wanted / scale <= factor else (limited_message(scale, wanted),)


def limited_message(scale: float, wanted: float) -> str:
    """Return the warning that an image was resized by ``scale`` instead of ``wanted``."""
    return (
        f"The image was resized by {scale:.3g} and not by {wanted:.3g}, as the size of its objects "
        "asks for, because it would become too large or too small. The result may be poor."
    )


def search_scale(scale: float, shape: tuple[int, int], target: float) -> float:
    """Return the scale, held within where objects are sought.

    Parameters
    ----------
    scale
        Size of the image before the network, relative to its own.
    shape : (int, int)
        Height and width of the image.
    target : float
        Diameter in pixels of the network's input at which it works. An image is not magnified so
        far that objects of fewer than 5 of its pixels would have it; see :func:`limit_scale` too.

    Examples
    --------
    >>> search_scale(7.5, (100, 100), 30.0), limit_scale(7.5, (100, 100))
    (6.0, 7.5)
    """
    return limit_scale(min(scale, _largest_sought(target)), shape)


def _largest_sought(target: float) -> float:
    return max(1.0, target / _SMALLEST_SOUGHT)


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


def median_diameter(objects: ObjectTable) -> float | None:
    """Return the median of the column diameter, without cut objects where others suffice."""
    diameters: Column = objects["diameter"]
    whole = diameters[~objects["touches_border"]]
    if len(whole) >= _ENOUGH_OBJECTS:
        diameters = whole
    return float(np.median(diameters)) if len(diameters) else None
