"""``train``: from a configuration to a run folder with a model in it.

The loop of :mod:`pancyte.training.loop` knows batches and losses; this module gives it patches from
the data sets, and does after each epoch what needs files: log, validate, save. A run that is
interrupted is resumed where it stopped, and on a CPU with the same bits.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pancyte import runtime
from pancyte.augment.intensity import IntensityAugmentation, augment_intensity
from pancyte.augment.spatial import draw_matrix
from pancyte.config import to_mapping
from pancyte.data.datasets import PatchDataset
from pancyte.data.folders import read_sources
from pancyte.data.records import TRAIN, VAL, Record, select_split
from pancyte.errors import ConfigError
from pancyte.training.loop import start_state
from pancyte.training.tracking import CsvTracker, TensorBoardTracker
from pancyte.workflows import run_folder
from pancyte.workflows.epochs import Run, finish, run_epochs, save
from pancyte.workflows.initialize import initialize
from pancyte.workflows.interruption import Interrupted, Interruption
from pancyte.workflows.validation import check_records, choose_records

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pancyte.protocols import Tracker
    from pancyte.types import FloatArray
    from pancyte.workflows.train_config import PrecisionChoice, TrainConfig

_LOGGER = logging.getLogger(__name__)

# What may change when a run is resumed, because it does not change the weights.
_FREE = frozenset({"out", "workers", "max_hours", "tensorboard"})


def train(config: TrainConfig, *, resume: bool = False) -> Path:
    """Train a model and return its run folder.

    Parameters
    ----------
    config
        What to do.
    resume
        Continue the run in ``config.out`` where it stopped; an empty folder starts a fresh run.

    Raises
    ------
    UsageError
        The run folder is not empty and ``resume`` is False, or the loss is not finite.
    ConfigError
        The settings do not fit together, to the data, or to the run that is resumed.
    InputError
        Images, labels or weights cannot be read.
    KeyboardInterrupt
        Ctrl-C, after the run was saved. SIGTERM saves too and then does what it did before.
    """
    folder = config.out
    is_new = not folder.is_dir() or not any(folder.iterdir())
    has_state = run_folder.open_run(folder, config, free=_FREE, resume=resume)
    if run_folder.is_complete(folder):
        _LOGGER.info("%s: the run is complete; there is nothing left to train", folder)
        return folder
    with (
        ExitStack() as when_it_cannot_start,
        run_folder.log_to_file(folder / "log.txt"),
        Interruption() as interruption,
    ):
        if is_new:
            when_it_cannot_start.callback(run_folder.discard_run, folder)
        run = _start(config, interruption, has_state=has_state)
        when_it_cannot_start.pop_all()
        try:
            run_epochs(run)
            finish(run)
        except Interrupted:
            save(run)
            _LOGGER.info("Saved after step %d; %s can be resumed", run.state.step, folder)
        finally:
            for tracker in run.trackers:
                tracker.close()
    interruption.act()
    return folder


def _start(config: TrainConfig, interruption: Interruption, *, has_state: bool) -> Run:
    folder = config.out
    device = runtime.choose_device(config.device)
    precision = _choose_precision(config.precision, device)
    threads = runtime.set_threads(config.threads)
    records = [r for r in read_sources(config.data) if r.labels is not None and r.weight > 0]
    # Where nothing says otherwise, an image is there to be trained on.
    training = select_split(records, "", TRAIN)
    _check_records(config, training)
    to_validate_on = _choose_validation(config, records)
    runtime.seed_everything(config.seed)
    runtime.warm_up()
    network = config.task.network()
    if config.initialize is not None and not has_state:
        initialize(network, config.initialize, channels=config.task.preprocessing.channels)
    network = network.to(device).to(memory_format=torch.channels_last)
    state = start_state(network, config.optimization, steps=config.steps, precision=precision)
    saved = run_folder.load_state(folder, state) if has_state else {}
    dataset = PatchDataset(
        training,
        config.task,
        sampling=config.sampling,
        draw_matrix=partial(draw_matrix, config.spatial),
        change_intensity=partial(_change_intensity, config.intensity),
        seed=config.seed,
    )
    provenance = _provenance(config, training, dataset)
    run_folder.write_environment(
        folder, {"device": str(device), "precision": str(precision), "threads": threads}
    )
    if saved:
        if config.max_hours is None or config.max_hours != saved.get("max_hours"):
            state.steps = config.steps  # how many of them fit is seen anew after an epoch
        _LOGGER.info("Resuming %s at step %d of %d", folder, state.step, state.steps)
    _LOGGER.info(
        "Training on %d images of %d modalities, %s in %s, %d threads",
        len(training), len({record.modality for record in training}), device, precision, threads,
    )  # fmt: skip
    trackers: list[Tracker] = [CsvTracker(folder / "metrics.csv", last_step=state.step)]
    if config.tensorboard:
        trackers.append(TensorBoardTracker(folder / "tensorboard", last_step=state.step))
    return Run(
        config=config,
        state=state,
        precision=precision,
        dataset=dataset,
        validation_records=to_validate_on,
        trackers=tuple(trackers),
        interruption=interruption,
        provenance=provenance,
        best=saved.get("best"),
        seconds_before=saved.get("seconds", 0.0),
        to_validate=saved.get("to_validate", False),
    )


def _change_intensity(
    settings: IntensityAugmentation, pixels: FloatArray, generator: np.random.Generator
) -> FloatArray:
    return augment_intensity(pixels, settings, generator)


def _choose_precision(name: PrecisionChoice, device: torch.device) -> torch.dtype:
    if name == "float16":
        if device.type != "cuda":
            msg = f"precision=float16 needs CUDA, but the device is {device}. Use bfloat16 or auto."
            raise ConfigError(msg)
        return torch.float16
    chosen = runtime.choose_precision(name, device)
    return torch.bfloat16 if chosen == "bfloat16" else torch.float32


def _check_records(config: TrainConfig, training: Sequence[Record]) -> None:
    if not training:
        sources = ", ".join(str(source.path) for source in config.data)
        msg = (
            f"data: expected images of the split {TRAIN!r} (or none) with labels and a weight "
            f"above 0, but got none in {sources}. Look at the columns split, labels and weight."
        )
        raise ConfigError(msg)


def _choose_validation(config: TrainConfig, records: Sequence[Record]) -> tuple[Record, ...]:
    """Return the images to validate on, which have been opened; none where none is wanted."""
    split = config.validation.split
    if config.validation.every == 0:
        return ()
    chosen = choose_records(select_split(records, split), config.validation.images)
    if not chosen and split != VAL:
        splits = ", ".join(sorted({repr(record.split) for record in records}))
        msg = (
            f"validation.split: expected a split of the data, but got {split!r}. The images with "
            f"labels have {splits}. Correct it, or set validation.every=0 to validate on none."
        )
        raise ConfigError(msg)
    if not chosen:
        _LOGGER.warning(
            "No image of the split %r: nothing is validated, and the last model is the best", split
        )
    check_records(chosen, config.task.classes, channels=config.task.preprocessing.channels)
    return chosen


def _provenance(
    config: TrainConfig, training: Sequence[Record], dataset: PatchDataset
) -> dict[str, Any]:
    diameters = dataset.object_diameters()
    low, middle, high = np.percentile(diameters, (1, 50, 99)) if len(diameters) else (0.0,) * 3
    sources = sorted({record.source for record in training if record.source})
    settings = to_mapping(config)
    for key in ("data", "out", "initialize", "task"):
        settings.pop(key, None)
    return {
        "pancyte": metadata.version("pancyte"),
        "images": len(training),
        "sources": sources,
        "modalities": sorted({record.modality for record in training if record.modality}),
        # Pixels of the network's input: outside of this range the model has seen nothing.
        "diameters": [round(float(value), 1) for value in (low, middle, high)],
        "training": settings,
    }
