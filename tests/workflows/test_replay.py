"""Replayed patches: how many, of which images, and that the others do not change by them."""

from __future__ import annotations

import itertools
import pickle
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from tests.strategies import voronoi_cells

from pancyte.augment.cell_aware import BoundaryExclusion
from pancyte.config import from_mapping, to_mapping
from pancyte.data.datasets import PatchDataset, Sampling
from pancyte.data.folders import read_sources
from pancyte.data.records import DataSource, Record, write_manifest
from pancyte.errors import ConfigError, InputError
from pancyte.io.checkpoint import load_checkpoint
from pancyte.nn.architectures import Compact
from pancyte.tasks.flow import FlowTask
from pancyte.training.ranks import Ranks
from pancyte.workflows import training_data
from pancyte.workflows.batches import make_batches
from pancyte.workflows.replay import Replay, add_replay
from pancyte.workflows.train import train
from pancyte.workflows.train_config import TrainConfig

SAMPLING = Sampling(patch=64, object_probability=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Write images that say by their intensity which data set and which image they are of."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(3)
    for name, count in (("own", 3), ("public", 4)):
        for k in range(count):
            labels = voronoi_cells((90, 90), 30, rng)
            for kind, array in (("images", (labels > 0) * (100 + k)), ("masks", labels)):
                (folder / name / kind).mkdir(parents=True, exist_ok=True)
                path = folder / name / kind / f"{name}{k}.png"
                PillowImage.fromarray(array.astype(np.uint8)).save(path)
    return folder


def own(folder: Path) -> PatchDataset:
    records = read_sources([DataSource(path=folder / "own")])
    return PatchDataset(records, FlowTask(), sampling=SAMPLING, seed=4)


def batches_of(dataset, number, *, first_step=0, workers=0):
    config = TrainConfig(
        data=(DataSource(path=Path("own")),), out=Path("run"), batch=3, workers=workers, seed=4
    )
    stream = make_batches(
        config, dataset, first_step=first_step, epoch_steps=2, ranks=Ranks(), pin_memory=False
    )
    return list(itertools.islice(stream, number))


@pytest.mark.parametrize("samples", [1, 2])
def test_each_batch_has_the_same_main_patches_and_exactly_r_replayed_ones(folder, samples) -> None:
    main = own(folder)
    replay = Replay(data=(DataSource(path=folder / "public"),), samples=samples)
    joined = add_replay(main, replay)
    images = {record.image.stem for record in joined.replayed.records}
    assert images == {f"public{k}" for k in range(4)}
    plain, replayed = batches_of(main, 5), batches_of(joined, 5)
    for first, second in zip(plain, replayed, strict=True):
        assert first.keys() == second.keys()
        for name in first:
            assert len(second[name]) == 3 + samples
            assert torch.equal(first[name], second[name][:3])
            assert torch.isfinite(second[name].float()).all()
        assert second["foreground"][3:].any()


@pytest.mark.parametrize("travels", [False, True], ids=["here", "in another process"])
def test_both_data_sets_share_the_memory_for_images(folder, travels) -> None:
    joined = add_replay(own(folder), Replay(data=(DataSource(path=folder / "public"),)))
    joined[0, 0, 0]
    assert joined.main.cache.nbytes > 0
    if travels:
        joined = pickle.loads(pickle.dumps(joined))
        assert joined.main.cache.nbytes == 0
    joined.main.cache.megabytes = 0  # which keeps the last image alone
    joined[0, 0, 0], joined[1, 0, 0]
    (last,) = joined.main.cache._records.values()
    assert last.record in joined.replayed.records


def test_a_resumed_training_replays_the_same_patches(folder) -> None:
    replay = Replay(data=(DataSource(path=folder / "public"),), samples=2)
    whole = batches_of(add_replay(own(folder), replay), 5)
    rest = batches_of(add_replay(own(folder), replay), 2, first_step=3)
    for first, second in zip(whole[3:], rest, strict=True):
        assert all(torch.equal(first[name], second[name]) for name in first)


def interrupt_after(monkeypatch: pytest.MonkeyPatch, patches: int) -> None:
    """Send Ctrl-C to this process while the patch of that number is made."""
    original = training_data.augment_intensity
    made = itertools.count(1)

    def augment(*args: object) -> np.ndarray:
        if next(made) == patches:
            signal.raise_signal(signal.SIGINT)
        return original(*args)

    monkeypatch.setattr(training_data, "augment_intensity", augment)


@pytest.mark.slow
def test_a_training_that_amplifies_and_replays_ends_with_the_same_bits_when_resumed(
    folder, tmp_path, monkeypatch
) -> None:
    whole = TrainConfig(
        data=(DataSource(path=folder / "own"),),
        out=tmp_path / "whole",
        task=FlowTask(architecture=Compact(decoder_channels=(4, 4, 4, 4, 4))),
        steps=4,
        epoch_steps=None,
        batch=2,
        sampling=replace(SAMPLING, patch=32, order="epoch", amplify=5),
        replay=Replay(data=(DataSource(path=folder / "public"),), samples=1),
        precision="float32",
        threads=1,
        workers=0,
    )
    parts = replace(whole, out=tmp_path / "parts")
    threads = torch.get_num_threads()
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        train(whole)
        with monkeypatch.context() as patch:
            interrupt_after(patch, 4)
            with pytest.raises(KeyboardInterrupt):
                train(parts)
        assert not (parts.out / "COMPLETE").exists()
        train(parts, resume=True)
    finally:
        signal.signal(signal.SIGINT, previous)
        torch.set_num_threads(threads)
    first, second = (load_checkpoint(c.out / "checkpoints/last") for c in (whole, parts))
    assert first.weights.keys() == second.weights.keys()
    assert all(np.array_equal(first.weights[name], second.weights[name]) for name in first.weights)


def test_replayed_objects_lose_their_boundaries_unless_told(folder) -> None:
    replay = Replay(data=(DataSource(path=folder / "public"),))
    with_boundaries = replace(replay, exclude_boundaries=None)
    without = add_replay(own(folder), replay).replayed[0, 0]["foreground"]
    assert (
        without.sum() < add_replay(own(folder), with_boundaries).replayed[0, 0]["foreground"].sum()
    )


def test_replay_draws_other_numbers_than_the_training(folder) -> None:
    replay = Replay(data=(DataSource(path=folder / "own"),), exclude_boundaries=None)
    joined = add_replay(own(folder), replay)
    assert not np.array_equal(joined[0, 0, 0]["image"], joined[1, 0, 0]["image"])


def test_replay_goes_through_all_images_and_amplifies_none(folder) -> None:
    main = PatchDataset(
        read_sources([DataSource(path=folder / "own")]),
        FlowTask(),
        sampling=replace(SAMPLING, amplify=20, order="epoch"),
    )
    replay = Replay(data=(DataSource(path=folder / "public"),))
    assert main.draws_per_epoch == 20
    assert add_replay(main, replay).replayed.draws_per_epoch == 4


def test_an_image_that_is_validated_on_is_not_replayed(folder, tmp_path) -> None:
    image = folder / "own" / "images" / "own0.png"
    labels = folder / "own" / "masks" / "own0.png"
    write_manifest(tmp_path / "own.csv", [Record(image=image, labels=labels, split="val")])
    data = (DataSource(path=folder / "public"), DataSource(path=tmp_path / "own.csv"))
    replay = Replay(data=(DataSource(path=folder / "own"),))
    with pytest.raises(InputError, match="own0.png"):
        training_data.open_training_data(TrainConfig(data=data, out=tmp_path, replay=replay))


def test_an_image_that_is_only_tested_on_elsewhere_may_be_trained_on(folder, tmp_path) -> None:
    splits = {"a": ("train", "train"), "b": ("train", "test")}
    for name, (first, second) in splits.items():
        records = [
            Record(
                image=folder / f"own/images/own{k}.png",
                labels=folder / f"own/masks/own{k}.png",
                split=split,
            )
            for k, split in enumerate((first, second))
        ]
        write_manifest(tmp_path / f"{name}.csv", records)
    data, replayed = (DataSource(path=tmp_path / f"{name}.csv") for name in splits)
    config = TrainConfig(data=(data,), out=tmp_path, replay=Replay(data=(replayed,)))
    opened = training_data.open_training_data(config)
    assert [r.image.stem for r in opened.dataset.replayed.records] == ["own0"]


def test_a_replay_without_images_to_train_on_is_refused(folder, tmp_path) -> None:
    image = folder / "own/images/own0.png"
    path = tmp_path / "val.csv"
    write_manifest(path, [Record(image=image, labels=image, split="val")])
    replay = Replay(data=(DataSource(path=path),))
    with pytest.raises(ConfigError, match=r"replay.data: expected images of the split 'train'"):
        add_replay(own(folder), replay)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": ()}, "at least one data set to replay, but got none"),
        ({"samples": 0}, "samples of at least 1, but got 0"),
    ],
)
def test_settings_out_of_range_are_refused(values, message) -> None:
    with pytest.raises(ValueError, match=message):
        Replay(**{"data": (DataSource(path=Path("x")),), **values})


def test_settings_are_written_and_read() -> None:
    replay = Replay(data=(DataSource(path=Path("x")),), exclude_boundaries=None)
    assert from_mapping(Replay, to_mapping(replay), where="test") == replay
    read = from_mapping(Replay, {"data": [{"path": "x"}]}, where="test")
    assert read.exclude_boundaries == BoundaryExclusion()
