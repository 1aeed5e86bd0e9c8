"""What a model got right and wrong in one image, as a picture: true, false, missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pancyte.metrics.errors import BOTH, FALSE, MISSED, TRUE, ErrorMap, error_map
from pancyte.ops.labels import boundaries
from pancyte.viz.legend import add_legend
from pancyte.viz.overlay import magnify, to_display

if TYPE_CHECKING:
    from pancyte.types import IntArray

UintArray = npt.NDArray[np.uint8]

COLORS: Final = {
    TRUE: (0, 190, 130),
    FALSE: (240, 110, 0),
    MISSED: (60, 160, 255),
    BOTH: (220, 110, 200),
}
"""Told apart by eyes that do not tell red from green (after Okabe and Ito)."""
_OPACITY: Final = 0.35


def error_picture(
    pixels: npt.NDArray[np.generic] | None,
    truth: IntArray,
    prediction: IntArray,
    *,
    threshold: float = 0.5,
    magnification: int = 1,
    step: int = 1,
) -> UintArray:
    """Draw the objects of one class that were found, invented and missed.

    Parameters
    ----------
    pixels
        Image of shape (C, Y, X), shown in gray; None draws on black.
    truth, prediction
        Labels of shape (Y, X).
    threshold
        Smallest IoU of a match.
    magnification
        Each pixel becomes a square of that many.
    step
        Only every n-th row and column is shown. The counts are those of all objects.

    Returns
    -------
    uint8 array of shape (Y / step * magnification + legend, X / step * magnification or more, 3)
        Areas are tinted by :func:`pancyte.metrics.errors.error_map`. The inner contours of
        predicted objects are orange where nothing matches them, else green; those of annotated
        objects that nothing matches are blue. A legend with the counts lies below.

    Raises
    ------
    ValueError
        If the sizes differ.

    Examples
    --------
    >>> labels = np.zeros((60, 400), np.int32)
    >>> error_picture(None, labels, labels).shape[1:]
    (400, 3)
    """
    shape = truth.shape if pixels is None else pixels.shape[1:]
    if shape != truth.shape:
        msg = f"Expected image and labels of the same size, but got {shape} and {truth.shape}"
        raise ValueError(msg)
    found = error_map(truth, prediction, threshold=threshold, step=step)
    shown = (slice(None, None, step), slice(None, None, step))
    picture = _gray(None if pixels is None else pixels[:, *shown], found.codes.shape)
    tints = np.zeros((max(COLORS) + 1, 3), np.float32)
    tints[list(COLORS)] = list(COLORS.values())
    inside = found.codes > 0
    picture[inside] = np.rint(
        (1 - _OPACITY) * picture[inside] + _OPACITY * tints[found.codes[inside]]
    ).astype(np.uint8)
    for contour, code in _contours(truth[shown], prediction[shown], found):
        picture[contour] = COLORS[code]
    picture = magnify(picture, magnification, axes=(0, 1))
    return add_legend(picture, _legend(found, threshold))


def _gray(pixels: npt.NDArray[np.generic] | None, shape: tuple[int, ...]) -> UintArray:
    if pixels is None:
        return np.zeros((*shape, 3), np.uint8)
    # Colors of the image would be taken for those of the legend.
    return to_display(pixels.mean(axis=0, keepdims=True))


def _contours(
    truth: IntArray, prediction: IntArray, found: ErrorMap
) -> tuple[tuple[npt.NDArray[np.bool_], int], ...]:
    predicted, annotated = boundaries(prediction), boundaries(truth)
    return (
        (predicted & found.matched_prediction, TRUE),
        (annotated & ~found.matched_truth, MISSED),
        (predicted & ~found.matched_prediction, FALSE),
    )


def _legend(found: ErrorMap, threshold: float) -> list[tuple[tuple[int, int, int] | None, str]]:
    return [
        (COLORS[TRUE], f"true: {found.tp}"),
        (COLORS[FALSE], f"false: {found.fp}"),
        (COLORS[MISSED], f"missed: {found.fn}"),
        (COLORS[BOTH], "missed and false at once"),
        (None, f"a match has an IoU of at least {threshold:g}"),
    ]
