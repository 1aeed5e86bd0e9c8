from __future__ import annotations

import dataclasses
import itertools
import signal
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from pancyte.data.datasets import PatchDataset, Sampling
from pancyte.data.records import DataSource, Record
from pancyte.errors import InputError
from pancyte.tasks.flow import FlowTask
from pancyte.training.optim import Optimization
from pancyte.training.ranks import Ranks
from pancyte.workflows import batches
from pancyte.workflows.train_config import TrainConfig


def config(accumulate: int = 1) -> TrainConfig:
    return TrainConfig(
        data=(DataSource(path=Path("images")),), out=Path("run"), batch=3,
        optimization=Optimization(accumulate=accumulate),
    )  # fmt: skip


def test_batch_keys_number_the_patches_of_each_epoch() -> None:
    assert list(itertools.islice(batches.batch_keys(config(), 0, 2), 3)) == [
        [(0, 0), (0, 1), (0, 2)],
        [(0, 3), (0, 4), (0, 5)],
        [(1, 0), (1, 1), (1, 2)],
    ]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("first_step", [1, 2, 3])
def test_batch_keys_go_on_where_a_run_stopped(accumulate: int, first_step: int) -> None:
    settings = config(accumulate)
    whole = itertools.islice(batches.batch_keys(settings, 0, 2), 12)
    rest = itertools.islice(batches.batch_keys(settings, first_step, 2), 12 - first_step * accumulate)
    assert list(whole)[first_step * accumulate :] == list(rest)


def test_watch_calls_before_the_first_batch_of_each_step() -> None:
    seen: list[object] = []
    stream = batches.watch(iter(range(100)), accumulate=2, before_step=lambda: seen.append("step"))
    for batch in itertools.islice(stream, 5):
        seen.append(batch)  # noqa: PERF402 - interleaved with the calls
    assert seen == ["step", 0, 1, "step", 2, 3, "step", 4]


def test_workers_take_one_thread_and_leave_signals_to_the_training() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    threads = torch.get_num_threads()
    try:
        batches._start_worker(0)
        assert torch.get_num_threads() == 1
        assert [signal.getsignal(number) for number in numbers] == [signal.SIG_IGN] * 2
    finally:
        torch.set_num_threads(threads)
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_used_is_one_sentence(tmp_path: Path, workers: int) -> None:
    image, labels = tmp_path / "four.tif", tmp_path / "masks.tif"
    tifffile.imwrite(
        image, np.ones((4, 40, 40), np.uint8), photometric="minisblack", metadata={"axes": "CYX"}
    )
    tifffile.imwrite(labels, np.ones((40, 40), np.uint8))
    settings = dataclasses.replace(config(), workers=workers)
    dataset = PatchDataset(
        [Record(image=image, labels=labels)], FlowTask(), sampling=Sampling(patch=32)
    )
    stream = batches.make_batches(settings, dataset, first_step=0, epoch_steps=2, ranks=Ranks(), pin_memory=False)
    with pytest.raises(InputError, match=r"four\.tif: expected an image .* got 4\.") as e:
        next(stream)
    assert "Traceback" not in str(e.value)
    assert "worker" not in str(e.value)
