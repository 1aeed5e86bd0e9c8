"""One guarded way to open any of the image formats.

Decoders answer a damaged file with every exception there is. Here each becomes one
:class:`~pancyte.errors.InputError` that names the file, and nothing is decoded before its size is
known to fit into memory.
"""

from __future__ import annotations

import functools
import lzma
import struct
import tokenize
import zlib
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING

from PIL import Image as PillowImage

from pancyte.errors import InputError, PancyteError, ResourceError
from pancyte.io.bitmaps import open_bmp, open_jpeg, open_png
from pancyte.io.memory import available_memory, in_words
from pancyte.io.tiff import open_tiff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pancyte.io.headers import Array, Decoder, Header

SUFFIXES = {
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
}
"""Suffixes of the images that can be read, in lower case, and their formats."""

_SIGNATURES = (
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    (b"\x93NUMPY", "NumPy"),
    (b"\x89HDF", "HDF5"),
    (b"PK\x03\x04", "ZIP"),
    (b"%PDF", "PDF"),
    (b"ZISRAWFILE", "Zeiss CZI"),
    (b"\xda\xce\xbe\x0a", "Nikon ND2"),
    (b"\x70\0\0\0", "Leica LIF"),
    (b"\x1f\x8b", "gzip"),
)

# What decoders raised on 13,000 damaged files, and their kin.
_DECODER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    StopIteration,
    SyntaxError,
    SystemError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    zlib.error,
    PillowImage.DecompressionBombError,
)


@contextmanager
def open_raster(
    path: Path,
    *,
    max_bytes: int | None = None,
    indices: bool = False,
    keep_type: bool = False,
) -> Iterator[tuple[Header, Decoder]]:
    """Open an image file of any format that can be read.

    Parameters
    ----------
    path
        The file.
    max_bytes
        Memory that reading may take; None is half of what is available now.
    indices
        Whether the indices of a palette image are wanted (labels), not its colors.
    keep_type
        Whether pixels of at most 16 bits will not be copied to float32.

    Returns
    -------
    tuple
        The header, and a function that decodes the pixels.

    Raises
    ------
    InputError
        The file is missing, unreadable, damaged, not an image, or larger than the memory.
    ResourceError
        The memory did not suffice after all.
    """
    kind = _sniff(path)
    openers: dict[str, Callable[[Path], AbstractContextManager[tuple[Header, Decoder]]]] = {
        "TIFF": functools.partial(open_tiff, indices=indices),
        "PNG": functools.partial(open_png, indices=indices),
        "JPEG": open_jpeg,
        "BMP": functools.partial(open_bmp, indices=indices),
    }
    with ExitStack() as stack:
        with _explained(path, kind):
            header, decode = stack.enter_context(openers[kind](path))
        _check_budget(header.num_bytes(keep_type=keep_type), header, path, max_bytes)

        def decode_explained() -> Array:
            with _explained(path, kind):
                pixels = decode()
                if pixels.shape != header.shape:
                    msg = f"the header says {header.shape}, but the pixels have {pixels.shape}"
                    raise ValueError(msg)
                return pixels

        yield header, decode_explained


def _sniff(path: Path) -> str:
    """Return the format that the first bytes say, which must be that of the suffix."""
    expected = SUFFIXES.get(path.suffix.lower())
    if expected is None:
        msg = (
            f"{path}: {path.suffix or 'a name without suffix'} is not a format that can be read. "
            f"Convert it to one of {', '.join(SUFFIXES)}."
        )
        raise InputError(msg)
    try:
        with path.open("rb") as stream:
            start = stream.read(16)
    except FileNotFoundError as error:
        msg = f"{path}: no such file. Check the path."
        raise InputError(msg) from error
    except OSError as error:
        msg = f"{path}: cannot be opened ({error.strerror}). Check the file and its permissions."
        raise InputError(msg) from error
    if not start:
        msg = f"{path}: is empty (0 bytes). Copy or export it again."
        raise InputError(msg)
    found = next((name for magic, name in _SIGNATURES if start.startswith(magic)), None)
    if found == expected:
        return expected
    if found in SUFFIXES.values():
        suffix = next(suffix for suffix, name in SUFFIXES.items() if name == found)
        msg = f"{path}: is a {found} file with the suffix {path.suffix}. Rename it to {suffix}."
    elif found is not None:
        msg = f"{path}: is a {found} file, not {expected}. Export it as TIFF or PNG."
    else:
        msg = (
            f"{path}: is not a {expected} file, whatever its suffix says: it begins with "
            f"{start[:8]!r}. Export it as TIFF or PNG."
        )
    raise InputError(msg)


def _check_budget(needed: int, header: Header, path: Path, max_bytes: int | None) -> None:
    budget = available_memory() // 2 if max_bytes is None else max_bytes
    if needed > budget:
        msg = (
            f"{path}: the header claims {header.dtype} pixels of shape {header.shape}, which take "
            f"{in_words(needed)} of memory, but {in_words(budget)} may be used. "
            "Cut the image into parts, or use a machine with more memory."
        )
        raise InputError(msg)


@contextmanager
def _explained(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except PancyteError:
        raise
    except MemoryError as error:
        msg = (
            f"{path}: out of memory while it was read as {kind}. Close other programs, or cut the "
            "image into parts."
        )
        raise ResourceError(msg) from error
    except _DECODER_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        msg = (
            f"{path}: cannot be read as {kind}: {reason[:200]}. The file is damaged or incomplete. "
            "Copy or export it again."
        )
        raise InputError(msg) from error
