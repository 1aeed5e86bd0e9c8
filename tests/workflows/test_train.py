from __future__ import annotations

import dataclasses
import io
import logging
import multiprocessing
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import tifffile
import torch
from PIL import Image

from pancyte.augment.spatial import SpatialAugmentation
from pancyte.config import to_mapping
from pancyte.data.datasets import PatchDataset, Sampling
from pancyte.data.records import DataSource, Record, write_manifest
from pancyte.errors import CheckpointError, ConfigError, InputError, UsageError
from pancyte.io.checkpoint import load_checkpoint
from pancyte.io.tables import read_csv, read_json
from pancyte.nn.architectures import Compact
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks.flow import FlowTask
from pancyte.training.optim import Optimization
from pancyte.training.wandb_tracker import Wandb
from pancyte.viz.curves import draw_curves
from pancyte.workflows import epochs, models, run_folder, train_config, training_data
from pancyte.workflows import initialize as initialization
from pancyte.workflows import train as training
from pancyte.workflows.initialize import initialize
from pancyte.workflows.interruption import Interrupted
from pancyte.workflows.train import train
from pancyte.workflows.train_config import TrainConfig, read_train_config
from pancyte.workflows.validation import Validation

TASK = FlowTask(
    classes=("cell",),
    architecture=Compact(decoder_channels=(8, 8, 8, 8, 8), sizes=True),
    preprocessing=Preprocessing(channels=1, diameter=10.0),
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images of bright squares, one of them for validation."""
    folder = tmp_path_factory.mktemp("squares")
    generator = np.random.default_rng(0)
    records = []
    for number in range(5):
        labels = np.zeros((48, 48), np.uint16)
        for label, (row, column) in enumerate([(3, 5), (20, 8), (30, 30), (6, 30)], 1):
            size = generator.integers(8, 12)
            labels[row : row + size, column : column + size] = label
        pixels = 40 * (labels > 0) + generator.integers(0, 9, labels.shape)
        tifffile.imwrite(folder / f"{number}.tif", pixels.astype(np.uint8))
        tifffile.imwrite(folder / f"{number}_labels.tif", labels)
        split = "val" if number == 4 else "train"
        records.append(
            Record(
                image=folder / f"{number}.tif",
                labels=folder / f"{number}_labels.tif",
                split=split,
                modality="squares",
                source="drawn",
            )
        )
    write_manifest(folder / "manifest.csv", records)
    return folder / "manifest.csv"


def small_config(manifest: Path, out: Path) -> TrainConfig:
    return TrainConfig(
        data=(DataSource(path=manifest),),
        out=out,
        task=TASK,
        steps=4,
        epoch_steps=2,
        batch=2,
        sampling=Sampling(patch=32),
        spatial=SpatialAugmentation(wide_probability=0.5),
        optimization=Optimization(learning_rate=3e-3, warmup_steps=2, average_decay=0.9),
        validation=Validation(every=2, images=1),
        precision="float32",
        threads=1,
        workers=0,
    )


@pytest.fixture
def config(manifest: Path, tmp_path: Path) -> TrainConfig:
    return small_config(manifest, tmp_path / "run")


@pytest.fixture(scope="module")
def whole_run(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return train(dataclasses.replace(small_config(manifest, out), steps=6))


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the picture, which takes longer than the training of these tests."""
    monkeypatch.setattr(epochs, "draw_curves", lambda *_: None)


def weights(folder: Path) -> dict[str, np.ndarray]:
    return dict(load_checkpoint(folder).weights)


def assert_same_bits(left: Path, right: Path) -> None:
    first, second = weights(left), weights(right)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def metrics(folder: Path) -> dict[str, list[str]]:
    return {k: v for k, v in read_csv(folder / "metrics.csv").items() if k != "seconds"}


def interrupt_after(
    monkeypatch: pytest.MonkeyPatch, patches: int, number: int = signal.SIGINT
) -> None:
    """Send a signal to this process while the patch of that number is made."""
    original = training_data.augment_intensity
    made = []

    def augment(*args: object) -> np.ndarray:
        made.append(1)
        if len(made) == patches:
            signal.raise_signal(number)
        return original(*args)

    monkeypatch.setattr(training_data, "augment_intensity", augment)


def test_train_writes_a_run_folder_with_a_model_that_works(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "draw_curves", draw_curves)
    folder = train(config)
    assert folder == config.out
    assert {path.name for path in folder.iterdir()} == {
        "config.toml", "environment.json", "metrics.csv", "curve.png", "log.txt", "checkpoints",
        "COMPLETE",
    }  # fmt: skip
    table = metrics(folder)
    assert table["step"] == ["2", "4"]
    assert [bool(cell) for cell in table["val/f1"]] == [False, True]
    assert {
        "loss/total",
        "loss/bce",
        "val/ap",
        "val/f1/modality/squares",
        "learning_rate",
    } <= table.keys()
    assert "step 4 of 4" in (folder / "log.txt").read_text()
    assert read_json(folder / "environment.json")["threads"] == 1
    with Image.open(folder / "curve.png") as picture:
        assert len(np.unique(np.asarray(picture))) > 50
    for name in ("last", "best"):
        model = models.load(folder / "checkpoints" / name, precision="float32")
        assert model.classes == ("cell",)
        assert model.segment(np.zeros((40, 50)), diameter=10).labels.shape == (1, 40, 50)
    provenance = load_checkpoint(folder / "checkpoints" / "last").manifest["provenance"]
    assert provenance["sources"] == ["drawn"]
    assert provenance["images"] == 4
    low, middle, high = provenance["diameters"]
    assert 3 < low < middle < high < 30
    assert read_train_config(folder / "config.toml") == config


def test_the_same_seed_gives_the_same_weights_with_and_without_a_worker(
    config: TrainConfig, tmp_path: Path
) -> None:
    short = dataclasses.replace(config, steps=2, validation=Validation(every=0))
    first = train(short) / "checkpoints" / "last"
    second = train(dataclasses.replace(short, workers=1, out=tmp_path / "second"))
    assert_same_bits(first, second / "checkpoints" / "last")
    other = train(dataclasses.replace(short, seed=1, out=tmp_path / "other"))
    assert not np.array_equal(
        weights(first)["head.weight"], weights(other / "checkpoints" / "last")["head.weight"]
    )


# The signal comes while the first patch of the third or fourth step is made: after the step the
# run stands between two epochs, or within one.
@pytest.mark.parametrize("patches", [2 * 3 + 1, 2 * 2 + 1], ids=["after an epoch", "within one"])
def test_ctrl_c_saves_and_resume_ends_as_if_nothing_had_happened(
    config: TrainConfig, whole_run: Path, monkeypatch: pytest.MonkeyPatch, patches: int
) -> None:
    config = dataclasses.replace(config, steps=6)
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            interrupt_after(patch, patches)
            with pytest.raises(KeyboardInterrupt):
                train(config)
        assert not (config.out / "COMPLETE").exists()
        assert "can be resumed" in (config.out / "log.txt").read_text()
        torch.rand(10)
        train(config, resume=True)
    finally:
        signal.signal(signal.SIGINT, previous)
    for name in ("last", "best"):
        assert_same_bits(config.out / "checkpoints" / name, whole_run / "checkpoints" / name)
    assert metrics(config.out) == metrics(whole_run)


def test_ctrl_c_during_validation_validates_again_on_resume(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    original = epochs.score_images

    def score(*args: object, **options: object) -> Iterator[object]:
        signal.raise_signal(signal.SIGINT)
        yield from original(*args, **options)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(epochs, "score_images", score)
            with pytest.raises(KeyboardInterrupt):
                train(config)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert "val/f1" not in metrics(config.out)
    train(config, resume=True)
    table = metrics(config.out)
    assert table["step"] == ["2", "4"]
    assert table["val/f1"][1]


def test_sigterm_saves_and_is_passed_on(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = []
    previous = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        interrupt_after(monkeypatch, 5, signal.SIGTERM)
        train(config)
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert received == [signal.SIGTERM]
    assert (config.out / "checkpoints" / "last" / "state.pt").exists()
    assert not (config.out / "COMPLETE").exists()


def test_best_is_the_model_of_the_best_score_not_the_last(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.3, 0.8, 0.8])
    monkeypatch.setattr(epochs, "mean_scores", lambda _: {"f1": next(scores), "ap": 0.1})
    every_epoch = Validation(every=1, images=1)
    folder = train(dataclasses.replace(config, steps=3, epoch_steps=1, validation=every_epoch))
    best = load_checkpoint(folder / "checkpoints" / "best").manifest["provenance"]
    last = load_checkpoint(folder / "checkpoints" / "last").manifest["provenance"]
    # Of two equal scores the earlier model is kept.
    assert (best["step"], last["step"]) == (2, 3)
    assert best["validation"] == {"f1": 0.8, "ap": 0.1}
    heads = [weights(folder / "checkpoints" / name)["head.weight"] for name in ("best", "last")]
    assert not np.array_equal(*heads)


def test_without_validation_the_last_model_is_the_best(config: TrainConfig) -> None:
    folder = train(dataclasses.replace(config, steps=3, validation=Validation(every=0)))
    assert_same_bits(folder / "checkpoints" / "best", folder / "checkpoints" / "last")
    assert not any(name.startswith("val/") for name in metrics(folder))


def test_max_hours_does_fewer_steps_and_ends_the_schedule(config: TrainConfig) -> None:
    folder = train(dataclasses.replace(config, steps=100_000, max_hours=2 / 3600))
    table = metrics(folder)
    assert (folder / "COMPLETE").exists()
    assert 2 <= int(table["step"][-1]) < 1000
    assert "fit into max_hours" in (folder / "log.txt").read_text()


def test_tensorboard_events_are_written_on_request(config: TrainConfig) -> None:
    folder = train(
        dataclasses.replace(config, steps=2, tensorboard=True, validation=Validation(every=0))
    )
    (events,) = (folder / "tensorboard").glob("events*")
    assert b"loss/total" in events.read_bytes()


def test_a_folder_with_files_is_not_trained_into(config: TrainConfig) -> None:
    config.out.mkdir()
    (config.out / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"run is not empty \(thesis.txt\).*--resume"):
        train(config)
    with pytest.raises(UsageError, match="not the folder of a run, since it has no config.toml"):
        train(config, resume=True)
    assert [path.name for path in config.out.iterdir()] == ["thesis.txt"]


def test_what_a_killed_run_left_half_written_is_removed(config: TrainConfig) -> None:
    left = [
        config.out / ".pancyte-0.partial",
        config.out / "checkpoints" / "last" / ".pancyte-1.partial",
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(UsageError, match=r"run is not empty \(checkpoints\)"):
        train(config)
    assert not any(path.exists() for path in left)


def test_a_file_in_place_of_the_folder_is_refused(config: TrainConfig) -> None:
    config.out.write_text("")
    with pytest.raises(UsageError, match="expected a folder to write the run to"):
        train(config)


def test_resume_in_an_empty_folder_starts_and_says_so(
    config: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    small = dataclasses.replace(config, steps=2, validation=Validation(every=0))
    with caplog.at_level(logging.INFO, "pancyte"):
        train(small, resume=True)
    assert [r.message for r in caplog.records].count(
        f"{config.out} holds no run to resume; a fresh one starts"
    ) == 1
    assert (config.out / "COMPLETE").exists()
    before = (config.out / "checkpoints" / "last" / "state.pt").stat().st_mtime_ns
    with caplog.at_level(logging.INFO, "pancyte"):
        train(small, resume=True)
    assert "the run is complete" in caplog.messages[-1]
    assert (config.out / "checkpoints" / "last" / "state.pt").stat().st_mtime_ns == before


def test_resume_with_other_settings_names_them(config: TrainConfig) -> None:
    small = dataclasses.replace(config, steps=2, validation=Validation(every=0))
    train(small)
    task = dataclasses.replace(TASK, flow_weight=1.0)
    with pytest.raises(ConfigError, match=r"steps was 2, is 9; task.flow_weight was 2.5, is 1.0\."):
        train(dataclasses.replace(small, steps=9, task=task), resume=True)
    # How many processes prepare the patches changes no weight.
    assert train(dataclasses.replace(small, workers=3), resume=True) == config.out


def cut(state: bytes) -> bytes:
    return state[:1000]


def garbage(_: bytes) -> bytes:
    return b"nothing that torch has written " * 9


def flipped(state: bytes) -> bytes:
    start = state.index(b"data.pkl") + 64
    return (
        state[:start]
        + bytes(255 - byte for byte in state[start : start + 300])
        + state[start + 300 :]
    )


def without_a_key(state: bytes) -> bytes:
    content = torch.load(io.BytesIO(state), weights_only=True)
    del content["training"]["progress"]
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("damage", [cut, garbage, flipped, without_a_key])
def test_a_damaged_state_is_refused(
    config: TrainConfig, whole_run: Path, damage: Callable[[bytes], bytes]
) -> None:
    shutil.copytree(whole_run, config.out)
    (config.out / "COMPLETE").unlink()
    state = config.out / "checkpoints" / "last" / "state.pt"
    state.write_bytes(damage(state.read_bytes()))
    with pytest.raises(CheckpointError, match="state of the run cannot be read"):
        train(dataclasses.replace(config, steps=6), resume=True)
    assert state.exists()


def test_data_without_anything_to_train_on_is_refused(config: TrainConfig, manifest: Path) -> None:
    text = manifest.read_text().replace(",train,", ",test,")
    other = manifest.with_name("other.csv")
    other.write_text(text)
    with pytest.raises(ConfigError, match=r"expected images of the split 'train'.*other\.csv"):
        train(dataclasses.replace(config, data=(DataSource(path=other),)))


def test_float16_needs_cuda(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="precision=float16 needs CUDA, but the device is cpu"):
        train(dataclasses.replace(config, precision="float16", device="cpu"))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"data": ()}, "at least one data set"),
        ({"steps": 0}, "steps of at least 1, but got 0"),
        ({"steps": None, "epochs": 0}, "epochs of at least 1, but got 0"),
        ({"epochs": 3}, "one of steps and epochs, but got steps=4 and epochs=3"),
        ({"save_every": -1}, "save_every of at least 0, but got -1"),
        ({"epoch_steps": 0}, "epoch_steps of at least 1"),
        ({"batch": 0}, "batch of at least 1"),
        ({"workers": -1}, "workers of at least 0, but got -1"),
        ({"max_hours": 0.0}, "max_hours above 0, but got 0.0"),
    ],
)
def test_train_config_refuses_what_cannot_be_meant(
    config: TrainConfig, setting: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config, **setting)


def test_paths_of_a_config_are_relative_to_its_file(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    path = folder / "recipe.toml"
    path.write_text('out = "../runs/a"\ninitialize = "weights"\n[[data]]\npath = "images"\n')
    config = read_train_config(path, ["steps=7", "optimization.learning_rate=1e-4"])
    assert config.out == tmp_path.resolve() / "runs" / "a"
    assert config.initialize == folder.resolve() / "weights"
    assert config.data == (DataSource(path=folder.resolve() / "images"),)
    assert (config.steps, config.optimization.learning_rate) == (7, 1e-4)
    assert to_mapping(config)["validation"]["metric"] == "f1"


def test_the_name_of_a_bundled_model_stays_a_name_in_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_config, "list_models", lambda: {"wide": tmp_path / "package"})
    path = tmp_path / "recipe.toml"
    path.write_text('out = "a"\ninitialize = "wide"\n[[data]]\npath = "images"\n')
    (tmp_path / "wide").mkdir()
    assert read_train_config(path).initialize == Path("wide")
    named = read_train_config(path, ["initialize=narrow"])
    assert named.initialize == tmp_path.resolve() / "narrow"


def test_initialize_takes_the_name_of_a_bundled_model(
    config: TrainConfig, whole_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = whole_run / "checkpoints" / "best"
    monkeypatch.setattr(initialization, "list_models", lambda: {"wide": best})
    short = dataclasses.replace(
        config, initialize=Path("wide"), steps=1, validation=Validation(every=0),
        optimization=Optimization(learning_rate=1e-9, average_decay=None),
    )  # fmt: skip
    folder = train(short)
    after = weights(folder / "checkpoints" / "last")["encoder.conv_stem.weight"]
    np.testing.assert_allclose(after, weights(best)["encoder.conv_stem.weight"], atol=1e-6)


def test_a_resumed_run_needs_its_initial_weights_no_more(
    config: TrainConfig, whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    initial = tmp_path / "initial"
    shutil.copytree(whole_run / "checkpoints" / "best", initial)
    config = dataclasses.replace(config, initialize=initial, validation=Validation(every=0))
    stop_after(config, monkeypatch, patches=5)
    shutil.rmtree(initial)
    assert (train(config, resume=True) / "COMPLETE").exists()


def test_a_run_that_cannot_start_leaves_nothing_behind(config: TrainConfig, tmp_path: Path) -> None:
    broken = dataclasses.replace(config, steps=1, initialize=tmp_path / "nothere")
    with pytest.raises(CheckpointError, match="no such file or folder of weights"):
        train(broken)
    assert not config.out.exists()
    mended = dataclasses.replace(broken, initialize=None, validation=Validation(every=0))
    assert (train(mended) / "COMPLETE").exists()


@pytest.mark.parametrize("failing", ["the images", "the service"])
def test_a_run_whose_trackers_or_images_refuse_leaves_nothing_behind(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        (config.out / "wandb").mkdir()
        (config.out / "wandb" / "debug.log").write_text("no")
        raise UsageError("refused")

    settings = dataclasses.replace(config, steps=1, tensorboard=True, wandb=Wandb())
    with monkeypatch.context() as patch:
        if failing == "the images":
            patch.setattr(PatchDataset, "object_diameters", refuse)
        else:
            patch.setattr(training, "WandbTracker", refuse)
        with pytest.raises(UsageError, match="refused"):
            train(settings)
    assert not config.out.exists()


def test_a_folder_that_was_there_outlives_a_run_that_cannot_start(
    config: TrainConfig, tmp_path: Path
) -> None:
    run_folder.open_run(config.out, config, free=frozenset(), resume=False)
    broken = dataclasses.replace(config, initialize=tmp_path / "nothere")
    # Nothing was trained, so that other settings are no contradiction.
    with pytest.raises(CheckpointError, match="no such file or folder of weights"):
        train(broken, resume=True)
    assert (config.out / "config.toml").exists()
    mended = dataclasses.replace(broken, initialize=None, steps=1, validation=Validation(every=0))
    assert (train(mended, resume=True) / "COMPLETE").exists()


def test_resuming_with_another_budget_plans_the_steps_anew(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = dataclasses.replace(config, steps=6, max_hours=1.0, validation=Validation(every=0))
    with monkeypatch.context() as patch:
        patch.setattr(epochs, "_keep_to_budget", lambda run: setattr(run.state, "steps", 4))
        stop_after(short, monkeypatch, patches=5)
    same = resumed_steps(short, monkeypatch)
    more = resumed_steps(dataclasses.replace(short, max_hours=2.0), monkeypatch)
    all_of_them = resumed_steps(dataclasses.replace(short, max_hours=None), monkeypatch)
    assert (same, more, all_of_them) == (4, 6, 6)


def resumed_steps(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many steps a resumed run sets out to do."""
    seen = []

    def stop(run: epochs.Run) -> None:
        seen.append(run.state.steps)
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(training, "run_epochs", stop)
        patch.setattr(training, "save", lambda _: None)
        train(config, resume=True)
    return seen[0]


def stop_after(config: TrainConfig, monkeypatch: pytest.MonkeyPatch, *, patches: int) -> None:
    """Train until a signal comes while the patch of that number is made."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            interrupt_after(patch, patches)
            with pytest.raises(KeyboardInterrupt):
                train(config)
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_split_that_no_image_has_is_refused_and_a_missing_one_is_said(
    config: TrainConfig, manifest: Path
) -> None:
    wrong = dataclasses.replace(config, validation=Validation(split="vall"))
    with pytest.raises(ConfigError, match=r"a split of the data, but got 'vall'.*'train', 'val'"):
        train(wrong)
    other = manifest.with_name("all_train.csv")
    other.write_text(manifest.read_text().replace(",val,", ",train,"))
    folder = train(dataclasses.replace(config, steps=1, data=(DataSource(path=other),)))
    assert "No image of the split 'val': nothing is validated" in (folder / "log.txt").read_text()


def test_what_has_no_weight_is_neither_named_nor_validated_on(
    config: TrainConfig, manifest: Path
) -> None:
    other = manifest.with_name("other_source.csv")
    other.write_text(manifest.read_text().replace(",drawn", ",foreign"))
    sources = (DataSource(path=manifest), DataSource(path=other, weight=0.0))
    folder = train(
        dataclasses.replace(config, steps=1, data=sources, validation=Validation(every=0))
    )
    provenance = load_checkpoint(folder / "checkpoints" / "best").manifest["provenance"]
    assert provenance["sources"] == ["drawn"]
    assert provenance["images"] == 4


def test_images_to_validate_on_are_opened_before_the_training(
    config: TrainConfig, manifest: Path
) -> None:
    folder = manifest.parent
    tifffile.imwrite(folder / "color.tif", np.zeros((48, 48, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(
        folder / "stack.tif",
        np.zeros((4, 48, 48), np.uint8),
        metadata={"axes": "ZYX"},
        photometric="minisblack",
    )
    (folder / "broken.tif").write_bytes(b"II*")
    for name, message in (
        ("color", r"color\.tif: expected an image of at most 1 channels to validate on, but got 3"),
        ("stack", r"stack\.tif.*2D image"),
        ("broken", r"broken\.tif"),
    ):
        other = manifest.with_name(f"{name}.csv")
        other.write_text(re.sub(r"(?m)^4\.tif", f"{name}.tif", manifest.read_text()))
        with pytest.raises(InputError, match=message):
            train(dataclasses.replace(config, data=(DataSource(path=other),)))
        assert not config.out.exists()


def test_workers_end_when_the_training_fails(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("the disk has gone")

    monkeypatch.setattr(epochs, "save", fail)
    with pytest.raises(RuntimeError, match="the disk has gone") as caught:
        train(dataclasses.replace(config, workers=1, validation=Validation(every=0)))
    # While the error is held, and with it all that its frames name.
    assert caught.value.__traceback__ is not None
    assert multiprocessing.active_children() == []


def test_one_patch_of_one_deep_pixel_is_refused(config: TrainConfig) -> None:
    alone = dataclasses.replace(config, batch=1, validation=Validation(every=0))
    with pytest.raises(ConfigError, match=r"sampling.patch of at least 64, .* got batch=1 and"):
        train(alone)
    assert not config.out.exists()


def test_an_unknown_key_names_the_one_that_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('out = "a"\nstep = 5\n[[data]]\npath = "images"\n')
    with pytest.raises(ConfigError, match=r"unknown key 'step' \(did you mean 'steps'\?\)"):
        read_train_config(path)


def test_initialize_takes_a_model_for_fine_tuning(config: TrainConfig, tmp_path: Path) -> None:
    base = train(dataclasses.replace(config, steps=2, validation=Validation(every=0)))
    two_classes = dataclasses.replace(TASK, classes=("cell", "nucleus"))
    network = two_classes.network()
    before = network.head.weight.detach().clone()
    initialize(network, base / "checkpoints" / "best")
    saved = weights(base / "checkpoints" / "best")
    np.testing.assert_array_equal(
        network.encoder.conv_stem.weight.detach(), saved["encoder.conv_stem.weight"]
    )
    # The head has other classes and keeps its own values.
    assert torch.equal(network.head.weight, before)


def test_initialize_takes_an_encoder_of_another_number_of_channels(tmp_path: Path) -> None:
    color = dataclasses.replace(TASK, preprocessing=Preprocessing(channels=3)).network()
    path = tmp_path / "encoder.safetensors"
    safetensors.torch.save_file(color.encoder.state_dict(), path)
    network = TASK.network()
    initialize(network, path)
    torch.testing.assert_close(
        network.encoder.conv_stem.weight, color.encoder.conv_stem.weight.sum(1, keepdim=True)
    )


def test_initialize_names_weights_that_do_not_fit(tmp_path: Path) -> None:
    network = TASK.network()
    with pytest.raises(CheckpointError, match="no such file or folder of weights"):
        initialize(network, tmp_path / "none.safetensors")
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"blocks.weight": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="conv_stem.weight.*; the file has blocks.weight"):
        initialize(network, path)
    safetensors.torch.save_file({"conv_stem.weight": torch.ones(4, 3, 3, 3)}, path)
    with pytest.raises(
        CheckpointError, match="do not fit the encoder of this network.*conv_stem.weight"
    ):
        initialize(network, path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        initialize(network, path)
