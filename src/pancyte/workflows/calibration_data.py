"""Which images a model is calibrated on, and a record of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pancyte.data.record_files import read_record_labels
from pancyte.errors import PancyteError, UsageError, counted
from pancyte.io.files import sha256_file
from pancyte.workflows.calibration import CalibrateConfig
from pancyte.workflows.environment import describe_environment
from pancyte.workflows.truth import Truth, find_truth
from pancyte.workflows.validation import choose_records

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pancyte.data.records import Record
    from pancyte.inference.model import Model

_LOGGER = logging.getLogger(__name__)


def find_images(
    data: Path, config: CalibrateConfig
) -> tuple[tuple[Truth, ...], tuple[Record, ...]]:
    """Return the images to predict, and those of the training to look at.

    Parameters
    ----------
    data
        A manifest, or a folder of images with labels. One without any split is predicted as a
        whole, unless another split than usual is asked for.
    config
        Which images.

    Raises
    ------
    UsageError
        There is no such split.
    InputError
        Nothing is there, or it holds no labels.
    """
    everything = find_truth(data, split=None)
    if config.split == CalibrateConfig().split and not any(i.record.split for i in everything):
        _LOGGER.warning(
            "%s names no splits: all that is in it is predicted (%s), and none should be one that "
            "the model was trained on",
            data, counted(len(everything), "image"),
        )  # fmt: skip
        return everything, _find_known((config.also_known,), config)
    truth = find_truth(data, split=config.split)
    return truth, _find_known((data, config.also_known), config)


def _find_known(sources: Sequence[Path | None], config: CalibrateConfig) -> tuple[Record, ...]:
    if config.known_split is None:
        return ()
    found: list[Truth] = []
    for source in sources:
        if source is None:
            continue
        try:
            found += find_truth(source, split=config.known_split)
        except UsageError as error:
            _LOGGER.warning("No images of the training are looked at: %s", error)
    return choose_known([item.record for item in found], config)


def choose_known(records: Sequence[Record], config: CalibrateConfig) -> tuple[Record, ...]:
    """Choose the images of the training to look at: with objects, and without."""
    empty = [record for record in records if _is_empty(record)]
    there = {record.image for record in empty}
    filled = [record for record in records if record.image not in there]
    return (
        *choose_records(filled, config.known_images),
        *choose_records(empty, config.known_empty),
    )


def _is_empty(record: Record) -> bool:
    """Say whether the labels of an image are 0 throughout; unknown ones are not."""
    try:
        return not read_record_labels(record).labels.any()
    except PancyteError:
        return False  # which is said when the image is looked at


def describe_sources(
    model: Model, truth: Sequence[Truth], known: Sequence[Record]
) -> dict[str, Any]:
    """Return what was calibrated, on which images, and with which versions, as plain values.

    Parameters
    ----------
    model
        Before it was calibrated.
    truth
        The images that it predicted.
    known
        Those of its training that it looked at.
    """
    return {
        "model": {
            "name": model.name,
            "weights_sha256": model.manifest.get("weights_sha256"),
        },
        "predicted": [
            {
                "file": item.name,
                "sha256": sha256_file(item.record.image),
                "labels_sha256": sha256_file(item.labels) if item.labels.is_file() else None,
            }
            for item in truth
        ],
        "known": [
            {"file": record.image.name, "sha256": sha256_file(record.image)} for record in known
        ],
        "environment": describe_environment(),
    }
