"""Models by name or folder: load one, list what is bundled, save one."""

from __future__ import annotations

import copy
import difflib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import nn

from pancyte.config import from_mapping, to_mapping
from pancyte.errors import CheckpointError, ConfigError, UsageError
from pancyte.inference.model import Model
from pancyte.inference.prepared import Prepared
from pancyte.io.checkpoint import (
    MANIFEST_NAME,
    WEIGHTS_NAME,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from pancyte.nn.compact import CompactNet
from pancyte.nn.folding import fold
from pancyte.nn.weights import COUNTER
from pancyte.ops.calibration import Calibration
from pancyte.ops.familiarity import Familiarity, familiarity_of
from pancyte.runtime import choose_device, choose_precision
from pancyte.tasks import Task
from pancyte.workflows.own_parts import make_network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from pancyte.runtime import Precision, PrecisionChoice
    from pancyte.workflows.own_parts import Network

DEFAULT_MODEL: Final = "generalist"
"""Name of the bundled model that is used when none is asked for."""

_SHARED: Final = ("kind", "classes", "preprocessing", "field")
"""Settings of a task in which models that predict together agree."""


CALIBRATION: Final = "calibration"
"""Key of the manifest of a model under which its calibration is stored."""
OWN_NETWORK: Final = "own_network"
"""Key of the provenance of a model whose network is not that of its task."""


def load(
    name_or_path: str | Path | Sequence[str | Path] | None = None,
    *,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    network: Network | None = None,
) -> Model:
    """Load a model, or several that predict together.

    Parameters
    ----------
    name_or_path
        Name of a bundled model, or path of a model folder; None is the default bundled model. A
        name wins over a folder of the same name in the working directory: write ``./NAME`` for it.
        Of several, the maps are averaged, and objects are found as the first one says.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    precision
        ``auto`` takes bfloat16 where the device is faster with it.
    network
        For a model that was trained with a network of its own: that network, or the function that
        makes it. Its weights are replaced; of several models, each has a copy of its own.

    Raises
    ------
    UsageError
        No model of that name, no such folder, or no such device; or several models do not agree in
        classes, preprocessing or the kind of their fields.
    CheckpointError
        The folder is damaged, or its weights do not belong to its task.
    """
    if not (name_or_path is None or isinstance(name_or_path, str | Path)):
        if not name_or_path:
            raise UsageError("Expected at least one model to load, but got none.")
        first, *others = [
            load(one, device=device, precision=precision, network=_for_each(network))
            for one in name_or_path
        ]
        return _together(first, others) if others else first
    folder = find_model(name_or_path)
    checkpoint = load_checkpoint(folder)
    task = _read_task(checkpoint.manifest, folder)
    if network is None:
        _check_own_network(checkpoint.manifest, folder)
    made = task.network() if network is None else make_network(network)
    _fill(made, checkpoint, folder)
    _check_classes(checkpoint.manifest, task, folder)
    where = choose_device(device)
    made.requires_grad_(requires_grad=False)
    made.eval().to(where).to(memory_format=torch.channels_last)
    chosen = choose_precision(precision, where)
    return Model(
        task,
        made,
        name=str(checkpoint.manifest.get("name", folder.name)),
        manifest=checkpoint.manifest,
        precision=chosen,
        prepared=_prepare(made, chosen),
        calibration=_read_calibration(checkpoint.manifest, folder),
        familiarity=_read_familiarity(checkpoint, folder),
    )


def _read_familiarity(checkpoint: Checkpoint, folder: Path) -> Familiarity | None:
    try:
        return familiarity_of(checkpoint.extras)
    except ValueError as error:
        msg = f"{folder / WEIGHTS_NAME}: {error}. The model is damaged; install or copy it again."
        raise CheckpointError(msg) from error


def _prepare(network: nn.Module, precision: Precision) -> Prepared | None:
    """Rewrite a network for speed, where it is one that can be."""
    if type(network) is not CompactNet:
        return None
    return Prepared(fold(network, getattr(torch, precision)), network, precision)


def _for_each(network: Network | None) -> Network | None:
    """Return a network that one of several models may fill, since each has weights of its own."""
    return copy.deepcopy(network) if isinstance(network, nn.Module) else network


def _together(first: Model, others: Sequence[Model]) -> Model:
    """Return a model that averages the maps of all, which must mean the same."""
    expected = to_mapping(first.task)
    for other in others:
        found = to_mapping(other.task)
        differing = [key for key in _SHARED if found.get(key) != expected.get(key)]
        if differing:
            key = differing[0]
            msg = (
                f"The models {first.name} and {other.name} cannot predict together: their {key} "
                f"differ, {expected.get(key)} and {found.get(key)}. Predict with each alone."
            )
            raise UsageError(msg)
    name = " + ".join(model.name for model in (first, *others))
    return replace(first, name=name, others=tuple(others))


def describe_model(name_or_path: str | Path | None = None) -> Mapping[str, Any]:
    """Return what is stored with the weights of a model, without building its network.

    Raises
    ------
    UsageError
        No model of that name, or no such folder.
    CheckpointError
        The folder is damaged.
    """
    return load_checkpoint(find_model(name_or_path)).manifest


def list_models() -> dict[str, Path]:
    """Return the bundled models, name to folder, sorted by name."""
    root = Path(str(files("pancyte") / "models"))
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{MANIFEST_NAME}"))}


def save_model(
    folder: Path,
    task: Task,
    network: nn.Module,
    *,
    name: str,
    provenance: Mapping[str, Any],
    half: bool = False,
) -> None:
    """Write a model folder that :func:`load` reads.

    Parameters
    ----------
    folder
        Made where it is missing.
    task
        Stored in the manifest, with its preprocessing and decoding.
    network
        Its weights are stored.
    name
        Of the model.
    provenance
        Plain values; ``diameters`` are the 1st, 50th and 99th percentile of object diameters in
        training, in pixels of the network's input.
    half
        Whether weights are stored as float16.
    """
    manifest = {
        "name": name,
        "classes": list(task.classes),
        "task": to_mapping(task),
        "provenance": dict(provenance),
    }
    weights = {key: value.detach().cpu().numpy() for key, value in _weights(network).items()}
    save_checkpoint(folder, Checkpoint(manifest, weights), half=half)


def find_model(name_or_path: str | Path | None) -> Path:
    """Return the folder of a model; see :func:`load`.

    Raises
    ------
    UsageError
        No model of that name, or no such folder.
    """
    bundled = list_models()
    wanted = DEFAULT_MODEL if name_or_path is None else str(name_or_path)
    if not isinstance(name_or_path, Path) and wanted in bundled:
        return bundled[wanted]
    if name_or_path is not None and Path(wanted).is_dir():
        return Path(wanted)
    known = ", ".join(bundled) or "none"
    near = difflib.get_close_matches(wanted, bundled, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    msg = (
        f"No model {wanted!r}: it is neither a bundled model nor a model folder.{hint} "
        f"Bundled models: {known}."
    )
    raise UsageError(msg)


def _read_task(manifest: Mapping[str, Any], folder: Path) -> Task:
    where = f"{folder / MANIFEST_NAME}"
    if not isinstance(manifest.get("task"), dict):
        msg = f"{where}: has no table [task]. It is not a model that pancyte trained."
        raise CheckpointError(msg)
    try:
        return from_mapping(Task, manifest["task"], where=f"{where}: task")
    except ConfigError as error:
        msg = f"{error}. The model is damaged or was made by another version of pancyte."
        raise CheckpointError(msg) from error


def _check_classes(manifest: Mapping[str, Any], task: Task, folder: Path) -> None:
    named, expected = manifest.get("classes"), list(task.classes)
    if named is not None and named != expected:
        msg = (
            f"{folder / MANIFEST_NAME}: names the classes {named}, but its task has {expected}. "
            "The file was changed by hand: make both the same, or copy the folder again."
        )
        raise CheckpointError(msg)


def _read_calibration(manifest: Mapping[str, Any], folder: Path) -> Calibration | None:
    """Return how the scores of a model become probabilities, where that is stored with it."""
    if CALIBRATION not in manifest:
        return None
    where = f"{folder / MANIFEST_NAME}: {CALIBRATION}"
    try:
        return from_mapping(Calibration, manifest[CALIBRATION], where=where)
    except ConfigError as error:
        msg = f"{error}. The model is damaged or was made by another version of pancyte."
        raise CheckpointError(msg) from error


def _check_own_network(manifest: Mapping[str, Any], folder: Path) -> None:
    own = manifest.get("provenance", {}).get(OWN_NETWORK)
    if own is not None:
        msg = (
            f"{folder}: was trained with a network of its own, {own}, which only Python has. Load "
            "it with pancyte.load(path, network=...), given that network."
        )
        raise UsageError(msg)


def _fill(network: nn.Module, checkpoint: Checkpoint, folder: Path) -> None:
    """Load the weights strictly, or say which of them do not belong to the task."""
    expected = {name: tuple(value.shape) for name, value in _weights(network).items()}
    weights = {k: v for k, v in checkpoint.weights.items() if not k.endswith(COUNTER)}
    found = {name: value.shape for name, value in weights.items()}
    if expected != found:
        wrong = sorted(name for name in expected | found if expected.get(name) != found.get(name))
        first = wrong[0]
        msg = (
            f"{folder}: the weights do not belong to the task: {len(wrong)} of {len(expected)} "
            f"differ, such as {first}, expected {expected.get(first, 'nothing')}, but found "
            f"{found.get(first, 'nothing')}. Copy the whole folder of the model again."
        )
        raise CheckpointError(msg)
    damaged = sorted(name for name, value in weights.items() if not np.isfinite(value).all())
    if damaged:
        msg = (
            f"{folder}: {len(damaged)} of {len(weights)} weights hold NaN or infinity, such as "
            f"{damaged[0]}. The training that made them failed: take another checkpoint of it."
        )
        raise CheckpointError(msg)
    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    network.load_state_dict(state, strict=False)


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """Return what decides the outputs: all but the counts of batches, which nothing reads."""
    state = network.state_dict()
    return {name: value for name, value in state.items() if not name.endswith(COUNTER)}
