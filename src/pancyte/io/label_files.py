"""Label images on disk: ids of objects, one plane for each class.

One class is a plain 2D (or ZYX) file; K classes are one file with axes CYX (CZYX). Both are
OME-TIFF, losslessly compressed, with the names of the classes as channel names, and are read back
unchanged by the same function. Ids are uint16, or uint32 where they need it.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import tifffile

from pancyte.errors import InputError
from pancyte.io.axes import resolve_axes, to_image_axes
from pancyte.io.files import write_atomic
from pancyte.io.raster import open_raster

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pancyte.io.headers import Array, Header
    from pancyte.types import IntArray

_LOGGER = logging.getLogger(__name__)

_LARGEST_ID = np.iinfo(np.int32).max


@dataclass(frozen=True, slots=True, eq=False)
class ReadLabels:
    """Labels and how they were read."""

    labels: IntArray
    """(K, [Z,] Y, X) int32, one plane for each class."""
    classes: tuple[str, ...]
    """Names of the K classes; empty where the file does not say."""
    spacing: tuple[float, ...] | None
    """Micrometre per pixel along each spatial axis, or None."""
    original_ids: npt.NDArray[Any] | None
    """Where ids had to be renumbered: ``original_ids[label]`` is the id in the file."""


def read_labels(
    path: Path | str,
    *,
    axes: str | None = None,
    size: tuple[int, ...] | None = None,
    planes: Collection[int] = (),
    max_bytes: int | None = None,
) -> ReadLabels:
    """Read a label image.

    Parameters
    ----------
    path
        A TIFF, PNG or BMP file of ids, 0 being background.
    axes
        One letter for each axis of the array in the file, C for classes; None uses what the file
        says.
    size
        (Y, X) of the image that the labels belong to, which tells (Y, X, classes) from
        (classes, Y, X) where the file does not; None where it is not known.
    planes
        Numbers of classes that are expected: a color picture of as many samples has one class in
        each of them. Of any other, the samples must be equal, and are one class.
    max_bytes
        Memory that reading may take; None is half of what is available.

    Raises
    ------
    InputError
        The file cannot be read, is lossy, holds colors or fractions instead of ids, does not say
        what its axes are, or is of another size.

    Notes
    -----
    Ids that do not fit into int32, and negative ones, are renumbered 1..n in the order of the ids;
    the same id in two planes stays the same.
    """
    path = Path(path)
    if path.suffix.lower() in {".jpg", ".jpeg"}:
        msg = (
            f"{path}: JPEG changes values, so that it cannot hold ids. Save labels as TIFF or PNG."
        )
        raise InputError(msg)
    with open_raster(path, max_bytes=max_bytes, indices=True) as (header, decode):
        found = axes
        if axes is None and size is not None and "S" not in header.axes:
            found = _axes_by_size(header, size, path)
        named = resolve_axes(header.shape, header.axes, axes=found, where=str(path))
        array = decode()
    if "S" in header.axes and axes is None:
        array, named = _split_samples(array, header, planes, path)
    elif header.alpha:
        array = _without_last(array, header.axes.index("S"))
    ids = to_image_axes(_whole_numbers(array, path), named)
    labels, original_ids = _fit_int32(ids)
    if original_ids is not None:
        _LOGGER.warning(
            "%s: the ids, %d to %d, do not fit into 32 bits without sign, so that its %d objects "
            "were numbered anew, from 1, in the order of their ids",
            path, original_ids[1:].min(), original_ids[1:].max(), len(original_ids) - 1,
        )  # fmt: skip
    classes = header.channels if len(header.channels) == len(labels) else ()
    return ReadLabels(
        labels=labels,
        classes=classes,
        spacing=header.spatial_spacing(labels.ndim - 1),
        original_ids=original_ids,
    )


def _axes_by_size(header: Header, size: tuple[int, ...], path: Path) -> str | None:
    """Return the axes of an array of three axes by the size of its image; None if they are known.

    A program that knows no classes saves their planes as slices or frames, and a plain array says
    nothing at all: tifffile calls the first axis Q then, even where it is Y.
    """
    shape = header.shape
    if len(shape) != 3 or len(size) != 2 or "C" in header.axes:
        return None
    fitting = [
        named
        for named, place in (("CYX", shape[1:]), ("YXC", shape[:2]))
        if tuple(place) == tuple(size)
    ]
    if len(fitting) == 1:
        return fitting[0]
    got = f"{tuple(shape)}, which may be both of the latter" if fitting else f"{tuple(shape)}"
    msg = (
        f"{path}: expected labels of the size of their image, that is {tuple(size)}, "
        f"{(*size, 'classes')} or {('classes', *size)}, but got {got}. Save them in that size"
        f"{', with axes that are named, such as OME-TIFF with CYX' if fitting else ''}."
    )
    raise InputError(msg)


def _split_samples(
    array: Array, header: Header, planes: Collection[int], path: Path
) -> tuple[Array, str]:
    """Return the samples of a color picture as classes, or one of them where they are equal."""
    axis, count = header.axes.index("S"), array.shape[header.axes.index("S")]
    if header.alpha:
        # Four classes are easily saved as RGBA, but opacity is full everywhere, mostly.
        opacity = array.take(count - 1, axis=axis)
        if count not in planes or (opacity == opacity.flat[0]).all():
            array, count = _without_last(array, axis), count - 1
    if count > 1 and count in planes:
        return array, header.axes.replace("C", "Q").replace("S", "C")
    first = array.take(0, axis=axis)
    if not (array == np.expand_dims(first, axis)).all():
        msg = (
            f"{path}: is a color picture (shape {header.shape}) whose planes differ, so that it "
            "does not say which object a pixel belongs to. Save ids as a gray image; if each plane "
            f"holds the ids of one class, {_ask_for_classes(planes)}."
        )
        raise InputError(msg)
    return first, (header.axes[:axis] + header.axes[axis + 1 :])


def _ask_for_classes(planes: Collection[int]) -> str:
    if not planes:
        return "give axes='YXC'"
    expected = " or ".join(map(str, sorted(planes)))
    return f"name a class for each in task.classes, which expects {expected}"


def _without_last(array: Array, axis: int) -> Array:
    return array.take(range(array.shape[axis] - 1), axis=axis)


def _whole_numbers(array: Array, path: Path) -> Array:
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind != "f":
        msg = f"{path}: has {array.dtype} pixels, but labels are whole numbers."
        raise InputError(msg)
    whole = np.isfinite(array) & (array == np.floor(array)) & (np.abs(array) < 2.0**53)
    if not whole.all():
        example = array[~whole].flat[0]
        msg = (
            f"{path}: holds {example} ({array.dtype}), but labels are whole numbers, one for each "
            "object. Check that it is a label image, and save it with an integer type."
        )
        raise InputError(msg)
    return array.astype(np.int64)


def _fit_int32(ids: Array) -> tuple[IntArray, npt.NDArray[Any] | None]:
    if ids.size == 0 or (int(ids.min()) >= 0 and int(ids.max()) <= _LARGEST_ID):
        return np.ascontiguousarray(ids, dtype=np.int32), None
    present = np.unique(ids)
    present = present[present != 0]
    original = np.concatenate([np.zeros(1, ids.dtype), present])
    labels = (np.searchsorted(present, ids) + 1).astype(np.int32)
    labels[ids == 0] = 0
    return labels, original


def write_labels(
    path: Path,
    labels: npt.NDArray[np.integer],
    classes: Sequence[str],
    *,
    spacing: tuple[float, ...] | None = None,
) -> None:
    """Write a label image as OME-TIFF, atomically.

    Parameters
    ----------
    path
        The file to make, ending in ``.tif``.
    labels
        (K, [Z,] Y, X) of any integer type, ids not negative.
    classes
        Names of the K classes.
    spacing
        Micrometre per pixel along each spatial axis, or None.

    Raises
    ------
    ValueError
        The labels do not fit the classes, are negative, or have ids above those of uint32.
    ResourceError
        The disk is full.

    Notes
    -----
    The type is uint16 where the largest id of all planes fits, else uint32. One class is written
    without a C axis. Equal labels make equal files, byte for byte.
    """
    stored = _narrowest(labels, classes)
    axes = "CZYX" if labels.ndim == 4 else "CYX"
    if len(classes) == 1:
        stored, axes = stored[0], axes[1:]
    metadata: dict[str, Any] = {
        "axes": axes,
        "Channel": {"Name": list(classes)},
        "UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(stored.data).hexdigest())),
    }
    options: dict[str, Any] = {}
    if spacing is not None:
        for axis, size in zip("ZYX"[-len(spacing) :], spacing, strict=True):
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
        # Programs that do not read OME find the pixel size in the tags of plain TIFF.
        options = {
            "resolution": (1e4 / spacing[-1], 1e4 / spacing[-2]),
            "resolutionunit": "CENTIMETER",
        }
    write_atomic(
        path,
        lambda stream: tifffile.imwrite(
            stream,
            stored,
            ome=True,
            photometric="minisblack",
            compression="zlib",
            metadata=metadata,
            **options,
        ),
    )


def _narrowest(labels: npt.NDArray[np.integer], classes: Sequence[str]) -> Array:
    if labels.ndim not in (3, 4) or len(labels) != len(classes):
        msg = (
            f"Expected labels (K, [Z,] Y, X) with one plane for each of the classes "
            f"{tuple(classes)}, but got shape {labels.shape}"
        )
        raise ValueError(msg)
    lowest, highest = int(labels.min(initial=0)), int(labels.max(initial=0))
    if lowest < 0 or highest > np.iinfo(np.uint32).max:
        msg = f"Expected ids from 0 to {np.iinfo(np.uint32).max}, but got {lowest} to {highest}"
        raise ValueError(msg)
    if highest <= np.iinfo(np.uint16).max:
        return np.ascontiguousarray(labels, dtype=np.uint16)
    if labels.dtype == np.int32 and labels.flags.c_contiguous:
        return labels.view(np.uint32)  # no copy of what may be gigabytes
    return np.ascontiguousarray(labels, dtype=np.uint32)
