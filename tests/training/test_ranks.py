from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from pancyte.cli.exits import run
from pancyte.errors import PancyteError, UsageError
from pancyte.io.tables import read_csv
from pancyte.training import ranks as ranks_module
from pancyte.training.ranks import Ranks, join_ranks

PROGRAM = '''
"""A network without batch normalization, which sees each image on its own."""
import json, os
from pathlib import Path

import torch
from torch import nn

import pancyte
from pancyte.data.datasets import Sampling
from pancyte.data.records import DataSource
from pancyte.ops.preprocess import Preprocessing
from pancyte.training.optim import Optimization
from pancyte.workflows.validation import Validation

torch.manual_seed(0)


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))
        self.steps = 0

    def forward(self, images):
        if self.training:
            self.steps += 1
            self.misbehave(json.loads(os.environ.get("TEST_EVENTS", "{}")))
        out = self.body(images)
        return {"foreground": out[:, :1], "flow": out[:, 1:]}

    def misbehave(self, events):
        if self.steps == events.get("fail") and os.environ["RANK"] == "1":
            raise pancyte.InputError("rank 1 has a bad image")
        if self.steps == events.get("interrupt") and os.environ["RANK"] == "1":
            os.kill(os.getpid(), 2)


network = Plain
config = pancyte.TrainConfig(
    data=(DataSource(path=Path("images")),),
    out=Path("run"),
    task=pancyte.FlowTask(preprocessing=Preprocessing(channels=1, diameter=None)),
    steps=10,
    epoch_steps=1,
    batch=4,
    sampling=Sampling(patch=32),
    optimization=Optimization(learning_rate=0.01, warmup_steps=0),
    validation=Validation(every=5),
    device="cpu",
    precision="float32",
    threads=1,
    workers=0,
)
'''


def write_project(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    (folder / "images" / "images").mkdir(parents=True)
    (folder / "images" / "masks").mkdir()
    for number in range(3):
        labels = np.zeros((40, 40), np.uint16)
        labels[4:14, 6:16], labels[22:34, 18:30] = 1, 2
        pixels = 90 * (labels > 0) + generator.integers(0, 60, labels.shape)
        tifffile.imwrite(folder / "images" / "images" / f"{number}.tif", pixels.astype(np.uint8))
        tifffile.imwrite(folder / "images" / "masks" / f"{number}.tif", labels)
    (folder / "train.py").write_text(PROGRAM)
    return folder / "train.py"


def torchrun(
    program: Path, *options: str, processes: int = 2, **events: int
) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [
            *launcher, f"--nproc-per-node={processes}", "-m", "pancyte", "train", str(program),
            *options,
        ],
        env={**os.environ, "TEST_EVENTS": json.dumps(events), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )  # fmt: skip


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of two processes from its beginning to its end."""
    program = write_project(tmp_path_factory.mktemp("two"))
    done = torchrun(program)
    assert done.returncode == 0, done.stderr
    return program.parent / "run"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_train_as_one_does(two: Path, tmp_path: Path) -> None:
    """Ten losses of a global batch of four agree to 1e-4, whichever loss it is."""
    threads = torch.get_num_threads()
    try:
        assert run(["train", str(write_project(tmp_path))]) == 0
    finally:
        torch.set_num_threads(threads)
    tables = [read_csv(folder / "metrics.csv") for folder in (tmp_path / "run", two)]
    assert len(tables[0]["step"]) == 10
    for term in ("loss/bce", "loss/dice", "loss/flow", "loss/total"):
        first, second = (np.array(table[term], float) for table in tables)
        np.testing.assert_allclose(second, first, rtol=1e-4)
        assert len(set(first)) > 5
    log = (two / "log.txt").read_text()
    assert log.count("step 10 of 10") == 1  # one process writes
    assert "2 processes" in log
    assert (two / "COMPLETE").exists()
    assert json.loads((two / "environment.json").read_text())["processes"] == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_error_in_one_process_ends_all(tmp_path: Path) -> None:
    program = write_project(tmp_path)
    done = torchrun(program, fail=3)
    assert done.returncode != 0
    assert "Error: rank 1 has a bad image" in done.stderr
    assert "Another process of this training has ended" in done.stderr
    assert not (tmp_path / "run" / "COMPLETE").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_interrupt_of_one_process_saves_and_ends_all_and_the_run_goes_on(
    two: Path, tmp_path: Path
) -> None:
    program = write_project(tmp_path)
    done = torchrun(program, interrupt=4)
    assert done.returncode != 0
    assert "The model is in" not in done.stdout
    assert "Saved after step 4" in (tmp_path / "run" / "log.txt").read_text()
    resumed = torchrun(program, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert read_csv(tmp_path / "run" / "metrics.csv")["step"] == [str(n) for n in range(1, 11)]
    ends = [read_csv(folder / "metrics.csv")["loss/total"] for folder in (tmp_path / "run", two)]
    np.testing.assert_allclose(*(np.array(end, float) for end in ends), rtol=1e-4)


def test_a_process_on_its_own_has_all_of_a_batch_and_agrees_with_itself(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_ranks() as ranks:
        assert ranks == Ranks()
        assert ranks.is_first
        assert ranks.share([1, 2, 3]) == [1, 2, 3]
        assert ranks.any(True)
        assert not ranks.any(False)
        assert ranks.agree((3, False)) == (3, False)
        assert ranks.device("cuda:1") == "cuda:1"


def test_each_process_has_its_share_and_its_device(monkeypatch) -> None:
    shares = [Ranks(rank=rank, size=3).share(list(range(6))) for rank in range(3)]
    assert shares == [[0, 1], [2, 3], [4, 5]]
    second = Ranks(rank=5, size=8, local_rank=1, local_size=4)
    assert not second.is_first
    assert second.device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert second.device("auto") == second.device("cuda") == "cuda:1"
    with pytest.raises(UsageError, match=r"expected cuda, auto or cpu for 8 processes.*'cuda:0'"):
        second.device("cuda:0")


def test_a_lost_process_is_told_in_words() -> None:
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    ended = pytest.raises(PancyteError, match="Another process of this training has ended")
    with ended, ranks_module._explained():
        raise lost
    with pytest.raises(RuntimeError, match="shapes differ"), ranks_module._explained():
        raise RuntimeError("shapes differ")
