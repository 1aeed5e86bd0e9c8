"""``train``: from a configuration to a run folder with a model in it.

The loop of :mod:`pancyte.training.loop` knows batches and losses; this module gives it patches from
the data sets, and does after each epoch what needs files: log, validate, save. A run that is
interrupted is resumed where it stopped, and on a CPU with the same bits.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from pancyte import runtime
from pancyte.augment.spatial import draw_matrix
from pancyte.config import to_mapping
from pancyte.errors import ConfigError, counted
from pancyte.nn.encoders import STRIDE
from pancyte.training.loop import start_state
from pancyte.training.ranks import Ranks, SpreadNetwork, join_ranks
from pancyte.training.tracking import CsvTracker, TensorBoardTracker
from pancyte.training.wandb_tracker import WandbTracker
from pancyte.workflows import run_folder
from pancyte.workflows.epochs import Run, finish, run_epochs, save
from pancyte.workflows.initialize import initialize
from pancyte.workflows.interruption import Interrupted, Interruption
from pancyte.workflows.models import OWN_NETWORK
from pancyte.workflows.own_parts import OwnParts, name_of_network
from pancyte.workflows.plan import make_plan, warn_of_high_end
from pancyte.workflows.training_data import TrainingData, open_training_data
from pancyte.workflows.validation import check_metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pancyte.protocols import Tracker
    from pancyte.training.loop import TrainingState
    from pancyte.workflows.own_parts import Losses, Network
    from pancyte.workflows.train_config import TrainConfig, TrainingPrecision
    from pancyte.workflows.validation import Metric

_LOGGER = logging.getLogger(__name__)

# What may change when a run is resumed, because it does not change the weights.
_FREE = frozenset({"out", "workers", "max_hours", "tensorboard", "wandb", "save_every", "test"})


def train(
    config: TrainConfig,
    *,
    resume: bool | str = False,
    network: Network | None = None,
    losses: Losses | None = None,
    metrics: Mapping[str, Metric] | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Path:
    """Train a model and return its run folder.

    Parameters
    ----------
    config
        What to do.
    resume
        Continue the run in ``config.out`` where it stopped; an empty folder starts a fresh run. The
        name of a checkpoint, such as ``epoch_20``, continues from there, and it must exist.
    network
        Trained in the place of the task's network: a torch network, or a function that makes one
        after the random seed is set. It gets images (B, C, Y, X) and returns what the task reads,
        ``foreground`` (B, K, Y, X) and ``flow`` (B, 2K, Y, X). :func:`pancyte.load` needs it too.
    losses
        Called with network, images and targets in the place of the task's losses; returns scalar
        tensors by name, whose sum is minimized.
    metrics
        Functions of true and predicted labels (K, Y, X) that score an image of the validation, by
        name; ``validation.metric`` may name one.
    report
        Called before each step with the number of steps done and that of all steps.

    Raises
    ------
    UsageError
        The run folder is not empty and ``resume`` is False, the checkpoint to resume from is
        missing, or the loss is not finite.
    ConfigError
        The settings do not fit together, to the data, or to the run that is resumed.
    InputError
        Images, labels or weights cannot be read.
    KeyboardInterrupt
        Ctrl-C, after the run was saved. SIGTERM saves too and then does what it did before.

    Notes
    -----
    Under ``torchrun`` each process makes and computes its share of every batch; the first one
    validates and writes.
    """
    own = OwnParts(network, losses, metrics or {})
    with join_ranks() as ranks, Interruption() as interruption:
        _train(_Session(config, own, ranks, interruption, report), resume=resume)
    interruption.act()
    return config.out


@dataclass(frozen=True, slots=True)
class _Session:
    """What one call of :func:`train` was given."""

    config: TrainConfig
    own: OwnParts
    ranks: Ranks
    interruption: Interruption
    report: Callable[[int, int], None] | None


def _train(session: _Session, *, resume: bool | str) -> None:
    folder, ranks = session.config.out, session.ranks
    checkpoint = "last" if isinstance(resume, bool) or resume == "latest" else resume
    is_new, has_state = True, False
    if ranks.is_first:
        is_new = not folder.is_dir() or not any(folder.iterdir())
        has_state = run_folder.open_run(
            folder, session.config, free=_FREE, resume=bool(resume), checkpoint=checkpoint
        )
    has_state = ranks.agree(has_state)
    if ranks.agree(run_folder.is_complete(folder)):
        _LOGGER.info("%s: the run is complete; there is nothing left to train", folder)
        return
    with ExitStack() as when_it_cannot_start, _logging(ranks, folder):
        if is_new and ranks.is_first:
            when_it_cannot_start.callback(run_folder.discard_run, folder)
        run = _start(session, checkpoint=checkpoint if has_state else None)
        when_it_cannot_start.pop_all()
        try:
            if has_state and ranks.is_first:
                _rewind(run, checkpoint)
            run_epochs(run)
            if ranks.is_first:
                finish(run)
        except Interrupted:
            if ranks.is_first:
                save(run)
                _LOGGER.info("Saved after step %d; %s can be resumed", run.state.step, folder)
        finally:
            for tracker in run.trackers:
                tracker.close()


def _rewind(run: Run, checkpoint: str) -> None:
    """Let the folder of a resumed run hold nothing that was trained after the checkpoint."""
    folder, step = run.config.out, run.state.step
    if not run_folder.has_best(folder, checkpoint, step=step):
        run.best = None
    if checkpoint != "last":
        save(run)  # before anything else, for a run that is killed now to go on from here
    run_folder.remove_later(folder, checkpoint, step=step)


@contextmanager
def _logging(ranks: Ranks, folder: Path) -> Iterator[None]:
    """Let the first process write the log, and the others say only what is wrong."""
    if ranks.is_first:
        with run_folder.log_to_file(folder / "log.txt"):
            yield
        return
    logger = logging.getLogger("pancyte")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _start(session: _Session, *, checkpoint: str | None) -> Run:
    """Return the run before its next step; ``checkpoint`` names where it goes on, if anywhere."""
    config, ranks = session.config, session.ranks
    device = runtime.choose_device(ranks.device(config.device))
    precision = _choose_precision(config.precision, device)
    threads = runtime.set_threads(_threads(config, ranks))
    data = open_training_data(config)
    if data.validation:
        check_metric(config.validation.metric, config.task.classes, session.own.metrics)
    _check_share(config, ranks)
    plan = make_plan(config, draws=data.main.draws_per_epoch)
    warn_of_high_end(config, plan)
    runtime.seed_everything(config.seed)
    runtime.warm_up()
    network = session.own.make_network(config.task)
    if session.own.network is None:
        _check_norms(config, ranks, network)
    if config.initialize is not None and checkpoint is None:
        initialize(
            network,
            config.initialize,
            classes=config.task.classes,
            strict=config.initialize_strict,
        )
    network = network.to(device).to(memory_format=torch.channels_last)
    state = start_state(network, config.optimization, steps=plan.steps, precision=precision)
    saved: dict[str, Any] = {}
    if checkpoint is not None:
        saved = run_folder.load_state(config.out, state, name=checkpoint)
        if config.max_hours is None or config.max_hours != saved.get("max_hours"):
            state.steps = plan.steps  # how many of them fit is seen anew after an epoch
        _LOGGER.info("Resuming %s at step %d of %d", config.out, state.step, state.steps)
    _spread(state, ranks, seed=config.seed)
    _LOGGER.info(
        "Training on %s of %s, %s in %s, %s%s",
        counted(len(data.training), "image"),
        counted(len({r.modality for r in data.training}), "modality", plural="modalities"),
        device, precision,
        counted(threads, "thread"), f", {ranks.size} processes" if ranks.size > 1 else "",
    )  # fmt: skip
    trackers: tuple[Tracker, ...] = ()
    provenance: dict[str, Any] = {}
    if ranks.is_first:
        facts = {"device": str(device), "precision": str(precision), "threads": threads}
        run_folder.write_environment(config.out, {**facts, "processes": ranks.size})
        provenance = _provenance(session, data, network)
        # Last, since nothing closes them where something else cannot be used.
        trackers = _open_trackers(config, last_step=state.step)
    return Run(
        config=config,
        state=state,
        plan=plan,
        precision=precision,
        data=data,
        trackers=trackers,
        interruption=session.interruption,
        provenance=provenance,
        own=session.own,
        ranks=ranks,
        report=session.report if ranks.is_first else None,
        best=saved.get("best"),
        stale=saved.get("stale", 0),
        seconds_before=saved.get("seconds", 0.0),
        to_validate=saved.get("to_validate", False),
    )


def _choose_precision(name: TrainingPrecision, device: torch.device) -> torch.dtype:
    if name == "float16":
        if device.type != "cuda":
            msg = f"precision=float16 needs CUDA, but the device is {device}. Use bfloat16 or auto."
            raise ConfigError(msg)
        return torch.float16
    chosen = runtime.choose_precision(name, device)
    return torch.bfloat16 if chosen == "bfloat16" else torch.float32


def _threads(config: TrainConfig, ranks: Ranks) -> int | None:
    """Return the threads of this process; those of one machine share its processors."""
    if config.threads is not None or ranks.size == 1:
        return config.threads
    return max(1, runtime.available_cpus() // ranks.local_size)


def _check_share(config: TrainConfig, ranks: Ranks) -> None:
    replayed = 0 if config.replay is None else config.replay.samples
    if (config.batch + replayed) % ranks.size:
        msg = (
            f"batch: expected a multiple of the {ranks.size} processes, among which each batch is "
            f"divided, but got {config.batch}"
            + (f" and replay.samples={replayed}" if replayed else "")
            + "."
        )
        raise ConfigError(msg)


def _check_norms(config: TrainConfig, ranks: Ranks, network: nn.Module) -> None:
    replayed = 0 if config.replay is None else config.replay.samples
    # The deepest features of such a patch are one pixel.
    if (config.batch + replayed) // ranks.size > 1 or config.sampling.patch > STRIDE:
        return
    if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        msg = (
            "batch: expected at least 2 patches in each process, or sampling.patch of at least "
            f"{2 * STRIDE}, since batch normalization learns nothing from a single pixel, but got "
            f"batch={config.batch} and sampling.patch={config.sampling.patch}."
        )
        raise ConfigError(msg)


def _spread(state: TrainingState, ranks: Ranks, *, seed: int) -> None:
    """Join the networks of all processes."""
    if ranks.size == 1:
        return
    state.spread = SpreadNetwork(state.network, ranks)
    if not ranks.is_first:
        # Dropout of the same pattern in every share of a batch would be less random than it seems.
        torch.manual_seed(seed + (ranks.rank << 32) + state.step)


def _open_trackers(config: TrainConfig, *, last_step: int) -> tuple[Tracker, ...]:
    folder = config.out
    trackers: list[Tracker] = [CsvTracker(folder / "metrics.csv", last_step=last_step)]
    with ExitStack() as where_one_fails:
        if config.wandb is not None:  # a service can refuse
            trackers.append(WandbTracker(config.wandb, folder, config=to_mapping(config)))
            where_one_fails.callback(trackers[-1].close)
        if config.tensorboard:
            trackers.append(TensorBoardTracker(folder / "tensorboard", last_step=last_step))
        where_one_fails.pop_all()
    return tuple(trackers)


def _provenance(session: _Session, data: TrainingData, network: nn.Module) -> dict[str, Any]:
    # Patches of a wide scale show objects to be measured, and not to be outlined.
    usual = replace(session.config.spatial, wide_probability=0.0)
    diameters = data.main.object_diameters(draw_matrix=partial(draw_matrix, usual))
    low, middle, high = np.percentile(diameters, (1, 50, 99)) if len(diameters) else (0.0,) * 3
    sources = sorted({record.source for record in data.training if record.source})
    settings = to_mapping(session.config)
    for key in ("data", "out", "initialize", "initialize_strict", "task", "wandb", "replay"):
        settings.pop(key, None)
    own = {} if session.own.network is None else {OWN_NETWORK: name_of_network(network)}
    return {
        "pancyte": metadata.version("pancyte"),
        "images": len(data.training),
        "sources": sources,
        "modalities": sorted({record.modality for record in data.training if record.modality}),
        # Pixels of the network's input: objects of other sizes are not outlined well.
        "diameters": [round(float(value), 1) for value in (low, middle, high)],
        **own,
        "training": settings,
    }
