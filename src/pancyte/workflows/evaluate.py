"""``evaluate``: score label images, or a model, against the truth.

::

    folder of predictions + folder or manifest of truth -> pairs   ┐
    model + manifest or folder of images with labels -> segment    ┘-> match -> summarize -> files
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pancyte.config import from_mapping
from pancyte.data.record_files import read_pixels, read_record_labels, read_targets
from pancyte.errors import InputError, UsageError, listed
from pancyte.io.checkpoint import MANIFEST_NAME
from pancyte.io.files import check_folder
from pancyte.io.images import ERRORS_SUFFIX
from pancyte.io.label_files import read_labels
from pancyte.metrics.matching import Matching, match
from pancyte.metrics.summary import ImageMatching, summarize
from pancyte.ops.labels import clear_border
from pancyte.runtime import using_threads
from pancyte.workflows.error_pictures import PICTURES, ErrorNames, draw_errors
from pancyte.workflows.evaluation import FILES, EvaluateConfig, Evaluation
from pancyte.workflows.outputs import unique_stems
from pancyte.workflows.truth import Truth, find_truth, pair_predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pancyte.inference.model import Model
    from pancyte.types import BoolArray, IntArray
    from pancyte.workflows.outputs import Report
    from pancyte.workflows.predict_config import PredictConfig

_LOGGER = logging.getLogger(__name__)


def evaluate(
    predictions: Path | str | Model,
    truth: Path | str,
    out: Path | str | None = None,
    config: EvaluateConfig | None = None,
    *,
    overwrite: bool = False,
    report: Report | None = None,
) -> Evaluation:
    """Score label images on disk, or a model, against the truth.

    Parameters
    ----------
    predictions
        Folder of label images (``<stem>_labels.tif``, as ``predict`` writes them), one such file,
        or a model, or its name or folder.
    truth
        Folder of label images of the same names, with or without an ending such as ``_mask``; a
        folder of images with labels; a manifest; or one label image.
    out
        Folder for ``scores.csv``, ``summary.csv``, ``scores.json``, and pictures of what was found,
        invented and missed in ``errors/``; None writes nothing.
    config
        Thresholds, protocol, split.
    overwrite
        Whether scores that are there may be replaced.
    report
        Called after each image.

    Returns
    -------
    Evaluation
        Scores of each image and class, and their summary.

    Raises
    ------
    UsageError
        Scores would be overwritten, there is no such model, the split is empty, or the settings
        ask for a device or precision of a model that is loaded already.
    InputError
        A prediction has no truth, or the reverse; sizes or classes differ; a file cannot be read.
        Nothing is scored then: a mean over what happened to be readable would mislead.
    """
    config = config or EvaluateConfig()
    folder = None if out is None else Path(out)
    found = find_truth(Path(truth), split=config.split, layout=config.layout)
    _check_overwriting(folder, overwrite=overwrite)
    if folder is not None:
        check_folder(folder)
    segment = _segmenter(predictions, config)
    if segment is None:
        # A split or a manifest may be a part of what was predicted.
        complete = Path(truth).is_dir() and config.split is None
        pairs = pair_predictions(Path(str(predictions)), found, complete=complete)
        planes = (_read_pair(path, item) for path, item in pairs)
        items = [item for _, item in pairs]
    else:
        _check_images(found)
        planes = (segment.segment(item) for item in found)
        items = list(found)
    stems = unique_stems([Path(item.name) for item in items])
    names = ErrorNames(folder, stems) if folder is not None and config.pictures else None
    if names is not None and segment is not None:
        names.plan_all(segment.classes)  # before the first image is segmented
    rows: list[ImageMatching] = []
    with nullcontext() if segment is None else segment.threads():
        for done, (item, stem, image) in enumerate(zip(items, stems, planes, strict=True), start=1):
            for plane in _annotated_planes(image, config):
                rows.append(_score(item, plane, config))
                if names is not None:
                    path = names.plan(stem, image.classes)[plane.label_class]
                    draw_errors(path, image.read_pixels(), plane.truth, plane.prediction)
            _LOGGER.debug("%s: scored", item.name)
            if report is not None:
                report(done, len(items), item.name)
    if not rows:
        msg = f"{truth}: no class of any image was annotated, so there is nothing to score."
        raise InputError(msg)
    rng = np.random.default_rng(config.seed)
    result = Evaluation(tuple(rows), summarize(rows, empty=config.empty_score, rng=rng), config)
    if folder is not None:
        source = predictions if isinstance(predictions, Path | str) else predictions.name
        result.write(folder, {"predictions": str(source), "truth": str(truth)})
    return result


@dataclass(frozen=True, slots=True, eq=False)
class _Planes:
    """Truth and prediction of one image."""

    classes: tuple[str, ...]
    truth: IntArray
    prediction: IntArray
    valid: BoolArray | None
    read_pixels: Callable[[], npt.NDArray[np.generic] | None]
    """Gives the image (C, Y, X), or None where only labels are known."""


@dataclass(frozen=True, slots=True, eq=False)
class _Plane:
    """One class of one image: what is scored, (Y, X)."""

    label_class: str
    truth: IntArray
    prediction: IntArray


@dataclass(frozen=True, slots=True)
class _Segmenter:
    """A model with its settings."""

    classes: tuple[str, ...]
    segment: Callable[[Truth], _Planes]
    threads: Callable[[], AbstractContextManager[object]]
    """Lets torch use as many threads as are asked for, and afterwards as many as before."""


def _score(item: Truth, plane: _Plane, config: EvaluateConfig) -> ImageMatching:
    return ImageMatching(item.name, plane.label_class, _match_plane(plane, config))


def _annotated_planes(planes: _Planes, config: EvaluateConfig) -> Iterator[_Plane]:
    for k, label_class in enumerate(planes.classes):
        truth, prediction = planes.truth[k], planes.prediction[k]
        if planes.valid is not None:
            if not planes.valid[k].any():
                continue  # this class was not annotated here
            truth = np.where(planes.valid[k], truth, 0)
            prediction = np.where(planes.valid[k], prediction, 0)
        if config.border and config.block_side(truth.shape) is None:
            truth = clear_border(truth, width=config.border)
            prediction = clear_border(prediction, width=config.border)
        yield _Plane(label_class, truth, prediction)


def _match_plane(plane: _Plane, config: EvaluateConfig) -> Matching:
    side = config.block_side(plane.truth.shape)
    if side is None:
        return match(plane.truth, plane.prediction, config.levels)
    height, width = plane.truth.shape
    blocks = (
        (slice(top, top + side), slice(left, left + side))
        for top in range(0, height, side)
        for left in range(0, width, side)
    )
    return reduce(add, (_match_block(plane, block, config) for block in blocks))


def _match_block(plane: _Plane, block: tuple[slice, slice], config: EvaluateConfig) -> Matching:
    truth, prediction = plane.truth[block], plane.prediction[block]
    if config.border:
        truth = clear_border(truth, width=config.border)
        prediction = clear_border(prediction, width=config.border)
    return match(truth, prediction, config.levels)


def _reader(item: Truth) -> Callable[[], npt.NDArray[np.generic] | None]:
    """Return what reads the image of a truth; it gives None where there is none to read."""

    def read() -> npt.NDArray[np.generic] | None:
        if item.record.image == item.labels:
            return None
        try:
            return read_pixels(item.record)
        except InputError as error:
            # Scores need no image, and predictions of it are there.
            _LOGGER.warning("%s. The picture of the errors is drawn on black.", error)
            return None

    return read


def _read_pair(path: Path, item: Truth) -> _Planes:
    read = read_labels(path)
    size, count = read.labels.shape[1:], len(read.labels)
    true = read_record_labels(item.record, size=size, planes=(count,))
    if true.labels.shape[1:] != read.labels.shape[1:]:
        msg = (
            f"{path}: expected the size of its truth {item.labels}, {true.labels.shape[1:]}, but "
            f"got {read.labels.shape[1:]}. Predict the image that was annotated."
        )
        raise InputError(msg)
    classes = read.classes or true.classes
    if not classes and len(read.labels) == 1:
        classes = ("object",)
    classes = classes or tuple(f"class {k}" for k in range(1, len(read.labels) + 1))
    if len(classes) != len(read.labels):
        msg = (
            f"{path}: expected a plane for each class of its truth {item.labels}, {classes}, but "
            f"got {len(read.labels)}."
        )
        raise InputError(msg)
    truth, valid = read_targets(item.record, classes, read.labels.shape[1:])
    return _Planes(classes, truth, read.labels, valid, _reader(item))


def _segmenter(predictions: Path | str | Model, config: EvaluateConfig) -> _Segmenter | None:
    """Return what segments an image with the model; None where it is predictions on disk."""
    if not isinstance(predictions, Path | str):
        return _segmenter_of_loaded(predictions, config)
    path = Path(predictions)
    if path.exists() and not (path / MANIFEST_NAME).exists():
        if config.predict or config.device != "auto":
            msg = (
                f"{path}: these are predictions, for which the settings device and predict mean "
                "nothing. Leave them out, or give a model."
            )
            raise UsageError(msg)
        return None
    # These load torch, which scoring files does not need.
    from pancyte.workflows import models  # noqa: PLC0415
    from pancyte.workflows.predict import PredictConfig, load_model  # noqa: PLC0415

    mapping = {"device": config.device, **config.predict}
    if "model" in mapping:
        msg = f"predict.model {mapping['model']!r}: the model is the first argument. Leave it out."
        raise UsageError(msg)
    try:
        folder = models.find_model(path if path.exists() else str(predictions))
    except UsageError as error:
        raise UsageError(
            f"{predictions}: no such file or folder of predictions. {error}"
        ) from error
    mapping["model"] = str(folder.absolute())
    settings = from_mapping(PredictConfig, mapping, where="predict")
    threads = partial(using_threads, settings.threads)
    return _segmenter_of(load_model(settings), settings, threads)


def _segmenter_of_loaded(model: Model, config: EvaluateConfig) -> _Segmenter:
    """Return what segments with a model that is loaded, and with the settings that are named."""
    from pancyte.workflows.decoding import configure_model  # noqa: PLC0415 - loads torch
    from pancyte.workflows.predict_config import PredictConfig  # noqa: PLC0415

    named = config.predict
    decided = [name for name in ("device", "precision", "model") if name in named]
    if config.device != "auto" or decided:
        name = f"predict.{decided[0]}" if decided else "device"
        msg = (
            f"{name}: the model {model.name} is loaded already, which decides that. Leave it out, "
            "or give the name or the folder of the model."
        )
        raise UsageError(msg)
    settings = from_mapping(PredictConfig, named, where="predict")
    threads = partial(using_threads, settings.threads) if "threads" in named else nullcontext
    return _segmenter_of(configure_model(model, settings, named), settings, threads)


def _segmenter_of(
    model: Model, config: PredictConfig, threads: Callable[[], AbstractContextManager[object]]
) -> _Segmenter:
    from pancyte.workflows.predict import segment_file  # noqa: PLC0415 - loads torch

    def segment(item: Truth) -> _Planes:
        read, found = segment_file(item.record.image, model, config, name=item.name)
        truth, valid = read_targets(item.record, model.classes, found.labels.shape[1:])
        return _Planes(model.classes, truth, found.labels, valid, lambda: read.image.pixels)

    return _Segmenter(model.classes, segment, threads)


def _check_images(found: Sequence[Truth]) -> None:
    for item in found:
        if item.record.image == item.labels:
            msg = (
                f"{item.labels}: a model needs the image of these labels. Give a manifest, or a "
                "folder with the folders images and masks."
            )
            raise UsageError(msg)


def _check_overwriting(folder: Path | None, *, overwrite: bool) -> None:
    if folder is None or overwrite:
        return
    there = [name for name in FILES if (folder / name).exists()]
    there += [f"{PICTURES}/{path.name}" for path in folder.glob(f"{PICTURES}/**/*{ERRORS_SUFFIX}")]
    if there:
        msg = (
            f"{folder}: would overwrite {listed(there)}. Choose another folder, or add "
            "--overwrite (in Python, overwrite=True)."
        )
        raise UsageError(msg)
