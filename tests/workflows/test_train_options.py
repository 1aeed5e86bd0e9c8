"""What a training can be told: when it ends, what it keeps, and parts that come from Python."""

from __future__ import annotations

import dataclasses
import logging
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from tests.training.test_ranks import write_project
from torch import Tensor, nn

import pancyte
from pancyte.augment.cell_aware import BoundaryExclusion, CellAware
from pancyte.config import to_mapping, to_toml
from pancyte.data.datasets import Sampling
from pancyte.data.records import DataSource, Record, write_manifest
from pancyte.errors import ConfigError, InputError, UsageError
from pancyte.io.checkpoint import load_checkpoint
from pancyte.io.tables import read_csv, read_json
from pancyte.nn.architectures import EncoderDecoder
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks.flow import FlowTask
from pancyte.training.optim import Optimization
from pancyte.workflows import epochs, training_data
from pancyte.workflows import train as training
from pancyte.workflows.dry_run import show_first_batch
from pancyte.workflows.program import read_program
from pancyte.workflows.replay import Replay
from pancyte.workflows.train import train
from pancyte.workflows.train_config import TrainConfig, read_train_config
from pancyte.workflows.validation import Validation


class Plain(nn.Module):
    """A network of two classes and a few hundred weights."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(8, 6, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        out = self.head(self.body(images))
        return {"foreground": out[:, :2], "flow": out[:, 2:]}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave out the picture of the curves, and give back the threads."""
    monkeypatch.setattr(epochs, "draw_curves", lambda *_: None)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images of bright squares with a brighter core, one to validate and one to test on."""
    folder = tmp_path_factory.mktemp("cores")
    generator = np.random.default_rng(0)
    records = []
    for number, split in enumerate(["train"] * 4 + ["val", "test"]):
        labels = np.zeros((2, 48, 48), np.uint16)
        for label, (row, column) in enumerate([(3, 5), (20, 8), (30, 30), (6, 30)], 1):
            labels[0, row : row + 12, column : column + 12] = label
            labels[1, row + 4 : row + 8, column + 4 : column + 8] = label
        pixels = 40 * (labels > 0).sum(0) + generator.integers(0, 9, labels.shape[1:])
        image, path = folder / f"{number}.tif", folder / f"{number}_labels.tif"
        tifffile.imwrite(image, pixels.astype(np.uint8))
        tifffile.imwrite(path, labels, photometric="minisblack", metadata={"axes": "CYX"})
        modality = "rare" if number == 0 else "common"
        records.append(Record(image=image, labels=path, split=split, modality=modality))
    write_manifest(folder / "manifest.csv", records)
    return folder / "manifest.csv"


@pytest.fixture
def config(manifest: Path, tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        data=(DataSource(path=manifest),),
        out=tmp_path / "run",
        task=FlowTask(
            classes=("cell", "core"), preprocessing=Preprocessing(channels=1, diameter=None)
        ),
        epochs=2,
        epoch_steps=2,
        batch=2,
        sampling=Sampling(patch=32),
        optimization=Optimization(learning_rate=3e-3, warmup_steps=2, average_decay=0.9),
        validation=Validation(every=0),
        precision="float32",
        threads=1,
        workers=0,
    )


def weights(folder: Path, name: str = "last") -> dict[str, np.ndarray]:
    return dict(load_checkpoint(folder / "checkpoints" / name).weights)


def assert_same_bits(left: Path, right: Path, name: str = "last") -> None:
    first, second = weights(left, name), weights(right, name)
    for key in first.keys() | second.keys():
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)


def metrics(folder: Path) -> dict[str, list[str]]:
    return {k: v for k, v in read_csv(folder / "metrics.csv").items() if k != "seconds"}


def scripted_scores(monkeypatch: pytest.MonkeyPatch, *scores: float) -> None:
    values = iter(scores)
    monkeypatch.setattr(epochs, "score_images", lambda *_, **__: [])
    monkeypatch.setattr(epochs, "mean_scores", lambda _: {"f1": next(values), "ap": 0.1})


def test_epochs_and_one_pass_set_the_length(config: TrainConfig) -> None:
    # Four images to train on, in batches of three: two steps an epoch.
    settings = dataclasses.replace(config, epochs=3, epoch_steps=None, batch=3)
    assert metrics(train(settings, network=Plain))["step"] == ["2", "4", "6"]


def test_training_stops_early_and_keeps_the_best(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted_scores(monkeypatch, 0.2, 0.5, 0.4, 0.5, 0.9)
    settings = dataclasses.replace(
        config, epochs=9, epoch_steps=1, validation=Validation(every=1, patience=2)
    )
    folder = train(settings, network=Plain)
    assert metrics(folder)["step"] == ["1", "2", "3", "4"]
    assert "2 validations without a better f1" in (folder / "log.txt").read_text()
    assert (folder / "COMPLETE").read_text() == "step 4\n"
    manifest = load_checkpoint(folder / "checkpoints" / "best").manifest
    assert manifest["provenance"]["step"] == 2


def stop_at(monkeypatch: pytest.MonkeyPatch, config: TrainConfig, epoch: int) -> None:
    """Train until the process is lost after the report of an epoch was saved."""
    original = epochs._end_epoch

    def end(run: epochs.Run, report: object) -> None:
        original(run, report)
        if report.epoch == epoch:
            raise SystemExit("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(epochs, "_end_epoch", end)
        with pytest.raises(SystemExit):
            train(config, network=Plain)


@pytest.mark.parametrize("lost_at", [1, 2, 3])
def test_what_early_stopping_counts_survives_a_power_cut(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, lost_at: int
) -> None:
    scripted_scores(monkeypatch, 0.5, 0.4, 0.3, 0.9)
    settings = dataclasses.replace(
        config, epochs=9, epoch_steps=1, validation=Validation(every=1, patience=2)
    )
    stop_at(monkeypatch, settings, lost_at)
    folder = train(settings, resume=True, network=Plain)
    assert metrics(folder)["step"] == ["1", "2", "3"]


def everything(config: TrainConfig, manifest: Path) -> TrainConfig:
    """Return settings with all that must survive: schedule, average, replay, amplified order."""
    return dataclasses.replace(
        config,
        epochs=4,
        sampling=Sampling(patch=32, order="epoch", amplify=5),
        optimization=Optimization(
            optimizer="sgd", momentum=0.9, nesterov=True, learning_rate=0.01, period=3,
            accumulate=2, average_decay=0.9,
        ),
        replay=Replay(data=(DataSource(path=manifest),), samples=1),
        cell_aware=CellAware(),
        exclude_boundaries=BoundaryExclusion(min_size=4),
        validation=Validation(every=1, patience=9),
    )  # fmt: skip


def test_two_and_two_epochs_are_four_bit_for_bit(
    config: TrainConfig, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = everything(config, manifest)
    stop_at(monkeypatch, settings, 2)
    torch.rand(7)
    folder = train(settings, resume=True, network=Plain)
    whole = train(dataclasses.replace(settings, out=tmp_path / "whole"), network=Plain)
    for name in ("last", "best"):
        assert_same_bits(folder, whole, name)
    assert metrics(folder) == metrics(whole)
    assert len(metrics(whole)["step"]) == 4


def test_a_fixed_seed_gives_the_same_weights(config: TrainConfig, tmp_path: Path) -> None:
    first = train(config, network=Plain)
    torch.manual_seed(99)
    second = train(dataclasses.replace(config, out=tmp_path / "second"), network=Plain)
    assert_same_bits(first, second)


def test_checkpoints_are_kept_and_resumed_from_by_name(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(config, epochs=4, save_every=2)
    folder = train(settings, network=Plain)
    kept = {path.name for path in (folder / "checkpoints").iterdir()}
    assert kept == {"last", "best", "epoch_2", "epoch_4"}
    before = metrics(folder), weights(folder)
    again = train(settings, resume="epoch_2", network=Plain)
    assert "Resuming" in (again / "log.txt").read_text()
    assert metrics(again) == before[0]
    for name, value in weights(again).items():
        np.testing.assert_array_equal(value, before[1][name])
    with pytest.raises(UsageError, match=r"no checkpoint 'epoch_3' to resume from, only epoch_2"):
        train(settings, resume="epoch_3", network=Plain)
    empty = dataclasses.replace(settings, out=tmp_path / "empty")
    with pytest.raises(UsageError, match="no checkpoint 'epoch_1' to resume from, only none"):
        train(empty, resume="epoch_1", network=Plain)
    assert not empty.out.exists()


def test_each_class_is_validated_and_the_best_chosen_by_one(config: TrainConfig) -> None:
    settings = dataclasses.replace(
        config, validation=Validation(every=1, metric="f1/core"), task=config.task
    )
    folder = train(settings, network=Plain)
    assert {"val/f1", "val/f1/cell", "val/f1/core", "val/ap/core"} <= metrics(folder).keys()
    best = load_checkpoint(folder / "checkpoints" / "best").manifest["provenance"]["validation"]
    scores = [float(cell) for cell in metrics(folder)["val/f1/core"]]
    assert best["f1/core"] == pytest.approx(max(scores), abs=1e-4)
    wrong = dataclasses.replace(config, validation=Validation(every=1, metric="f1/kore"))
    with pytest.raises(ConfigError, match=r"one of f1, ap, .* got 'f1/kore'.*mean 'f1/core'\?"):
        train(dataclasses.replace(wrong, out=config.out.with_name("b")), network=Plain)


def test_the_best_model_is_tested_when_there_is_a_test_split(config: TrainConfig) -> None:
    folder = train(config, network=Plain)
    assert {path.name for path in (folder / "test").iterdir()} == {
        "manifest.csv", "scores.csv", "summary.csv", "scores.json",
    }  # fmt: skip
    scores = read_json(folder / "test" / "scores.json")
    assert scores["num_images"] == 1
    assert scores["per_class"].keys() == {"cell", "core"}
    assert metrics(folder)["test/f1"][0] == ""  # not before the end
    names = [name for name in metrics(folder) if name.startswith("test/")]
    assert "test/f1/core" in names
    assert all(metrics(folder)[name][1] for name in names)
    quiet = dataclasses.replace(config, test=None, out=config.out.with_name("untested"))
    assert not (train(quiet, network=Plain) / "test").exists()
    wrong = dataclasses.replace(config, test="tset", out=config.out.with_name("wrong"))
    with pytest.raises(ConfigError, match="test: expected a split of the data, but got 'tset'"):
        train(wrong, network=Plain)


def test_images_to_test_on_are_opened_before_the_training(
    config: TrainConfig, manifest: Path
) -> None:
    other = manifest.with_name("broken.csv")
    (manifest.parent / "broken.tif").write_bytes(b"II*")
    other.write_text(re.sub(r"(?m)^5\.tif", "broken.tif", manifest.read_text()))
    with pytest.raises(InputError, match=r"broken\.tif"):
        train(dataclasses.replace(config, data=(DataSource(path=other),)), network=Plain)
    pixels = np.zeros((48, 48, 3), np.uint8)
    tifffile.imwrite(manifest.parent / "broken.tif", pixels, photometric="rgb")
    with pytest.raises(InputError, match=r"at most 1 channels to test on, but got 3"):
        train(dataclasses.replace(config, data=(DataSource(path=other),)), network=Plain)
    assert not config.out.exists()


def test_a_test_that_fails_leaves_a_complete_run(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise InputError("nothing to score.")

    monkeypatch.setattr(epochs, "score_best", fail)
    folder = train(config, network=Plain)
    assert (folder / "COMPLETE").exists()
    log = (folder / "log.txt").read_text()
    assert "The test of the best model failed: nothing to score. The training is complete" in log
    assert f"pancyte evaluate {folder / 'checkpoints' / 'best'} {folder / 'test'}" in log


@pytest.mark.parametrize("every", [1, 2])
def test_resuming_from_a_checkpoint_forgets_what_came_after_it(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    settings = dataclasses.replace(
        config, epochs=4, epoch_steps=1, save_every=2, validation=Validation(every=every)
    )
    scores = (0.3, 0.2, 0.9, 0.1) if every == 1 else (0.3, 0.9)
    scripted_scores(monkeypatch, *scores)
    folder = train(settings, network=Plain)
    before = weights(folder, "epoch_2/best")
    with monkeypatch.context() as patch:
        patch.setattr(training, "run_epochs", lambda _: sys.exit("the power is gone"))
        with pytest.raises(SystemExit):
            train(settings, resume="epoch_2", network=Plain)
    # As if the run had been killed after its second epoch.
    names = {path.name for path in (folder / "checkpoints").iterdir()}
    assert names == {"last", "best", "epoch_2"}
    for name, value in weights(folder, "best").items():
        np.testing.assert_array_equal(value, before[name])
    for name, value in weights(folder, "epoch_2").items():
        np.testing.assert_array_equal(value, weights(folder)[name])
    scripted_scores(monkeypatch, 0.1, 0.2)
    train(settings, resume=True, network=Plain)
    best = load_checkpoint(folder / "checkpoints" / "best").manifest["provenance"]
    assert best["step"] == (1 if every == 1 else 2)
    assert best["validation"]["f1"] == 0.3


def test_configs_train_one_after_the_other(config: TrainConfig, tmp_path: Path) -> None:
    several = [dataclasses.replace(config, seed=n, out=tmp_path / f"run{n}") for n in range(3)]
    folders = [pancyte.train(one, network=Plain) for one in several]
    assert all((folder / "COMPLETE").exists() for folder in folders)
    alone = train(dataclasses.replace(several[2], out=tmp_path / "alone"), network=Plain)
    assert_same_bits(folders[2], alone)


def test_own_network_losses_and_metrics(config: TrainConfig, tmp_path: Path) -> None:
    seen = []

    def losses(
        network: nn.Module, images: Tensor, targets: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        logits = network(images)["foreground"]
        seen.append(images.shape)
        loss = nn.functional.binary_cross_entropy_with_logits
        return {"mine": loss(logits, targets["foreground"])}

    def count(truth: np.ndarray, prediction: np.ndarray) -> float:
        assert truth.shape == prediction.shape == (2, 48, 48)
        return float(truth.max())

    network = Plain()
    settings = dataclasses.replace(config, validation=Validation(every=1, metric="count"))
    folder = pancyte.train(settings, network=network, losses=losses, metrics={"count": count})
    table = metrics(folder)
    assert {"loss/mine", "val/count"} <= table.keys()
    assert "loss/bce" not in table
    assert table["val/count"] == ["4", "4"]
    assert seen[0] == (2, 1, 32, 32)
    best = folder / "checkpoints" / "best"
    with pytest.raises(UsageError, match=r"a network of its own, .*Plain.*network=\.\.\."):
        pancyte.load(best)
    model = pancyte.load(best, network=Plain, precision="float32")
    assert model.segment(np.zeros((40, 40))).labels.shape == (2, 40, 40)
    with pytest.raises(UsageError, match="expected a torch network or a function that makes one"):
        pancyte.load(best, network=lambda: "no network")
    other = dataclasses.replace(config, out=tmp_path / "other")
    with pytest.raises(UsageError, match="expected a function that returns scalar tensors by name"):
        train(other, network=Plain, losses=lambda *_: {})


def test_a_checkpoint_says_what_it_is(config: TrainConfig) -> None:
    best = train(config, network=Plain) / "checkpoints" / "best"
    manifest = load_checkpoint(best).manifest
    assert manifest["classes"] == ["cell", "core"]
    assert manifest["task"]["kind"] == "flow"
    assert manifest["provenance"]["training"]["epochs"] == 2
    assert manifest["provenance"]["pancyte"] == pancyte.__version__


def test_progress_is_reported_before_each_step(config: TrainConfig) -> None:
    seen: list[tuple[int, int]] = []
    train(config, network=Plain, report=lambda done, total: seen.append((done, total)))
    assert seen[:4] == [(0, 4), (1, 4), (2, 4), (3, 4)]


def test_a_python_program_is_a_config_and_it_is_said_that_it_runs(
    config: TrainConfig, manifest: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = tmp_path / "mine.py"
    program.write_text(
        "from pathlib import Path\n"
        "from pancyte.data.records import DataSource\n"
        "from pancyte import TrainConfig\n"
        f"data = (DataSource(path=Path({str(manifest)!r})),)\n"
        "config = TrainConfig(data=data, out=Path('there'), steps=7)\n"
        "def metrics_of(): return 1\n"
        "metrics = {'one': lambda truth, prediction: 1.0}\n"
    )
    with caplog.at_level(logging.INFO, "pancyte"):
        read = read_program(program, ["seed=3"])
    assert f"Running {program}, which is a Python program" in caplog.text
    assert (read.config.steps, read.config.seed) == (7, 3)
    assert read.config.out == tmp_path.resolve() / "there"
    assert read.parts.keys() == {"metrics"}
    program.write_text("config = 3\n")
    with pytest.raises(ConfigError, match=r"define config = TrainConfig\(\.\.\.\), but got int"):
        read_program(program)
    with pytest.raises(ConfigError, match="no such Python file"):
        read_program(tmp_path / "none.py")
    path = tmp_path / "plain.toml"
    path.write_text(to_toml(to_mapping(config)))
    assert read_program(path).config == read_train_config(path)


def test_a_dry_run_shows_the_first_batch_and_touches_nothing_else(config: TrainConfig) -> None:
    text = show_first_batch(config)
    assert [path.name for path in config.out.parent.iterdir()] == ["run_first_batch.png"]
    assert "4 to train on, 0 to validate on, 1 to test on" in text
    assert "4 steps of 2 patches, 2 epochs" in text
    assert "image: (2, 1, 32, 32) float32" in text
    assert "flow: (2, 4, 32, 32) float32, -1 to 1" in text
    assert "class cell: " in text
    assert "class core: " in text
    picture = pancyte.read_image(config.out.parent / "run_first_batch.png").image
    # Two rows of an image and two classes.
    assert picture.pixels.shape[-1] > 1.3 * picture.pixels.shape[-2]
    training_data.open_training_data(config)


def test_a_dry_run_finds_an_encoder_that_is_not_there(config: TrainConfig) -> None:
    task = dataclasses.replace(config.task, architecture=EncoderDecoder(encoder="resnet43"))
    with pytest.raises(ConfigError, match="There is no encoder 'resnet43'. Did you mean"):
        show_first_batch(dataclasses.replace(config, task=task))


def test_paths_are_looked_at_when_a_training_runs_not_when_its_settings_load(
    tmp_path: Path,
) -> None:
    path = tmp_path / "other_machine.toml"
    path.write_text('out = "run"\n[[data]]\npath = "/nowhere/images"\n')
    config = read_train_config(path)
    with pytest.raises(pancyte.InputError, match="/nowhere/images"):
        train(config)
    assert not config.out.exists()


KILLED = """
import os
_flush, _flushed = os.fsync, []
def fsync(descriptor):
    _flushed.append(descriptor)
    if len(_flushed) == int(os.environ["KILL_AT"]):
        os.kill(os.getpid(), 9)
    _flush(descriptor)
os.fsync = fsync
"""


COPIES = """
import os, sys
# What each training would import anew: most of the time that it takes.
import matplotlib.figure, torch.utils.data
import pancyte.viz.curves, pancyte.workflows.train
from pancyte.cli.exits import run
for line in sys.stdin:
    kill_at, *words = line.split()
    child = os.fork()
    if child == 0:
        os.environ["KILL_AT"] = kill_at
        os.dup2(2, 1)
        os._exit(run(words))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_9_while_saving_leaves_a_run_that_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    program = write_project(tmp_path)
    program.write_text(KILLED + program.read_text().replace("steps=10", "steps=4"))
    copies = subprocess.Popen(
        [sys.executable, "-c", COPIES],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def run(kill_at: int, out: str) -> int:
        copies.stdin.write(f"{kill_at} train {program.name} --set out={out} --resume\n")
        copies.stdin.flush()
        return int(copies.stdout.readline())

    with copies:
        # Each file is flushed, and then its folder. Two files are written before the first step; an
        # epoch writes its table, its model (two files), its state and its curve. These fall on:
        # the folder of a first model, the table of an epoch, a state, the best model, and, as this
        # run has nothing left to train, on what is written when the last epoch is resumed.
        for kill_at in (9, 14, 19, 23, 8):
            assert run(kill_at, "killed") == -signal.SIGKILL
            last = tmp_path / "killed" / "checkpoints" / "last"
            if last.exists() and any(last.glob("*.safetensors")):
                pancyte.load(last, network=one_class)
        assert run(0, "killed") == 0
        assert run(0, "whole") == 0
    for name in ("last", "best"):
        assert_same_bits(tmp_path / "killed", tmp_path / "whole", name)
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")


def one_class() -> nn.Module:
    network = nn.Module()
    network.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))
    return network
