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

OptimizerName = Literal["adamw", "adam", "sgd"]
ScheduleName = Literal["cosine", "constant", "step", "multistep", "exponential"]


@params
class Optimization:
    """How the loss is minimized."""

    optimizer: OptimizerName = "adamw"
    """Method, with the defaults of torch, which are those of Mediar-V and MEDIAR."""
    learning_rate: float = 1e-3
    """Highest learning rate, reached after the warm-up; above 0."""
    weight_decay: float | None = None
    """Decay of the weights, at least 0; None is 0.01 for ``adamw`` and 0 for the others."""
    decay: Literal["weights", "all"] = "weights"
    """What is decayed: ``weights`` leaves biases and normalizations out; ``all`` is as published
    for Mediar-V and MEDIAR."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square in ``adam`` and ``adamw``; both
    in [0, 1)."""
    epsilon: float = 1e-8
    """Keeps ``adam`` and ``adamw`` from dividing by 0; above 0."""
    amsgrad: bool = False
    """Whether ``adam`` and ``adamw`` divide by the largest running mean so far."""
    momentum: float = 0.0
    """Momentum of ``sgd``, in [0, 1)."""
    dampening: float = 0.0
    """How much less of a gradient enters the momentum of ``sgd``, in [0, 1]."""
    nesterov: bool = False
    """Whether the momentum of ``sgd`` looks ahead; needs momentum above 0 and no dampening."""
    schedule: ScheduleName = "cosine"
    """Shape of the learning rate after the warm-up."""
    per_epoch: bool = False
    """Whether the schedule moves only between epochs, as published for Mediar-V and MEDIAR,
    instead of at each step."""
    final_fraction: float = 0.01
    """Lowest point of ``cosine``, as a fraction of ``learning_rate``; in [0, 1]."""
    period: float | None = None
    """Epochs in which ``cosine`` falls to its lowest point, above 0; in as many it rises again.
    None is the whole training."""
    step_epochs: float = 30.0
    """Epochs after each of which ``step`` multiplies the rate by ``gamma``; above 0."""
    milestones: tuple[float, ...] = (0.6, 0.85)
    """Where ``multistep`` multiplies the rate by ``gamma``, as increasing fractions of the
    training."""
    milestone_epochs: tuple[float, ...] = ()
    """The same in epochs done, such as 30 and 80; where there are any, they replace
    ``milestones``."""
    gamma: float | None = None
    """Factor of ``step``, ``multistep`` and, for each epoch, ``exponential``; in (0, 1]. None is
    0.1, and 0.95 for ``exponential``."""
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
        self._check_optimizer()
        self._check_schedule()
        _check(self.clip_norm is None or self.clip_norm > 0, "clip_norm above 0", self.clip_norm)
        _check(self.accumulate >= 1, "accumulate of at least 1", self.accumulate)
        decay = self.average_decay
        _check(decay is None or 0 <= decay < 1, "average_decay in [0, 1)", decay)

    def _check_optimizer(self) -> None:
        _check(self.learning_rate > 0, "learning_rate above 0", self.learning_rate)
        weight_decay = self.weight_decay
        _check(
            weight_decay is None or weight_decay >= 0, "weight_decay of at least 0", weight_decay
        )
        _check(all(0 <= beta < 1 for beta in self.betas), "betas in [0, 1)", self.betas)
        _check(self.epsilon > 0, "epsilon above 0", self.epsilon)
        _check(0 <= self.momentum < 1, "momentum in [0, 1)", self.momentum)
        _check(0 <= self.dampening <= 1, "dampening in [0, 1]", self.dampening)
        looks_ahead = not self.nesterov or (self.momentum > 0 and self.dampening == 0)
        got = f"momentum={self.momentum} and dampening={self.dampening}"
        _check(looks_ahead, "momentum above 0 and no dampening for nesterov", got)

    def _check_schedule(self) -> None:
        _check(0 <= self.final_fraction <= 1, "final_fraction in [0, 1]", self.final_fraction)
        _check(self.period is None or self.period > 0, "period above 0 epochs", self.period)
        _check(self.step_epochs > 0, "step_epochs above 0", self.step_epochs)
        increasing = list(self.milestones) == sorted(set(self.milestones))
        inside = all(0 < milestone < 1 for milestone in self.milestones)
        _check(increasing and inside, "increasing milestones between 0 and 1", self.milestones)
        epochs = self.milestone_epochs
        rising = list(epochs) == sorted(set(epochs)) and all(epoch > 0 for epoch in epochs)
        _check(rising, "increasing milestone_epochs above 0", epochs)
        _check(self.gamma is None or 0 < self.gamma <= 1, "gamma in (0, 1]", self.gamma)
        _check(self.warmup_steps >= 0, "warmup_steps of at least 0", self.warmup_steps)


def make_optimizer(network: nn.Module, settings: Optimization) -> torch.optim.Optimizer:
    """Return the optimizer of a network's trainable parameters, in two groups.

    The parameters with fewer than two axes (biases, and the scales and shifts of normalizations)
    are decayed only where ``settings.decay`` is ``all``: shrinking them changes what a layer can
    express instead of smoothing it.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decay = settings.weight_decay
    if decay is None:
        decay = 0.01 if settings.optimizer == "adamw" else 0.0
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {
            "params": [p for p in parameters if p.ndim <= 1],
            "weight_decay": decay if settings.decay == "all" else 0.0,
        },
    ]
    rate = settings.learning_rate
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=rate,
            momentum=settings.momentum,
            dampening=settings.dampening,
            nesterov=settings.nesterov,
        )
    method = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return method(
        groups, lr=rate, betas=settings.betas, eps=settings.epsilon, amsgrad=settings.amsgrad
    )


def learning_rate(
    settings: Optimization, *, step: int, progress: float, epoch: float = 0.0
) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    settings
        Schedule and warm-up.
    step
        Number of steps done before this one; the warm-up counts them.
    progress
        How much of the training is done, 0 at its first step and 1 at its last.
    epoch
        Epochs done before this step, with their fraction; what is given in epochs counts them.

    References
    ----------
    Loshchilov, Hutter 2017, SGDR, arXiv:1608.03983, for the cosine (here without restarts: after
    ``period`` epochs the rate rises as it fell).

    Examples
    --------
    >>> settings = Optimization(learning_rate=0.1, warmup_steps=4, final_fraction=0.0)
    >>> [round(learning_rate(settings, step=n, progress=n / 10), 3) for n in (0, 3, 5, 10)]
    [0.025, 0.079, 0.05, 0.0]
    >>> settings = Optimization(learning_rate=0.1, warmup_steps=0, schedule="step", step_epochs=2)
    >>> [round(learning_rate(settings, step=0, progress=0, epoch=n), 4) for n in (1, 2, 3, 4)]
    [0.1, 0.01, 0.01, 0.001]
    """
    rate = settings.learning_rate * _shape(settings, progress=progress, epoch=epoch)
    return rate * min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else rate


def step_rate(
    settings: Optimization, *, step: int, steps: int, epoch_steps: int, progress: float
) -> float:
    """Return the learning rate of a step of a training of ``steps``, in epochs of ``epoch_steps``.

    ``progress`` is that of :func:`learning_rate`; it is not looked at where the schedule moves only
    between epochs.
    """
    epoch = step / epoch_steps
    if settings.per_epoch:
        epoch = float(step // epoch_steps)
        progress = epoch / math.ceil(steps / epoch_steps)
    return learning_rate(settings, step=step, progress=progress, epoch=epoch)


def _shape(settings: Optimization, *, progress: float, epoch: float) -> float:
    """Return the rate as a fraction of the highest one."""
    gamma = settings.gamma
    if settings.schedule == "cosine":
        turn = min(progress, 1.0) if settings.period is None else epoch / settings.period
        low = settings.final_fraction
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * turn))
    if settings.schedule == "exponential":
        return float((0.95 if gamma is None else gamma) ** epoch)
    gamma = 0.1 if gamma is None else gamma
    if settings.schedule == "step":
        return float(gamma ** (epoch // settings.step_epochs))
    if settings.schedule == "multistep":
        marks, place = settings.milestones, progress
        if settings.milestone_epochs:
            marks, place = settings.milestone_epochs, epoch
        return float(gamma ** sum(place >= mark for mark in marks))
    return 1.0


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
