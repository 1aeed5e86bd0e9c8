"""An image in memory, measured once, and the windows that are cut out of it.

What depends on the whole image (its range of intensities, its object size) is measured when the
image is loaded, so a patch is normalized and scaled exactly as prediction does it with the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from pancyte.errors import InputError
from pancyte.io.images import read_image
from pancyte.io.label_files import ReadLabels, read_labels
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
from pancyte.types import BoolArray, FloatArray, IntArray, Sample

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

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


def read_pixels(record: Record) -> FloatArray:
    """Read the pixels (C, Y, X) of a record's image.

    Raises
    ------
    InputError
        The file cannot be read, or is no 2D image.
    """
    pixels = read_image(record.image).image.pixels
    if pixels.ndim != 3:
        msg = (
            f"{record.image}: expected a 2D image (C, Y, X), but got {pixels.shape}. "
            "Save the slices to train on as images of their own."
        )
        raise InputError(msg)
    return np.asarray(pixels, dtype=np.float32)


def read_record_labels(
    record: Record, *, size: tuple[int, ...] | None = None, planes: Collection[int] = ()
) -> ReadLabels:
    """Read the labels of a record, whose classes may have files of their own.

    Parameters
    ----------
    record
        With labels.
    size, planes
        Size of the image, and the numbers of classes that one file may hold, as
        :func:`pancyte.io.label_files.read_labels` wants them.

    Returns
    -------
    ReadLabels
        With the names of ``class_labels`` where there are some, one plane for each.

    Raises
    ------
    InputError
        A file cannot be read, one of a class holds several planes, or their sizes differ.
    """
    if record.labels is None:
        msg = f"{record.image}: expected labels to train or validate on, but the record has none"
        raise InputError(msg)
    if not record.class_labels:
        return read_labels(record.labels, size=size, planes=planes)
    read = {name: read_labels(path, size=size) for name, path in record.class_labels}
    first = read[record.class_labels[0][0]]
    for name, path in record.class_labels:
        planes = read[name].labels
        if len(planes) != 1 or planes.shape != first.labels.shape:
            msg = (
                f"{path}: expected one plane of the labels of the class {name!r}, of the size of "
                f"{record.labels.name}, {first.labels.shape[1:]}, but got {planes.shape}"
            )
            raise InputError(msg)
    labels = np.concatenate([one.labels for one in read.values()])
    return ReadLabels(labels, tuple(read), first.spacing, None)


def read_targets(
    record: Record, classes: tuple[str, ...], shape: tuple[int, ...]
) -> tuple[IntArray, BoolArray | None]:
    """Read the labels of a record in the order of ``classes``, and where they can be trusted.

    Parameters
    ----------
    record
        With labels.
    classes
        Names of the K classes.
    shape
        (Y, X) of the image.

    Returns
    -------
    labels : IntArray of shape (K, Y, X)
        0 in the planes of classes that were not annotated.
    valid : BoolArray of shape (K, Y, X) or None
        False in those planes, and where the record's own mask is 0; None means everywhere.

    Raises
    ------
    InputError
        There are no labels, sizes differ, or the classes do not fit.
    """
    wanted = _annotated(record, classes)
    read = read_record_labels(record, size=shape, planes={len(wanted), len(classes)})
    if read.labels.shape[1:] != tuple(shape):
        msg = (
            f"{record.labels}: expected labels of the size of {record.image.name}, "
            f"{tuple(shape)}, but got {read.labels.shape[1:]}"
        )
        raise InputError(msg)
    order = _plane_order(record, classes, wanted, read)
    labels = np.zeros((len(classes), *shape), dtype=np.int32)
    for position, plane in order.items():
        labels[position] = read.labels[plane]
    if len(order) == len(classes) and record.valid is None:
        return labels, None
    valid = np.zeros(labels.shape, dtype=np.bool_)
    valid[list(order)] = True
    if record.valid is not None:
        valid &= _read_valid(record.valid, shape)
    return labels, valid


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


def _annotated(record: Record, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the classes that were annotated in an image."""
    wanted = classes if record.annotated is None else record.annotated
    own = [name for name, _ in record.class_labels]
    if record.annotated is None and set(classes) & set(own):
        # A class whose file is not named was not annotated in this image.
        wanted = tuple(name for name in classes if name in own)
    unknown = [name for name in wanted if name not in classes]
    if unknown:
        msg = (
            f"{record.image}: annotated names the class {unknown[0]!r}, but the task has {classes}"
        )
        raise InputError(msg)
    if len(set(wanted)) < len(wanted):
        msg = f"{record.image}: annotated names a class twice in {wanted}. Name each once."
        raise InputError(msg)
    return wanted


def _plane_order(
    record: Record, classes: tuple[str, ...], wanted: tuple[str, ...], read: ReadLabels
) -> dict[int, int]:
    """Return the plane of the file for the position of each annotated class."""
    num_planes, names = len(read.labels), read.classes
    twice = [name for name in wanted if names.count(name) > 1]
    if twice:
        msg = (
            f"{record.labels}: names the class {twice[0]!r} {names.count(twice[0])} times in "
            f"{names}. Name each plane once."
        )
        raise InputError(msg)
    # A file may call its only class by a name of its own; a manifest means the names that it gives.
    is_other = bool(record.class_labels) or bool(set(names) & set(classes))
    if num_planes == len(wanted) == 1 and (wanted[0] in names or not is_other):
        return {classes.index(wanted[0]): 0}
    if names and set(wanted) <= set(names):
        return {classes.index(name): names.index(name) for name in wanted}
    # Without names, planes are in the order of the classes: all of them, or those annotated.
    order = {len(wanted): [name for name in classes if name in wanted], len(classes): classes}
    if names or num_planes not in order:
        got = f"named {', '.join(names)}" if names else "without names"
        msg = (
            f"{record.labels}: expected one label plane for each of the classes "
            f"{', '.join(wanted)}, but got {num_planes} {got}. The manifest's column 'annotated' "
            "names the classes that a file holds, such as cell;nucleus."
        )
        raise InputError(msg)
    planes = {classes.index(name): plane for plane, name in enumerate(order[num_planes])}
    return {place: plane for place, plane in planes.items() if classes[place] in wanted}


def _read_valid(path: Path, shape: tuple[int, ...]) -> BoolArray:
    mask: BoolArray = read_labels(path).labels != 0
    if mask.shape[1:] != shape or mask.shape[0] != 1:
        msg = f"{path}: expected a valid mask of one plane of {tuple(shape)}, but got {mask.shape}"
        raise InputError(msg)
    return mask


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
