from __future__ import annotations

import importlib
import logging
import os
import pkgutil
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from numba.core.registry import CPUDispatcher

import pancyte.ops
from pancyte import runtime
from pancyte.errors import UsageError
from pancyte.nn.architectures import Compact
from pancyte.ops.measure import measure_objects
from pancyte.ops.resample import resize_image, resize_maps
from pancyte.tasks.flow import FlowTask
from pancyte.types import Maps
from pancyte.viz.overlay import overlay


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


def test_using_threads_gives_them_back() -> None:
    """What one call is told must not last into the next."""
    before = torch.get_num_threads()
    with runtime.using_threads(before + 1) as threads:
        assert threads == torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


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


def test_warm_up_reaches_every_kernel_of_a_prediction() -> None:
    """What is compiled later would be compiled unsaid, in the seconds of the first image."""
    runtime.warm_up()
    before = compiled_signatures()
    assert before["pancyte.ops.diffusion._diffuse"] > 0
    task = FlowTask(architecture=Compact(decoder_channels=(8, 8, 8, 8, 8)))
    image = disc_image()
    for maps_scale, shape in ((1.0, (64, 64)), (0.5, (128, 128))):
        maps = resize_maps(task_maps(task, image), shape)
        found = task.decode(maps, scale=maps_scale)
        measure_objects(found.labels, resize_image(image, shape), (1.0, 1.0))
        overlay(resize_image(image, shape), found.labels)
    assert compiled_signatures() == before


def test_warm_up_says_once_that_it_compiles(monkeypatch, caplog) -> None:
    def compile_slowly() -> None:
        deadline = time.monotonic() + 5
        while not caplog.records and time.monotonic() < deadline:
            sum(range(10_000))

    monkeypatch.setattr(runtime, "_COMPILES_AFTER_S", 0.05)
    monkeypatch.setattr(runtime, "_call_every_kernel", compile_slowly)
    with caplog.at_level(logging.INFO, "pancyte"):
        runtime.warm_up()
    assert [record.message for record in caplog.records] == [
        "Compiling the numerical kernels for this machine, once; this takes about a minute."
    ]


def test_warm_up_says_nothing_when_kernels_are_loaded(monkeypatch, caplog) -> None:
    monkeypatch.setattr(runtime, "_call_every_kernel", lambda: None)
    with caplog.at_level(logging.INFO, "pancyte"):
        runtime.warm_up()
    assert not caplog.records


def test_read_only_installation_compiles_into_the_users_cache(tmp_path) -> None:
    """numba falls back by itself; this holds it to that for our decorator arguments."""
    package = tmp_path / "site"
    package.mkdir()
    (package / "kernel.py").write_text(
        "from numba import njit\n\n@njit(cache=True)\ndef add(a, b):\n    return a + b\n"
    )
    # A file where the cache folder would be made cannot be written to, not even by root.
    (package / "__pycache__").write_text("")
    program = (
        "import sys; sys.dont_write_bytecode = True; import kernel; kernel.add(1, 2);"
        "print(kernel.add.stats.cache_path)"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(package),
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    environment.pop("NUMBA_CACHE_DIR", None)
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert not result.stdout.startswith(str(package))
    assert result.stdout.startswith(str(tmp_path))


def compiled_signatures() -> dict[str, int]:
    counts = {}
    for module in pkgutil.iter_modules(pancyte.ops.__path__, "pancyte.ops."):
        for name, kernel in vars(importlib.import_module(module.name)).items():
            if isinstance(kernel, CPUDispatcher):
                counts[f"{module.name}.{name}"] = len(kernel.signatures)
    return counts


def disc_image() -> np.ndarray:
    y, x = np.mgrid[:64, :64]
    return ((y - 30) ** 2 + (x - 30) ** 2 < 200).astype(np.float32)[None]


def task_maps(task: FlowTask, image: np.ndarray) -> Maps:
    targets = task.encode(image.astype(np.int32))
    return Maps(scalars=targets["foreground"], vectors=targets["flow"].reshape(1, 2, 64, 64))
