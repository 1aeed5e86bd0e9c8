"""The script of docs/results/fields.md runs, and what it measures is what it says."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from tests.scripts import load_script

from pancyte.data.datasets import Sampling
from pancyte.data.records import DataSource, Record, write_manifest
from pancyte.nn.architectures import Compact
from pancyte.tasks.flow import FlowTask
from pancyte.workflows.train_config import TrainConfig
from pancyte.workflows.validation import Validation


@pytest.fixture(scope="module")
def script():
    return load_script("scripts/fields.py")


def rods(*, width: int, length: int) -> np.ndarray:
    labels = np.zeros((3 * (width + 1) + 8, length + 8), np.int32)
    for k in range(3):
        top = 4 + k * (width + 1)
        labels[top : top + width, 4 : 4 + length] = k + 1
    return labels


@pytest.mark.parametrize("field", ["diffusion", "geodesic"])
def test_a_slight_blur_costs_nothing_and_a_strong_one_costs_small_objects(script, field) -> None:
    assert script.blurred_score(rods(width=14, length=40), field, 0.5, seed=0) == 1.0
    assert script.blurred_score(rods(width=6, length=6), field, 12.0, seed=0) < 1.0


@pytest.mark.parametrize("least", [15, 100_000])
def test_shapes_are_scored_by_kind_as_the_recipe_decodes(
    script, monkeypatch, tmp_path, capsys, least
) -> None:
    recipe = script.read_train_config(script.RECIPE)
    task = replace(recipe.task, decoding=replace(recipe.task.decoding, min_size=least))
    monkeypatch.setattr(script, "read_train_config", lambda path: replace(recipe, task=task))
    labels = rods(width=14, length=40)
    records = []
    for name in ("rods-phase", "negative-well"):
        tifffile.imwrite(tmp_path / f"{name}.tif", labels.astype(np.uint8))
        tifffile.imwrite(
            tmp_path / f"{name}_l.tif", (labels * (name == "rods-phase")).astype(np.uint16)
        )
        records.append(
            Record(
                image=tmp_path / f"{name}.tif",
                labels=tmp_path / f"{name}_l.tif",
                modality=f"generated-{name}",
            )
        )
    write_manifest(tmp_path / "manifest.csv", records)
    monkeypatch.setattr(sys, "argv", ["fields.py", "shapes", str(tmp_path / "manifest.csv")])
    assert script.main() == 0
    table = capsys.readouterr().out.splitlines()
    assert table[2].startswith("| rods-phase | 1 |")
    scores = [float(cell) for cell in table[2].split("|")[3:-1]]
    assert all(score > 0 if least == 15 else score == 0 for score in scores)
    assert len(table) == 3  # an image without objects has no score


def test_scores_of_runs_and_what_is_missing(script, monkeypatch, tmp_path, capsys) -> None:
    for name, score in (("diffusion_1", "0.8"), ("diffusion_3", "0.6")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text(
            f"step,val/f1,val/ap\n100,0.1,0.1\n200,,\n300,{score},0.5\n"
        )
    monkeypatch.setattr(sys, "argv", ["fields.py", "scores", str(tmp_path)])
    assert script.main() == 0
    table = capsys.readouterr().out
    assert "| diffusion, f1 | 0.800 | - | 0.600 | 0.700 |" in table
    assert "| geodesic, ap | - | - | - | - |" in table


def test_each_field_and_seed_is_trained_once(script, monkeypatch, tmp_path) -> None:
    trained = {}

    def train(config, *, resume):
        trained[config.out.name] = config, resume
        config.out.mkdir(parents=True, exist_ok=True)
        if config.out.name == "diffusion_2" and not resume:
            raise KeyboardInterrupt
        (config.out / "COMPLETE").touch()

    monkeypatch.setattr(script.pancyte, "train", train)
    arguments = ["fields.py", "train", "--out", str(tmp_path), "--steps", "90"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(KeyboardInterrupt):
        script.main()
    assert list(trained) == ["diffusion_1", "geodesic_1", "diffusion_2"]
    trained.clear()
    assert script.main() == 0
    resumed = {name: resume for name, (_, resume) in trained.items()}
    assert resumed == {
        "diffusion_2": True, "geodesic_2": False, "diffusion_3": False, "geodesic_3": False,
    }  # fmt: skip
    recipe = script.read_train_config(script.RECIPE)
    for name, (config, _) in trained.items():
        field, seed = name.split("_")
        assert config.task == replace(recipe.task, field=field)
        assert config.seed == int(seed)
        assert (config.steps, config.epoch_steps) == (90, 30)
        assert config.optimization == recipe.optimization


@pytest.mark.slow
def test_what_was_trained_has_scores(script, monkeypatch, tmp_path, capsys) -> None:
    labels = rods(width=10, length=32)
    records = []
    for name in ("train", "val"):
        paths = tmp_path / f"{name}.tif", tmp_path / f"{name}_l.tif"
        tifffile.imwrite(paths[0], (80 * (labels > 0)).astype(np.uint8))
        tifffile.imwrite(paths[1], labels.astype(np.uint16))
        records.append(Record(image=paths[0], labels=paths[1], split=name))
    write_manifest(tmp_path / "manifest.csv", records)
    recipe = TrainConfig(
        data=(DataSource(path=tmp_path / "manifest.csv"),),
        out=tmp_path,
        task=FlowTask(architecture=Compact(decoder_channels=(8, 8, 8, 8, 8))),
        batch=2,
        sampling=Sampling(patch=32),
        validation=Validation(every=1, images=1),
        device="cpu",
        threads=1,
        workers=0,
    )
    monkeypatch.setattr(script, "read_train_config", lambda path: recipe)
    monkeypatch.setattr(script, "SEEDS", (1,))
    for arguments in (
        ["train", "--out", tmp_path / "runs", "--steps", "3"],
        ["scores", tmp_path / "runs"],
    ):
        monkeypatch.setattr(sys, "argv", ["fields.py", *map(str, arguments)])
        assert script.main() == 0
    table = capsys.readouterr().out.splitlines()[-4:]
    assert [row.split(" | ")[0] for row in table] == [
        "| diffusion, f1", "| geodesic, f1", "| diffusion, ap", "| geodesic, ap",
    ]  # fmt: skip
    for row in table:
        assert 0 <= float(row.split(" | ")[1]) <= 1
