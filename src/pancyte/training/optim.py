"""Optimizer, learning-rate schedule and weight average of a training, from one settings object.

The schedule is a pure function of how much of the training is done (0 to 1), so that nothing of it
has to be stored, and a training that is shortened while it runs still ends at its minimum.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Literal

import torch

from pancyte.params import params

if TYPE_CHECKING:
    from torch import nn


@params
class Optimization:
    """How the loss is minimized."""

    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """Method; ``sgd`` uses Nesterov momentum where ``momentum`` is above 0."""
    learning_rate: float = 1e-3
    """Highest learning rate, reached after the warm-up; above 0."""
    weight_decay: float = 0.01
    """Decay of the weights, at least 0; biases and normalizations are left out."""
    momentum: float = 0.9
    """Momentum of ``sgd``, in [0, 1); the other optimizers do not use it."""
    schedule: Literal["cosine", "constant", "multistep"] = "cosine"
    """Shape of the learning rate after the warm-up."""
    final_fraction: float = 0.01
    """Where ``cosine`` ends, as a fraction of ``learning_rate``; in [0, 1]."""
    milestones: tuple[float, ...] = (0.6, 0.85)
    """Where ``multistep`` divides the rate by 10, as increasing fractions of the training."""
    warmup_steps: int = 100
    """Steps over which the learning rate rises linearly from near 0; at least 0."""
    clip_norm: float | None = 1.0
    """Longest gradient (Euclidean norm over all parameters); None does not clip."""
    accumulate: int = 1
    """Batches whose gradients are averaged for one step; at least 1."""
    average_decay: float | None = 0.998
    """Decay per step of the moving average of the weights, which is what is validated and saved,
    in [0, 1); None saves the weights themselves."""

    def __post_init__(self) -> None:
        _check(self.learning_rate > 0, "learning_rate above 0", self.learning_rate)
        _check(self.weight_decay >= 0, "weight_decay of at least 0", self.weight_decay)
        _check(0 <= self.momentum < 1, "momentum in [0, 1)", self.momentum)
        _check(0 <= self.final_fraction <= 1, "final_fraction in [0, 1]", self.final_fraction)
        increasing = list(self.milestones) == sorted(set(self.milestones))
        inside = all(0 < milestone < 1 for milestone in self.milestones)
        _check(increasing and inside, "increasing milestones between 0 and 1", self.milestones)
        _check(self.warmup_steps >= 0, "warmup_steps of at least 0", self.warmup_steps)
        _check(self.clip_norm is None or self.clip_norm > 0, "clip_norm above 0", self.clip_norm)
        _check(self.accumulate >= 1, "accumulate of at least 1", self.accumulate)
        decay = self.average_decay
        _check(decay is None or 0 <= decay < 1, "average_decay in [0, 1)", decay)


def make_optimizer(network: nn.Module, settings: Optimization) -> torch.optim.Optimizer:
    """Return the optimizer of a network's trainable parameters, in two groups.

    The parameters with fewer than two axes (biases, and the scales and shifts of normalizations)
    are not decayed: shrinking them changes what a layer can express instead of smoothing it.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    rate = settings.learning_rate
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate)
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate)
    momentum = settings.momentum
    return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=momentum > 0)


def learning_rate(settings: Optimization, *, step: int, progress: float) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    settings
        Schedule and warm-up.
    step
        Number of steps done before this one; the warm-up counts them.
    progress
        How much of the training is done, 0 at its first step and 1 at its last.

    Examples
    --------
    >>> settings = Optimization(learning_rate=0.1, warmup_steps=4, final_fraction=0.0)
    >>> [round(learning_rate(settings, step=n, progress=n / 10), 3) for n in (0, 3, 5, 10)]
    [0.025, 0.079, 0.05, 0.0]
    """
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        low = rate * settings.final_fraction
        rate = low + (rate - low) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    elif settings.schedule == "multistep":
        rate *= 0.1 ** sum(progress >= milestone for milestone in settings.milestones)
    return rate * min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else rate


class WeightAverage:
    """An exponential moving average of a network's weights and buffers, as a network of its own.

    The decay rises from 0.1 to its full value over the first steps, so that the random weights of
    the start are forgotten quickly. Integer buffers (counters) are copied.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move the average towards the weights of ``network``, of which ``step`` were averaged."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        current = network.state_dict()
        floating, targets = [], []
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                floating.append(value)
                targets.append(current[name])
            else:
                value.copy_(current[name])
        torch._foreach_lerp_(floating, targets, weight)


def _check(holds: bool, expected: str, value: object) -> None:  # noqa: FBT001 - a condition
    if not holds:
        msg = f"Expected {expected}, but got {value}"
        raise ValueError(msg)
