"""Score a network on whole images while it is trained, through the same path as prediction."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from pancyte.data.record_files import read_pixels, read_targets
from pancyte.errors import ConfigError, InputError, near_miss
from pancyte.metrics.matching import match
from pancyte.metrics.scores import average_precision, f1
from pancyte.ops.measure import measure_objects
from pancyte.params import params

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pancyte.data.records import Record
    from pancyte.inference.model import Model
    from pancyte.metrics.matching import Matching
    from pancyte.types import IntArray

_IOU = 0.5

_SCORES = ("f1", "ap")

Metric: TypeAlias = "Callable[[IntArray, IntArray], float]"
"""Scores one image: labels (K, Y, X) of the truth and of the prediction; the higher, the better."""


@params
class Validation:
    """How a model is scored while it is trained, and by which score the best is kept."""

    every: int = 2
    """Epochs from one validation to the next; the end of the training is validated too. 0 never
    validates, and the last model is the best."""
    images: int = 40
    """Most images to segment, chosen evenly from the modalities; at least 1."""
    metric: str = "f1"
    """What decides which model is the best, by its highest value: ``f1`` or ``ap``, that is
    TP / (TP + FP + FN), both at an IoU of 0.5 and as means over images; one class of several,
    such as ``f1/nucleus``; or the name of a metric that was passed to ``train`` in Python."""
    diameter: Literal["true", "estimated"] = "true"
    """Scale each image by the median diameter of its true objects, or as prediction estimates."""
    split: str = "val"
    """Split of the records to score on."""
    patience: int | None = None
    """Stop early after so many validations in a row without a better score, at least 1; None never
    stops early."""

    def __post_init__(self) -> None:
        if self.every < 0:
            raise ValueError(f"Expected every of at least 0, but got {self.every}")
        if self.images < 1:
            raise ValueError(f"Expected images of at least 1, but got {self.images}")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"Expected patience of at least 1, but got {self.patience}")


@dataclass(frozen=True, slots=True, eq=False)
class ImageScores:
    """How one image was segmented."""

    record: Record
    matchings: Mapping[str, Matching | None]
    """Of each class; None where it was not annotated in the image."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Values of the metrics that were passed, by name."""


def choose_records(records: Iterable[Record], num_images: int) -> tuple[Record, ...]:
    """Choose at most ``num_images`` records, taking modalities in turn.

    Within a modality the images are spread evenly over its list.
    """
    modalities: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        modalities[record.modality].append(record)
    quota = dict.fromkeys(modalities, 0)
    total = min(num_images, sum(map(len, modalities.values())))
    for name in itertools.cycle(modalities):
        if sum(quota.values()) >= total:
            break
        quota[name] += quota[name] < len(modalities[name])
    return tuple(
        members[place * len(members) // quota[name]]
        for name, members in modalities.items()
        for place in range(quota[name])
    )


def check_records(
    records: Iterable[Record], classes: tuple[str, ...], *, channels: int, verb: str = "validate"
) -> None:
    """Open what will be scored on, so that no training stumbles over it after hours.

    Parameters
    ----------
    records
        With labels.
    classes
        Names of the classes of the model.
    channels
        Most channels that the model takes.
    verb
        What the images are for, in the message.

    Raises
    ------
    InputError
        An image or its labels cannot be used; the message names the file.
    """
    for record in records:
        pixels = read_pixels(record)
        if len(pixels) > channels:
            msg = (
                f"{record.image}: expected an image of at most {channels} channels to {verb} on, "
                f"but got {len(pixels)}. Save the channels that count as an image of its own."
            )
            raise InputError(msg)
        read_targets(record, classes, pixels.shape[1:])


def score_images(
    model: Model,
    records: Sequence[Record],
    *,
    diameter: Literal["true", "estimated"],
    metrics: Mapping[str, Metric] | None = None,
) -> Iterator[ImageScores]:
    """Segment the image of each record and yield how it matches the truth.

    Parameters
    ----------
    model
        What is scored.
    records
        With labels. Where the annotation cannot be trusted, neither side has objects.
    diameter
        ``true`` tells a model that scales images the median diameter of the true objects.
    metrics
        Further functions to score with, by name.
    """
    for record in records:
        pixels = read_pixels(record)
        truth, valid = read_targets(record, model.classes, pixels.shape[1:])
        # A model that sees images as they are has no use for a diameter.
        scales = model.task.preprocessing.diameter is not None
        known = _median_diameter(truth) if diameter == "true" and scales else None
        prediction = model.segment(pixels, axes="CYX", diameter=known).labels
        annotated = dict.fromkeys(model.classes, True)
        if valid is not None:
            truth, prediction = np.where(valid, truth, 0), np.where(valid, prediction, 0)
            annotated = {name: bool(v.any()) for name, v in zip(model.classes, valid, strict=True)}
        planes = zip(model.classes, truth, prediction, strict=True)
        matchings = {
            name: match(true, found, (_IOU,)) if annotated[name] else None
            for name, true, found in planes
        }
        own = {name: float(metric(truth, prediction)) for name, metric in (metrics or {}).items()}
        yield ImageScores(record, matchings, own)


def mean_scores(images: Iterable[ImageScores]) -> dict[str, float]:
    """Return means over images of f1, ap and the metrics that were passed.

    Where there are several classes, ``f1/<class>`` and ``ap/<class>`` are those of one of them, and
    ``f1/modality/<modality>`` is that of the images of one modality. Images without true and
    predicted objects have no score and count nowhere, and neither do classes that were not
    annotated in an image; a mean over no image is left out.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for image in images:
        annotated = {name: m for name, m in image.matchings.items() if m is not None}
        if annotated:
            first, *others = annotated.values()
            matching = sum(others, first)
            image_f1 = float(f1(matching)[0])
            values["f1"].append(image_f1)
            values["ap"].append(float(average_precision(matching)[0]))
            if image.record.modality:
                values[f"f1/modality/{image.record.modality}"].append(image_f1)
        for name, value in image.metrics.items():
            values[name].append(value)
        for name, matching in annotated.items() if len(image.matchings) > 1 else ():
            values[f"f1/{name}"].append(float(f1(matching)[0]))
            values[f"ap/{name}"].append(float(average_precision(matching)[0]))
    means = {name: _mean(scores) for name, scores in values.items()}
    return {name: mean for name, mean in means.items() if mean is not None}


def check_metric(metric: str, classes: tuple[str, ...], metrics: Iterable[str]) -> None:
    """Refuse a metric to choose the best model by that no validation will have.

    Raises
    ------
    ConfigError
        The message lists what there is.
    """
    several = classes if len(classes) > 1 else ()
    known = [*_SCORES, *(f"{score}/{name}" for score in _SCORES for name in several), *metrics]
    if metric not in known:
        msg = (
            f"validation.metric: expected one of {', '.join(known)}, but got {metric!r}."
            f"{near_miss(metric, known)}"
        )
        raise ConfigError(msg)


def _median_diameter(labels: IntArray) -> float | None:
    diameters = measure_objects(labels)["diameter"]
    return float(np.median(diameters)) if len(diameters) else None


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if not np.isnan(value)]
    return float(np.mean(finite)) if finite else None
