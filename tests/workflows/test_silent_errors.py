"""Errors that other tools make without a word, each from the command line to the files."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.blobs import spot_model, spots, write_spots

from pancyte.cli.exits import run
from pancyte.inference.model import Model
from pancyte.io.label_files import read_labels
from pancyte.io.tables import read_csv, read_json
from pancyte.types import ObjectTable, Segmentation
from pancyte.workflows import models
from pancyte.workflows import predict as module
from pancyte.workflows.predict import PredictConfig

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def spots_model(monkeypatch) -> None:
    monkeypatch.setattr(module, "load", lambda *_, **__: spot_model())
    monkeypatch.setattr(module, "warm_up", lambda: 0.0)


def finding(labels: np.ndarray, classes: tuple[str, ...]):
    """Return a stand-in of ``Model.segment`` that finds these labels in any image."""
    counts = [int(plane.max()) for plane in labels]
    columns = {
        "class": np.repeat(classes, counts),
        "label": np.concatenate([np.arange(1, n + 1) for n in counts]).astype(np.int32),
        "score": np.ones(sum(counts), np.float32),
        "diameter": np.ones(sum(counts)),
    }
    return lambda *_, **__: Segmentation(labels, ObjectTable(columns), classes)


@pytest.mark.usefixtures("spots_model")
def test_labels_beyond_65535_do_not_wrap(tmp_path: Path, monkeypatch) -> None:
    labels = np.arange(257 * 257, dtype=np.int32).reshape(1, 257, 257)
    monkeypatch.setattr(Model, "segment", finding(labels, ("object",)))
    image = write_spots(tmp_path / "a.tif", shape=(257, 257))
    assert run(["predict", str(image), "-o", str(tmp_path / "out")]) == 0
    assert tifffile.imread(tmp_path / "out/a_labels.tif").dtype == np.uint32
    assert np.array_equal(read_labels(tmp_path / "out/a_labels.tif").labels, labels)
    assert read_csv(tmp_path / "out/objects.csv")["label"][-1] == "66048"
    assert run(["evaluate", str(tmp_path / "out"), str(tmp_path / "out")]) == 0


@pytest.mark.usefixtures("spots_model")
def test_labels_of_later_planes_are_not_cut_to_the_type_of_the_first(
    tmp_path: Path, monkeypatch
) -> None:
    labels = np.zeros((2, 257, 257), np.int32)
    labels[0, :5, :5] = 1
    labels[1] = np.arange(257 * 257).reshape(257, 257)
    monkeypatch.setattr(Model, "segment", finding(labels, ("cell", "nucleus")))
    image = write_spots(tmp_path / "a.tif", shape=(257, 257))
    assert run(["predict", str(image), "-o", str(tmp_path / "out")]) == 0
    read = read_labels(tmp_path / "out/a_labels.tif")
    assert np.array_equal(read.labels, labels)
    assert read.classes == ("cell", "nucleus")


@pytest.mark.usefixtures("spots_model")
def test_a_stack_is_not_taken_for_channels(tmp_path: Path, capsys) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", np.stack([spots()] * 30), photometric="minisblack", metadata=None
    )
    assert run(["predict", str(tmp_path / "a.tif"), "-o", str(tmp_path / "out")]) == 3
    assert "does not say what each axis is. Give --axes" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.tif"))


def test_a_misspelled_model_does_not_load_the_default(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(models, "list_models", lambda: {"generalist": tmp_path})
    image = write_spots(tmp_path / "a.tif")
    out = str(tmp_path / "out")
    assert run(["predict", str(image), "-o", out, "--model", "genralist"]) == 2
    assert "No model 'genralist'" in (err := capsys.readouterr().err)
    assert "Did you mean 'generalist'?" in err
    assert not (tmp_path / "out").exists()


def test_settings_of_one_call_do_not_leak_into_the_next() -> None:
    model = spot_model(diameter=16.0)
    first = model.segment(spots())
    assert model.segment(spots(), diameter=64.0).scale == 0.25
    again = model.segment(spots())
    assert again.scale == first.scale
    assert np.array_equal(again.labels, first.labels)


def test_no_option_of_predict_is_ignored() -> None:
    """Each setting has a test that sees its effect."""
    text = (Path(__file__).parent / "test_predict.py").read_text(encoding="utf-8")
    tested = {
        word
        for names in re.findall(r"def test_option_(\w+)_is_used", text)
        for word in names.split("_and_")
    }
    # Others are seen by tests that are named for what they bring.
    tested |= {name for name in ("blocks", "flips", "split") if f"{name}" in text}
    tested |= {"only_masks"} if "--only-masks" in text else set()
    tested |= {"save_masks"} if "--no-save-masks" in text else set()
    tested |= {"save_pictures"} if "save_pictures=" in text else set()
    assert {field.name for field in dataclasses.fields(PredictConfig)} == tested


@pytest.mark.usefixtures("spots_model")
def test_a_scale_never_seen_is_not_segmented_without_a_word(tmp_path: Path, capsys) -> None:
    image = write_spots(tmp_path / "a.tif", shape=(400, 400), radius=40)
    assert run(["predict", str(image), "-o", str(tmp_path / "out")]) == 0
    expected = "median diameter of 80 pixels as the network sees them, outside of the 8 to 32"
    assert expected in capsys.readouterr().err
    (entry,) = read_json(tmp_path / "out/run.json")["images"]
    assert any(expected in warning for warning in entry["warnings"])


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "Interrupted."), (signal.SIGTERM, 143, "Terminated.")],
    ids=["ctrl-c", "sigterm"],
)
def test_a_signal_keeps_what_is_finished(tmp_path: Path, number: int, code: int, word: str) -> None:
    for name in "abcd":
        write_spots(tmp_path / f"in/{name}.tif")
    program = """
import sys, time
from pancyte.workflows import predict as module
from tests.blobs import spot_model
module.load = lambda *_, **__: spot_model()
module.warm_up = lambda: 0.0
write = module.write_png
def slow(path, picture):
    if not path.name.startswith("a"):
        time.sleep(60)
    write(path, picture)
module.write_png = slow
sys.argv[1:] = ["predict", "in", "-o", "out"]
from pancyte.cli import main
main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines = []
    while not (lines and lines[-1].startswith("[1/4]")):
        lines.append(process.stderr.readline())
        assert lines[-1], lines
    process.send_signal(number)
    rest = process.stderr.read()
    assert process.wait(timeout=30) == code, rest
    process.stderr.close()
    assert word in rest
    assert "Traceback" not in rest
    assert "Results of 1 of 4 images are in out" in rest
    record = read_json(tmp_path / "out/run.json")
    assert record["status"] == "interrupted"
    assert [entry["file"] for entry in record["images"]] == ["a.tif"]
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    read_labels(tmp_path / "out/a_labels.tif")
