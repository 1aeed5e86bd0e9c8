"""Whether a TIFF file is whole, before it is believed.

tifffile follows a circle of pages without end, stops in silence where the chain of pages leaves
the file, and fills pixels that are missing with zeros. Here each of these is an error.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, BinaryIO

from pancyte.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

_GRAY_OR_COLOR = {0, 1, 2, 3}
_YCBCR, _JPEG = 6, 7


def check_pages(path: Path) -> None:
    """Follow the chain of pages of a TIFF or BigTIFF file to its end.

    Raises
    ------
    InputError
        The chain runs in a circle or leaves the file.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(16)
        order = "<" if start[:2] == b"II" else ">"
        big = struct.unpack(f"{order}H", start[2:4])[0] == 43
        offset = struct.unpack(f"{order}Q", start[8:16])[0] if big else _word(start, order)
        seen: set[int] = set()
        while offset != 0:
            if offset in seen:
                msg = f"{path}: is damaged: its pages refer to each other in a circle."
                raise InputError(f"{msg} Copy or export it again.")
            seen.add(offset)
            after = _next_page(stream, offset, order=order, big=big)
            if after is None:
                msg = (
                    f"{path}: is truncated: page {len(seen)} begins at byte {offset}, but the file "
                    f"ends at {size}. Copy or export it again."
                )
                raise InputError(msg)
            offset = after


def _word(start: bytes, order: str) -> int:
    value: int = struct.unpack(f"{order}I", start[4:8])[0]
    return value


def _next_page(stream: BinaryIO, offset: int, *, order: str, big: bool) -> int | None:
    """Return where the next page begins, 0 after the last one, None if this one is cut off."""
    count_format, tag_bytes, offset_format = ("Q", 20, "Q") if big else ("H", 12, "I")
    count_bytes, offset_bytes = struct.calcsize(f"={count_format}"), 8 if big else 4
    stream.seek(offset)
    content = stream.read(count_bytes)
    if len(content) < count_bytes:
        return None
    count: int = struct.unpack(order + count_format, content)[0]
    stream.seek(offset + count_bytes + count * tag_bytes)
    content = stream.read(offset_bytes)
    if len(content) < offset_bytes:
        return None
    after: int = struct.unpack(order + offset_format, content)[0]
    return after


def check_pixels(series: Any, size: int, path: Path) -> None:  # noqa: ANN401 - tifffile is untyped
    """Check that every plane of a tifffile series is there, whole, and gray or RGB.

    Parameters
    ----------
    series
        A ``tifffile.TiffPageSeries``.
    size
        Size of the file in bytes.
    path
        Named in the message of an error.

    Raises
    ------
    InputError
        Planes or parts of them are missing, or the colors are of another kind.
    """
    missing = sum(page is None for page in series.pages)
    if missing:
        msg = (
            f"{path}: {missing} of {len(series.pages)} planes are missing. The file is truncated, "
            "or its other files are not beside it. Copy it again, with all of its files."
        )
        raise InputError(msg)
    _check_colors(series.keyframe, path)
    for page in series.pages:
        end = max(map(sum, zip(page.dataoffsets, page.databytecounts, strict=True)), default=0)
        if page.is_contiguous and series.dataoffset is not None:
            end = max(end, series.dataoffset + series.nbytes)
        if end > size:
            msg = (
                f"{path}: is truncated: its pixels end at byte {end}, but the file has {size}. "
                "Copy or export it again."
            )
            raise InputError(msg)
        if not _has_all_segments(page):
            msg = f"{path}: is damaged: parts of its pixels are missing. Copy or export it again."
            raise InputError(msg)


def _has_all_segments(page: Any) -> bool:  # noqa: ANN401
    if page.is_contiguous:
        num_bytes: int = sum(page.databytecounts)
        return num_bytes >= int(page.nbytes)
    num_segments: int = math.prod(page.chunked)
    return len(page.dataoffsets) >= num_segments


def _check_colors(page: Any, path: Path) -> None:  # noqa: ANN401
    # JPEG compression brings YCbCr, which is decoded to RGB.
    if page.photometric in _GRAY_OR_COLOR or (page.photometric, page.compression) == (
        _YCBCR,
        _JPEG,
    ):
        return
    name = getattr(page.photometric, "name", page.photometric)
    msg = f"{path}: has colors of the kind {name}. Save it as gray or RGB."
    raise InputError(msg)
