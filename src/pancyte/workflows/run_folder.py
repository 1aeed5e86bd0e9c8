"""The folder of one training run: what is in it, who may write to it, and how it is resumed.

::

    config.toml        the resolved settings, paths absolute
    environment.json   versions, device, precision, threads, commit
    metrics.csv        losses and validation scores by step
    curve.png          the same, drawn
    log.txt            what was logged
    checkpoints/last   the model after the last epoch, and state.pt to resume from
    checkpoints/best   the model with the best validation score
    checkpoints/epoch_N   model and state after epoch N, where save_every asks for them, and in
                       best what was the best until then
    calibration/       how far the scores of the best model hold, where the validation has objects
                       enough to make them probabilities
    test/              scores of the best model on the test split, where there is one
    COMPLETE           there when the training has run to its end
"""

from __future__ import annotations

import io
import logging
import pickle
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import torch

from pancyte.config import from_mapping, read_mapping, to_mapping, to_toml
from pancyte.errors import CheckpointError, ConfigError, UsageError
from pancyte.io.checkpoint import copy_checkpoint, read_manifest
from pancyte.io.files import check_folder, remove_stale, write_bytes, write_text
from pancyte.io.tables import write_json
from pancyte.workflows.environment import describe_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pancyte.training.loop import TrainingState

_LOGGER = logging.getLogger(__name__)

_WRITTEN_AT_START: Final = ("config.toml", "log.txt", "environment.json")
_MADE_BY_TRACKERS: Final = ("tensorboard", "wandb")

# What torch and the states of its objects raise on bytes that are not theirs.
_DAMAGED: Final = (
    RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, OSError,
    pickle.UnpicklingError,
)  # fmt: skip


def open_run(
    folder: Path,
    settings: object,
    *,
    free: frozenset[str],
    resume: bool,
    checkpoint: str = "last",
) -> bool:
    """Make or reopen a run folder for these settings; return whether there is a state to resume.

    Parameters
    ----------
    folder
        Made where it is missing.
    settings
        The ``@params`` object of the run; written to ``config.toml`` in a fresh folder.
    free
        Top-level keys that may change when a run is resumed.
    resume
        Continue the run that is in the folder; an empty folder starts a fresh one.
    checkpoint
        From which checkpoint to continue; any other than ``last`` must exist.

    Raises
    ------
    UsageError
        The folder holds files and ``resume`` is not asked for, or it holds something else, or it
        has no such checkpoint.
    ConfigError
        The settings differ from those of the run in the folder.
    """
    # A run has one writer, so that what is half written was left by one that was killed.
    checkpoints = folder / "checkpoints"
    remove_stale([folder, *checkpoints.glob("*"), *checkpoints.glob("*/best")], age=0.0)
    present = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if folder.exists() and not folder.is_dir():
        msg = f"{folder}: expected a folder to write the run to, but it is a file. Name another."
        raise UsageError(msg)
    if present and not resume:
        names = ", ".join(present[:3]) + (", ..." if len(present) > 3 else "")
        msg = (
            f"{folder}: the folder of the run is not empty ({names}). Resume the run in it with "
            "--resume (in Python, resume=True), or choose another folder."
        )
        raise UsageError(msg)
    if checkpoint != "last":
        _check_checkpoint(folder, checkpoint)
    if not present:
        if resume:
            _LOGGER.info("%s holds no run to resume; a fresh one starts", folder)
        check_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "config.toml", to_toml(to_mapping(settings)))
        return False
    if not (folder / "config.toml").is_file():
        msg = f"{folder}: not the folder of a run, since it has no config.toml. Choose another."
        raise UsageError(msg)
    # A run that was stopped before its first state has trained nothing that must go on as it was.
    has_state = state_path(folder, checkpoint).is_file()
    if has_state:
        _check_same(folder / "config.toml", settings, free)
    write_text(folder / "config.toml", to_toml(to_mapping(settings)))
    if checkpoint != "last":
        (folder / "COMPLETE").unlink(missing_ok=True)  # what follows the checkpoint is done again
    return has_state


def discard_run(folder: Path) -> None:
    """Remove what a run that could not start has written, and the folder if that was all."""
    for name in _WRITTEN_AT_START:
        (folder / name).unlink(missing_ok=True)
    for name in _MADE_BY_TRACKERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    with suppress(OSError):  # it holds something else
        folder.rmdir()


def is_complete(folder: Path) -> bool:
    """Tell whether the run in the folder has reached its end."""
    return (folder / "COMPLETE").is_file()


def state_path(folder: Path, name: str = "last") -> Path:
    """Return where the state to resume from is in the checkpoint of that name."""
    return folder / "checkpoints" / name / "state.pt"


def save_state(folder: Path, state: Mapping[str, Any], *, name: str = "last") -> None:
    """Write the state of a training (tensors and plain values) so that it is old or new, whole."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    path = state_path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())


def load_state(folder: Path, training: TrainingState, *, name: str = "last") -> dict[str, Any]:
    """Continue ``training`` from the saved state, and return what was saved with it.

    Nothing in the file is executed.

    Raises
    ------
    CheckpointError
        The file is damaged, or of another version.
    """
    path = state_path(folder, name)
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        training.load_state_dict(state.pop("training"))
    except _DAMAGED as error:
        msg = (
            f"{path}: the state of the run cannot be read. Delete it to start the run again, or "
            f"initialize a new run with {folder / 'checkpoints' / 'best'}."
        )
        raise CheckpointError(msg) from error
    return state


def keep_best(folder: Path, name: str) -> None:
    """Keep the model that is the best by now with the checkpoint of that name."""
    checkpoints = folder / "checkpoints"
    copy_checkpoint(checkpoints / "best", checkpoints / name / "best")


def has_best(folder: Path, name: str, *, step: int) -> bool:
    """Tell whether there is, or was kept with a checkpoint, the best model until a step."""
    checkpoints = folder / "checkpoints"
    found = (_step_of(path / "best") for path in (checkpoints, checkpoints / name))
    return any(known is not None and known <= step for known in found)


def remove_later(folder: Path, name: str, *, step: int) -> None:
    """Remove the models after a step, and bring back the best one kept with a checkpoint.

    What follows the step is trained again, and need not become what it was.
    """
    checkpoints = folder / "checkpoints"
    for path in sorted(checkpoints.iterdir()):
        known = _step_of(path)
        if known is None or known <= step or path.name in {"last", name}:
            continue
        if path.name == "best" and _step_of(checkpoints / name / "best") is not None:
            copy_checkpoint(checkpoints / name / "best", path)
        else:
            shutil.rmtree(path)


def _step_of(model: Path) -> int | None:
    """Return after which step a model was saved; None where there is none."""
    try:
        step = read_manifest(model).get("provenance", {}).get("step")
    except CheckpointError:
        return None
    return step if isinstance(step, int) else None


def write_environment(folder: Path, extra: Mapping[str, Any]) -> None:
    """Write with what the run was made: versions, machine type, commit, and ``extra``."""
    write_json(folder / "environment.json", {**describe_environment(), **extra})


@contextmanager
def log_to_file(path: Path) -> Iterator[None]:
    """Append what pancyte logs, from INFO on and with the time, to a file."""
    logger = logging.getLogger("pancyte")
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(min(level or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()


def _check_checkpoint(folder: Path, name: str) -> None:
    if not state_path(folder, name).is_file():
        there = sorted(path.parent.name for path in folder.glob("checkpoints/*/state.pt"))
        msg = (
            f"{folder}: has no checkpoint {name!r} to resume from, only "
            f"{', '.join(there) or 'none'}. Name one of them, or leave the name out for the latest."
        )
        raise UsageError(msg)


def _check_same(path: Path, settings: object, free: frozenset[str]) -> None:
    # Read through the class, so that a default that the file leaves out is compared as well.
    before = _flatten(to_mapping(from_mapping(type(settings), read_mapping(path), where=str(path))))
    now = _flatten(to_mapping(settings))
    keys = sorted(
        key
        for key in before.keys() | now.keys()
        if before.get(key) != now.get(key) and key.partition(".")[0] not in free
    )
    if keys:
        listed = "; ".join(f"{key} was {before.get(key)}, is {now.get(key)}" for key in keys)
        msg = (
            f"{path}: a run is resumed with the settings it was started with, but {listed}. "
            "Restore them, or start a new run with initialize set to a checkpoint of this one."
        )
        raise ConfigError(msg)


def _flatten(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
