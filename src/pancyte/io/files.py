"""The one atomic writer: a file under its final name is always whole, the old one or the new one.

Everything that pancyte writes goes to a temporary name in the same folder, is flushed to the disk
and then renamed. A full disk, an interrupt or a crash leaves the old file byte for byte as it was.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pancyte.errors import InputError, PancyteError, ResourceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_CHUNK_BYTES = 1 << 20
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# A folder that cannot be made: /proc says of a new one in it that it is not found.
_NOT_THERE = (PermissionError, NotADirectoryError, FileExistsError, FileNotFoundError)
_PREFIX, _SUFFIX = ".pancyte-", ".partial"


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file through a temporary name in the same folder.

    Parameters
    ----------
    path
        The file to make or to replace. Missing folders above it are made.
    write
        Called once with a seekable binary stream; whatever it raises leaves ``path`` as it was.

    Raises
    ------
    ResourceError
        The disk is full, or refuses the write.
    UsageError
        The folder cannot be made or written to, or ``path`` is a folder.

    Notes
    -----
    The bytes and then the folder are flushed to the disk (fsync) around the rename, so that the
    promise also holds after a power failure on file systems that keep the order of flushed writes.
    """
    write_together({path: write})


def write_together(writers: Mapping[Path, Callable[[BinaryIO], object]]) -> None:
    """Write several files that belong together: none is replaced before all are on the disk.

    Parameters
    ----------
    writers
        For each file what :func:`write_atomic` takes for one.

    Raises
    ------
    ResourceError, UsageError
        As :func:`write_atomic`.

    Notes
    -----
    Only a crash between two renames, which follow each other at once, leaves a mixture.
    """
    for path in writers:
        _refuse_folder(path)
    staged: dict[Path, Path] = {}
    try:
        for path, write in writers.items():
            with _explained(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                # Known before it is opened, so that an interrupt at any moment removes it.
                staged[path] = path.parent / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
                with staged[path].open("xb") as stream:
                    write(stream)
                    stream.flush()
                    os.fsync(stream.fileno())
        for path, temporary in staged.items():
            with _explained(path):
                temporary.replace(path)
        for folder in {path.parent for path in staged}:
            _flush_folder(folder)
    except BaseException:  # also KeyboardInterrupt: nothing may be left lying about
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically, as :func:`write_atomic` does."""
    write_atomic(path, lambda stream: stream.write(content))


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8 with the line ends as given, atomically."""
    write_bytes(path, text.encode("utf-8"))


def check_folder(folder: Path) -> None:
    """Refuse a folder that results cannot be written to, before these are computed.

    For a moment a file is written there or, where the folder has yet to be made, above it.

    Raises
    ------
    UsageError
        It is a file, or it cannot be made or written to.
    ResourceError
        The disk is full.
    """
    with _explained(folder):
        place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not place.is_dir():
            msg = f"{place}: expected a folder to write to, but it is a file. Name another."
            raise UsageError(msg)
        probe = place / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        try:
            probe.write_bytes(b"0")
        finally:
            probe.unlink(missing_ok=True)


def check_file(path: Path) -> None:
    """Refuse a file that cannot be written, before its content is computed.

    Raises
    ------
    UsageError
        It is a folder, or its folder cannot be made or written to.
    ResourceError
        The disk is full.
    """
    _refuse_folder(path)
    check_folder(path.parent)


def read_text(path: Path) -> str:
    """Return a UTF-8 text file.

    Raises
    ------
    InputError
        It cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "it is no text"
        msg = f"{path}: cannot be read ({reason}). Check the path and its permissions."
        raise InputError(msg) from error


def remove_stale(folders: Iterable[Path], *, age: float) -> int:
    """Remove temporary files that killed processes left in folders, and return how many.

    Parameters
    ----------
    folders
        Searched at their top; those that do not exist are left out.
    age
        Seconds since the last change, below which a file may be one that is being written.
    """
    latest = time.time() - age
    count = 0
    for folder in folders:
        for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            with contextlib.suppress(OSError):  # gone already, or not ours to remove
                if path.stat().st_mtime <= latest:
                    path.unlink()
                    count += 1
    return count


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in pieces of one megabyte."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}). Check the path and its permissions."
        raise InputError(msg) from error
    return digest.hexdigest()


def absolute(path: Path) -> Path:
    """Return the absolute path without ``..``; links stay as they are named.

    A path in which ``..`` remains leads out of any folder that its parts are put below.

    Examples
    --------
    >>> absolute(Path("/data/prep/../raw/a.png")).as_posix()
    '/data/raw/a.png'
    """
    return Path(os.path.normpath(path.absolute()))


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        msg = f"{path}: is a folder, so no file can be written there. Choose another name."
        raise UsageError(msg)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except PancyteError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _NO_SPACE:
            msg = (
                f"{path}: not written, because the disk is full ({reason}). "
                "Free some space or choose another folder; what was there before is unchanged."
            )
            raise ResourceError(msg) from error
        if isinstance(error, _NOT_THERE):
            msg = f"{path}: cannot be written ({reason}). Choose a folder that you may write to."
            raise UsageError(msg) from error
        msg = (
            f"{path}: not written ({reason}). "
            "Check the disk or choose another folder; what was there before is unchanged."
        )
        raise ResourceError(msg) from error


def _flush_folder(folder: Path) -> None:
    # Windows cannot open a folder, and some network file systems cannot flush one; the file itself
    # is complete at this point.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
