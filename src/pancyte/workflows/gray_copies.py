"""Gray copies of color images, so that a network also sees public color images without their color.

MEDIAR learns from the images of Cellpose in gray (Lee et al. 2022).
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pancyte.data.record_files import read_pixels
from pancyte.errors import UsageError
from pancyte.io.bitmaps import write_png
from pancyte.io.images import read_image
from pancyte.workflows.outputs import unique_stems

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from pancyte.data.records import Record
    from pancyte.types import FloatArray

_HIGHEST = 65535


def write_gray_copies(
    records: Sequence[Record], folder: Path, *, overwrite: bool = False
) -> tuple[Record, ...]:
    """Write a gray PNG of each image of several different channels.

    Parameters
    ----------
    records
        The images; their folders below the one that they share are kept.
    folder
        Where the copies go.
    overwrite
        Whether copies that are there may be replaced; images and labels never are.

    Returns
    -------
    tuple of Record
        The records with the copies as images; images that are gray already stay what they are.

    Raises
    ------
    UsageError
        A copy would replace a file. Then nothing is written.
    InputError
        An image cannot be read.
    """
    paths = [Path(os.path.abspath(record.image)) for record in records]  # noqa: PTH100 - no links
    shared = Path(os.path.commonpath([path.parent for path in paths])) if paths else Path()
    stems = unique_stems([path.relative_to(shared) for path in paths])
    copies = [folder / stem.parent / f"{stem.name}.png" for stem in stems]
    _check_new(records, copies, overwrite=overwrite)
    return tuple(_copy(*pair) for pair in zip(records, copies, strict=True))


def _check_new(records: Sequence[Record], copies: Sequence[Path], *, overwrite: bool) -> None:
    originals = {path.resolve() for record in records for path in _files(record)}
    for record, path in zip(records, copies, strict=True):
        if not path.exists() or _is_gray(read_pixels(record)):
            continue
        if path.resolve() in originals:
            msg = (
                f"{path}: the gray copy of {record.image} would replace an image or labels that "
                "the copies are made of. Choose another folder for the gray copies."
            )
            raise UsageError(msg)
        if not overwrite:
            msg = (
                f"{path}: exists already. Choose another folder for the gray copies, or allow "
                "overwriting."
            )
            raise UsageError(msg)


def _files(record: Record) -> Iterator[Path]:
    yield record.image
    yield from (path for path in (record.labels, record.valid) if path is not None)
    yield from (path for _, path in record.class_labels)


def _is_gray(pixels: FloatArray) -> bool:
    return bool((pixels[1:] == pixels[:1]).all())


def _copy(record: Record, path: Path) -> Record:
    pixels = read_pixels(record)
    if _is_gray(pixels):
        return record
    write_png(path, _as_integers(pixels.mean(axis=0)))
    spacing = record.spacing or read_image(record.image).image.spacing
    return replace(record, image=path, spacing=spacing)


def _as_integers(pixels: FloatArray) -> npt.NDArray[np.uint8 | np.uint16]:
    """Return pixels as uint8 or uint16; values that do not fit are stretched to 16 bits.

    A stretch changes nothing for a network, whose input is normalized.
    """
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > _HIGHEST or high <= 1:
        pixels = (pixels - low) * (_HIGHEST / ((high - low) or 1.0))
        high = _HIGHEST
    return np.round(pixels).astype(np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16)
