"""What the first batch of a training would be, in words and as a picture, with nothing trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pancyte.errors import PancyteError, counted
from pancyte.io.bitmaps import write_png
from pancyte.io.files import check_file
from pancyte.viz.overlay import overlay, readable_magnification
from pancyte.workflows.batches import batch_keys
from pancyte.workflows.plan import make_plan, warn_of_high_end
from pancyte.workflows.training_data import open_training_data

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from pancyte.ops.preprocess import Preprocessing
    from pancyte.protocols import Targets
    from pancyte.tasks import Task
    from pancyte.types import BoolArray, IntArray
    from pancyte.workflows.plan import Plan
    from pancyte.workflows.train_config import TrainConfig
    from pancyte.workflows.training_data import TrainingData

_GAP = 8
_MOST_DRAWN = 8
_LABELS = "labels"


def show_first_batch(config: TrainConfig, picture: Path | None = None) -> str:
    """Make the first batch of a training, draw it, and return what it is.

    Parameters
    ----------
    config
        Of the training.
    picture
        PNG file to make or to replace: a row for each patch, first the image, then the image with
        the contours of each class. None is ``<out>_first_batch.png``; nothing else is written.

    Returns
    -------
    str
        Lines of text: images, length, shapes, types, ranges of values, objects of each class.

    Raises
    ------
    ConfigError, InputError
        As for the training: what it would stumble over at its start is found here too.
    """
    path = picture or config.out.with_name(f"{config.out.name}_first_batch.png")
    check_file(path)
    data = open_training_data(config, task=_KeepLabels(config.task))  # type: ignore[arg-type]
    config.task.network()  # which may have an encoder that is not there
    plan = make_plan(config, draws=data.main.draws_per_epoch)
    warn_of_high_end(config, plan)
    keys = next(batch_keys(config, data.dataset, 0, plan.epoch_steps))
    patches = [_patch(data.dataset[key]) for key in keys]  # type: ignore[index]
    write_png(path, _draw(patches))
    return "\n".join([*_describe_data(data, plan, config), *_describe_batch(patches, config)]) + (
        f"\nThe picture is {path}"
    )


class _KeepLabels:
    """A task whose targets hold the labels too."""

    def __init__(self, task: Task) -> None:
        self.classes: tuple[str, ...] = task.classes
        self.preprocessing: Preprocessing = task.preprocessing
        self._task = task

    def encode(self, labels: IntArray, valid: BoolArray | None = None) -> Targets:
        return {**self._task.encode(labels, valid), _LABELS: labels}


def _patch(patch: object) -> dict[str, npt.NDArray[Any]]:
    if isinstance(patch, PancyteError):
        raise patch
    if not isinstance(patch, dict):
        msg = f"Expected a patch to be a mapping of arrays, but got {type(patch).__name__}"
        raise TypeError(msg)
    return patch


def _describe_data(data: TrainingData, plan: Plan, config: TrainConfig) -> list[str]:
    used = [
        f"{len(records)} to {verb}"
        for records, verb in (
            (data.training, "train on"), (data.validation, "validate on"), (data.test, "test on"),
        )
    ]  # fmt: skip
    epochs = plan.steps / plan.epoch_steps
    patches = config.batch * config.optimization.accumulate
    steps = f"{counted(plan.steps, 'step')} of {counted(patches, 'patch', plural='patches')}"
    return [f"Images: {', '.join(used)}", f"Length: {steps}, {epochs:.4g} epochs"]


def _describe_batch(
    patches: Sequence[dict[str, npt.NDArray[Any]]], config: TrainConfig
) -> list[str]:
    lines = [f"First batch: {counted(len(patches), 'patch', plural='patches')}"]
    for name in patches[0]:
        array = np.stack([patch[name] for patch in patches])
        span = f"{array.min():.4g} to {array.max():.4g}"
        lines.append(f"  {name}: {array.shape} {array.dtype}, {span}")
    labels = np.stack([patch[_LABELS] for patch in patches])
    for place, name in enumerate(config.task.classes):
        counts = [len(np.unique(plane[plane > 0])) for plane in labels[:, place]]
        known = [patch["valid"][place].any() for patch in patches if "valid" in patch]
        missing = f"; not annotated in {known.count(np.False_)} patches" if not all(known) else ""
        objects = f"{counted(sum(counts), 'object')}, {min(counts)} to {max(counts)} in a patch"
        lines.append(f"  class {name}: {objects}{missing}")
    return lines


def _draw(patches: Sequence[dict[str, npt.NDArray[Any]]]) -> npt.NDArray[np.uint8]:
    rows = []
    for patch in patches[:_MOST_DRAWN]:
        image, labels = patch["image"], patch[_LABELS]
        magnification = max(1, readable_magnification(image.shape[1:]) // 2)
        shown = [np.zeros_like(labels[:1]), *(plane[None] for plane in labels)]
        row = [overlay(image, planes, magnification=magnification) for planes in shown]
        rows.append(_joined(row, axis=1))
    return _joined(rows, axis=0)


def _joined(pictures: Sequence[npt.NDArray[np.uint8]], *, axis: int) -> npt.NDArray[np.uint8]:
    """Put pictures side by side or below each other, with white between them."""
    shape = list(pictures[0].shape)
    shape[axis] = _GAP
    gap = np.full(shape, 255, np.uint8)
    parts = [part for picture in pictures for part in (gap, picture)][1:]
    return np.concatenate(parts, axis=axis)
