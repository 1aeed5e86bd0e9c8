"""All settings of a training, and how they are read from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pancyte.augment.cell_aware import BoundaryExclusion, CellAware
from pancyte.augment.intensity import IntensityAugmentation
from pancyte.augment.spatial import SpatialAugmentation
from pancyte.config import apply_overrides, from_mapping, read_mapping
from pancyte.data.datasets import Sampling
from pancyte.data.records import DataSource
from pancyte.params import params
from pancyte.runtime import PrecisionChoice
from pancyte.tasks import Task
from pancyte.tasks.flow import FlowTask
from pancyte.training.optim import Optimization
from pancyte.training.wandb_tracker import Wandb
from pancyte.workflows.models import list_models
from pancyte.workflows.replay import Replay
from pancyte.workflows.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Sequence

TrainingPrecision = Literal[PrecisionChoice, "float16"]


@params
class TrainConfig:
    """All settings of a training; :func:`read_train_config` reads it from a file."""

    data: tuple[DataSource, ...]
    """Data sets to draw from, with weights."""
    out: Path
    """Folder of the run."""
    task: Task = FlowTask()
    """What is learned: classes, representation, preprocessing."""
    initialize: Path | None = None
    """Weights to start from: a model folder or the name of a bundled model to fine-tune, or a
    safetensors file of an ImageNet encoder; None starts from random weights. A name wins over a
    folder of that name; write the whole path of such a folder."""
    initialize_strict: bool = False
    """Whether all of these weights must fit, instead of as many as do."""
    name: str = "model"
    """Name of the model in its manifest."""
    steps: int | None = None
    """Optimizer steps of the whole training; None is 5000, or what ``epochs`` says."""
    epochs: int | None = None
    """Epochs of the whole training, instead of ``steps``."""
    epoch_steps: int | None = 250
    """Optimizer steps of an epoch, after which the run is saved. None is one pass over the images
    (the draws of ``sampling.amplify``); a last batch that is not full is filled up."""
    batch: int = 8
    """Patches in a batch."""
    sampling: Sampling = Sampling()
    """Which patches are cut."""
    spatial: SpatialAugmentation = SpatialAugmentation()
    """Random geometry of patches."""
    intensity: IntensityAugmentation = IntensityAugmentation()
    """Random intensities of patches."""
    replay: Replay | None = None
    """A second data set, of which each batch holds some patches too; None replays nothing."""
    cell_aware: CellAware | None = None
    """How some objects become brighter than others; None leaves them alone."""
    exclude_boundaries: BoundaryExclusion | None = None
    """Which boundary pixels of objects become background; None takes none."""
    optimization: Optimization = Optimization()
    """How the loss is minimized."""
    validation: Validation = Validation()
    """How and how often the model is scored while it is trained."""
    test: str | None = "test"
    """Split on which the best model is scored when the training has ended, as ``evaluate`` does;
    ``test`` may have no images, and None tests on none."""
    save_every: int = 0
    """Epochs from one checkpoint that is kept, ``checkpoints/epoch_N``, to the next; 0 keeps only
    the last and the best."""
    seed: int = 0
    """Of everything random."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    precision: TrainingPrecision = "auto"
    """What the network computes in; ``auto`` is bfloat16 where the device is fast in it, and
    ``float16`` needs CUDA."""
    threads: int | None = None
    """Threads of torch on a CPU; None takes all that the process may use. Bits depend on it."""
    workers: int = 1
    """Processes that prepare patches; 0 prepares them in the training process."""
    max_hours: float | None = None
    """Wall time after which the training ends, measured over all its sessions and looked at after
    each epoch. When the steps will not fit, fewer are done and the schedule is compressed, so that
    it still ends at its minimum; such a run is not reproducible to the bit. None does all steps."""
    tensorboard: bool = False
    """Whether to write TensorBoard events too; needs the extra ``pancyte[tensorboard]``."""
    wandb: Wandb | None = None
    """Record the training in Weights & Biases too; needs the extra ``pancyte[wandb]``."""

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("Expected data to name at least one data set, but got none")
        if self.steps is not None and self.epochs is not None:
            msg = (
                f"Expected one of steps and epochs, but got steps={self.steps} and "
                f"epochs={self.epochs}. Leave one out, or set it to none."
            )
            raise ValueError(msg)
        least = {"steps": 1, "epochs": 1, "epoch_steps": 1, "batch": 1, "workers": 0}
        for name, lowest in {**least, "save_every": 0}.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise ValueError(f"Expected {name} of at least {lowest}, but got {value}")
        if self.max_hours is not None and self.max_hours <= 0:
            raise ValueError(f"Expected max_hours above 0, but got {self.max_hours}")


def read_train_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a training configuration; paths in it are relative to the folder of the file.

    Parameters
    ----------
    path
        A TOML, YAML or JSON file.
    overrides
        ``key=value`` strings, as in :func:`pancyte.config.read_config`. Their paths, too, are
        relative to the folder of the file.

    Raises
    ------
    ConfigError
        The file cannot be read, or has an unknown key or a value out of range.
    """
    mapping = apply_overrides(read_mapping(path), overrides)
    config = from_mapping(TrainConfig, mapping, where=str(path))
    return resolve_paths(config, path.resolve().parent)


def resolve_paths(config: TrainConfig, folder: Path) -> TrainConfig:
    """Return the settings with absolute paths, those in them being relative to a folder."""
    replay = config.replay
    return replace(
        config,
        data=_resolve_sources(config.data, folder),
        out=_join(folder, config.out),
        initialize=None if config.initialize is None else _find_weights(folder, config.initialize),
        replay=None
        if replay is None
        else replace(replay, data=_resolve_sources(replay.data, folder)),
    )


def _resolve_sources(sources: tuple[DataSource, ...], folder: Path) -> tuple[DataSource, ...]:
    return tuple(replace(source, path=_join(folder, source.path)) for source in sources)


def _join(folder: Path, path: Path) -> Path:
    return (folder / path.expanduser()).resolve()


def _find_weights(folder: Path, path: Path) -> Path:
    """Return a path relative to the folder; the name of a bundled model stays one.

    Where that model lies changes with the installation, and a run is resumed by its settings.
    """
    return path if str(path) in list_models() else _join(folder, path)
