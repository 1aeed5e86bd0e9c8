"""The training loop: one generator that knows what computes a loss, and no file.

``fit`` yields an :class:`EpochReport` after each epoch, a fixed number of optimizer steps;
validation, checkpoints and logs are the caller's ``for`` loop. All that must survive an
interruption is in :class:`TrainingState`: with the same batches from its step on, a training that
was stopped and resumed on a CPU ends with the same bits as one that was not.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch

from pancyte.errors import UsageError
from pancyte.training.optim import WeightAverage, make_optimizer, step_rate

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from torch import Tensor, nn

    from pancyte.training.optim import Optimization
    from pancyte.training.ranks import SpreadNetwork


class HasLosses(Protocol):
    """What computes the loss of a batch: a task, or a part of one."""

    def losses(
        self, network: nn.Module, images: Tensor, targets: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return named scalar loss terms, whose sum is minimized."""
        ...


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What one epoch of a training came to."""

    epoch: int
    """Number of this epoch, from 1."""
    step: int
    """Optimizer steps done since the start of the training."""
    losses: Mapping[str, float]
    """Mean of each loss term over the epoch, and ``total``, which is what was minimized."""
    learning_rate: float
    """Learning rate of the last step."""
    seconds: float
    """Wall time of the epoch in this process, without what the caller did between epochs."""


@dataclass(slots=True)
class TrainingState:
    """Everything that changes while a network is trained; the one mutable object of a training."""

    network: nn.Module
    """On its device, in training mode while :func:`fit` runs."""
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None
    """Moving average of the weights, or None where the weights themselves are saved."""
    scaler: torch.amp.GradScaler
    """Scales the loss in float16, and does nothing in the other precisions."""
    steps: int
    """Steps at whose end the schedule ends; the caller may change it while the training runs."""
    step: int = 0
    """Optimizer steps done."""
    progress: float = 0.0
    """How much of the schedule is done, 0 to 1."""
    spread: SpreadNetwork | None = None
    """Runs the network on a share of each batch; None where this process is alone."""
    sums: dict[str, float] = field(default_factory=dict)
    """Sum of each loss term since the last report."""
    summed: int = 0
    """Steps that are in ``sums``; fewer than an epoch has where a limit moved the end."""

    @property
    def saved_network(self) -> nn.Module:
        """The network to validate and save: the moving average where there is one."""
        return self.network if self.average is None else self.average.network

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values, which ``torch.load(weights_only=True)`` reads back."""
        random = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            random["cuda"] = torch.cuda.get_rng_state()
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.network.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": random,
            "steps": self.steps,
            "step": self.step,
            "progress": self.progress,
            "sums": dict(self.sums),
            "summed": self.summed,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state of the same network and settings, random state included."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.network.load_state_dict(state["average"])
        self.scaler.load_state_dict(state["scaler"])
        self.steps, self.step = state["steps"], state["step"]
        self.progress = state["progress"]
        # Sums of an unknown number of steps, as states once held, would be no mean: the report is
        # of the steps that follow.
        known = "summed" in state
        self.sums, self.summed = (dict(state["sums"]), int(state["summed"])) if known else ({}, 0)
        torch.set_rng_state(state["random"]["cpu"])
        if "cuda" in state["random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["random"]["cuda"])


def start_state(
    network: nn.Module, settings: Optimization, *, steps: int, precision: torch.dtype
) -> TrainingState:
    """Return the state before the first step of a training of ``steps`` optimizer steps."""
    decay = settings.average_decay
    device = next(network.parameters()).device.type
    return TrainingState(
        network=network,
        optimizer=make_optimizer(network, settings),
        average=None if decay is None else WeightAverage(network, decay),
        scaler=torch.amp.GradScaler(device, enabled=precision == torch.float16),
        steps=steps,
    )


def fit(
    task: HasLosses,
    state: TrainingState,
    batches: Iterator[Mapping[str, Tensor]],
    *,
    settings: Optimization,
    epoch_steps: int,
    precision: torch.dtype = torch.float32,
) -> Generator[EpochReport]:
    """Train until ``state.steps``, yielding after each epoch.

    Parameters
    ----------
    task
        Names and computes the loss terms, whose sum is minimized.
    state
        Changed in place; an exception leaves it as it was after its last complete step.
    batches
        Endless; mappings of ``image`` (B, C, *space) and targets, ``settings.accumulate`` of which
        make one step. The first is the first one of step ``state.step``.
    settings
        Optimization of which ``state`` was made.
    epoch_steps
        Optimizer steps in an epoch; the last epoch is shorter where they do not divide the total.
    precision
        What the network computes in; float32 weights are kept in any case.

    Raises
    ------
    UsageError
        A loss term or the gradient is not finite; the message names the step and all terms.

    Notes
    -----
    The schedule advances at each step by what is left of it, divided by the steps that are left.
    While ``state.steps`` stays as it is, that is ``step / (steps - 1)``; where the caller lowers
    it, the remaining schedule is compressed and still ends at its minimum.
    """
    device = next(state.network.parameters()).device
    while state.step < state.steps:
        started = time.perf_counter()
        state.network.train()
        end = min(state.steps, (state.step // epoch_steps + 1) * epoch_steps)
        rate = 0.0
        while state.step < end:
            rate = _set_learning_rate(state, settings, epoch_steps)
            terms: dict[str, float] = {}
            for _ in range(settings.accumulate):
                batch = {name: _to(value, device) for name, value in next(batches).items()}
                network: nn.Module = state.network
                if state.spread is not None:
                    batch, network = state.spread.gather(batch), state.spread
                with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                    losses = task.losses(network, batch.pop("image"), batch)
                total = torch.stack(list(losses.values())).sum() / settings.accumulate
                _add_terms(terms, losses, step=state.step, weight=1 / settings.accumulate)
                state.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
            _step(state, settings)
            for name, value in terms.items():
                state.sums[name] = state.sums.get(name, 0.0) + value
            state.summed += 1
        yield _report(state, epoch_steps, rate=rate, seconds=time.perf_counter() - started)


def _set_learning_rate(state: TrainingState, settings: Optimization, epoch_steps: int) -> float:
    rate = step_rate(
        settings,
        step=state.step,
        steps=state.steps,
        epoch_steps=epoch_steps,
        progress=state.progress,
    )
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.zero_grad(set_to_none=True)
    return rate


def _to(value: Tensor, device: torch.device) -> Tensor:
    layout = torch.channels_last if value.ndim == 4 else torch.preserve_format
    return value.to(device, non_blocking=True, memory_format=layout)


def _add_terms(
    terms: dict[str, float], losses: Mapping[str, Tensor], *, step: int, weight: float
) -> None:
    # One transfer from the device for all terms.
    values = torch.stack([value.detach().float() for value in losses.values()]).tolist()
    named = dict(zip(losses, values, strict=True))
    if not all(math.isfinite(value) for value in values):
        listed = ", ".join(f"{name}={value:.4g}" for name, value in named.items())
        msg = (
            f"The loss is not finite at step {step + 1}: {listed}. Lower "
            "optimization.learning_rate, or train with precision=float32."
        )
        raise UsageError(msg)
    for name, value in {**named, "total": math.fsum(values)}.items():
        terms[name] = terms.get(name, 0.0) + weight * value


def _step(state: TrainingState, settings: Optimization) -> None:
    state.scaler.unscale_(state.optimizer)
    parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
    limit = math.inf if settings.clip_norm is None else settings.clip_norm
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
    # In float16 the scaler skips such a step and lowers its scale.
    if not state.scaler.is_enabled() and not torch.isfinite(norm):
        msg = (
            f"The gradient is not finite at step {state.step + 1} (norm {norm.item()}). Lower "
            "optimization.learning_rate, or train with precision=float32."
        )
        raise UsageError(msg)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.average is not None:
        state.average.update(state.network, state.step)
    remaining = state.steps - 1 - state.step
    state.progress += (1 - state.progress) / remaining if remaining > 0 else 0.0
    state.step += 1


def _report(state: TrainingState, epoch_steps: int, *, rate: float, seconds: float) -> EpochReport:
    epoch = math.ceil(state.step / epoch_steps)
    losses = {name: total / max(state.summed, 1) for name, total in state.sums.items()}
    state.sums, state.summed = {}, 0
    return EpochReport(
        epoch=epoch, step=state.step, losses=losses, learning_rate=rate, seconds=seconds
    )
