"""The atomic writer, seen through everything that writes."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest

from pancyte.errors import InputError, ResourceError, UsageError
from pancyte.io.bitmaps import write_png
from pancyte.io.checkpoint import Checkpoint, save_checkpoint
from pancyte.io.files import (
    check_file,
    check_folder,
    remove_stale,
    sha256_file,
    write_atomic,
    write_bytes,
    write_text,
    write_together,
)
from pancyte.io.label_files import write_labels
from pancyte.io.tables import write_csv, write_json

RANDOM = np.random.default_rng(0)
IDS = RANDOM.integers(0, 60_000, (1, 64, 64))
PIXELS = RANDOM.integers(0, 255, (64, 64, 3)).astype(np.uint8)
WEIGHTS = {"conv": RANDOM.normal(size=(64, 64)).astype(np.float32)}

WRITERS = {
    "a_labels.tif": lambda path: write_labels(path, IDS, ["object"]),
    "a_overlay.png": lambda path: write_png(path, PIXELS),
    "objects.csv": lambda path: write_csv(path, {"label": list(range(2000))}),
    "run.json": lambda path: write_json(path, {"values": list(range(2000))}),
    "log.txt": lambda path: write_text(path, "line\n" * 2000),
    "state.bin": lambda path: write_bytes(path, bytes(8000)),
    "model.toml": lambda path: save_checkpoint(path.parent, Checkpoint({"n": "x" * 5000}, WEIGHTS)),
    "weights.safetensors": lambda path: save_checkpoint(path.parent, Checkpoint({}, WEIGHTS)),
}


class FullDisk(io.FileIO):
    """A file on a disk with room for so many bytes."""

    room = 0

    def write(self, content):
        if self.tell() + len(memoryview(content).cast("B")) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content)


def _fill_disk(monkeypatch, room):
    def open_full(path, mode="r", *args, **kwargs):
        if mode != "xb":
            return original(path, mode, *args, **kwargs)
        stream = FullDisk(path, "x")
        stream.room = room
        return io.BufferedWriter(stream)

    original = Path.open
    monkeypatch.setattr(Path, "open", open_full)


@pytest.mark.parametrize("room", [0, 100, 4096])
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, name, room):
    (tmp_path / name).write_bytes(b"the old file")
    _fill_disk(monkeypatch, room)
    with pytest.raises(ResourceError, match=r"not written, because the disk is full .*Free some"):
        WRITERS[name](tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [tmp_path / name]


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_replaces_the_old_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"the old file")
    WRITERS[name](tmp_path / name)
    assert (tmp_path / name).stat().st_size > 100
    assert not list(tmp_path.glob(".*"))


def test_write_atomic_flushes_before_it_renames(tmp_path, monkeypatch):
    monkeypatch.setattr("pancyte.io.files.os.fsync", _no_space)
    with pytest.raises(ResourceError, match="the disk is full"):
        write_bytes(tmp_path / "a", b"new")
    assert list(tmp_path.iterdir()) == []


def _no_space(_descriptor):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_write_atomic_passes_an_interrupt_on_and_cleans_up(tmp_path):
    def write(stream):
        stream.write(b"half")
        raise KeyboardInterrupt

    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a", write)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_write_atomic_passes_on_what_the_writer_says(tmp_path):
    def write(_stream):
        raise InputError("the labels are gone")

    with pytest.raises(InputError, match="the labels are gone"):
        write_atomic(tmp_path / "a", write)
    assert list(tmp_path.iterdir()) == []


def test_write_atomic_makes_folders_and_keeps_the_usual_permissions(tmp_path):
    write_bytes(tmp_path / "x" / "y" / "a", b"1")
    (tmp_path / "b").touch()
    assert (tmp_path / "x" / "y" / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_write_atomic_accepts_long_names(tmp_path):
    name = "é" * 120 + ".txt"
    write_text(tmp_path / name, "1")
    assert (tmp_path / name).read_text() == "1"


def test_write_together_replaces_none_if_one_fails(tmp_path):
    def fail(stream):
        stream.write(b"half")
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(ResourceError, match=r"b: not written \(Input/output error\)"):
        write_together({tmp_path / "a": lambda s: s.write(b"new"), tmp_path / "b": fail})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_write_atomic_names_what_is_in_the_way(tmp_path):
    with pytest.raises(UsageError, match="is a folder, so no file can be written there"):
        write_bytes(tmp_path, b"1")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be written \((Not a directory|File exists)\)"):
        write_bytes(tmp_path / "file" / "a", b"1")


def test_write_atomic_explains_a_folder_without_permission(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UsageError, match=r"a: cannot be written \(Permission denied\). Choose a"):
        write_bytes(tmp_path / "a", b"1")


@pytest.mark.parametrize("there", [True, False])
def test_what_can_be_written_passes_and_stays_as_it_is(tmp_path, there):
    folder = tmp_path if there else tmp_path / "a" / "b"
    check_folder(folder)
    check_file(folder / "new.toml")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("below", ["", "a", "a/b"])
def test_a_file_where_a_folder_is_needed_is_said(tmp_path, below):
    (tmp_path / "file").touch()
    message = "file: expected a folder to write to, but it is a file. Name another."
    with pytest.raises(UsageError, match=message):
        check_folder(tmp_path / "file" / below)
    with pytest.raises(UsageError, match=message):
        check_file(tmp_path / "file" / below / "model.onnx")
    with pytest.raises(UsageError, match="is a folder, so no file can be written there"):
        check_file(tmp_path)


@pytest.mark.parametrize(
    ("number", "error", "message"),
    [
        (errno.EACCES, UsageError, r"out: cannot be written \(Permission denied\). Choose a"),
        (errno.ENOENT, UsageError, r"out: cannot be written \(No such file"),
        (errno.ENOSPC, ResourceError, "out: not written, because the disk is full"),
    ],
)
def test_a_folder_that_cannot_be_written_to_is_said(tmp_path, monkeypatch, number, error, message):
    def refuse(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(error, match=message):
        check_folder(tmp_path / "out")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that nobody may write to")
def test_a_folder_that_cannot_be_made_is_said():
    with pytest.raises(UsageError, match="nope: cannot be written"):
        check_folder(Path("/proc/nope"))


def test_remove_stale_removes_our_old_temporary_files_alone(tmp_path):
    (tmp_path / "in").mkdir()
    for name in (".pancyte-0.partial", "in/.pancyte-1.partial", ".hidden", "a.partial"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".pancyte-2.partial").touch()  # may be being written
    assert remove_stale([tmp_path, tmp_path / "in", tmp_path / "none"], age=60.0) == 2
    left = {path.name for path in tmp_path.rglob("*")}
    assert left == {"in", ".hidden", "a.partial", ".pancyte-2.partial"}


def test_sha256_file_reads_in_pieces(tmp_path):
    content = RANDOM.bytes(3_000_000)
    (tmp_path / "a").write_bytes(content)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    with pytest.raises(InputError, match=r"none: cannot be read \(No such file"):
        sha256_file(tmp_path / "none")
