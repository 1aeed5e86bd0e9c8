"""``init``: what a folder holds is proposed, and what is written trains as it is."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import cc3d
import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from tests.blobs import spots

from pancyte.cli import init as command
from pancyte.cli.exits import run
from pancyte.config import read_config
from pancyte.data.folders import pair_folder
from pancyte.data.records import read_manifest, write_manifest
from pancyte.errors import ConfigError, InputError, UsageError
from pancyte.io.label_files import write_labels
from pancyte.workflows.init import look_at, propose, write_choices
from pancyte.workflows.init_texts import LOSSES, OPTIMIZERS, SCHEDULES, Choices
from pancyte.workflows.predict_config import PredictConfig
from pancyte.workflows.train import train
from pancyte.workflows.train_config import read_train_config


def make_folder(folder: Path, *, classes: tuple[str, ...] = (), number: int = 4) -> Path:
    """Write images with labels, of several classes in one file where their names are given."""
    for k in range(number):
        pixels = spots((70, 80), radius=5 + k % 3)
        labels = cc3d.connected_components(pixels > 0, connectivity=4).astype(np.int32)[None]
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / "images" / f"{k}.tif", pixels)
        names = classes or ("object",)
        write_labels(folder / "masks" / f"{k}.tif", np.repeat(labels, len(names), axis=0), names)
    return folder


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "data")


def written(folder, out, **changes):
    """Write what is proposed for a folder, with changes, and return the configuration."""
    found = look_at(folder)
    choices = propose(found, Choices(data=folder, **changes))
    write_choices(choices, found, out)
    return read_train_config(out)


def test_a_folder_is_looked_at(folder):
    found = look_at(folder)
    assert (found.num_images, found.num_labeled, found.channels) == (4, 4, 1)
    assert not found.has_splits
    assert str(found) == "4 images, 4 with labels; classes: object; channels: 1"


def test_class_names_come_from_the_label_files(tmp_path):
    found = look_at(make_folder(tmp_path, classes=("nucleus", "cell")))
    assert found.classes == ("nucleus", "cell")


def test_planes_without_names_are_classes(tmp_path):
    make_folder(tmp_path / "data", classes=("a", "b"))
    for path in (tmp_path / "data" / "masks").iterdir():
        tifffile.imwrite(path, tifffile.imread(path).astype(np.uint16))
    config = written(tmp_path / "data", tmp_path / "config.toml")
    assert config.task.classes == ("class 1", "class 2")


def test_folders_of_classes_are_found(tmp_path):
    make_folder(tmp_path)
    for name in ("cell", "nucleus"):
        for path in (tmp_path / "masks").glob("*.tif"):
            target = tmp_path / "masks" / name / path.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    for path in (tmp_path / "masks").glob("*.tif"):
        path.unlink()
    found = look_at(tmp_path)
    assert found.class_folders == found.classes == ("cell", "nucleus")
    wrong = Choices(data=tmp_path, classes=("cell", "nukleus"))
    expected = r"labels in the folders cell, nucleus, but got 'nukleus'\. Did you mean 'nucleus'\?"
    with pytest.raises(UsageError, match=expected):
        write_choices(wrong, found, tmp_path / "config.toml")
    config = written(tmp_path, tmp_path / "config.toml")
    assert config.task.classes == ("cell", "nucleus")
    assert len(read_manifest(tmp_path / "config.csv")[0].class_labels) == 2


def test_images_without_labels_can_be_predicted_but_not_trained_on(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", spots())
    found = look_at(tmp_path)
    assert (found.num_images, found.num_labeled) == (1, 0)
    choices = Choices(data=tmp_path)
    with pytest.raises(InputError, match="1 image, but no labels to train on"):
        write_choices(choices, found, tmp_path / "config.toml")
    with pytest.raises(InputError, match="no such folder or manifest"):
        look_at(tmp_path / "nowhere")


def test_the_written_configuration_trains_as_it_is(folder, tmp_path):
    config = written(folder, tmp_path / "config.toml")
    assert [record.split for record in read_manifest(tmp_path / "config.csv")].count("val") == 1
    assert config.data[0].path == tmp_path / "config.csv"
    assert config.out == tmp_path / "run"
    overrides = ("steps=2", "epoch_steps=2", "batch=2", "workers=0", "sampling.patch=64")
    short = read_train_config(tmp_path / "config.toml", (*overrides, "device=cpu"))
    assert (train(short) / "COMPLETE").exists()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_answer_gives_a_configuration(folder, tmp_path, loss, optimizer):
    config = written(folder, tmp_path / "config.toml", loss=loss, optimizer=optimizer)
    assert (config.task.loss, config.optimization.optimizer) == (loss, optimizer)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("encoder", ["compact", "resnet34", "tu-convnext_tiny"])
def test_every_schedule_and_network(folder, tmp_path, schedule, encoder):
    config = written(folder, tmp_path / "config.toml", schedule=schedule, encoder=encoder)
    assert config.optimization.schedule == schedule
    kind = "compact" if encoder == "compact" else "encoder_decoder"
    assert config.task.architecture.kind == kind
    assert (config.initialize is None) == (encoder != "compact")


def test_too_few_images_are_all_trained_on(tmp_path):
    config = written(make_folder(tmp_path / "data", number=2), tmp_path / "config.toml")
    assert config.validation.every == 0
    assert {record.split for record in read_manifest(tmp_path / "config.csv")} == {"train"}


@pytest.mark.parametrize("splits", [("train", "train", "test"), ("", "", "")])
def test_a_manifest_without_validation_validates_nothing_and_says_so(folder, tmp_path, splits):
    records = pair_folder(folder).records
    path = tmp_path / "mine.csv"
    write_manifest(path, [replace(r, split=s) for r, s in zip(records, splits, strict=False)])
    config = written(path, tmp_path / "config.toml")
    assert (config.data[0].path, config.validation.every) == (path, 0)
    text = (tmp_path / "config.toml").read_text()
    assert "No image has the split val" in text
    assert "too few images" not in text


def test_what_is_wrong_with_labels_is_said(folder):
    PillowImage.new("L", (80, 70)).save(folder / "masks" / "0.png")
    with pytest.raises(InputError, match="0.png and 0.tif have the same name without suffix"):
        look_at(folder)


def test_an_encoder_that_does_not_exist_is_refused(folder, tmp_path):
    with pytest.raises(UsageError, match=r"encoder: There is no encoder 'resnet43'. Did you mean"):
        written(folder, tmp_path / "config.toml", encoder="resnet43")
    assert not (tmp_path / "config.toml").exists()
    assert not (tmp_path / "config.csv").exists()


def test_classes_that_the_labels_do_not_have_are_refused(tmp_path):
    folder = make_folder(tmp_path / "data", classes=("nucleus", "cell"))
    found = look_at(folder)
    with pytest.raises(UsageError, match=r"of the classes nucleus, cell, but got 'nuclei'"):
        write_choices(
            Choices(data=folder, classes=("cell", "nuclei")), found, tmp_path / "config.toml"
        )


@pytest.mark.parametrize("classes", [("cell", "nucleus"), ("nucleus", "cell")])
def test_the_proposed_link_goes_from_the_smaller_class_to_the_larger(tmp_path, classes):
    folder = make_folder(tmp_path / "data", classes=classes)
    for path in (folder / "masks").glob("*.tif"):
        cells = np.zeros((70, 80), np.int32)
        cells[10:40, 10:40], nuclei = 1, np.zeros_like(cells)
        nuclei[20:25, 20:25] = 1
        planes = {"cell": cells, "nucleus": nuclei}
        write_labels(path, np.stack([planes[name] for name in classes]), classes)
    written(folder, tmp_path / "config.toml")
    text = (tmp_path / "config.toml").read_text()
    assert '# child = "nucleus"\n# parent = "cell"\n' in text


def test_a_prediction_runs_with_the_written_settings(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["init", "data/images", "--purpose", "predict", "-o", "predict.toml", "--yes"]) == 0
    assert read_config(tmp_path / "predict.toml", PredictConfig).model == "generalist"
    line = next(line for line in capsys.readouterr().out.splitlines() if line[:5] == "Next:")
    assert run([*shlex.split(line.removeprefix("Next: pancyte ")), "--set", "min_area=5"]) == 0
    assert (tmp_path / "results" / "objects.csv").exists()


def test_settings_of_a_file_give_way_to_options(tmp_path, capsys):
    (tmp_path / "settings.toml").write_text("diamter = 3\n")
    arguments = ["predict", str(tmp_path), "-o", str(tmp_path / "out")]
    assert run([*arguments, "--set", str(tmp_path / "settings.toml")]) == 2
    assert "settings.toml and the options: unknown key 'diamter'" in capsys.readouterr().err


def test_a_setting_in_two_files_is_refused(tmp_path, capsys):
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text("[decoding]\nmin_size = 3\n")
    files = ["--set", str(tmp_path / "a.toml"), "--set", str(tmp_path / "b.toml")]
    assert run(["predict", str(tmp_path), "-o", str(tmp_path / "out"), *files]) == 2
    assert "b.toml: decoding stands in another file" in capsys.readouterr().err


def test_all_questions_have_an_option(folder, tmp_path, capsys):
    out = tmp_path / "config.toml"
    options = {
        "purpose": "train", "task": "flow", "classes": "nucleus", "encoder": "resnet18",
        "loss": "focal", "optimizer": "SGD", "schedule": "step",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    assert run(["init", str(folder), "-o", str(out), *words]) == 0
    config = read_train_config(out)
    assert config.task.classes == ("nucleus",)
    assert config.task.architecture.encoder == "resnet18"
    assert (config.task.loss, config.optimization.optimizer) == ("focal", "sgd")
    assert "Next: pancyte train" in capsys.readouterr().out


def test_questions_are_asked_on_a_terminal(folder, tmp_path, monkeypatch):
    asked = []

    def answer(text, default):
        asked.append(text)
        return {"Loss": "dice", "Names": "soma"}.get(text.split()[0], default)

    monkeypatch.setattr(command.click, "prompt", answer)
    monkeypatch.setattr(command.sys.stdin, "isatty", lambda: True, raising=False)
    out = tmp_path / "config.toml"
    assert run(["init", str(folder), "-o", str(out), "--optimizer", "adam"]) == 0
    config = read_train_config(out)
    assert (config.task.loss, config.task.classes) == ("dice", ("soma",))
    assert config.optimization.optimizer == "adam"
    assert len(asked) == 6
    assert not any("Optimizer" in text for text in asked)


def test_nothing_is_overwritten(folder, tmp_path):
    found = look_at(folder)
    choices = propose(found, Choices(data=folder))
    (tmp_path / "config.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"config.csv: is there already.*--overwrite"):
        write_choices(choices, found, tmp_path / "config.toml")
    assert (tmp_path / "config.csv").read_text() == "mine"
    write_choices(choices, found, tmp_path / "config.toml", overwrite=True)
    with pytest.raises(UsageError, match=r"expected a name that ends in .toml, but got 'a.json'"):
        write_choices(choices, found, tmp_path / "a.json")


def test_answers_that_nothing_means_are_refused(folder, tmp_path, capsys):
    arguments = ["init", str(folder), "-o", str(tmp_path / "config.toml")]
    assert run([*arguments, "--loss", "hinge"]) == 2
    assert run([*arguments, "--classes", "a,a"]) == 2
    assert run([*arguments, "--task", "boxes"]) == 2
    errors = capsys.readouterr().err
    assert "loss" in errors
    assert "one or more different names" in errors
    assert "Expected task to be one of flow, but got 'boxes'" in errors
    assert not (tmp_path / "config.toml").exists()
    with pytest.raises((ConfigError, UsageError), match="No model 'none-such'"):
        write_choices(
            Choices(purpose="predict", model="none-such"), look_at(folder), tmp_path / "p.toml"
        )
