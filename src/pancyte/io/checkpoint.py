"""A model in a folder: ``model.toml`` says what it is, ``weights.safetensors`` holds its arrays.

The manifest carries the SHA-256 of the weights, which is checked on loading. Nothing in the folder
is code and nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
import tomli_w

from pancyte.errors import CheckpointError
from pancyte.io.files import sha256_file, write_together

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MANIFEST_NAME = "model.toml"
WEIGHTS_NAME = "weights.safetensors"
_EXTRA = "extra/"
FORMAT_VERSION = 1
"""Raised when a folder of this version cannot be read by the one before."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Weights and what belongs to them."""

    manifest: Mapping[str, Any]
    """Task, preprocessing, classes, provenance and so on, of the types that TOML has."""
    weights: Mapping[str, npt.NDArray[Any]]
    """Name to array."""
    extras: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """Arrays that no network has, by name, such as what the images of its training look like; they
    lie in the same file, and keep their precision."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, half: bool = False) -> None:
    """Write a model folder; its two files are replaced together, when both are on the disk.

    Parameters
    ----------
    folder
        Made where it is missing.
    checkpoint
        What to write. ``format_version`` and the entries about the weights are added to its
        manifest.
    half
        Whether float32 weights are stored as float16, at half the size. They are float32 again
        when they are loaded. Arrays with a number too large for float16, such as the variances that
        a batch norm has seen, stay as they are.

    Raises
    ------
    ResourceError
        The disk is full.
    """
    weights = {
        name: _stored(np.asarray(array, order="C"), half=half)
        for name, array in checkpoint.weights.items()
    }
    weights |= {
        _EXTRA + name: np.asarray(array, order="C") for name, array in checkpoint.extras.items()
    }
    content = safetensors.numpy.save(weights)
    manifest = {
        **checkpoint.manifest,
        "format_version": FORMAT_VERSION,
        "weights_sha256": hashlib.sha256(content).hexdigest(),
        "weights_precision": "float16" if half else "as trained",
    }
    text = tomli_w.dumps(manifest).encode("utf-8")
    write_together(
        {
            folder / WEIGHTS_NAME: lambda stream: stream.write(content),
            folder / MANIFEST_NAME: lambda stream: stream.write(text),
        }
    )


def _stored(array: npt.NDArray[Any], *, half: bool) -> npt.NDArray[Any]:
    if not half or array.dtype != np.float32:
        return array
    with np.errstate(over="ignore"):
        short = array.astype(np.float16)
    return short if (np.isfinite(short) == np.isfinite(array)).all() else array


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a model folder.

    Raises
    ------
    CheckpointError
        A file is missing or damaged, the weights are not those of the manifest, or the folder is
        of a newer version or not a model at all.
    """
    manifest = read_manifest(folder)
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        msg = f"{folder}: {WEIGHTS_NAME} is missing beside {MANIFEST_NAME}. Copy the whole folder."
        raise CheckpointError(msg)
    found = sha256_file(path)
    if found != manifest["weights_sha256"]:
        msg = (
            f"{path}: SHA-256 is {found[:12]}..., but {MANIFEST_NAME} expects "
            f"{str(manifest['weights_sha256'])[:12]}.... The file is damaged or belongs to another "
            "model. Copy the folder again."
        )
        raise CheckpointError(msg)
    try:
        weights = safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
        msg = f"{path}: cannot be read as safetensors ({error}). Copy the folder again."
        raise CheckpointError(msg) from error
    extras = {
        name.removeprefix(_EXTRA): weights.pop(name)
        for name in sorted(weights)
        if name.startswith(_EXTRA)
    }
    if manifest.get("weights_precision") == "float16":
        weights = {
            name: array.astype(np.float32) if array.dtype == np.float16 else array
            for name, array in weights.items()
        }
    return Checkpoint(manifest=manifest, weights=weights, extras=extras)


def copy_checkpoint(source: Path, target: Path) -> None:
    """Copy the two files of a model folder, as they are, to another folder, which is made.

    Raises
    ------
    OSError
        The source cannot be read.
    ResourceError
        The disk is full.
    """
    contents = {name: (source / name).read_bytes() for name in (WEIGHTS_NAME, MANIFEST_NAME)}
    write_together({target / name: partial(_write, content) for name, content in contents.items()})


def _write(content: bytes, stream: BinaryIO) -> None:
    stream.write(content)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what a model folder says of its model, and leave its weights alone.

    Raises
    ------
    CheckpointError
        The file is missing or damaged, or of a newer version.
    """
    path = folder / MANIFEST_NAME
    try:
        manifest = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "no such folder" if not folder.exists() else f"holds no {MANIFEST_NAME}"
        msg = f"{folder}: {what}. A model is a folder with {MANIFEST_NAME} and {WEIGHTS_NAME}."
        raise CheckpointError(msg) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        msg = f"{path}: cannot be read as TOML ({error}). Copy the folder again."
        raise CheckpointError(msg) from error
    version = manifest.get("format_version")
    if type(version) is not int or "weights_sha256" not in manifest:
        msg = f"{path}: is not the manifest of a pancyte model: format_version or hash is missing."
        raise CheckpointError(f"{msg} Give the folder of a model.")
    if version < 1:
        msg = f"{path}: has format version {version}, but the first is 1. Copy the folder again."
        raise CheckpointError(msg)
    if version > FORMAT_VERSION:
        msg = (
            f"{path}: has format version {version}, but this pancyte reads up to {FORMAT_VERSION}. "
            "Update pancyte."
        )
        raise CheckpointError(msg)
    return manifest
