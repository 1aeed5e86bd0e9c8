from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, MultiStepLR, StepLR

from pancyte.training.optim import (
    Optimization,
    WeightAverage,
    learning_rate,
    make_optimizer,
    step_rate,
)


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


def torch_rates(schedule: torch.optim.lr_scheduler.LRScheduler, epochs: int) -> list[float]:
    rates = []
    for _ in range(epochs):
        rates.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"schedule": "step", "step_epochs": 30}, lambda o: StepLR(o, 30, 0.1)),
        ({"schedule": "exponential"}, lambda o: ExponentialLR(o, 0.95)),
        (
            {"schedule": "multistep", "milestone_epochs": (30, 80)},
            lambda o: MultiStepLR(o, (30, 80), 0.1),
        ),
        # The recipes of Mediar-V, MEDIAR's fine-tuning and its first phase.
        (
            {"schedule": "cosine", "period": 25, "final_fraction": 0.002},
            lambda o: CosineAnnealingLR(o, 25, 1e-7),
        ),
        (
            {"schedule": "cosine", "period": 100, "final_fraction": 0.002},
            lambda o: CosineAnnealingLR(o, 100, 1e-7),
        ),
        (
            {"schedule": "cosine", "final_fraction": 0.02},
            lambda o: CosineAnnealingLR(o, 120, 1e-6),
        ),
    ],
    ids=["step", "exponential", "multistep", "cosine 25", "cosine 100", "cosine"],
)
def test_schedules_per_epoch_are_those_of_torch_as_published(ours: dict, theirs) -> None:
    settings = Optimization(learning_rate=5e-5, warmup_steps=0, per_epoch=True, **ours)
    parameter = nn.Parameter(torch.zeros(1))
    expected = torch_rates(theirs(torch.optim.SGD([parameter], lr=5e-5)), 120)
    for epoch, rate in enumerate(expected):
        # Each epoch has three steps, with one rate.
        rates = {
            step_rate(settings, step=3 * epoch + k, steps=360, epoch_steps=3, progress=0.123)
            for k in range(3)
        }
        assert len(rates) == 1
        assert rates.pop() == pytest.approx(rate, rel=1e-6), epoch


def test_step_rate_moves_at_each_step_by_default() -> None:
    settings = Optimization(learning_rate=1.0, warmup_steps=0, period=2, final_fraction=0.0)
    rates = [
        step_rate(settings, step=n, steps=12, epoch_steps=3, progress=n / 11) for n in range(13)
    ]
    assert rates[0] == rates[12] == 1.0
    assert rates[6] == pytest.approx(0.0)
    assert rates[:7] == sorted(rates[:7], reverse=True)
    assert rates[6:] == sorted(rates[6:])


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("sgd", {"momentum": 0, "dampening": 0, "nesterov": False, "weight_decay": 0}),
        ("adam", {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "weight_decay": 0}),
        ("adamw", {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "weight_decay": 0.01}),
    ],
)
def test_the_defaults_of_the_optimizers_are_the_published_ones(name: str, defaults: dict) -> None:
    group = make_optimizer(small_network(), Optimization(optimizer=name)).param_groups[0]
    assert {key: group[key] for key in defaults} == defaults
    assert group["lr"] == 1e-3


def test_the_settings_of_the_optimizers_arrive() -> None:
    adam = Optimization(optimizer="adam", betas=(0.5, 0.6), epsilon=1e-3, amsgrad=True)
    group = make_optimizer(small_network(), adam).param_groups[0]
    assert (group["betas"], group["eps"], group["amsgrad"]) == ((0.5, 0.6), 1e-3, True)
    sgd = Optimization(optimizer="sgd", momentum=0.9, nesterov=True)
    group = make_optimizer(small_network(), sgd).param_groups[0]
    assert (group["momentum"], group["nesterov"]) == (0.9, True)
    damped = Optimization(optimizer="sgd", momentum=0.9, dampening=0.5)
    assert make_optimizer(small_network(), damped).param_groups[0]["dampening"] == 0.5


def test_decay_of_all_is_as_published() -> None:
    settings = Optimization(optimizer="adamw", decay="all")
    groups = make_optimizer(small_network(), settings).param_groups
    assert [group["weight_decay"] for group in groups] == [0.01, 0.01]


@pytest.mark.parametrize(
    "settings",
    [
        Optimization(optimizer="sgd", learning_rate=0.1, momentum=0.9, nesterov=True),
        Optimization(optimizer="adam", learning_rate=0.02),
        Optimization(optimizer="adamw", learning_rate=0.02, amsgrad=True),
    ],
    ids=lambda settings: settings.optimizer,
)
def test_each_optimizer_learns_one_batch_and_moves_every_tensor(settings: Optimization) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 1)
    )
    before = [parameter.detach().clone() for parameter in network.parameters()]
    optimizer = make_optimizer(network, settings)
    images = torch.rand(4, 1, 16, 16)
    losses = []
    for _ in range(20):
        logits = network(images)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, (images > 0.5).float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    for old, new in zip(before, network.parameters(), strict=True):
        assert not torch.equal(old, new)


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
        ({"betas": (0.9, 1.0)}, r"betas in \[0, 1\), but got \(0.9, 1.0\)"),
        ({"epsilon": 0.0}, "epsilon above 0, but got 0.0"),
        ({"dampening": 2.0}, r"dampening in \[0, 1\], but got 2.0"),
        ({"nesterov": True}, "for nesterov, but got momentum=0.0 and dampening=0.0"),
        ({"period": 0.0}, "period above 0 epochs, but got 0.0"),
        ({"step_epochs": 0.0}, "step_epochs above 0, but got 0.0"),
        ({"milestone_epochs": (8, 3)}, "increasing milestone_epochs above 0"),
        ({"gamma": 0.0}, r"gamma in \(0, 1\], but got 0.0"),
        ({"warmup_steps": -1}, "warmup_steps of at least 0, but got -1"),
        ({"clip_norm": 0.0}, "clip_norm above 0, but got 0.0"),
        ({"accumulate": 0}, "accumulate of at least 1, but got 0"),
        ({"average_decay": 1.0}, r"average_decay in \[0, 1\), but got 1.0"),
    ],
)
def test_optimization_refuses_what_cannot_be_meant(setting: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Optimization(**setting)
