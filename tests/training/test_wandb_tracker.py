from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from pancyte.errors import UsageError
from pancyte.training.wandb_tracker import Wandb, WandbTracker


def test_wandb_that_is_not_installed_is_one_sentence(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match=r"Weights & Biases is not here.*'pancyte\[wandb\]'"):
        WandbTracker(Wandb(), tmp_path, config={})


def test_wandb_needs_a_project() -> None:
    with pytest.raises(ValueError, match="Expected project to be a name"):
        Wandb(project="")


class Recorder:
    """Stands in for the package: what it was told, and nothing sent anywhere."""

    class errors:  # noqa: N801 - the name in the package
        class Error(Exception):
            pass

    def __init__(self) -> None:
        self.init_options: dict = {}
        self.calls: list[tuple] = []
        self.dir = ""

    def Settings(self, **options: object) -> dict:
        return options

    def init(self, **options: object) -> Recorder:
        self.init_options = options
        self.dir = options["dir"] + "/files"
        if options["entity"] == "stranger":
            raise self.errors.Error("permission denied")
        return self

    def log(self, values: dict, *, step: int) -> None:
        self.calls.append(("log", step, values))

    def save(self, pattern: str, *, base_path: str, policy: str) -> None:
        self.calls.append(("save", pattern, base_path, policy))

    def finish(self) -> None:
        self.calls.append(("finish",))


def test_every_field_arrives_and_weights_are_uploaded(tmp_path: Path, monkeypatch) -> None:
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", recorder)
    settings = Wandb(
        project="p", group="g", entity="e", name="n", id="i", tags=("a", "b"), notes="text",
        save_code=False, mode="online",
    )  # fmt: skip
    tracker = WandbTracker(settings, tmp_path, config={"batch": 3})
    expected = {
        "project": "p", "group": "g", "entity": "e", "name": "n", "id": "i", "tags": ("a", "b"),
        "notes": "text", "save_code": False, "mode": "online", "config": {"batch": 3},
        "dir": str(tmp_path), "resume": "allow",
    }  # fmt: skip
    assert expected.items() <= recorder.init_options.items()
    tracker.log(10, {"loss/total": 1.0})
    tracker.log(10, {"val/f1/cell": 0.5})
    best = tmp_path / "checkpoints" / "best"
    best.mkdir(parents=True)
    (best / "model.toml").write_text("name = 'a'")
    tracker.keep(best)
    tracker.close()
    assert recorder.calls == [
        ("log", 10, {"loss/total": 1.0}),
        ("log", 10, {"val/f1/cell": 0.5}),
        ("save", str(tmp_path / "files/best/*"), str(tmp_path / "files"), "now"),
        ("finish",),
    ]
    assert (tmp_path / "files" / "best" / "model.toml").exists()
    quiet = WandbTracker(Wandb(upload_weights=False), tmp_path, config={})
    recorder.calls.clear()
    quiet.keep(tmp_path)
    assert recorder.calls == []


def test_a_refusal_is_one_sentence(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", Recorder())
    with pytest.raises(UsageError, match=r"refuses the run \(permission denied\)\. Log in"):
        WandbTracker(Wandb(entity="stranger"), tmp_path, config={})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_offline_needs_no_account_and_no_network(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("wandb")
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    best = tmp_path / "checkpoints" / "best"
    best.mkdir(parents=True)
    (best / "weights.safetensors").write_bytes(b"1234")
    settings = Wandb(project="cells", name="first", tags=("a",), save_code=False)
    tracker = WandbTracker(settings, tmp_path, config={"batch": 3})
    tracker.log(10, {"loss/total": 1.0})
    tracker.log(20, {"loss/total": 0.5, "val/f1/cell": 0.5})
    tracker.log(20, {"test/f1": 0.25})
    tracker.keep(best)
    tracker.close()
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    (record,) = run.glob("*.wandb")
    expected = (b"loss/total", b"val/f1/cell", b"test/f1", b"cells")
    # A process of its own writes it, and may be late on a busy machine.
    for _ in range(100):
        content = record.read_bytes()
        if all(name in content for name in expected):
            break
        time.sleep(0.1)
    assert all(name in content for name in expected)
    assert (run / "files" / "best" / "weights.safetensors").read_bytes() == b"1234"
