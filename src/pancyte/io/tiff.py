"""TIFF files, with what ImageJ, OME and tifffile write about axes, channels and pixel size.

The header of the file is believed, sizes are not interpreted: planes that no metadata names keep
the letter that tifffile gives them (``I`` or ``Q``), and the user is asked.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from pancyte.errors import InputError
from pancyte.io.axes import micrometres
from pancyte.io.headers import Array, Decoder, Header
from pancyte.io.tiff_checks import check_pages, check_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)

_LARGEST_SPACING = 1000.0
"""Micrometre per pixel above which a resolution is that of a printed page, not of a microscope."""
# What tifffile logs, by words in it, and what that means to the user. All else is for developers.
_MEANINGS = (
    ("missing", "parts of the image are missing from the file, and were read as 0"),
    ("OME series", "what the file says about its axes (OME) is damaged; check them"),
    ("ImageJ", "what the file says about its axes (ImageJ) is damaged; check them"),
    ("imagej_metadata", "what the file says about its axes (ImageJ) is damaged; check them"),
    ("shaped series", "what the file says about its axes does not fit its pixels; check them"),
    ("TiffTag", "an entry of the file's header is damaged, and was left out"),
)
_SIDE_IMAGES = {"Label", "Macro", "Thumbnail", "Overview"}


@contextmanager
def open_tiff(path: Path, *, indices: bool = False) -> Iterator[tuple[Header, Decoder]]:
    """Open a TIFF file; with ``indices`` a palette image gives its indices, not its colors."""
    check_pages(path)
    with _captured_log() as notes, tifffile.TiffFile(path) as tif:
        all_series = _images(tif)
        if not all_series:
            msg = f"{path}: holds no image. Check how it was made."
            raise InputError(msg)
        series = all_series[0]
        for one in all_series:
            check_pixels(one, tif.filehandle.size, path)
        if len(all_series) == 1:
            shape, axes, dtype = series.shape, series.axes, series.dtype
        else:
            shape, axes, dtype = _common_planes(all_series, path)
        page = series.keyframe
        header = Header(
            format="TIFF",
            shape=tuple(shape),
            axes=axes,
            dtype=np.dtype(dtype),
            spacing=_spacing(tif, page),
            channels=_channel_names(tif),
            alpha=_has_alpha(page),
            palette=None if indices else _palette(tif, page),
            black=_black(page),
            notes=notes,
        )

        def decode() -> Array:
            if len(all_series) == 1:
                return np.asarray(series.asarray()).reshape(shape)
            return np.concatenate(
                [np.asarray(s.asarray(), dtype).reshape(-1, *shape[1:]) for s in all_series]
            )

        yield header, decode


def _images(tif: tifffile.TiffFile) -> list[Any]:
    """Return the series of a file without thumbnails and the smaller levels of a pyramid.

    tifffile also takes pages for levels whose sizes alone look like it; those are images.
    """
    return [
        level
        for series in tif.series
        if series.name not in _SIDE_IMAGES
        for number, level in enumerate(series.levels)
        if number == 0 or not (level.keyframe.is_reduced or level.keyframe.is_subifd)
    ]


def _common_planes(
    all_series: Sequence[Any], path: Path
) -> tuple[tuple[int, ...], str, np.dtype[Any]]:
    """Join pages of one size that tifffile keeps apart because their types differ."""
    shapes = [tuple(s.shape) for s in all_series]
    plane = shapes[0][-2:]
    if any(s.axes not in {"YX", "IYX", "QYX"} or s.shape[-2:] != plane for s in all_series):
        listed = ", ".join(str(shape) for shape in shapes[:4])
        msg = (
            f"{path}: holds {len(shapes)} images (shapes {listed}), but one is expected. "
            "Save each as a file of its own."
        )
        raise InputError(msg)
    count = sum(1 if len(shape) == 2 else shape[0] for shape in shapes)
    return (count, *plane), "QYX", np.result_type(*(s.dtype for s in all_series))


def _has_alpha(page: Any) -> bool:  # noqa: ANN401
    # 1 and 2 are associated and unassociated alpha; 0 is not specified and so a channel.
    return bool(page.extrasamples) and int(page.extrasamples[-1]) in {1, 2}


def _black(page: Any) -> int | None:  # noqa: ANN401
    # A 1-bit image is a mask, where 1 is the object whatever it is printed with.
    if page.photometric != 0 or page.bitspersample == 1 or page.dtype.kind != "u":
        return None
    return int(2**page.bitspersample) - 1


def _palette(tif: tifffile.TiffFile, page: Any) -> Array | None:  # noqa: ANN401
    # In ImageJ a lookup table is how intensities are shown, not what they are.
    if page.photometric != 3 or tif.is_imagej or page.colormap is None:
        return None
    return np.asarray(page.colormap).T


def _spacing(tif: tifffile.TiffFile, page: Any) -> Mapping[str, float]:  # noqa: ANN401
    if tif.is_ome:
        spacing = _ome_spacing(tif)
    elif tif.is_imagej:
        unit = micrometres(str((tif.imagej_metadata or {}).get("unit", "")))
        depth = (tif.imagej_metadata or {}).get("spacing")
        spacing = {} if unit is None else _resolution(page, unit)
        if unit is not None and isinstance(depth, int | float):
            spacing["Z"] = abs(depth) * unit
    else:
        # 3 is centimetre. 2, inch, is what programs write that know nothing of micrometres.
        spacing = _resolution(page, 1e4) if page.resolutionunit == 3 else {}
    return {axis: value for axis, value in spacing.items() if 0 < value <= _LARGEST_SPACING}


def _resolution(page: Any, unit: float) -> dict[str, float]:  # noqa: ANN401
    spacing = {}
    for axis, name in (("Y", "YResolution"), ("X", "XResolution")):
        tag = page.tags.get(name)
        if tag is not None:
            pixels, units = tag.value
            if pixels > 0 and units > 0:
                spacing[axis] = unit * units / pixels
    return spacing


def _ome_pixels(tif: tifffile.TiffFile) -> Mapping[str, Any]:
    images = tifffile.xml2dict(tif.ome_metadata or "")["OME"]["Image"]
    pixels: Mapping[str, Any] = (images[0] if isinstance(images, list) else images)["Pixels"]
    return pixels


def _ome_spacing(tif: tifffile.TiffFile) -> dict[str, float]:
    pixels = _ome_pixels(tif)
    spacing = {}
    for axis in "ZYX":
        size = pixels.get(f"PhysicalSize{axis}")
        unit = micrometres(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        if isinstance(size, int | float) and unit is not None:
            spacing[axis] = float(size) * unit
    return spacing


def _channel_names(tif: tifffile.TiffFile) -> tuple[str, ...]:
    if not tif.is_ome:
        # ImageJ labels the planes; they are names of channels where there are as many of them.
        labels = (tif.imagej_metadata or {}).get("Labels", ())
        return tuple(str(label) for label in labels) if isinstance(labels, list) else ()
    channels = _ome_pixels(tif).get("Channel", [])
    channels = channels if isinstance(channels, list) else [channels]
    names = tuple(str(channel.get("Name", "")) for channel in channels)
    return names if all(names) else ()


@contextmanager
def _captured_log() -> Iterator[list[str]]:
    """Collect what tifffile logs in this thread as notes to the user.

    Without a handler it would go to stderr.
    """
    notes: list[str] = []
    messages: list[str] = []
    thread = threading.get_ident()

    def collect(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        messages.append(record.getMessage())
        note = next((note for words, note in _MEANINGS if words in messages[-1]), None)
        if note is not None and note not in notes:
            notes.append(note)
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(collect)
    try:
        yield notes
    finally:
        logger.removeFilter(collect)
        for message in messages:
            _log.debug("%s", message)
