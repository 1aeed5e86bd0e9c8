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

from pancyte.config import from_mapping
from pancyte.data.folders import LABEL_FOLDERS, Layout, pair_folder
from pancyte.data.patches import read_pixels
from pancyte.data.records import VAL, read_manifest
from pancyte.errors import InputError, UsageError
from pancyte.io.files import write_text
from pancyte.io.images import find_images, read_image
from pancyte.io.label_files import read_labels
from pancyte.workflows.init_texts import Choices, Found, prediction_text, training_text
from pancyte.workflows.models import find_model
from pancyte.workflows.predict_config import PredictConfig
from pancyte.workflows.prepare import PrepareConfig, prepare
from pancyte.workflows.train_config import TrainConfig

if TYPE_CHECKING:
    from pancyte.data.records import Record
    from pancyte.workflows.outputs import Report

_LOGGER = logging.getLogger(__name__)

_FEWEST_TO_DIVIDE: Final = 3
_MOST_TO_LOOK_AT: Final = 20


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
    return Found(
        num_images=len(records),
        num_labeled=len(labeled),
        classes=folders or _class_names(labeled[0]),
        class_folders=folders,
        channels=channels,
        has_splits=any(record.split for record in labeled),
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
        A file is there already, or has another ending; there is no such model.
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
            f"{choices.data}: {found.num_images} images, but no labels to train on. Put labels of "
            "the same names into a folder masks beside the folder images."
        )
        raise InputError(msg)
    written: tuple[Path, ...] = (out,)
    manifest = choices.data
    has_validation = found.has_splits
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


def _records_of(folder: Path) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """Return the pairs of a folder, and the folders of its classes if it has some."""
    try:
        return pair_folder(folder).records, ()
    except InputError:
        folders = _class_folders(folder)
        if folders:
            return pair_folder(folder, Layout(classes=folders)).records, folders
        if not find_images(folder):
            raise
        return (), ()


def _class_folders(folder: Path) -> tuple[str, ...]:
    for name in LABEL_FOLDERS:
        inner = folder / name
        if inner.is_dir():
            return tuple(sorted(path.name for path in inner.iterdir() if path.is_dir()))
    return ()


def _class_names(record: Record) -> tuple[str, ...]:
    if record.class_labels:
        return tuple(name for name, _ in record.class_labels)
    if record.labels is None:
        return ("cell",)
    read = read_labels(record.labels)
    if read.classes:
        return tuple(read.classes)
    count = len(read.labels)
    return ("cell",) if count == 1 else tuple(f"class {k}" for k in range(1, count + 1))


def _relative(path: Path, out: Path) -> str:
    return Path(os.path.relpath(path.resolve(), out.resolve().parent)).as_posix()
