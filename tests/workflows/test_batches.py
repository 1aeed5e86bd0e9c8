from __future__ import annotations

import dataclasses
import itertools
import signal
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from pancyte.data.datasets import PatchDataset, ReplayedDataset, Sampling
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


def pictures(count: int = 4, **sampling: object) -> PatchDataset:
    """Return a data set of images that are not there, which numbers do not need."""
    records = [Record(image=Path(f"{k}.tif"), labels=Path("m.tif")) for k in range(count)]
    return PatchDataset(records, FlowTask(), sampling=Sampling(**sampling))


def keys(
    dataset: PatchDataset | ReplayedDataset, number: int, *, first: int = 0, accumulate: int = 1
) -> list[list[tuple[int, ...]]]:
    stream = batches.batch_keys(config(accumulate), dataset, first, 2)
    return list(itertools.islice(stream, number))


def test_batch_keys_number_the_patches_of_each_epoch() -> None:
    assert keys(pictures(), 3) == [
        [(0, 0), (0, 1), (0, 2)],
        [(0, 3), (0, 4), (0, 5)],
        [(1, 0), (1, 1), (1, 2)],
    ]


def test_batch_keys_go_through_a_list_of_draws_without_a_gap() -> None:
    """Five images in batches of three, whatever the epochs of the training, here of two batches."""
    assert keys(pictures(5, order="epoch"), 4) == [
        [(0, 0), (0, 1), (0, 2)],
        [(0, 3), (0, 4), (1, 0)],
        [(1, 1), (1, 2), (1, 3)],
        [(1, 4), (2, 0), (2, 1)],
    ]
    amplified = keys(pictures(5, order="epoch", amplify=7), 100)
    assert {index for batch in amplified for _, index in batch} == set(range(7))


@pytest.mark.parametrize("samples", [1, 2, 5])
@pytest.mark.parametrize("order", ["random", "epoch"])
def test_each_batch_ends_with_the_replayed_patches(samples: int, order: str) -> None:
    main = pictures(4, order=order)
    replayed = pictures(3, order="epoch")
    found = keys(ReplayedDataset(main, replayed, samples=samples), 6)
    assert [[key[1:] for key in batch[:3]] for batch in found] == keys(main, 6)
    assert {key[0] for batch in found for key in batch[:3]} == {0}
    others = [key for batch in found for key in batch[3:]]
    assert len(others) == 6 * samples
    # Without end, and every image comes before one comes again.
    assert others == [(1, *divmod(number, 3)) for number in range(6 * samples)]


@pytest.mark.parametrize("kind", ["random", "epoch", "replay"])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("first", [1, 2, 3])
def test_batch_keys_go_on_where_a_run_stopped(kind: str, accumulate: int, first: int) -> None:
    dataset: PatchDataset | ReplayedDataset
    dataset = pictures(5, order="epoch") if kind == "epoch" else pictures(5)
    if kind == "replay":
        dataset = ReplayedDataset(dataset, pictures(4, order="epoch"), samples=2)
    done = first * accumulate
    whole = keys(dataset, 12, accumulate=accumulate)
    assert whole[done:] == keys(dataset, 12 - done, first=first, accumulate=accumulate)


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
    stream = batches.make_batches(
        settings, dataset, first_step=0, epoch_steps=2, ranks=Ranks(), pin_memory=False
    )
    with pytest.raises(InputError, match=r"four\.tif: expected an image .* got 4\.") as e:
        next(stream)
    assert "Traceback" not in str(e.value)
    assert "worker" not in str(e.value)
