"""What ``-o`` names is looked at before anything is computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from pancyte.cli.exits import run

FILE = "file: expected a folder to write to, but it is a file. Name another."


@pytest.fixture
def data(tmp_path: Path, monkeypatch) -> Path:
    """A folder with what the commands read, no model that could be loaded, and a file."""

    def load(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded before the output was looked at")

    for module in ("predict", "evaluate", "export", "modalities"):
        monkeypatch.setattr(f"pancyte.workflows.{module}.load", load, raising=False)
    monkeypatch.setattr("pancyte.workflows.evaluate.load_model", load, raising=False)
    monkeypatch.setattr("pancyte.workflows.calibrate.load_model", load)
    for kind in ("images", "masks"):
        (tmp_path / "in" / kind).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "in" / kind / "a.tif", np.eye(8, dtype=np.uint8))
    (tmp_path / "own.toml").write_text('out = "run"\n[[data]]\npath = "in"\n', encoding="utf-8")
    (tmp_path / "list.json").write_text('{"official": [{"img": "in/images/a.tif"}]}')
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "in/images", "-o", "file"],
        ["predict", "in/images", "-o", "file/out"],
        ["evaluate", "generalist", "in", "-o", "file"],
        ["evaluate", "in/masks", "in/masks", "-o", "file"],
        ["models", "calibrate", "generalist", "in", "-o", "file"],
        ["models", "export", "generalist", "--onnx", "-o", "file/a.onnx"],
        ["prepare", "in", "-o", "file/a.csv"],
        ["prepare", "modalities", "in.csv", "-o", "file/a.csv"],
        ["init", "in", "-o", "file/a.toml", "--yes"],
        ["convert", "list.json", "-o", "file/a.csv"],
        ["train", "own.toml", "--dry-run", "-o", "file/a.png"],
        ["train", "own.toml", "--set", "out=file/run"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_file_in_the_place_of_a_folder_is_one_sentence(data: Path, capsys, arguments) -> None:
    before = sorted(data.rglob("*"))
    assert run(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert said.endswith(f"{FILE}\n")
    assert said.count("\n") == 1
    assert sorted(data.rglob("*")) == before
    assert (data / "file").read_text(encoding="utf-8") == "mine"


def test_the_folder_of_a_run_that_is_a_file_is_said(data: Path, capsys) -> None:
    assert run(["train", "own.toml", "--set", "out=file"]) == 2
    said = "file: expected a folder to write the run to, but it is a file. Name another.\n"
    assert capsys.readouterr().err.endswith(said)
    assert data.is_dir()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that nobody may write to")
@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "in/images", "-o", "/proc/nope"],
        ["evaluate", "generalist", "in", "-o", "/proc/nope"],
        ["models", "calibrate", "generalist", "in", "-o", "/proc/nope"],
        ["models", "export", "generalist", "--onnx", "-o", "/proc/nope/a.onnx"],
        ["train", "own.toml", "--set", "out=/proc/nope"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_computed(
    data: Path, capsys, arguments
) -> None:
    assert run(arguments) == 2
    said = "Error: /proc/nope: cannot be written (No such file or directory). Choose a folder that"
    assert said in capsys.readouterr().err
    assert data.is_dir()
