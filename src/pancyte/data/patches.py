"""An image in memory, measured once, and the windows that are cut out of it.

What depends on the whole image (its range of intensities, its object size) is measured when the
image is loaded, so a patch is normalized and scaled exactly as prediction does it with the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from pancyte.data.record_files import read_pixels, read_targets
from pancyte.errors import InputError
from pancyte.ops.intensity import normalize
from pancyte.ops.measure import measure_objects
from pancyte.ops.preprocess import (
    Preprocessing,
    map_channels,
    normalization_range,
    shown_channels,
)
from pancyte.ops.warp import (
    Matrix,
    Window,
    halve,
    halved_window,
    inside_image,
    warp_image,
    warp_labels,
)
from pancyte.types import BoolArray, FloatArray, Sample

if TYPE_CHECKING:
    from pancyte.data.records import Record

_SMALLEST_SIDE = 16
# Smaller objects are not wanted, so that no image is halved for them.
_SMALLEST_OBJECT = 6

Beyond = Literal["mirror", "zeros"]
"""What a window shows beyond the border of the image."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedRecord:
    """An image with labels, and what was measured on the whole of it."""

    record: Record
    levels: tuple[npt.NDArray[np.generic], ...]
    """(C, Y, X) pixels in the smallest type that holds them, then halved again and again."""
    low: npt.NDArray[np.float64]
    """(C,) the intensity that becomes 0."""
    high: npt.NDArray[np.float64]
    """(C,) the intensity that becomes 1."""
    labels: npt.NDArray[np.integer]
    """(K, Y, X) in the smallest unsigned type that holds the ids."""
    valid: BoolArray | None
    """(K, Y, X), or None where everything can be trusted."""
    centers: npt.NDArray[np.float64]
    """(n, 2) centroids of all objects of all classes."""
    diameters: npt.NDArray[np.float64]
    """(n,) diameters of the circles with the objects' areas, in pixels of the image."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.labels.shape[1], self.labels.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays hold."""
        others = (self.labels, self.centers, self.diameters, self.valid)
        arrays = [*self.levels, *(array for array in others if array is not None)]
        return sum(array.nbytes for array in arrays)

    def magnification(self, diameter: float | None) -> float:
        """Return the factor that brings the median object to ``diameter``; 1 without objects."""
        if diameter is None or len(self.diameters) == 0:
            return 1.0
        return diameter / float(np.median(self.diameters))


def load_record(
    record: Record, classes: tuple[str, ...], preprocessing: Preprocessing
) -> LoadedRecord:
    """Read the image and the labels of a record, and measure them.

    Parameters
    ----------
    record
        With labels.
    classes
        Names of the K classes, in the order of the label planes that are wanted.
    preprocessing
        Says which range of intensities to measure, and how many channels an image may have.

    Raises
    ------
    InputError
        A file cannot be read, there are no labels, sizes differ, the classes do not fit, or the
        image has more channels than the network.
    """
    pixels = read_pixels(record)
    if len(pixels) > preprocessing.channels:
        msg = (
            f"{record.image}: expected an image of at most {preprocessing.channels} channels, "
            f"which is what the network takes, but got {len(pixels)}. Save the channels to train "
            "on as an image of its own, or set task.preprocessing.channels."
        )
        raise InputError(msg)
    labels, valid = read_targets(record, classes, pixels.shape[1:])
    # A gray image saved as color gives the same patches from one channel, in a third of the time.
    if len(pixels) == preprocessing.channels and (pixels[1:] == pixels[:1]).all():
        pixels = pixels[:1]
    pixels = shown_channels(pixels, preprocessing)
    low, high = normalization_range(pixels, preprocessing)
    table = measure_objects(labels)
    diameters = np.asarray(table["diameter"], dtype=np.float64)
    return LoadedRecord(
        record=record,
        levels=_levels(
            _smallest_type(pixels), float(np.median(diameters)) if len(diameters) else 0.0
        ),
        low=low,
        high=high,
        labels=labels.astype(np.min_scalar_type(int(labels.max(initial=0)))),
        valid=valid,
        centers=np.stack([table["centroid-0"], table["centroid-1"]], axis=1),
        diameters=diameters,
    )


def place_window(
    loaded: LoadedRecord,
    matrix: Matrix,
    size: int,
    *,
    object_probability: float,
    generator: np.random.Generator,
    centered: bool = False,
) -> Window:
    """Choose where a window of ``size`` x ``size`` pixels lies.

    Parameters
    ----------
    loaded
        The image.
    matrix
        A step in the window to a step in the image.
    size
        Side of the window in its own pixels.
    object_probability
        Share of windows that lie about an object chosen at random; the others lie anywhere.
    generator
        Source of randomness.
    centered
        Whether an image smaller than the window lies in the middle of it.

    Notes
    -----
    A window smaller than the image lies inside of it, as far as its turn allows; a larger one
    holds the whole image, anywhere in it. A window that is only turned by right angles and mirrored
    lies on whole pixels of the image, so that they are copied.
    """
    draws = generator.random(4)
    half = np.full(2, (size - 1) / 2.0 * np.sqrt(abs(np.linalg.det(matrix))))
    last = np.asarray(loaded.shape) - 1.0
    low, high = np.minimum(half, last - half), np.maximum(half, last - half)
    if draws[0] < object_probability and len(loaded.centers):
        chosen = loaded.centers[int(draws[1] * len(loaded.centers))]
        center = np.clip(chosen + half * 1.5 * (draws[2:] - 0.5), low, high)
    else:
        center = low + (high - low) * draws[2:]
    if centered:
        center = np.where(last < 2.0 * half, last / 2.0, center)
    if np.isin(matrix, (-1.0, 0.0, 1.0)).all():
        # The middle of a window of even size lies between two pixels.
        center = np.floor(center) + (size - 1) / 2.0 % 1.0
    return Window((float(center[0]), float(center[1])), matrix, (size, size))


def cut_patch(
    loaded: LoadedRecord,
    window: Window,
    preprocessing: Preprocessing,
    *,
    beyond: Beyond = "mirror",
) -> Sample:
    """Return the window of an image as the network sees it, with its labels.

    Parameters
    ----------
    loaded
        The image.
    window
        What to cut out.
    preprocessing
        Channels of the network; the range of intensities is that of the whole image.
    beyond
        What lies beyond the border of the image.

    Returns
    -------
    Sample
        With ``mirror`` the pixels beyond the border of the image are mirrored, and there are no
        labels and nothing is valid: an object cut by the border is learned as what is seen of it,
        which is how it looks in prediction. With ``zeros`` they are 0 and valid background.
    """
    labels = warp_labels(loaded.labels, window)
    inside = inside_image(loaded.shape, window)
    valid = np.broadcast_to(inside, labels.shape)
    if loaded.valid is not None:
        valid = warp_labels(loaded.valid, window) > 0
    if beyond == "zeros":
        valid = valid | ~inside
    level, shown = 0, window
    while shown.shrink >= 2.0 and level + 1 < len(loaded.levels):
        level, shown = level + 1, halved_window(shown)
    pixels = normalize(warp_image(loaded.levels[level], shown), loaded.low, loaded.high)
    if beyond == "zeros":
        pixels = np.where(inside, pixels, np.float32(0))
    return Sample(map_channels(pixels, preprocessing.channels), labels, np.array(valid))


def _smallest_type(pixels: FloatArray) -> npt.NDArray[np.generic]:
    """Return the pixels as uint8 or uint16 where that holds them exactly, to save memory."""
    for kind in (np.uint8, np.uint16):
        if pixels.size and pixels.min() >= 0 and pixels.max() <= np.iinfo(kind).max:
            small = pixels.astype(kind)
            if np.array_equal(small, pixels):
                return small
    return pixels


def _levels(
    pixels: npt.NDArray[np.generic], diameter: float
) -> tuple[npt.NDArray[np.generic], ...]:
    """Return the image and its halves, down to where its objects are too small to be wanted."""
    levels = [pixels]
    while diameter >= 2 * _SMALLEST_OBJECT and min(levels[-1].shape[1:]) >= 2 * _SMALLEST_SIDE:
        levels.append(halve(levels[-1]))
        diameter /= 2
    return tuple(levels)
