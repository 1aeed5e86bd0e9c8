"""What a user may hand to a model: a file, an array with named axes, or an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pancyte.errors import InputError, UsageError, counted
from pancyte.io.axes import choose_channels, resolve_axes, to_image_axes
from pancyte.io.images import ReadImage, read_image
from pancyte.io.memory import available_memory, in_words
from pancyte.ops.intensity import finite_pixels
from pancyte.types import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pancyte.types import Pixels


def open_source(
    source: Path | str | npt.NDArray[Any] | Image,
    *,
    axes: str | None,
    channels: str | Sequence[int | str] | None,
    spacing: tuple[float, ...] | None,
) -> tuple[Image, tuple[str, ...]]:
    """Return a 2D image with finite pixels, and warnings about what had to be changed.

    Raises
    ------
    UsageError
        The source is of another kind, is a stack, or does not say what its axes are.
    InputError
        The file cannot be read.
    """
    image, notes, where, named = _open(source, axes, channels)
    check_plane(image, axes=named, where=where)
    if 0 in image.pixels.shape:
        msg = f"{where}: expected an image of at least one pixel, but got {image.pixels.shape}"
        raise UsageError(msg)
    try:
        return Image(image.pixels, spacing or image.spacing, image.channels), notes
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error


def check_plane(image: Image, *, axes: str | None, where: str) -> None:
    """Refuse a stack, and say how one of its slices is segmented.

    Parameters
    ----------
    image
        What was read.
    axes
        Letters of the axes of the file or array; None where there are none, as in an ``Image``.
    where
        The source, named in the message.

    Raises
    ------
    UsageError
        The image is a stack.
    """
    if image.ndim == 2:
        return
    slices = image.pixels.shape[1]
    way = "Give one slice, or a projection."
    if axes is not None and "C" not in axes:
        # Slices that are called channels can be chosen from.
        renamed, middle = axes.replace("Z", "C"), slices // 2
        way = (
            f"For one slice, such as the middle one, give --axes {renamed} --channels {middle} (in "
            f'Python axes="{renamed}", channels="{middle}"); for all, save each slice, or a '
            "projection, as a file of its own."
        )
    elif axes is not None:
        way = "Save a slice, or a projection, as a file of its own."
    msg = (
        f"{where}: is a stack of {slices} slices (shape {image.pixels.shape[1:]} in z, y, x), but "
        f"models segment planes. {way}"
    )
    raise UsageError(msg)


def check_memory(shape: tuple[int, int], *, num_classes: int, where: str) -> None:
    """Refuse an image whose labels would not fit in memory twice.

    Twice are they held while the scale is sought (of an image that is not too large for that, see
    :class:`pancyte.inference.passes.Passes`), while objects are left out, and while they are
    written; never three times.

    Raises
    ------
    InputError
        There is less memory than that.
    """
    needed, free = 8 * num_classes * shape[0] * shape[1], available_memory()
    if needed > free:
        msg = (
            f"{where}: the labels of {shape[0]} x {shape[1]} pixels take {in_words(needed)} of "
            f"memory, but {in_words(free)} may be used. Cut the image into parts, or use a machine "
            "with more memory."
        )
        raise InputError(msg)


def reading_notes(read: ReadImage) -> tuple[str, ...]:
    """Return what the user should know about how a file was read, one sentence each."""
    return read.notes + _replaced_note(read.replaced)


def name_of(source: object) -> str:
    """Return what error messages call a source."""
    if isinstance(source, Path | str):
        return str(source)
    return "the image" if isinstance(source, Image) else "the array"


def _replaced_note(replaced: int) -> tuple[str, ...]:
    if not replaced:
        return ()
    were, their = ("was", "its") if replaced == 1 else ("were", "their")
    pixels = f"{counted(replaced, 'pixel')} {were} NaN or infinite"
    return (f"{pixels}; the median of {their} channel took {their} place",)


def _open(
    source: object,
    axes: str | None,
    channels: str | Sequence[int | str] | None,
) -> tuple[Image, tuple[str, ...], str, str | None]:
    where = name_of(source)
    if isinstance(source, Path | str):
        read = read_image(source, axes=axes, channels=channels, keep_type=True)
        return read.image, reading_notes(read), where, read.axes
    if isinstance(source, Image):
        if axes is not None:
            raise UsageError(f"axes {axes!r}: an Image has its axes; leave axes out")
        names = source.channels
        chosen = choose_channels(channels, names, count=len(source.pixels), where=where)
        kept = tuple(names[i] for i in chosen) if names else ()
        pixels, notes = _finite(source.pixels if channels is None else source.pixels[chosen], where)
        return Image(pixels, source.spacing, kept), notes, where, None
    if not isinstance(source, np.ndarray):
        msg = (
            "Expected a numpy array, a path or an Image to segment, but got "
            f"{type(source).__name__}. Convert it with numpy.asarray."
        )
        raise UsageError(msg)
    pixels, notes, named = _from_array(source, axes, channels, where)
    return Image(pixels), notes, where, named


def _from_array(
    array: npt.NDArray[Any],
    axes: str | None,
    channels: str | Sequence[int | str] | None,
    where: str,
) -> tuple[Pixels, tuple[str, ...], str]:
    if array.dtype.kind not in "biuf":
        msg = f"Expected an array of real numbers to segment, but got type {array.dtype}"
        raise UsageError(msg)
    if array.ndim < 2:
        msg = f"Expected an array with rows and columns to segment, but got shape {array.shape}"
        raise UsageError(msg)
    # A plane is rows and columns; what a third axis is, its size does not tell.
    unnamed = "YX".rjust(array.ndim, "Q")
    named = resolve_axes(array.shape, unnamed, axes=axes, where=where)
    planes = to_image_axes(array, named)
    chosen = choose_channels(channels, (), count=len(planes), where=where)
    return *_finite(planes if channels is None else planes[chosen], where), named


def _finite(pixels: npt.NDArray[Any], where: str) -> tuple[Pixels, tuple[str, ...]]:
    try:
        finite, replaced = finite_pixels(pixels, keep_type=True)
    except ValueError as error:
        raise UsageError(f"{where}: {error}. Choose other channels.") from error
    return np.ascontiguousarray(finite), _replaced_note(replaced)
