from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pancyte.training.optim import Optimization, WeightAverage, learning_rate, make_optimizer


def small_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 1))


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_make_optimizer_decays_only_weights_of_convolutions(name: str) -> None:
    network = small_network()
    optimizer = make_optimizer(network, Optimization(optimizer=name, weight_decay=0.3))
    decay = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    by_name = {name: decay[id(parameter)] for name, parameter in network.named_parameters()}
    assert by_name == {
        "0.weight": 0.3, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0, "2.weight": 0.3,
        "2.bias": 0.0,
    }  # fmt: skip


def test_make_optimizer_leaves_frozen_parameters_alone() -> None:
    network = small_network()
    network[0].requires_grad_(requires_grad=False)
    groups = make_optimizer(network, Optimization()).param_groups
    assert sum(len(group["params"]) for group in groups) == 4


def test_learning_rate_warms_up_and_ends_at_its_minimum() -> None:
    cosine = Optimization(learning_rate=1.0, warmup_steps=10, final_fraction=0.1)
    rates = [learning_rate(cosine, step=step, progress=step / 99) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[:9] == sorted(rates[:9])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)
    assert max(rates) <= 1.0


def test_learning_rate_of_constant_and_multistep() -> None:
    constant = Optimization(learning_rate=0.5, schedule="constant", warmup_steps=0)
    assert {learning_rate(constant, step=n, progress=n / 9) for n in range(10)} == {0.5}
    steps = Optimization(
        learning_rate=1.0, schedule="multistep", warmup_steps=0, milestones=(0.5, 0.8)
    )
    rates = [learning_rate(steps, step=9, progress=p) for p in (0.49, 0.5, 0.8, 1.0)]
    assert rates == pytest.approx([1.0, 0.1, 0.01, 0.01])


@given(step=st.integers(0, 1000), progress=st.floats(0, 1), warmup=st.integers(0, 50))
@settings(max_examples=50, deadline=None)
def test_learning_rate_stays_within_its_bounds(step: int, progress: float, warmup: int) -> None:
    rate = learning_rate(
        Optimization(learning_rate=0.2, warmup_steps=warmup), step=step, progress=progress
    )
    assert 0 < rate <= 0.2


def test_weight_average_converges_to_constant_weights_and_copies_counters() -> None:
    network = small_network()
    average = WeightAverage(network, 0.9)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(2.0)
    network[1].running_mean.fill_(3.0)
    network[1].num_batches_tracked.fill_(7)
    average.update(network, 0)
    # The first step counts for nine tenths of the average.
    start = average.network[1].running_mean
    torch.testing.assert_close(start, torch.full((2,), 0.9 * 3.0))
    for step in range(1, 200):
        average.update(network, step)
    torch.testing.assert_close(average.network.state_dict(), network.state_dict())
    assert average.network[1].num_batches_tracked == 7
    assert not average.network.training
    assert not any(parameter.requires_grad for parameter in average.network.parameters())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate above 0, but got 0.0"),
        ({"weight_decay": -1.0}, "weight_decay of at least 0, but got -1.0"),
        ({"momentum": 1.0}, r"momentum in \[0, 1\), but got 1.0"),
        ({"final_fraction": 2.0}, r"final_fraction in \[0, 1\], but got 2.0"),
        ({"milestones": (0.5, 0.4)}, "increasing milestones"),
        ({"milestones": (0.5, 1.0)}, "between 0 and 1"),
        ({"warmup_steps": -1}, "warmup_steps of at least 0, but got -1"),
        ({"clip_norm": 0.0}, "clip_norm above 0, but got 0.0"),
        ({"accumulate": 0}, "accumulate of at least 1, but got 0"),
        ({"average_decay": 1.0}, r"average_decay in \[0, 1\), but got 1.0"),
    ],
)
def test_optimization_refuses_what_cannot_be_meant(setting: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Optimization(**setting)
