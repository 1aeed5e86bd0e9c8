"""The images of a training: which are trained, validated and tested on, and the patches of them."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pancyte.augment.cell_aware import change_objects
from pancyte.augment.intensity import IntensityAugmentation, augment_intensity
from pancyte.augment.spatial import draw_matrix
from pancyte.data.datasets import PatchDataset, ReplayedDataset
from pancyte.data.folders import read_sources
from pancyte.data.records import TEST, TRAIN, VAL, Record, select_split, unannotated_classes
from pancyte.data.splits import check_disjoint
from pancyte.errors import ConfigError, listed
from pancyte.workflows.replay import add_replay
from pancyte.workflows.validation import check_records, choose_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from pancyte.protocols import Task
    from pancyte.types import FloatArray, Sample
    from pancyte.workflows.train_config import TrainConfig

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What a training reads."""

    main: PatchDataset
    """Makes the patches of the images to train on."""
    dataset: PatchDataset | ReplayedDataset
    """The same, with what is replayed."""
    training: tuple[Record, ...]
    validation: tuple[Record, ...]
    """They have been opened; none where nothing is validated."""
    test: tuple[Record, ...]
    """They have been opened; none where nothing is tested."""


def open_training_data(config: TrainConfig, task: Task | None = None) -> TrainingData:
    """Read the lists of images and labels, and see that they can be used.

    Parameters
    ----------
    config
        Data sets, splits and augmentation.
    task
        What encodes the labels of the patches; None is that of ``config``.

    Raises
    ------
    ConfigError
        A split has no image that it needs.
    InputError
        A list or an image to validate or test on cannot be read, or an image is in two splits.
    """
    found = read_sources(config.data)
    records = [r for r in found if r.labels is not None and r.weight > 0]
    # Where nothing says otherwise, an image is there to be trained on.
    training = select_split(records, "", TRAIN)
    _check_training(config, training)
    _warn_of_sizes(config, training)
    main = make_dataset(config, training, task or config.task)
    dataset: PatchDataset | ReplayedDataset = main
    if config.replay is not None:
        dataset = add_replay(main, config.replay)
        # Nor may an image that the model is scored on be replayed.
        check_disjoint([*found, *dataset.replayed.records])
    return TrainingData(
        main=main,
        dataset=dataset,
        training=training,
        validation=_choose_validation(config, records),
        test=_choose_test(config, records),
    )


def make_dataset(config: TrainConfig, records: Sequence[Record], task: Task) -> PatchDataset:
    """Return the patches of these records, augmented as the settings say."""
    change_sample = None
    if config.cell_aware is not None or config.exclude_boundaries is not None:
        change_sample = partial(_change_sample, config)
    return PatchDataset(
        records,
        task,
        sampling=config.sampling,
        draw_matrix=partial(draw_matrix, config.spatial),
        change_sample=change_sample,
        change_intensity=partial(_change_intensity, config.intensity),
        seed=config.seed,
    )


def _change_sample(config: TrainConfig, sample: Sample, generator: np.random.Generator) -> Sample:
    return change_objects(
        sample,
        generator,
        cell_aware=config.cell_aware,
        exclude_boundaries=config.exclude_boundaries,
    )


def _change_intensity(
    settings: IntensityAugmentation, pixels: FloatArray, generator: np.random.Generator
) -> FloatArray:
    return augment_intensity(pixels, settings, generator)


def _check_training(config: TrainConfig, training: Sequence[Record]) -> None:
    if not training:
        sources = ", ".join(str(source.path) for source in config.data)
        msg = (
            f"data: expected images of the split {TRAIN!r} (or none) with labels and a weight "
            f"above 0, but got none in {sources}. Look at the columns split, labels and weight."
        )
        raise ConfigError(msg)
    missing = unannotated_classes(training, config.task.classes)
    if missing:
        msg = (
            f"task.classes: expected classes that were annotated, but no image to train on names "
            f"{', '.join(map(repr, missing))}. Look at the columns annotated and labels:NAME."
        )
        raise ConfigError(msg)


def _warn_of_sizes(config: TrainConfig, training: Sequence[Record]) -> None:
    """Say which images are scaled by the objects of other classes than the rest."""
    classes = config.task.classes
    if config.task.preprocessing.diameter is None or len(classes) == 1:
        return
    measured: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in training:
        known = record.annotated
        if known is None and record.class_labels:
            known = tuple(name for name, _ in record.class_labels)
        measured[classes if known is None else tuple(c for c in classes if c in known)].append(
            record
        )
    usual = classes if classes in measured else max(measured, key=lambda key: len(measured[key]))
    others = [record for key, found in measured.items() if key != usual for record in found]
    if others:
        _LOGGER.warning(
            "%d of %d images to train on are scaled by the sizes of other classes than the rest, "
            "which is by %s, since not all are annotated in them: %s. Where the classes differ in "
            "size, annotate them all, or set task.preprocessing.diameter=none with images of one "
            "magnification",
            len(others), len(training), " and ".join(usual),
            listed([record.image.name for record in others]),
        )  # fmt: skip


def _choose_validation(config: TrainConfig, records: Sequence[Record]) -> tuple[Record, ...]:
    split = config.validation.split
    if config.validation.every == 0:
        return ()
    chosen = choose_records(select_split(records, split), config.validation.images)
    if not chosen and split != VAL:
        raise ConfigError(_no_split("validation.split", split, records, "validation.every=0"))
    if not chosen:
        _LOGGER.warning(
            "No image of the split %r: nothing is validated, and the last model is the best", split
        )
    check_records(chosen, config.task.classes, channels=config.task.preprocessing.channels)
    return chosen


def _choose_test(config: TrainConfig, records: Sequence[Record]) -> tuple[Record, ...]:
    if config.test is None:
        return ()
    chosen = select_split(records, config.test)
    if not chosen and config.test != TEST:
        raise ConfigError(_no_split("test", config.test, records, "test=none"))
    channels = config.task.preprocessing.channels
    check_records(chosen, config.task.classes, channels=channels, verb="test")
    return chosen


def _no_split(key: str, split: str, records: Sequence[Record], otherwise: str) -> str:
    splits = ", ".join(sorted({repr(record.split) for record in records}))
    verb = "test" if key == "test" else "validate"
    return (
        f"{key}: expected a split of the data, but got {split!r}. The images with labels have "
        f"{splits}. Correct it, or set {otherwise} to {verb} on none."
    )
