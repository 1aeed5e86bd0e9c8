"""The files of a record as arrays: its pixels, and its labels in the order of a task's classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pancyte.errors import InputError
from pancyte.io.images import read_image
from pancyte.io.label_files import ReadLabels, read_labels

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from pancyte.data.records import Record
    from pancyte.types import BoolArray, FloatArray, IntArray


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
