"""Score a network on whole images while it is trained, through the same path as prediction."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, Literal

import numpy as np

from pancyte.data.patches import read_pixels, read_targets
from pancyte.errors import InputError
from pancyte.metrics.matching import match
from pancyte.metrics.scores import average_precision, f1
from pancyte.ops.measure import measure_objects
from pancyte.params import params

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pancyte.data.records import Record
    from pancyte.inference.model import Model
    from pancyte.metrics.matching import Matching
    from pancyte.types import IntArray

_IOU = 0.5


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


def check_records(records: Iterable[Record], classes: tuple[str, ...], *, channels: int) -> None:
    """Open what will be validated on, so that no training stumbles over it after hours.

    Raises
    ------
    InputError
        An image or its labels cannot be used; the message names the file.
    """
    for record in records:
        pixels = read_pixels(record)
        if len(pixels) > channels:
            msg = (
                f"{record.image}: expected an image of at most {channels} channels to validate on, "
                f"but got {len(pixels)}. Save the channels that count as an image of its own."
            )
            raise InputError(msg)
        read_targets(record, classes, pixels.shape[1:])


def score_images(
    model: Model, records: Sequence[Record], *, diameter: Literal["true", "estimated"]
) -> Iterator[tuple[Record, Matching]]:
    """Segment the image of each record and yield its matching, summed over the classes.

    Parameters
    ----------
    model
        What is scored.
    records
        With labels. Where the annotation cannot be trusted, neither side has objects.
    diameter
        ``true`` tells the model the median diameter of the true objects.
    """
    for record in records:
        pixels = read_pixels(record)
        truth, valid = read_targets(record, model.classes, pixels.shape[1:])
        known = _median_diameter(truth) if diameter == "true" else None
        prediction = model.segment(pixels, axes="CYX", diameter=known).labels
        if valid is not None:
            truth, prediction = np.where(valid, truth, 0), np.where(valid, prediction, 0)
        first, *others = [match(*planes, (_IOU,)) for planes in zip(truth, prediction, strict=True)]
        yield record, sum(others, first)


def mean_scores(matchings: Iterable[tuple[Record, Matching]]) -> dict[str, float]:
    """Return f1 and ap as means over images, and f1 of each modality as ``f1/<modality>``.

    Images without true and predicted objects have no score and count nowhere; a mean over no image
    is left out.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for record, matching in matchings:
        image_f1 = float(f1(matching)[0])
        values["f1"].append(image_f1)
        values["ap"].append(float(average_precision(matching)[0]))
        if record.modality:
            values[f"f1/{record.modality}"].append(image_f1)
    means = {name: _mean(scores) for name, scores in values.items()}
    return {name: mean for name, mean in means.items() if mean is not None}


def _median_diameter(labels: IntArray) -> float | None:
    diameters = measure_objects(labels)["diameter"]
    return float(np.median(diameters)) if len(diameters) else None


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if not np.isnan(value)]
    return float(np.mean(finite)) if finite else None
