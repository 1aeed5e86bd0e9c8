"""A strip below a picture that says what its colors mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

UintArray = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

_BACKGROUND: Final = (24, 24, 24)
_TEXT: Final = (235, 235, 235)
_SMALLEST_FONT: Final = 12
_WIDTHS_PER_FONT: Final = 60
"""The letters of a picture are this many times smaller than it is wide, so that they can be read
when it is shrunk to a screen."""


def add_legend(picture: UintArray, entries: Sequence[tuple[Color | None, str]]) -> UintArray:
    """Return a picture with a strip below it: a square of each color, and what it means.

    Parameters
    ----------
    picture
        RGB of shape (Y, X, 3).
    entries
        Color and text; without a color only the text. They go to a new line where the width is
        used up, and a picture narrower than the longest entry is widened.

    Returns
    -------
    uint8 array of shape (Y + strip, max(X, longest entry), 3)
        The picture itself is unchanged at the top left.

    Examples
    --------
    >>> add_legend(np.zeros((30, 400, 3), np.uint8), [((255, 0, 0), "false")]).shape[1:]
    (400, 3)
    """
    height, width = picture.shape[:2]
    size = max(_SMALLEST_FONT, width // _WIDTHS_PER_FONT)
    font = ImageFont.load_default(size)
    gap = size // 2
    widths = [
        round(font.getlength(text)) + gap + (size + gap if color is not None else 0)
        for color, text in entries
    ]
    width = max([width, *(entry + gap for entry in widths)])
    places = _place(widths, width, gap)
    num_lines = places[-1][0] + 1 if places else 0
    line = size + gap
    strip = Image.new("RGB", (width, num_lines * line + gap), _BACKGROUND)
    draw = ImageDraw.Draw(strip)
    for (color, text), (row, left) in zip(entries, places, strict=True):
        top = gap + row * line
        if color is not None:
            draw.rectangle((left, top, left + size - 1, top + size - 1), fill=color)
        start = left + (size + gap if color is not None else 0)
        draw.text((start, top + size // 2), text, fill=_TEXT, font=font, anchor="lm")
    result = np.zeros((height + strip.height, width, 3), np.uint8)
    result[:height] = _BACKGROUND
    result[:height, : picture.shape[1]] = picture
    result[height:] = np.asarray(strip)
    return result


def _place(widths: Sequence[int], width: int, gap: int) -> list[tuple[int, int]]:
    """Return the line and the left edge of each entry."""
    places, row, left = [], 0, gap
    for entry in widths:
        if left > gap and left + entry > width:
            row, left = row + 1, gap
        places.append((row, left))
        left += entry + gap
    return places
