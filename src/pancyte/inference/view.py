"""What a network sees of an image: normalized, resized, and cut window by window.

The range of intensities is measured once, on the whole image. Everything else is computed for the
window that is asked for, so that no second copy of a large image is ever made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pancyte.ops.intensity import Range, normalize
from pancyte.ops.preprocess import (
    Preprocessing,
    map_channels,
    normalization_range,
    shown_channels,
)
from pancyte.ops.resample import resize_window

if TYPE_CHECKING:
    from pancyte.types import FloatArray, Pixels, Window


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """An image as a network sees it at one scale."""

    pixels: Pixels
    """(C, Y, X) as in the file."""
    intensities: tuple[Range, Range]
    """The values that become 0 and 1, (C,) each."""
    channels: int
    """That the network expects."""
    source: Window
    """The rows and columns of the image that are seen."""
    shape: tuple[int, int]
    """Height and width after resizing."""

    @property
    def source_shape(self) -> tuple[int, int]:
        """Height and width of what is seen, before resizing."""
        rows, columns = self.source
        return rows.stop - rows.start, columns.stop - columns.start

    @property
    def is_constant(self) -> bool:
        """Whether no channel varies, so that there is nothing to be seen."""
        return all(channel.min() == channel.max() for channel in self.pixels)

    def notes(self) -> tuple[str, ...]:
        """Say in one line which channels the network sees, where these are neither one nor all."""
        count = len(self.pixels)
        if not 1 < count < self.channels:
            return ()
        rest = "the last is" if self.channels - count == 1 else "the others are"
        line = (
            f"The image has {count} channels: they are seen as the first {count} of the "
            f"{self.channels} that the network takes, and {rest} empty. To see one channel as "
            "gray, choose it with channels (pancyte predict --channels 0)."
        )
        return (line,)

    def resized(self, shape: tuple[int, int]) -> View:
        """Return the view of the same pixels in another size."""
        return replace(self, shape=shape)

    def cropped(self, window: Window) -> View:
        """Return the view of a window of the image, at its own scale."""
        rows, columns = window
        shape = rows.stop - rows.start, columns.stop - columns.start
        return replace(self, source=window, shape=shape)

    def read(self, rows: slice, columns: slice) -> FloatArray:
        """Return a window (channels, y, x) of the resized image."""
        resized = resize_window(self._normalized, self.source_shape, self.shape, (rows, columns))
        return map_channels(resized, self.channels)

    def _normalized(self, rows: slice, columns: slice) -> FloatArray:
        top, left = self.source[0].start, self.source[1].start
        window = (
            slice(top + rows.start, top + rows.stop),
            slice(left + columns.start, left + columns.stop),
        )
        return normalize(self.pixels[:, *window], *self.intensities)


def view_image(pixels: Pixels, settings: Preprocessing) -> View:
    """Return the view of an image (C, Y, X) at its own scale.

    Raises
    ------
    ValueError
        The image has more channels than the network.
    """
    map_channels(np.zeros((len(pixels), 1, 1), dtype=np.float32), settings.channels)
    pixels = shown_channels(pixels, settings)
    shape = pixels.shape[1], pixels.shape[2]
    return View(
        pixels,
        normalization_range(pixels, settings),
        settings.channels,
        source=(slice(0, shape[0]), slice(0, shape[1])),
        shape=shape,
    )
