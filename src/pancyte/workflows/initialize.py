"""Weights for a network to start from: a model to fine-tune, or an encoder from ImageNet."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import safetensors
import safetensors.torch
import torch

from pancyte.errors import CheckpointError
from pancyte.io.checkpoint import load_checkpoint
from pancyte.nn.weights import encoder_state, load_matching
from pancyte.workflows.models import list_models

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

_LOGGER = logging.getLogger(__name__)

_ENCODER = "encoder."


def initialize(network: nn.Module, path: Path, *, channels: int) -> None:
    """Copy weights from a file or a model folder into a network, in place.

    Parameters
    ----------
    network
        Keeps its own values where the weights have none of that name and shape, such as the
        outputs of other classes.
    path
        The name of a bundled model, a model folder, or a safetensors file with the encoder of an
        ImageNet classifier. A name wins over a file or folder of that name.
    channels
        Number of channels of the network's input, to which the first convolution is adapted.

    Raises
    ------
    CheckpointError
        The weights cannot be read, or do not fit: not one of a model, not all of an encoder.
    """
    path = list_models().get(str(path), path)
    if path.is_dir():
        arrays = load_checkpoint(path).weights
        report = load_matching(network, {n: torch.from_numpy(a) for n, a in arrays.items()})
        lacking = () if report.loaded else report.missing
    else:
        state = encoder_state(_read_safetensors(path), in_channels=channels)
        report = load_matching(network, {_ENCODER + name: v for name, v in state.items()})
        lacking = tuple(name for name in report.missing if name.startswith(_ENCODER))
    if lacking or not report.loaded:
        msg = (
            f"{path}: the weights do not fit this network, which found none of the right shape for "
            f"{', '.join(lacking[:3])}. Initialize from a model of the same kind."
        )
        raise CheckpointError(msg)
    _LOGGER.info(
        "Initialized %d tensors from %s; %d keep their own values",
        len(report.loaded), path, len(report.missing),
    )  # fmt: skip


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = safetensors.torch.load_file(path)
    except FileNotFoundError as error:
        msg = f"{path}: no such file or folder of weights. Check the path."
        raise CheckpointError(msg) from error
    except (safetensors.SafetensorError, OSError) as error:
        msg = f"{path}: cannot be read as safetensors ({error}). Download or copy it again."
        raise CheckpointError(msg) from error
    if "conv_stem.weight" not in weights:
        msg = (
            f"{path}: expected the weights of an EfficientNet encoder with timm's names, but found "
            f"{', '.join(sorted(weights)[:3])}. To fine-tune a model, name its folder."
        )
        raise CheckpointError(msg)
    return weights
