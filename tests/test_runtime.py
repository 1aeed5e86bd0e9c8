from __future__ import annotations

import numpy as np
import pytest
import torch

from pancyte import runtime
from pancyte.errors import UsageError


def test_auto_device_is_what_torch_has() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert runtime.choose_device().type == expected
    assert runtime.choose_device("cpu").type == "cpu"


def test_device_that_is_not_there_is_refused() -> None:
    for name in ("gpu", "meta", "mps", "cpu:3", ""):
        with pytest.raises(
            UsageError, match=f"Expected device to be auto, cpu, cuda.*got '{name}'"
        ):
            runtime.choose_device(name)
    with pytest.raises(UsageError, match=r"Expected a CUDA device that torch sees .*got 'cuda:99'"):
        runtime.choose_device("cuda:99")


def test_precision_is_what_was_asked_for() -> None:
    cpu = torch.device("cpu")
    assert runtime.choose_precision("float32", cpu) == "float32"
    assert runtime.choose_precision("bfloat16", cpu) == "bfloat16"
    assert runtime.choose_precision("auto", cpu) in {"float32", "bfloat16"}


def test_auto_precision_follows_the_instructions_of_the_cpu(monkeypatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(runtime, "_cpu_has_bfloat16", lambda: False)
    assert runtime.choose_precision("auto", cpu) == "float32"
    monkeypatch.setattr(runtime, "_cpu_has_bfloat16", lambda: True)
    assert runtime.choose_precision("auto", cpu) == "bfloat16"


def test_set_threads(monkeypatch) -> None:
    before = torch.get_num_threads()
    try:
        assert runtime.set_threads(1) == 1
        assert torch.get_num_threads() == 1
        monkeypatch.setattr(runtime, "available_cpus", lambda: 2)
        assert runtime.set_threads() == 2
    finally:
        torch.set_num_threads(before)
    with pytest.raises(UsageError, match="threads to be at least 1, but got 0"):
        runtime.set_threads(0)


def test_available_cpus_counts_what_the_process_may_use(monkeypatch) -> None:
    monkeypatch.setattr(runtime.os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert runtime.available_cpus() == 3


def test_seed_everything_seeds_numpy_and_torch() -> None:
    state = np.random.get_state(), torch.get_rng_state()
    try:
        runtime.seed_everything(7)
        first = np.random.random(), torch.rand(1).item()
        runtime.seed_everything(7)
        assert (np.random.random(), torch.rand(1).item()) == first
    finally:
        np.random.set_state(state[0])
        torch.set_rng_state(state[1])


def test_sample_generators_differ_by_each_of_their_numbers() -> None:
    draws = {
        runtime.sample_generator(seed, epoch, index).random()
        for seed in range(3)
        for epoch in range(3)
        for index in range(3)
    }
    assert len(draws) == 27
    assert runtime.sample_generator(1, 2, 3).random() == runtime.sample_generator(1, 2, 3).random()
