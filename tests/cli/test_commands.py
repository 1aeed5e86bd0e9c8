"""Each command hands its arguments to its workflow; what the workflows do is tested with them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from tests.blobs import spot_model, spots, write_spots

from pancyte.cli.exits import run
from pancyte.data.records import read_manifest
from pancyte.io.tables import read_csv, read_json
from pancyte.nn.architectures import Compact
from pancyte.tasks.flow import FlowTask
from pancyte.workflows import dry_run, models
from pancyte.workflows import predict as predicting
from pancyte.workflows import train as training


def write_pairs(folder: Path, count: int = 4) -> Path:
    """Write images with spots and their labels in images/ and masks/."""
    import cc3d

    for index in range(count):
        write_spots(folder / f"images/{index}.tif", radius=5 + index)
        (folder / "masks").mkdir(exist_ok=True)
        labels = cc3d.connected_components(spots(radius=5 + index) > 0, connectivity=4)
        tifffile.imwrite(folder / f"masks/{index}.tif", labels.astype(np.uint16))
    return folder


def test_evaluate_shows_and_writes_scores(tmp_path: Path, capsys) -> None:
    masks = write_pairs(tmp_path / "data") / "masks"
    arguments = ["evaluate", str(masks), str(masks), "-o", str(tmp_path / "scores")]
    assert run([*arguments, "--set", "thresholds=[0.5]"]) == 0
    out = capsys.readouterr().out
    assert "4 images" in out
    assert out.endswith(f"The scores are in {tmp_path / 'scores'}\n")
    assert read_json(tmp_path / "scores/scores.json")["micro"]["f1"][0] == 1
    assert run(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run([*arguments, "--overwrite", "--protocol", "neurips22"]) == 0
    settings = read_json(tmp_path / "scores/scores.json")["settings"]
    assert settings["protocol"] == "neurips22"


def test_evaluate_scores_a_split(tmp_path: Path, capsys) -> None:
    data = write_pairs(tmp_path / "data")
    assert run(["prepare", str(data), "-o", str(data / "all.csv"), "--val", "0.5"]) == 0
    assert run(["evaluate", str(data / "masks"), str(data / "all.csv"), "--split", "val"]) == 0
    assert "2 images" in capsys.readouterr().out


def test_evaluate_names_a_wrong_protocol(tmp_path: Path, capsys) -> None:
    assert run(["evaluate", str(tmp_path), str(tmp_path), "--protocol", "neurips"]) == 2
    assert "protocol" in capsys.readouterr().err


def test_evaluate_names_a_missing_prediction(tmp_path: Path, capsys) -> None:
    data = write_pairs(tmp_path / "data")
    assert run(["evaluate", str(tmp_path / "nowhere"), str(data / "masks")]) == 2
    assert "nowhere: no such file or folder of predictions" in capsys.readouterr().err


def test_prepare_writes_a_manifest(tmp_path: Path, capsys) -> None:
    data = write_pairs(tmp_path / "data")
    manifest = tmp_path / "all.csv"
    options = ["--val", "0.25", "--test", "0.25", "--modality", "spots", "--group", r"\d"]
    assert run(["prepare", str(data), "-o", str(manifest), *options]) == 0
    out, err = capsys.readouterr()
    assert "4 images: 2 train, 1 val, 1 test" in out
    assert "[4/4]" in err
    records = read_manifest(manifest)
    assert {record.modality for record in records} == {"spots"}
    assert {record.group for record in records} == set("0123")
    before = read_csv(manifest)
    assert run(["prepare", str(data), "-o", str(manifest)]) == 2
    assert run(["prepare", str(data), "-o", str(manifest), "--overwrite", "--set", "seed=1"]) == 0
    assert read_csv(manifest) != before


def test_train_hands_over_the_configuration(tmp_path: Path, monkeypatch, capsys) -> None:
    config = tmp_path / "own.toml"
    config.write_text('out = "run"\n[[data]]\npath = "images"\n', encoding="utf-8")
    seen = []

    def train(config: object, *, resume: bool | str, report: object) -> Path:
        assert report is None  # there is no terminal
        seen.append((config, resume))
        return tmp_path / "run"

    monkeypatch.setattr(training, "train", train)
    assert run(["train", str(config), "--set", "steps=7"]) == 0
    assert f"The model is in {tmp_path / 'run/checkpoints/best'}" in capsys.readouterr().out
    assert run(["train", str(config), "--resume"]) == 0
    assert run(["train", str(config), "--resume-from", "epoch_2"]) == 0
    assert [c.steps == 7 for c, _ in seen] == [True, False, False]
    assert [resume for _, resume in seen] == [False, True, "epoch_2"]
    assert run(["train", str(config), "-o", "a.png"]) == 2
    assert "-o names the picture of --dry-run" in capsys.readouterr().err


def test_a_dry_run_is_shown_and_trains_nothing(tmp_path: Path, monkeypatch, capsys) -> None:
    config = tmp_path / "own.toml"
    config.write_text('out = "run"\n[[data]]\npath = "images"\n', encoding="utf-8")
    monkeypatch.setattr(dry_run, "show_first_batch", lambda c, out: f"{c.batch} to {out}")
    assert run(["train", str(config), "--dry-run", "-o", "a.png", "--set", "batch=3"]) == 0
    assert capsys.readouterr().out == "3 to a.png\n"


def test_train_names_a_misspelled_setting(tmp_path: Path, capsys) -> None:
    config = tmp_path / "own.toml"
    config.write_text('out = "run"\n[[data]]\npath = "images"\n', encoding="utf-8")
    assert run(["train", str(config), "--set", "step=7"]) == 2
    assert "own.toml: unknown key 'step' (did you mean 'steps'?)" in capsys.readouterr().err
    assert run(["train", str(tmp_path / "none.toml")]) == 2
    assert "none.toml: no such configuration file" in capsys.readouterr().err


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch) -> Path:
    """Let a small untrained model be the bundled one; returns its folder."""
    folder = tmp_path / "bundled/generalist"
    task = FlowTask(architecture=Compact(decoder_channels=(4, 4, 4, 4, 4)))
    torch.manual_seed(0)
    provenance = {"data": ["none"], "licence": "CC0"}
    models.save_model(folder, task, task.network(), name="generalist", provenance=provenance)
    monkeypatch.setattr(models, "list_models", lambda: {"generalist": folder})
    return folder


def test_models_lists_and_shows(bundled: Path, capsys) -> None:
    assert run(["models", "list"]) == 0
    assert capsys.readouterr().out == f"generalist\tobject\t{bundled}\n"
    assert run(["models", "show", "generalist"]) == 0
    out = capsys.readouterr().out
    assert "name = generalist" in out
    assert "provenance.licence = CC0" in out
    assert "task.kind = flow" in out
    assert run(["models", "show", str(bundled)]) == 0
    assert capsys.readouterr().out == out


def test_models_names_what_may_be_meant(bundled: Path, capsys) -> None:
    assert run(["models", "show", "generallist"]) == 2
    assert "Did you mean 'generalist'?" in capsys.readouterr().err
    (bundled / "weights.safetensors").write_bytes(b"0")
    assert run(["models", "show", "generalist"]) == 3
    assert "SHA-256" in capsys.readouterr().err


def test_predict_with_the_default_model(bundled: Path, tmp_path: Path, monkeypatch) -> None:
    """The whole path through a real network and a model folder, untrained as it is."""
    monkeypatch.setattr("pancyte.workflows.predict.warm_up", lambda: 0.0)
    image = write_spots(tmp_path / "a.tif")
    assert run(["predict", str(image), "-o", str(tmp_path / "out")]) == 0
    record = read_json(tmp_path / "out/run.json")
    assert record["model"]["name"] == "generalist"
    assert len(record["model"]["weights_sha256"]) == 64
    assert bundled.is_dir()


def test_predict_says_on_a_terminal_what_it_waits_for(tmp_path: Path, monkeypatch, capsys) -> None:
    """Loading torch can take minutes where it was never loaded before."""
    seen = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(
        predicting, "load", lambda *_, **__: seen.append(capsys.readouterr().err) or spot_model()
    )
    monkeypatch.setattr(predicting, "warm_up", lambda: None)
    image = write_spots(tmp_path / "a.tif")
    assert run(["predict", str(image), "-o", str(tmp_path / "out")]) == 0
    assert seen[0].startswith("Loading pancyte; the first time after an installation is slow")


def test_the_phases_before_the_first_image_are_reported_in_their_order(
    tmp_path: Path, monkeypatch
) -> None:
    reports = []
    monkeypatch.setattr(predicting, "load", lambda *_, **__: reports.append("load") or spot_model())
    monkeypatch.setattr(predicting, "warm_up", lambda: reports.append("warm up"))
    image = write_spots(tmp_path / "a.tif")
    predicting.predict(image, tmp_path / "out", report=lambda *report: reports.append(report))
    assert reports[:5] == [
        (0, 1, "Loading the model"),
        "load",
        (0, 1, "Preparing; the first time after an installation takes a minute"),
        "warm up",
        (0, 1, ""),
    ]
