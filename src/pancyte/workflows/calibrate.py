"""``models calibrate``: measure how often a model is right, and store it with the model.

::

    model + annotated images -> predict -> match -> fit -> model whose scores are probabilities
                                                       └-> reliability.png, .csv, calibration.json

The images of its training are looked at too, by the model's encoder alone: an image that is unlike
all of them is outside of what the model knows.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pancyte.config import to_mapping
from pancyte.data.record_files import read_pixels, read_targets
from pancyte.errors import InputError, PancyteError, UsageError, counted, listed
from pancyte.io.checkpoint import MANIFEST_NAME, WEIGHTS_NAME, load_checkpoint, save_checkpoint
from pancyte.io.files import check_folder
from pancyte.metrics.calibration import (
    choose_penalty,
    cross_validated_scores,
    divide_groups,
    expected_calibration_error,
    fit_calibration,
    log_losses,
)
from pancyte.metrics.matching import matched_pairs
from pancyte.ops.calibration import has_evidence, object_features
from pancyte.ops.overlap import overlap_table
from pancyte.runtime import using_threads
from pancyte.workflows.calibration import FILES, CalibrateConfig, Calibrated
from pancyte.workflows.calibration_data import choose_known, describe_sources, find_images
from pancyte.workflows.familiarity import Looks, fit_looks, looks_of
from pancyte.workflows.interruption import Interrupted
from pancyte.workflows.models import CALIBRATION, find_model
from pancyte.workflows.predict import PredictConfig, load_model, segment_file
from pancyte.workflows.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from pancyte.data.records import Record
    from pancyte.inference.model import Model
    from pancyte.ops.calibration import Calibration, Features
    from pancyte.types import BoolArray, IntArray, Segmentation
    from pancyte.workflows.outputs import Report

_LOGGER = logging.getLogger(__name__)

_FILES: Final = (MANIFEST_NAME, WEIGHTS_NAME, *FILES)
_IOU: Final = 0.5
# How much the weights of a calibration are kept small; images that are left out choose.
_PENALTIES: Final = (0.1, 0.3, 1.0, 2.0, 4.0)
# Of the validation of a training; with fewer, a calibration of its own images would say little.
_ENOUGH_TRUE: Final = 200


def calibrate(
    model: str | Path,
    data: Path | str,
    out: Path | str,
    config: CalibrateConfig | None = None,
    *,
    overwrite: bool = False,
    report: Report | None = None,
) -> Calibrated:
    """Calibrate a model on annotated images, and write it with its calibration.

    Parameters
    ----------
    model
        Name of a bundled model, or path of a model folder; it stays as it is.
    data
        A manifest, or a folder of images with labels.
    out
        Folder for the calibrated model, the curve as ``reliability.png`` and ``reliability.csv``,
        ``min_score.csv`` and ``calibration.json``.
    config
        Which images.
    overwrite
        Whether such files may be replaced.
    report
        Called after each image.

    Returns
    -------
    Calibrated
        The calibration, and how well it holds on images that it was not fitted on.

    Raises
    ------
    UsageError
        Files would be overwritten, there is no such model or split, or the objects found are too
        few.
    InputError
        An image cannot be read.
    """
    config, out = config or CalibrateConfig(), Path(out)
    _check_overwriting(out, overwrite=overwrite)
    check_folder(out)
    folder = find_model(model)
    settings = PredictConfig(model=str(folder.absolute()), device=config.device, min_score=0.0)
    with using_threads(config.threads):
        loaded = load_model(settings)
        truth, known = find_images(Path(data), config)
        found = calibrate_model(loaded, truth, known, config, report=report)
    _store(folder, out, found)
    found.write(out, {**describe_sources(loaded, truth, known), "settings": to_mapping(config)})
    return found


def calibrate_trained(
    model: Model,
    folder: Path,
    out: Path,
    records: Mapping[str, Sequence[Record]],
    *,
    report: Report,
) -> None:
    """Calibrate a model that was just trained, where its validation has objects enough.

    Whatever goes wrong is logged, since the training is complete without; it can be interrupted.

    Parameters
    ----------
    model
        From the folder.
    folder
        Of the model, which gets the calibration.
    out
        Folder for the curve and the numbers.
    records
        Those with labels of the splits ``train`` and ``val``.
    report
        Called after each image.
    """
    config = CalibrateConfig()
    named = [
        Truth(f"{k}: {record.image.name}", record.labels, record)
        for k, record in enumerate(records["val"])
        if record.labels is not None
    ]
    try:
        count = sum(_count_true(model, item.record) for item in named)
        if count < _ENOUGH_TRUE:
            _LOGGER.info(
                "Scores stay as they are: to make them probabilities takes %d objects in the "
                "validation, and it has %d. 'pancyte models calibrate' does it with other images",
                _ENOUGH_TRUE, count,
            )  # fmt: skip
            return
        known = choose_known(records["train"], config)
        found = calibrate_model(model, named, known, config, report=report)
        header = {**describe_sources(model, named, known), "settings": to_mapping(config)}
        _store(folder, folder, found)
        found.write(out, header)
    except Interrupted:
        raise
    except PancyteError as error:
        _LOGGER.warning("Scores stay as they are, and are no probabilities: %s", error)
        return
    except Exception:
        _LOGGER.exception(
            "The calibration failed, which the model does without. Repeat it with "
            "'pancyte models calibrate'"
        )
        return
    _LOGGER.info(
        "Scores are probabilities now, with an expected calibration error of %.3f on the %s "
        "of the validation. By these the best model was chosen too, so that new images will show a "
        "somewhat larger one",
        found.error, counted(len(named), "image"),
    )  # fmt: skip


def _count_true(model: Model, record: Record) -> int:
    shape = read_pixels(record).shape[1:]
    labels, _ = read_targets(record, model.classes, shape)
    return sum(len(np.unique(plane[plane > 0])) for plane in labels)


def calibrate_model(
    model: Model,
    truth: Sequence[Truth],
    known: Sequence[Record],
    config: CalibrateConfig,
    *,
    report: Report | None = None,
) -> Calibrated:
    """Calibrate a model on annotated images.

    Parameters
    ----------
    model
        One that it has already is not used.
    truth
        The images to predict.
    known
        Images of the training, with labels.
    config
        As for :func:`calibrate`.
    report
        Called after each image.

    Raises
    ------
    UsageError
        The objects found are too few, or of less than two images.
    InputError
        An image cannot be read, or the model's task does not tell what a calibration needs.
    """
    model = replace(model, calibration=None)
    seen = []
    for done, item in enumerate(truth, start=1):
        seen.append(_look_at(model, item))
        if report is not None:
            found = counted(len(seen[-1].correct), "object")
            report(done, len(truth), f"{item.name}: {found}")
    calibration, scores = _fit(seen, config)
    correct = np.concatenate([image.correct for image in seen])
    looks = [image.looks for image in seen if image.looks is not None]
    familiarity = fit_looks(model, known, looks)
    num_true = sum(image.num_true for image in seen)
    return Calibrated(calibration, familiarity, scores, correct, num_true, config.bins)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What was found in one image."""

    group: str
    features: Features
    classes: npt.NDArray[np.str_]
    correct: BoolArray
    num_true: int
    looks: Looks | None
    """Of an image with objects; None where there are none, or the model cannot tell."""


def _look_at(model: Model, item: Truth) -> _Seen:
    config = PredictConfig(min_score=0.0)
    read, found = segment_file(item.record.image, model, config, name=item.name)
    if not has_evidence(found.objects):
        msg = (
            f"The model {model.name} does not tell foreground and flow_error of its objects, which "
            "a calibration is fitted on. Only models of the kind 'flow' can be calibrated."
        )
        raise InputError(msg)
    truth, valid = read_targets(item.record, model.classes, found.labels.shape[1:])
    correct, judged = _judge(found, truth, valid)
    rows = np.flatnonzero(judged)
    features = object_features(found.objects, scale=found.scale)
    num_true = sum(len(np.unique(plane[plane > 0])) for plane in _valid(truth, valid))
    looks = looks_of(model, read.image.pixels, found.scale) if num_true and len(rows) else None
    return _Seen(
        item.record.group or item.name,
        {name: values[rows] for name, values in features.items()},
        found.objects["class"][rows].astype(str),
        correct[rows],
        num_true,
        looks,
    )


def _judge(
    found: Segmentation, truth: IntArray, valid: BoolArray | None
) -> tuple[BoolArray, BoolArray]:
    """Return which objects are right, and which can be judged: half of them lies where that is."""
    correct = np.zeros(found.objects.num_objects, dtype=np.bool_)
    judged = np.ones_like(correct)
    for k, name in enumerate(found.classes):
        rows = np.flatnonzero(found.objects["class"] == name)
        labels = found.objects["label"][rows]
        plane = found.labels[k]
        areas = np.bincount(plane.ravel(), minlength=int(labels.max(initial=0)) + 1)
        if valid is not None:
            plane = np.where(valid[k], plane, 0)
            left = np.bincount(plane.ravel(), minlength=len(areas))
            judged[rows] = 2 * left[labels] > areas[labels]
        target = truth[k] if valid is None else np.where(valid[k], truth[k], 0)
        table = overlap_table(target, plane)
        pairs = matched_pairs(table, _IOU)
        matched = table.prediction_ids[table.prediction_index[pairs]]
        correct[rows] = np.isin(labels, matched)
    return correct, judged


def _valid(labels: IntArray, valid: BoolArray | None) -> IntArray:
    return labels if valid is None else np.where(valid, labels, 0)


def _fit(
    seen: Sequence[_Seen], config: CalibrateConfig
) -> tuple[Calibration, npt.NDArray[np.float64]]:
    """Return the calibration on all images, and the scores of each with it left out.

    The penalty is the largest of which the scores of left-out images hardly surprise more than with
    the best one, each image counting as one, as it does in the fit.
    """
    names = list(seen[0].features) if seen else []
    features = {name: np.concatenate([image.features[name] for image in seen]) for name in names}
    count = len(next(iter(features.values()), ()))
    number = {group: k for k, group in enumerate(dict.fromkeys(image.group for image in seen))}
    with_objects = {image.group for image in seen if len(image.correct)}
    if count < config.min_objects or len(with_objects) < 2:
        msg = (
            f"The model found {counted(count, 'object')} in {counted(len(seen), 'image')}, but a "
            f"calibration needs at least {config.min_objects} in two images that belong to "
            "different groups. Give more annotated images; where the model was trained on no split "
            "of the manifest, --set split=none takes all."
        )
        raise UsageError(msg)
    classes = np.concatenate([image.classes for image in seen])
    correct = np.concatenate([image.correct for image in seen])
    groups = np.repeat([number[i.group] for i in seen], [len(i.correct) for i in seen])
    parts = divide_groups(groups, config.folds, np.random.default_rng(config.seed))
    trials = {
        penalty: cross_validated_scores(
            features, classes, correct, groups, parts=parts, penalty=penalty
        )
        for penalty in _PENALTIES
    }
    penalty = choose_penalty(
        {value: log_losses(found, correct, groups) for value, found in trials.items()}
    )
    scores = trials[penalty]
    fitted = replace(
        fit_calibration(features, classes, correct, groups, penalty=penalty),
        images=sum(len(image.correct) > 0 for image in seen),
        min_score=config.min_score,
        error=round(expected_calibration_error(scores, correct, bins=config.bins), 4),
    )
    return fitted, scores


def _store(folder: Path, out: Path, found: Calibrated) -> None:
    """Write the model of a folder with its calibration."""
    checkpoint = load_checkpoint(folder)
    manifest = {**checkpoint.manifest, CALIBRATION: to_mapping(found.calibration)}
    extras = {} if found.familiarity is None else found.familiarity.to_arrays()
    half = checkpoint.manifest.get("weights_precision") == "float16"
    out.mkdir(parents=True, exist_ok=True)
    save_checkpoint(out, replace(checkpoint, manifest=manifest, extras=extras), half=half)


def _check_overwriting(out: Path, *, overwrite: bool) -> None:
    there = [name for name in _FILES if (out / name).exists()]
    if there and not overwrite:
        msg = (
            f"{out}: would overwrite {listed(there)}. Choose another folder, or add --overwrite "
            "(in Python, overwrite=True)."
        )
        raise UsageError(msg)
