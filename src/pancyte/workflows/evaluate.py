"""``evaluate``: score label images, or a model, against the truth.

::

    folder of predictions + folder or manifest of truth -> pairs   ┐
    model + manifest or folder of images with labels -> segment    ┘-> match -> summarize -> files
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from pancyte.config import from_mapping, to_mapping
from pancyte.data.patches import read_targets
from pancyte.errors import InputError, UsageError
from pancyte.io.checkpoint import MANIFEST_NAME
from pancyte.io.label_files import read_labels
from pancyte.io.tables import write_csv, write_json
from pancyte.metrics.matching import THRESHOLDS, match
from pancyte.metrics.summary import (
    ImageMatching,
    Scores,
    Summary,
    all_scores,
    summarize,
    threshold_mean,
)
from pancyte.ops.labels import clear_border
from pancyte.params import params
from pancyte.runtime import set_threads
from pancyte.workflows.environment import describe_environment
from pancyte.workflows.truth import Truth, find_truth, pair_predictions

if TYPE_CHECKING:
    from pancyte.types import BoolArray, IntArray
    from pancyte.workflows.outputs import Report

_LOGGER = logging.getLogger(__name__)

SCORES_TABLE: Final = "scores.csv"
SCORES_FILE: Final = "scores.json"


@params
class EvaluateConfig:
    """What counts as a match, and which images and objects are scored."""

    thresholds: tuple[float, ...] = THRESHOLDS
    """IoU thresholds, above 0 and up to 1. Those of 0.5:0.95 are always added, for their mean."""
    protocol: Literal["pancyte", "neurips22"] = "pancyte"
    """``neurips22`` removes objects within 2 px of the border and scores empty against empty as 0,
    as the cell segmentation challenge of NeurIPS 2022 did; by default neither."""
    remove_border: int | None = None
    """Objects with a pixel in a frame of this width are removed from truth and prediction, each on
    its own; None is what the protocol says."""
    split: str | None = None
    """Split of the manifest to score; None is all of it."""
    device: str = "auto"
    """Where a model runs; predictions on disk need none."""
    predict: Mapping[str, Any] = field(default_factory=dict)
    """Settings that a model predicts with, those of ``pancyte predict``, such as ``diameter``."""
    seed: int = 0
    """Of the bootstrap draws behind the intervals."""

    def __post_init__(self) -> None:
        if not all(0 < threshold <= 1 for threshold in self.thresholds):
            msg = f"Expected thresholds above 0 and up to 1, but got {self.thresholds}"
            raise ValueError(msg)
        if self.remove_border is not None and self.remove_border < 0:
            msg = f"Expected remove_border to be 0 or more pixels, but got {self.remove_border}"
            raise ValueError(msg)

    @property
    def border(self) -> int:
        """Width of the frame in pixels whose objects are removed."""
        if self.remove_border is not None:
            return self.remove_border
        return 2 if self.protocol == "neurips22" else 0

    @property
    def levels(self) -> tuple[float, ...]:
        """All thresholds, ascending."""
        return tuple(sorted({*self.thresholds, *THRESHOLDS}))

    @property
    def empty_score(self) -> float:
        """What empty against empty scores."""
        return 0.0 if self.protocol == "neurips22" else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The scores of a data set."""

    rows: tuple[ImageMatching, ...]
    """One for each class of each image."""
    summary: Summary
    config: EvaluateConfig

    def columns(self) -> dict[str, list[Any]]:
        """Return the table of ``scores.csv``: a row for each image, class and threshold."""
        table: list[dict[str, Any]] = []
        for row in self.rows:
            scores = all_scores(row.matching, empty=self.config.empty_score)
            for k, threshold in enumerate(row.matching.thresholds):
                counts = {name: getattr(row.matching, name)[k] for name in ("tp", "fp", "fn")}
                values = {
                    name: value[k] if value.ndim else value[()] for name, value in scores.items()
                }
                head = {"image": row.image, "class": row.label_class, "threshold": threshold}
                table.append(head | counts | values)
        return {name: [line[name] for line in table] for name in table[0]}

    def document(self) -> dict[str, Any]:
        """Return the content of ``scores.json``."""
        summary = self.summary
        return {
            "settings": {**to_mapping(self.config), "remove_border": self.config.border},
            "thresholds": summary.thresholds,
            "num_images": summary.num_images,
            "undefined_images": summary.undefined_images,
            "undefined_classes": summary.undefined_classes,
            "image_wise": self._group(summary.image_wise) | {"interval_95": summary.interval},
            "micro": self._group(summary.micro),
            "macro": self._group(summary.macro),
            "per_class": {name: self._group(group) for name, group in summary.per_class.items()},
        }

    def text(self) -> str:
        """Return a table of the most used scores for the terminal."""
        summary = self.summary
        groups = {"mean over images": summary.image_wise, "all objects (micro)": summary.micro}
        if len(summary.per_class) > 1:
            groups["mean over classes"] = summary.macro
            groups |= {f"class {name}": group for name, group in summary.per_class.items()}
        half = int(np.argmin(np.abs(summary.thresholds - 0.5)))
        width = max(map(len, groups))
        lines = [
            f"{'':{width}}  F1@0.5  AP@0.5  AP@0.5:0.95  PQ@0.5  Dice   AJI",
            *(f"{name:{width}}  {_line(group, half, summary)}" for name, group in groups.items()),
        ]
        low, high = summary.interval["f1"][:, half]
        if np.isfinite(low):
            lines.append(f"95 % interval of F1@0.5 over images: {low:.3f} to {high:.3f}")
        images = f"{summary.num_images} image{'s' if summary.num_images != 1 else ''}"
        if summary.undefined_images:
            images += f", {summary.undefined_images} without any object left out of the mean"
        return "\n".join([images, *lines])

    def _group(self, group: Scores) -> dict[str, Any]:
        means = {
            name: threshold_mean(value, self.summary.thresholds)
            for name, value in group.items()
            if value.ndim
        }
        return {**group, "mean_0.5_0.95": means}


def evaluate(
    predictions: Path | str,
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
        or the name or folder of a model.
    truth
        Folder of label images of the same names, with or without an ending such as ``_mask``; a
        folder of images with labels; a manifest; or one label image.
    out
        Folder for ``scores.csv`` and ``scores.json``; None writes nothing.
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
        Scores would be overwritten, there is no such model, or the split is empty.
    InputError
        A prediction has no truth, or the reverse; sizes or classes differ; a file cannot be read.
        Nothing is scored then: a mean over what happened to be readable would mislead.
    """
    config = config or EvaluateConfig()
    folder = None if out is None else Path(out)
    if folder is not None and not overwrite:
        _check_overwriting(folder)
    found = find_truth(Path(truth), split=config.split)
    segment = _segmenter(predictions, config)
    if segment is None:
        # A split or a manifest may be a part of what was predicted.
        complete = Path(truth).is_dir() and config.split is None
        pairs = pair_predictions(Path(predictions), found, complete=complete)
        planes = (_read_pair(path, item) for path, item in pairs)
        names = [item.name for _, item in pairs]
    else:
        _check_images(found)
        planes = (segment(item) for item in found)
        names = [item.name for item in found]
    rows: list[ImageMatching] = []
    for done, (name, image) in enumerate(zip(names, planes, strict=True), start=1):
        rows.extend(_match_image(name, image, config))
        _LOGGER.debug("%s: scored", name)
        if report is not None:
            report(done, len(names), name)
    if not rows:
        msg = f"{truth}: no class of any image was annotated, so there is nothing to score."
        raise InputError(msg)
    rng = np.random.default_rng(config.seed)
    result = Evaluation(tuple(rows), summarize(rows, empty=config.empty_score, rng=rng), config)
    if folder is not None:
        sources = {"predictions": str(predictions), "truth": str(truth)}
        _write(result, folder, sources)
    return result


@dataclass(frozen=True, slots=True, eq=False)
class _Planes:
    """Truth and prediction of one image."""

    classes: tuple[str, ...]
    truth: IntArray
    prediction: IntArray
    valid: BoolArray | None


def _match_image(name: str, planes: _Planes, config: EvaluateConfig) -> Iterator[ImageMatching]:
    for k, label_class in enumerate(planes.classes):
        truth, prediction = planes.truth[k], planes.prediction[k]
        if planes.valid is not None:
            if not planes.valid[k].any():
                continue  # this class was not annotated here
            truth = np.where(planes.valid[k], truth, 0)
            prediction = np.where(planes.valid[k], prediction, 0)
        if config.border:
            truth = clear_border(truth, width=config.border)
            prediction = clear_border(prediction, width=config.border)
        yield ImageMatching(name, label_class, match(truth, prediction, config.levels))


def _read_pair(path: Path, item: Truth) -> _Planes:
    read = read_labels(path)
    true = read_labels(item.labels)
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
    return _Planes(classes, truth, read.labels, valid)


def _segmenter(
    predictions: Path | str, config: EvaluateConfig
) -> Callable[[Truth], _Planes] | None:
    """Return what segments an image with the model; None where it is predictions on disk."""
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
    from pancyte.workflows.predict import PredictConfig, load_model, segment_file  # noqa: PLC0415

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
    set_threads(settings.threads)
    model = load_model(settings)

    def segment(item: Truth) -> _Planes:
        _, found = segment_file(item.record.image, model, settings, name=item.name)
        truth, valid = read_targets(item.record, model.classes, found.labels.shape[1:])
        return _Planes(model.classes, truth, found.labels, valid)

    return segment


def _check_images(found: Sequence[Truth]) -> None:
    for item in found:
        if item.record.image == item.labels:
            msg = (
                f"{item.labels}: a model needs the image of these labels. Give a manifest, or a "
                "folder with the folders images and masks."
            )
            raise UsageError(msg)


def _check_overwriting(folder: Path) -> None:
    there = [name for name in (SCORES_TABLE, SCORES_FILE) if (folder / name).exists()]
    if there:
        msg = (
            f"{folder}: would overwrite {' and '.join(there)}. Choose another folder, or add "
            "--overwrite (in Python, overwrite=True)."
        )
        raise UsageError(msg)


def _write(result: Evaluation, folder: Path, sources: Mapping[str, str]) -> None:
    write_csv(folder / SCORES_TABLE, result.columns())
    document = {**sources, **result.document(), "environment": describe_environment()}
    write_json(folder / SCORES_FILE, document)


def _line(group: Scores, half: int, summary: Summary) -> str:
    mean = float(threshold_mean(group["average_precision"], summary.thresholds))
    return (
        f"{group['f1'][half]:6.3f}  {group['average_precision'][half]:6.3f}  {mean:11.3f}  "
        f"{group['panoptic_quality'][half]:6.3f}  {group['dice']:5.3f}  {group['aji']:5.3f}"
    )
