"""How long a training is, in steps and epochs, and whether its schedule fits that length."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pancyte.training.optim import step_rate

if TYPE_CHECKING:
    from pancyte.workflows.train_config import TrainConfig

_LOGGER = logging.getLogger(__name__)

DEFAULT_STEPS: Final = 5000
"""Optimizer steps of a training that names neither steps nor epochs."""

# Above this fraction of the highest learning rate the weights still change as much as ever.
_HIGH: Final = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """The length of a training."""

    steps: int
    """Optimizer steps of all of it."""
    epoch_steps: int
    """Optimizer steps of an epoch."""


def make_plan(config: TrainConfig, *, draws: int) -> Plan:
    """Return the length of a training.

    Parameters
    ----------
    config
        Its steps or epochs, and the size of its batches.
    draws
        Patches of one pass over the images.
    """
    per_step = config.batch * config.optimization.accumulate
    epoch_steps = config.epoch_steps or math.ceil(draws / per_step)
    if config.epochs is not None:
        return Plan(config.epochs * epoch_steps, epoch_steps)
    return Plan(config.steps or DEFAULT_STEPS, epoch_steps)


def warn_of_high_end(config: TrainConfig, plan: Plan) -> None:
    """Log a warning where the learning rate is high when the training ends.

    A cosine whose period is shorter than the training rises again, and may be at its peak at the
    end, as in the published recipes of MEDIAR's fine-tuning and Mediar-V.
    """
    settings = config.optimization
    last = step_rate(
        settings,
        step=plan.steps - 1,
        steps=plan.steps,
        epoch_steps=plan.epoch_steps,
        progress=1.0,
    )
    oscillates = settings.schedule == "cosine" and settings.period is not None
    if oscillates and last > _HIGH * settings.learning_rate:
        _LOGGER.warning(
            "The learning rate is %.2g at the end of the training, %.0f %% of its peak: the cosine "
            "has a period of %g epochs, and the training %.4g. Set optimization.period=none to end "
            "at its lowest point, or believe checkpoints/best more than checkpoints/last.",
            last, 100 * last / settings.learning_rate, settings.period or 0.0,
            plan.steps / plan.epoch_steps,
        )  # fmt: skip
