"""PNG, JPEG and BMP files: one plane, gray or in color.

PNG is decoded by libpng (through imagecodecs), which keeps 16-bit color exact and checks the
checksum of every part; Pillow does neither. The resolution in these formats is that of a printer
or a screen, so it is not taken for a size in micrometre, and an orientation in the metadata of a
camera is ignored, so that pixels stay where their labels are.
"""

from __future__ import annotations

import io
import struct
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import BmpImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin

from pancyte.errors import InputError
from pancyte.io.files import write_bytes
from pancyte.io.headers import Array, Decoder, Header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PNG_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_PILLOW_SAMPLES = {"1": 1, "L": 1, "P": 1, "RGB": 3, "RGBA": 4}
# Files of level 6 are 0 to 7 % smaller, and take three times as long.
_LEVEL = 3


@contextmanager
def open_png(path: Path, *, indices: bool = False) -> Iterator[tuple[Header, Decoder]]:
    """Open a PNG file; with ``indices`` a palette image gives its indices, not its colors."""
    content = path.read_bytes()
    width, height, depth, kind = struct.unpack_from(">IIBB", content, 16)
    before_pixels = content[: content.find(b"IDAT")]
    if b"acTL" in before_pixels:
        msg = f"{path}: is an animation. Save each frame as a file of its own."
        raise InputError(msg)
    transparent = b"tRNS" in before_pixels
    samples = _PNG_SAMPLES[kind] + transparent
    as_indices = indices and kind == 3
    if as_indices:
        samples = 1
    header = _header(
        "PNG",
        (height, width),
        samples,
        np.dtype(np.uint16 if depth == 16 else np.uint8),
        alpha=not as_indices and (transparent or kind in {4, 6}),
    )

    def decode() -> Array:
        pixels: Array = imagecodecs.png_decode(content)
        if as_indices:
            with PngImagePlugin.PngImageFile(io.BytesIO(content)) as image:
                return np.asarray(image)
        return pixels

    yield header, decode


@contextmanager
def open_jpeg(path: Path) -> Iterator[tuple[Header, Decoder]]:
    """Open a JPEG file."""
    with path.open("rb") as stream, JpegImagePlugin.JpegImageFile(stream) as image:
        yield _pillow(path, image, "JPEG")


@contextmanager
def open_bmp(path: Path, *, indices: bool = False) -> Iterator[tuple[Header, Decoder]]:
    """Open a BMP file; with ``indices`` a palette image gives its indices, not its colors."""
    with path.open("rb") as stream, BmpImagePlugin.BmpImageFile(stream) as image:
        yield _pillow(path, image, "BMP", indices=indices)


def _pillow(
    path: Path, image: ImageFile.ImageFile, kind: str, *, indices: bool = False
) -> tuple[Header, Decoder]:
    # The classes of the plugins are used rather than `PIL.Image.open`, which compares with a
    # limit that is global to the process; the caller has a budget of its own.
    if image.mode not in _PILLOW_SAMPLES:
        msg = f"{path}: has pixels of mode {image.mode}. Convert it to gray or RGB."
        raise InputError(msg)
    width, height = image.size
    colors = image.mode == "P" and not indices
    samples = 3 if colors else _PILLOW_SAMPLES[image.mode]
    dtype = np.dtype(np.bool_ if image.mode == "1" else np.uint8)
    header = _header(kind, (height, width), samples, dtype, alpha=samples == 4)

    def decode() -> Array:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
        return np.asarray(image.convert("RGB") if colors else image)

    return header, decode


def _header(
    kind: str,
    size: tuple[int, int],
    samples: int,
    dtype: np.dtype[Any],
    *,
    alpha: bool,
) -> Header:
    shape, axes = ((*size, samples), "YXS") if samples > 1 else (size, "YX")
    return Header(format=kind, shape=shape, axes=axes, dtype=dtype, alpha=alpha)


def write_png(path: Path, pixels: npt.NDArray[np.uint8 | np.uint16]) -> None:
    """Write gray (Y, X) or color (Y, X, 3) pixels as a PNG file, atomically.

    Raises
    ------
    TypeError
        The pixels are not uint8 or uint16.
    ResourceError
        The disk is full.
    """
    write_bytes(path, encode_png(pixels))


def encode_png(pixels: npt.NDArray[np.uint8 | np.uint16]) -> bytes:
    """Return gray (Y, X) or color (Y, X, 3) pixels as the bytes of a PNG file.

    Raises
    ------
    TypeError
        The pixels are not uint8 or uint16.
    """
    if pixels.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        msg = f"Expected pixels of type uint8 or uint16, but got {pixels.dtype}"
        raise TypeError(msg)
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=_LEVEL))
