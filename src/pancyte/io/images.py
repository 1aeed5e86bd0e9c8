"""Image files to :class:`~pancyte.types.Image`: axes, channels, pixel size and finite values.

16-bit pixels stay exact in float32. What the file does not say is asked for, not guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pancyte.errors import InputError
from pancyte.io.axes import choose_channels, resolve_axes, to_image_axes
from pancyte.io.raster import SUFFIXES, open_raster
from pancyte.ops.intensity import finite_pixels
from pancyte.types import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pancyte.io.headers import Array

LABELS_SUFFIX: Final = "_labels.tif"
OVERLAY_SUFFIX: Final = "_overlay.png"
ERRORS_SUFFIX: Final = "_errors.png"
SHEETS_SUFFIX: Final = ".modalities"
"""Of the folder beside a manifest in which a sheet shows the images of each modality."""
PICTURE_SUFFIXES: Final = (OVERLAY_SUFFIX, ERRORS_SUFFIX)
RESULT_SUFFIXES: Final = (LABELS_SUFFIX, *PICTURE_SUFFIXES)
"""Ends of the names that pancyte itself gives to its results."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadImage:
    """An image and how it was read."""

    image: Image
    axes: str
    """Letters of the axes in the order of the file."""
    replaced: int
    """Number of NaN and infinite pixels that were replaced by the median of their channel."""
    notes: tuple[str, ...]
    """What the user should know, such as a dropped alpha channel; one sentence each."""


def read_image(
    path: Path | str,
    *,
    axes: str | None = None,
    channels: str | Sequence[int | str] | None = None,
    max_bytes: int | None = None,
    keep_type: bool = False,
) -> ReadImage:
    """Read an image file.

    Parameters
    ----------
    path
        A TIFF, PNG, JPEG or BMP file.
    axes
        One letter for each axis of the array in the file, such as ``ZYX`` or ``CYX``. Wins over
        what the file says; needed where it says nothing.
    channels
        Indices or names of the channels to keep, such as ``"0,2"``; None keeps all.
    max_bytes
        Memory that reading may take; None is half of what is available.
    keep_type
        Whether pixels of 8 and 16 bits without sign stay what they are, in a quarter and in half of
        the memory.

    Returns
    -------
    ReadImage
        The image (C, [Z,] Y, X), all finite, with its spacing in micrometre; float32, if not
        ``keep_type``.

    Raises
    ------
    InputError
        The file cannot be read, or does not say what its axes are.
    UsageError
        ``axes`` or ``channels`` do not fit the file.

    Notes
    -----
    An alpha channel is dropped, and noted where it was not opaque. The colors of a palette are
    looked up. In an ImageJ file the lookup table is a matter of display and is not applied.
    """
    path = Path(path)
    with open_raster(path, max_bytes=max_bytes, keep_type=keep_type) as (header, decode):
        named = resolve_axes(header.shape, header.axes, axes=axes, where=str(path))
        if header.dtype.kind not in "biuf":
            msg = f"{path}: has {header.dtype} pixels. Save real numbers, such as the magnitude."
            raise InputError(msg)
        array = decode()
    notes = list(header.notes)
    if header.palette is not None:
        array, named = header.palette[array], named + "C"
    if header.black is not None:
        array = (header.black - array).astype(array.dtype)
        notes.append("0 is white in this file, so that its values were inverted")
    if header.alpha and named[header.axes.index("S")] == "C":
        array, note = _drop_alpha(array, header.axes.index("S"))
        notes.extend(note)
    planes = to_image_axes(array, named)
    names = header.channels if len(header.channels) == len(planes) else ()
    chosen = choose_channels(channels, names, count=len(planes), where=str(path))
    kept = planes if channels is None else planes[chosen]
    try:
        pixels, replaced = finite_pixels(kept, keep_type=keep_type)
    except ValueError as error:
        msg = f"{path}: {error}. Export it again, or choose other channels."
        raise InputError(msg) from error
    image = Image(
        pixels=np.ascontiguousarray(pixels),
        spacing=header.spatial_spacing(pixels.ndim - 1),
        channels=tuple(names[i] for i in chosen) if names else (),
    )
    return ReadImage(image=image, axes=named, replaced=replaced, notes=tuple(notes))


def _drop_alpha(array: Array, axis: int) -> tuple[Array, list[str]]:
    alpha = array.take(-1, axis=axis)
    colors = array.take(range(array.shape[axis] - 1), axis=axis)
    opaque = np.iinfo(array.dtype).max if array.dtype.kind == "u" else alpha.max()
    share = float(np.mean(alpha < opaque))
    if share == 0:
        return colors, []
    return colors, [f"the alpha channel was dropped; {share:.1%} of the pixels are not opaque"]


def find_images(source: Path | str) -> list[Path]:
    """Return the image files of a folder in sorted order, or the one file that is given.

    Parameters
    ----------
    source
        A folder, which is searched at any depth, or a file that is returned as it is.

    Raises
    ------
    InputError
        There is no such path, or no image in the folder.

    Notes
    -----
    Hidden files and folders are left out, and so are our own results: names that end in
    ``_labels.tif``, ``_overlay.png`` or ``_errors.png``, and files in a folder ``*.modalities``.
    """
    source = Path(source)
    if source.is_file():
        return [source]
    if not source.is_dir():
        msg = f"{source}: no such file or folder. Check the path."
        raise InputError(msg)
    files = sorted(
        path
        for path in source.rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(source).parts)
    )
    images = [path for path in files if _is_image(path)]
    if not images:
        found = ", ".join(sorted({path.suffix.lower() or path.name for path in files})[:8])
        msg = (
            f"{source}: holds no image. Known are {', '.join(SUFFIXES)}; "
            f"found {len(files)} other files{f' ({found})' if found else ''}."
        )
        raise InputError(msg)
    return images


def _is_image(path: Path) -> bool:
    is_result = path.name.lower().endswith(RESULT_SUFFIXES) or is_drawn(path)
    return path.suffix.lower() in SUFFIXES and not is_result


def is_drawn(path: Path) -> bool:
    """Return whether a file is one of our pictures, by the name that we gave it.

    Examples
    --------
    >>> is_drawn(Path("a_errors.png")), is_drawn(Path("all.modalities/cluster_1.png"))
    (True, True)
    >>> is_drawn(Path("a_labels.tif"))
    False
    """
    in_sheets = path.parent.name.lower().endswith(SHEETS_SUFFIX)
    return in_sheets or path.name.lower().endswith(PICTURE_SUFFIXES)
