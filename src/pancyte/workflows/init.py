"""``init``: look at a folder, propose settings, and write a commented configuration.

What is asked is in :class:`~pancyte.workflows.init_texts.Choices`; :func:`propose` fills it in from
what a folder holds, so that a user only has to agree, and :func:`write_choices` writes the answer.
"""

from __future__ import annotations

import logging
import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pancyte.config import from_mapping
from pancyte.data.folders import LABEL_FOLDERS, Layout, pair_folder
from pancyte.data.record_files import read_pixels, read_record_labels
from pancyte.data.records import VAL, read_manifest
from pancyte.errors import InputError, UsageError, counted, near_miss
from pancyte.io.files import check_file, write_text
from pancyte.io.images import find_images, read_image
from pancyte.nn.encoders import find_encoder
from pancyte.ops.measure import measure_objects
from pancyte.workflows.init_texts import (
    COMPACT,
    Choices,
    Found,
    prediction_text,
    training_text,
)
from pancyte.workflows.models import find_model
from pancyte.workflows.predict_config import PredictConfig
from pancyte.workflows.prepare import PrepareConfig, prepare
from pancyte.workflows.train_config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pancyte.data.records import Record
    from pancyte.workflows.outputs import Report

_LOGGER = logging.getLogger(__name__)

_FEWEST_TO_DIVIDE: Final = 3
_MOST_TO_LOOK_AT: Final = 20
_MOST_TO_MEASURE: Final = 5


def look_at(data: Path) -> Found:
    """Look at the first images and labels of a folder or manifest.

    Raises
    ------
    InputError
        There are no images, or one of the first cannot be read.
    """
    if data.is_dir():
        records, folders = _records_of(data)
    elif data.exists():
        records, folders = read_manifest(data), ()
    else:
        raise InputError(f"{data}: no such folder or manifest. Check the path.")
    labeled = [record for record in records if record.labels is not None]
    if not labeled:
        images = [r.image for r in records] or find_images(data)
        channels = max(len(read_image(p).image.pixels) for p in images[:_MOST_TO_LOOK_AT])
        return Found(len(images), 0, ("cell",), (), channels, has_splits=False)
    channels = max(len(read_pixels(record)) for record in labeled[:_MOST_TO_LOOK_AT])
    classes, named = (folders, True) if folders else _class_names(labeled[0])
    return Found(
        num_images=len(records),
        num_labeled=len(labeled),
        classes=classes,
        class_folders=folders,
        channels=channels,
        has_splits=any(record.split for record in labeled),
        has_validation=any(record.split == VAL for record in labeled),
        named=named,
        diameters=_diameters(labeled[:_MOST_TO_MEASURE], classes),
    )


def propose(found: Found, choices: Choices) -> Choices:
    """Return the choices with the classes that a folder holds."""
    return replace(choices, classes=found.classes)


def write_choices(
    choices: Choices,
    found: Found,
    out: Path,
    *,
    overwrite: bool = False,
    report: Report | None = None,
) -> tuple[Path, ...]:
    """Write a configuration, and for a training on a folder the manifest that it names.

    Parameters
    ----------
    choices
        What to write.
    found
        What the folder or manifest holds.
    out
        A ``.toml`` file.
    overwrite
        Whether files that are there may be replaced.
    report
        Called for each pair of image and labels that was opened and checked.

    Returns
    -------
    tuple of Path
        The files that were written, the configuration first.

    Raises
    ------
    UsageError
        A file is there already, or has another ending; there is no such model, encoder or class.
    InputError
        There are no labels to train on, or some do not fit their images.
    """
    if out.suffix.lower() != ".toml":
        raise UsageError(f"{out}: expected a name that ends in .toml, but got {out.name!r}.")
    _check_new(out, overwrite=overwrite)
    if choices.purpose == "predict":
        find_model(choices.model)
        text = prediction_text(choices, out.name)
        from_mapping(PredictConfig, tomllib.loads(text), where=str(out))
        write_text(out, text)
        return (out,)
    if not found.num_labeled:
        msg = (
            f"{choices.data}: {counted(found.num_images, 'image')}, but no labels to train on. "
            "Put labels of the same names into a folder masks beside the folder images."
        )
        raise InputError(msg)
    _check_choices(choices, found)
    written: tuple[Path, ...] = (out,)
    manifest = choices.data
    has_validation = found.has_validation
    if choices.data.is_dir():
        manifest = out.with_suffix(".csv")
        _check_new(manifest, overwrite=overwrite)
        has_validation = _write_manifest(choices, found, manifest, report=report)
        written = (out, manifest)
    text = training_text(
        choices, found, file=out.name, manifest=_relative(manifest, out), validate=has_validation
    )
    from_mapping(TrainConfig, tomllib.loads(text), where=str(out))
    write_text(out, text)
    return written


def _check_choices(choices: Choices, found: Found) -> None:
    """Refuse what only the training would stumble over."""
    if choices.encoder != COMPACT:
        try:
            find_encoder(choices.encoder)
        except ValueError as error:
            raise UsageError(f"encoder: {error}") from error
    unknown = [name for name in choices.classes if name not in found.classes]
    # One class may have another name than its file gives it.
    if unknown and (found.class_folders or (found.named and len(found.classes) > 1)):
        what = "has labels in the folders" if found.class_folders else "has labels of the classes"
        msg = (
            f"classes: {choices.data} {what} {', '.join(found.classes)}, but got {unknown[0]!r}."
            f"{near_miss(unknown[0], found.classes)} Name some or all of them."
        )
        raise UsageError(msg)


def _write_manifest(
    choices: Choices, found: Found, manifest: Path, *, report: Report | None
) -> bool:
    divide = not found.has_splits and found.num_labeled >= _FEWEST_TO_DIVIDE
    config = PrepareConfig(
        val=max(1, round(0.1 * found.num_labeled)) if divide else 0,
        classes=found.class_folders,
        num_classes=len(choices.classes) if len(choices.classes) > 1 else None,
    )
    prepared = prepare(choices.data, manifest, config=config, overwrite=True, on_image=report)
    _LOGGER.info("%s", prepared)
    return any(record.split == VAL for record in prepared.records)


def _check_new(path: Path, *, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        msg = f"{path}: is there already. Choose another name, or add --overwrite."
        raise UsageError(msg)
    check_file(path)


def _records_of(folder: Path) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """Return the pairs of a folder, and the folders of its classes if it has some."""
    try:
        return pair_folder(folder).records, ()
    except InputError:
        folders = _class_folders(folder)
        if folders:
            return pair_folder(folder, Layout(classes=folders)).records, folders
        if not find_images(folder) or _has_labels(folder):
            raise  # there is something to mend
        return (), ()


def _has_labels(folder: Path) -> bool:
    """Tell whether some folder, the whole or one of a split, has a folder inside for labels."""
    inside = [*folder.glob("*"), *folder.glob("*/*")]
    return any(path.is_dir() and path.name.lower() in LABEL_FOLDERS for path in inside)


def _class_folders(folder: Path) -> tuple[str, ...]:
    for name in LABEL_FOLDERS:
        inner = folder / name
        if inner.is_dir():
            return tuple(sorted(path.name for path in inner.iterdir() if path.is_dir()))
    return ()


def _class_names(record: Record) -> tuple[tuple[str, ...], bool]:
    """Return the names of the classes, and whether the labels say them."""
    read = read_record_labels(record, size=read_pixels(record).shape[1:])
    if read.classes:
        return tuple(read.classes), True
    count = len(read.labels)
    return (("cell",) if count == 1 else tuple(f"class {k}" for k in range(1, count + 1))), False


def _diameters(records: Sequence[Record], classes: tuple[str, ...]) -> tuple[float, ...]:
    """Return the median diameter of each class; empty where one has no objects in the records."""
    found: dict[str, list[float]] = {name: [] for name in classes}
    for record in records:
        read = read_record_labels(record, size=read_pixels(record).shape[1:])
        names = tuple(read.classes or classes)
        if len(names) != len(read.labels):
            continue
        for name, plane in zip(names, read.labels, strict=True):
            found.setdefault(name, []).extend(measure_objects(plane[None])["diameter"])
    sizes = [found[name] for name in classes]
    return tuple(float(np.median(values)) for values in sizes) if all(sizes) else ()


def _relative(path: Path, out: Path) -> str:
    return Path(os.path.relpath(path.resolve(), out.resolve().parent)).as_posix()
