"""What the header of an image file says, before any pixel is decoded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Decoder = Callable[[], Array]
"""Returns the pixels as they are in the file, with the shape and type of its :class:`Header`."""


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """Shape, axes and meaning of the pixels of one file."""

    format: str
    """Name of the format: TIFF, PNG, JPEG or BMP."""
    shape: tuple[int, ...]
    """Shape of the decoded array."""
    axes: str
    """One letter for each axis as the file names them; see :mod:`pancyte.io.axes`."""
    dtype: np.dtype[Any]
    """Type of the decoded array."""
    spacing: Mapping[str, float] = field(default_factory=dict)
    """Micrometre per pixel for those of Z, Y and X that the file gives."""
    channels: tuple[str, ...] = ()
    """Names of the channels, or nothing."""
    alpha: bool = False
    """Whether the last of the color samples (axis S) is opacity."""
    palette: Array | None = None
    """(N, 3) colors that the pixels are indices of; None where pixels are intensities."""
    black: int | None = None
    """The value of black where 0 is white; None where 0 is black."""
    notes: Sequence[str] = ()
    """What the reader noticed and the user should know; decoding the pixels may add to it."""

    def num_bytes(self, *, keep_type: bool = False) -> int:
        """Memory that reading takes at its peak: the decoded pixels, and their copies.

        These are float32, if not ``keep_type`` and of at most 16 bits.
        """
        colors = 1 if self.palette is None else 3
        size = self.dtype.itemsize
        copies = size if keep_type and self.dtype.kind in "bu" and size <= 2 else 8
        return math.prod(self.shape) * colors * (size + copies)

    def spatial_spacing(self, ndim: int) -> tuple[float, ...] | None:
        """Return the micrometre per pixel of each spatial axis, or None if one is unknown."""
        values = [self.spacing.get(axis) for axis in "ZYX"[-ndim:]]
        known = tuple(value for value in values if value is not None)
        return known if len(known) == ndim else None
