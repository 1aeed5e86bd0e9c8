"""State dict in, state dict out: fit published weights to a network. Files are read elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

_CLASSIFIER = ("conv_head.", "bn2.", "classifier.")


def encoder_state(weights: Mapping[str, Tensor], *, in_channels: int = 3) -> dict[str, Tensor]:
    """Return the state dict of the encoder in the weights of an ImageNet classifier.

    Parameters
    ----------
    weights
        Name to tensor, as in timm's ``tf_efficientnet_lite0``.
    in_channels : int
        Channels of the network's input. The first convolution sees its three color filters in
        turn, scaled so that an image with equal channels gives the same response as before.

    Examples
    --------
    >>> state = encoder_state({"conv_stem.weight": torch.ones(1, 3, 1, 1)}, in_channels=1)
    >>> state["conv_stem.weight"].flatten()
    tensor([3.])
    """
    state = {name: value for name, value in weights.items() if not name.startswith(_CLASSIFIER)}
    stem = state["conv_stem.weight"]
    if in_channels == stem.shape[1]:
        return state
    if in_channels == 1:
        stem = stem.sum(dim=1, keepdim=True)
    else:
        turn = torch.arange(in_channels) % stem.shape[1]
        total = stem.sum(dim=1, keepdim=True)
        stem = stem[:, turn]
        # Keep the response to gray exactly: spread what the chosen filters lack or exceed.
        stem = stem + (total - stem.sum(dim=1, keepdim=True)) / in_channels
    return {**state, "conv_stem.weight": stem}


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Which entries of a state dict went into a network."""

    loaded: tuple[str, ...]
    """Names whose values the network took over."""
    skipped: tuple[str, ...]
    """Names that the network does not have, or has in another shape."""
    missing: tuple[str, ...]
    """Names of the network that got nothing and keep what they had."""


def load_matching(network: nn.Module, weights: Mapping[str, Tensor]) -> LoadReport:
    """Copy the entries whose name and shape match into the network, and say what did not."""
    state = network.state_dict()
    loaded = {
        name: value
        for name, value in weights.items()
        if name in state and state[name].shape == value.shape
    }
    network.load_state_dict(loaded, strict=False)
    return LoadReport(
        loaded=tuple(loaded),
        skipped=tuple(name for name in weights if name not in loaded),
        missing=tuple(name for name in state if name not in loaded),
    )
