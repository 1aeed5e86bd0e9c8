"""Image files to :class:`~pancyte.types.Image`: axes, channels, pixel size and finite values.

16-bit pixels stay exact in float32. What the file does not say is asked for, not guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pancyte.errors import InputError
from pancyte.io.axes import choose_channels, resolve_axes, to_image_axes
from pancyte.io.raster import SUFFIXES, open_raster
from pancyte.types import FloatArray, Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pancyte.io.headers import Array, Header

RESULT_SUFFIXES = ("_labels.tif", "_overlay.png")
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

    Returns
    -------
    ReadImage
        The image (C, [Z,] Y, X) float32, all finite, with its spacing in micrometre.

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
    with open_raster(path, max_bytes=max_bytes) as (header, decode):
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
    pixels, replaced = _finite_pixels(kept, path)
    image = Image(
        pixels=pixels,
        spacing=header.spatial_spacing(pixels.ndim - 1),
        channels=tuple(names[i] for i in chosen) if names else (),
    )
    return ReadImage(image=image, axes=named, replaced=replaced, notes=tuple(notes))


def probe_image(path: Path | str) -> Header:
    """Return what the header of an image file says, without decoding its pixels.

    Raises
    ------
    InputError
        The file is missing, damaged or not an image.
    """
    with open_raster(Path(path), max_bytes=1 << 62) as (header, _):
        return header


def _drop_alpha(array: Array, axis: int) -> tuple[Array, list[str]]:
    alpha = array.take(-1, axis=axis)
    colors = array.take(range(array.shape[axis] - 1), axis=axis)
    opaque = np.iinfo(array.dtype).max if array.dtype.kind == "u" else alpha.max()
    share = float(np.mean(alpha < opaque))
    if share == 0:
        return colors, []
    return colors, [f"the alpha channel was dropped; {share:.1%} of the pixels are not opaque"]


def _finite_pixels(planes: Array, path: Path) -> tuple[FloatArray, int]:
    with np.errstate(over="ignore"):  # float64 beyond the range of float32 counts as infinite
        pixels = np.ascontiguousarray(planes, dtype=np.float32)
    if planes.dtype.kind != "f":
        return pixels, 0
    replaced = 0
    for index, channel in enumerate(pixels):
        bad = ~np.isfinite(channel)
        count = int(np.count_nonzero(bad))
        if count == 0:
            continue
        if count == channel.size:
            msg = f"{path}: channel {index} holds no finite pixel, only NaN or infinity."
            raise InputError(f"{msg} Export it again, or choose other channels with --channels.")
        channel[bad] = np.median(channel[~bad])
        replaced += count
    return pixels, replaced


def find_images(source: Path | str, *, recursive: bool = True) -> list[Path]:
    """Return the image files of a folder in sorted order, or the one file that is given.

    Parameters
    ----------
    source
        A folder, or a file that is returned as it is.
    recursive
        Whether folders inside the folder are searched too.

    Raises
    ------
    InputError
        There is no such path, or no image in the folder.

    Notes
    -----
    Hidden files and folders are left out, and so are our own results, whose names end in
    ``_labels.tif`` or ``_overlay.png``.
    """
    source = Path(source)
    if source.is_file():
        return [source]
    if not source.is_dir():
        msg = f"{source}: no such file or folder. Check the path."
        raise InputError(msg)
    pattern = "**/*" if recursive else "*"
    files = sorted(
        path
        for path in source.glob(pattern)
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
    name = path.name.lower()
    return path.suffix.lower() in SUFFIXES and not name.endswith(RESULT_SUFFIXES)
