"""Weights for a network to start from: a model to fine-tune, an encoder, or published weights."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

from pancyte.errors import CheckpointError, listed
from pancyte.io.checkpoint import load_checkpoint
from pancyte.io.foreign_weights import read_weights
from pancyte.nn.compact import CompactNet
from pancyte.nn.encoder_decoder import EncoderDecoderNet
from pancyte.nn.published import is_mediar, is_mediar_v, mediar_state, mediar_v_state
from pancyte.nn.weights import (
    COUNTER,
    ENCODER,
    LoadReport,
    encoder_names,
    encoder_state,
    load_matching,
    match_classes,
)
from pancyte.workflows.models import list_models

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

_LOGGER = logging.getLogger(__name__)

# An encoder of which less than this was found is another one.
_LEAST_PART = 0.5
# A model of this class means any object, as the bundled one does.
_ANY = ("object",)


def initialize(
    network: nn.Module,
    path: Path,
    *,
    classes: tuple[str, ...] | None = None,
    strict: bool = False,
) -> LoadReport:
    """Copy weights from a file or a model folder into a network, in place.

    Parameters
    ----------
    network
        Keeps its own values where the weights have none of that name and shape, such as the
        outputs of other classes.
    path
        The name of a bundled model, a model folder, or a safetensors or ``.pth`` file with the
        weights of the network's encoder, as of an ImageNet classifier of timm, or of MEDIAR or
        Mediar-V. A name wins over a file or folder of that name.
    classes
        Names of the classes of the network, which find their outputs in a model folder by these
        names. One class takes those of one class of any name; None leaves the outputs in place.
    strict
        Whether every tensor must fit: of a model folder or of published weights all of both sides,
        of an encoder all of the network's encoder.

    Returns
    -------
    LoadReport
        What was loaded, what was skipped and what is missing.

    Raises
    ------
    CheckpointError
        The weights cannot be read, or do not fit.
    """
    path = list_models().get(str(path), path)
    if path.is_dir():
        checkpoint = load_checkpoint(path)
        state = {name: torch.from_numpy(array) for name, array in checkpoint.weights.items()}
        before = tuple(checkpoint.manifest.get("task", {}).get("classes", ()))
        if classes is not None and before not in {(), classes}:
            if strict and set(before) != set(classes):
                msg = (
                    f"{path}: expected the classes {', '.join(classes)}, but got "
                    f"{', '.join(before)}. Initialize from a model of these, or not strictly."
                )
                raise CheckpointError(msg)
            state = _match_classes(network, state, before=before, now=classes, path=path)
        report = _load_network(network, state, path=path, strict=strict)
    else:
        weights = read_weights(path)
        if is_mediar(weights) or is_mediar_v(weights):
            report = _load_network(network, _published(weights, path), path=path, strict=strict)
        else:
            report = _load_encoder(network, weights, path=path, strict=strict)
    _LOGGER.info(
        "Initialized %d tensors from %s; %d of it have no place here, %d here keep their values",
        len(report.loaded), path, len(report.skipped), len(report.lacking),
    )  # fmt: skip
    for what in ("loaded", "skipped", "missing"):
        _LOGGER.debug("%s: %s", what, ", ".join(getattr(report, what)) or "none")
    return report


def _match_classes(
    network: nn.Module,
    state: dict[str, Tensor],
    *,
    before: tuple[str, ...],
    now: tuple[str, ...],
    path: Path,
) -> dict[str, Tensor]:
    """Bring the outputs of the classes to their places, and say what becomes of them."""
    if len(before) == len(now) == 1:
        _LOGGER.log(
            logging.INFO if before == _ANY else logging.WARNING,
            "%s: the outputs of its class %r become those of %r",
            path,
            before[0],
            now[0],
        )
        return state
    if not isinstance(network, CompactNet | EncoderDecoderNet):
        _LOGGER.warning(
            "%s: has the classes %s, and here they are %s; in a network of your own outputs are "
            "taken over by their place",
            path, ", ".join(before), ", ".join(now),
        )  # fmt: skip
        return state
    kept = [name for name in now if name in before]
    new = [name for name in now if name not in before]
    _LOGGER.log(
        logging.WARNING if new else logging.INFO,
        "%s: outputs of the classes %s are taken over by name; new and random: %s; left out: %s",
        path, ", ".join(kept) or "none", ", ".join(new) or "none",
        ", ".join(name for name in before if name not in now) or "none",
    )  # fmt: skip
    return match_classes(state, network.state_dict(), before=before, now=now)


def _load_network(
    network: nn.Module, state: Mapping[str, Tensor], *, path: Path, strict: bool
) -> LoadReport:
    try:
        report = load_matching(network, state, strict=strict)
    except ValueError as error:
        msg = f"{path}: {error}. Initialize from a model of the same kind, or not strictly."
        raise CheckpointError(msg) from error
    if not report.loaded:
        msg = (
            f"{path}: the weights do not fit this network, which found none of the right shape for "
            f"{listed(report.missing)}. Initialize from a model of the same kind."
        )
        raise CheckpointError(msg)
    return report


def _load_encoder(
    network: nn.Module, weights: Mapping[str, Tensor], *, path: Path, strict: bool
) -> LoadReport:
    own = network.state_dict()
    target = {n.removeprefix(ENCODER): v for n, v in own.items() if n.startswith(ENCODER)}
    state = encoder_state(weights, target)
    names = encoder_names(weights, target)
    taken = {names[name] for name in state}
    lacking = [n for n in target if n not in state and not n.endswith(COUNTER)]
    if lacking and (strict or len(state) < _LEAST_PART * len(target)):
        msg = (
            f"{path}: the weights do not fit the encoder of this network: {len(lacking)} of its "
            f"tensors are missing or of another shape, such as {listed(lacking)}; the file has "
            f"{listed(sorted(weights))}. Choose the encoder that the weights are of."
        )
        raise CheckpointError(msg)
    if lacking:
        _LOGGER.warning(
            "%s lacks %d tensors of the encoder, which start at random: %s",
            path, len(lacking), listed(lacking),
        )  # fmt: skip
    loaded = load_matching(network, {ENCODER + name: value for name, value in state.items()})
    return LoadReport(
        loaded=loaded.loaded,
        skipped=tuple(name for name in weights if name not in taken),
        missing=loaded.missing,
    )


def _published(weights: Mapping[str, Tensor], path: Path) -> Mapping[str, Tensor]:
    try:
        return (mediar_state if is_mediar(weights) else mediar_v_state)(weights).state
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
