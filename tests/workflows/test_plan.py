from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest

from pancyte.data.records import DataSource
from pancyte.training.optim import Optimization
from pancyte.workflows.plan import DEFAULT_STEPS, Plan, make_plan, warn_of_high_end
from pancyte.workflows.train_config import TrainConfig

CONFIG = TrainConfig(data=(DataSource(path=Path("images")),), out=Path("run"), batch=3)


@pytest.mark.parametrize(
    ("settings", "plan"),
    [
        ({}, Plan(DEFAULT_STEPS, 250)),
        ({"steps": 7}, Plan(7, 250)),
        ({"epochs": 2}, Plan(500, 250)),
        ({"epochs": 2, "epoch_steps": 10}, Plan(20, 10)),
        # Ten draws are four batches of three.
        ({"epochs": 5, "epoch_steps": None}, Plan(20, 4)),
        (
            {"epochs": 5, "epoch_steps": None, "optimization": Optimization(accumulate=2)},
            Plan(10, 2),
        ),
    ],
)
def test_make_plan_counts_steps_and_epochs(settings: dict, plan: Plan) -> None:
    assert make_plan(dataclasses.replace(CONFIG, **settings), draws=10) == plan


def published(period: float | None, epochs: int) -> TrainConfig:
    optimization = Optimization(
        learning_rate=5e-5, period=period, final_fraction=0.002, per_epoch=True, warmup_steps=0
    )
    return dataclasses.replace(CONFIG, epochs=epochs, epoch_steps=4, optimization=optimization)


@pytest.mark.parametrize(
    ("period", "epochs", "warns"),
    [(25, 250, True), (100, 200, True), (80, 80, False), (None, 80, False), (100, 50, True)],
)
def test_a_schedule_that_ends_high_is_warned_of(
    period: float | None, epochs: int, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The published recipes of Mediar-V (25 of 250) and MEDIAR (100 of 200) end at the peak."""
    config = published(period, epochs)
    with caplog.at_level(logging.WARNING, "pancyte"):
        warn_of_high_end(config, make_plan(config, draws=10))
    assert bool(caplog.messages) is warns
    if (period, epochs) == (25, 250):
        assert "5e-05 at the end of the training, 100 % of its peak" in caplog.text
        assert "optimization.period=none" in caplog.text
