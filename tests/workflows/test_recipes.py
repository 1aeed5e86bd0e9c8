"""The published recipes of MEDIAR and Mediar-V are what was published, and train."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cc3d
import numpy as np
import pytest
import tifffile
from tests.blobs import spots

from pancyte.augment.intensity import MEDIAR_INTENSITY
from pancyte.augment.spatial import MEDIAR_SPATIAL
from pancyte.cli.exits import run
from pancyte.data.records import DataSource, Record, read_manifest, write_manifest
from pancyte.io.checkpoint import load_checkpoint
from pancyte.io.label_files import write_labels
from pancyte.nn.architectures import MEDIAR_FORMER, MEDIAR_V
from pancyte.workflows.models import load
from pancyte.workflows.train import train
from pancyte.workflows.train_config import read_train_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
RECIPES = {
    "mediar/phase1": {"epochs": 80, "rate": 5e-5, "period": 80, "lowest": 1e-6, "batch": 9},
    "mediar/phase2": {"epochs": 60, "rate": 5e-5, "period": 60, "lowest": 1e-6, "batch": 9},
    "mediar/fine_tune1": {"epochs": 200, "rate": 2e-5, "period": 100, "lowest": 1e-7, "batch": 8},
    "mediar/fine_tune2": {"epochs": 50, "rate": 2e-5, "period": 100, "lowest": 1e-7, "batch": 8},
    "mediar_v": {"epochs": 250, "rate": 5e-5, "period": 25, "lowest": 1e-7, "batch": 3},
}
MODELS = ("fine_tune1", "fine_tune2")
TINY = (
    "task.architecture.encoder=resnet18",
    "task.architecture.decoder_channels=[16,16,8,8,8]",
    "task.architecture.attention_channels=8",
    "task.architecture.head_groups=1",
    "epochs=none",
    "steps=2",
    "epoch_steps=2",
    "batch=2",
    "sampling.patch=64",
    "workers=0",
    "device=cpu",
    "validation.every=1",
)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_has_the_published_numbers(name: str) -> None:
    config = read_train_config(CONFIGS / f"{name}.toml")
    published = RECIPES[name]
    optimization = config.optimization
    lowest = optimization.final_fraction * optimization.learning_rate
    assert config.epochs == published["epochs"]
    assert optimization.learning_rate == published["rate"]
    assert optimization.period == published["period"]
    assert lowest == pytest.approx(published["lowest"])
    assert config.batch == published["batch"]
    assert optimization.optimizer == "adamw"
    assert optimization.average_decay is None
    expected = MEDIAR_V if name == "mediar_v" else MEDIAR_FORMER
    assert config.task.architecture == expected
    assert config.task.loss == "mediar"
    assert config.epoch_steps is None
    assert config.sampling.beyond == "zeros"
    assert config.task.preprocessing.percentiles_of == "nonzero"


def test_what_each_phase_adds() -> None:
    phase1, phase2, fine_tune1, fine_tune2, mediar_v = (
        read_train_config(CONFIGS / f"{name}.toml") for name in RECIPES
    )
    assert phase1.exclude_boundaries == phase2.exclude_boundaries
    assert phase1.exclude_boundaries is not None
    assert [source.path.name for source in phase2.data] == ["official.csv", "public.csv"]
    assert fine_tune1.initialize == phase1.out / "checkpoints" / "best"
    assert fine_tune2.initialize == phase2.out / "checkpoints" / "best"
    for config in (fine_tune1, fine_tune2, mediar_v):
        assert (config.spatial, config.intensity) == (MEDIAR_SPATIAL, MEDIAR_INTENSITY)
        assert config.cell_aware is not None
    assert (fine_tune1.sampling.amplify, fine_tune2.sampling.amplify) == (50, 50)
    assert fine_tune1.replay is None
    assert fine_tune2.replay.samples == 1
    assert fine_tune2.replay.spatial == phase1.spatial
    assert mediar_v.sampling.patch == 1024


@pytest.fixture(scope="module")
def toy_manifest(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("toy")

    def make(classes: tuple[str, ...]) -> Path:
        records = []
        for number, modality in enumerate(("phase", "phase", "stain", "phase")):
            pixels = spots((80, 96), radius=6 + number)
            labels = cc3d.connected_components(pixels > 0, connectivity=4).astype(np.int32)[None]
            image = folder / f"{number}.tif"
            tifffile.imwrite(image, pixels)
            path = folder / f"{number}_{len(classes)}_labels.tif"
            write_labels(path, np.repeat(labels, len(classes), axis=0), classes)
            split = "val" if number == 3 else "train"
            records.append(Record(image=image, labels=path, modality=modality, split=split))
        manifest = folder / f"{len(classes)}.csv"
        write_manifest(manifest, records)
        return manifest

    return make


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_trains_two_steps_on_toy_data(name: str, tmp_path: Path, toy_manifest) -> None:
    config = read_train_config(CONFIGS / f"{name}.toml", TINY)
    source = DataSource(path=toy_manifest(config.task.classes))
    replay = None if config.replay is None else replace(config.replay, data=(source,))
    config = replace(
        config,
        data=tuple(source for _ in config.data),
        out=tmp_path / "run",
        initialize=None,
        replay=replay,
    )
    folder = train(config)
    model = load(folder / "checkpoints" / "best")
    assert model.classes == config.task.classes
    assert (folder / "COMPLETE").read_text() == "step 2\n"


@pytest.mark.slow
def test_the_four_phases_follow_each_other_and_predict_together(
    tmp_path: Path, toy_manifest
) -> None:
    for path in (CONFIGS / "mediar").iterdir():
        shutil.copy(path, tmp_path)
    for name in ("official", "public"):
        records = read_manifest(toy_manifest(("cell",)))
        write_manifest(tmp_path / f"{name}.csv", [replace(r, split="") for r in records])
    overrides = (*TINY, "sampling.amplify=none", "validation.every=0")
    for name in ("phase1", "phase2", "fine_tune1", "fine_tune2"):
        train(read_train_config(tmp_path / f"{name}.toml", overrides))
    models = [tmp_path / "runs" / name / "checkpoints" / "best" for name in MODELS]
    image = toy_manifest(("cell",)).parent / "0.tif"
    words = [word for model in models for word in ("--model", str(model))]
    out = tmp_path / "out"
    assert run(["predict", str(image), "-o", str(out), *words, "--set", "flips=3"]) == 0
    assert (out / "0_labels.tif").exists()
    first, second = (load_checkpoint(model).weights for model in models)
    assert any(not np.array_equal(first[name], second[name]) for name in first)
