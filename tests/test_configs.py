from __future__ import annotations

from pathlib import Path

import pytest

from pancyte.config import from_mapping, to_mapping
from pancyte.workflows.train_config import TrainConfig, read_train_config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.toml"))


def test_all_configs_are_found() -> None:
    names = [path.relative_to(ROOT / "configs").as_posix() for path in CONFIGS]
    assert names == [
        "bundled.toml",
        "mediar/fine_tune1.toml",
        "mediar/fine_tune2.toml",
        "mediar/phase1.toml",
        "mediar/phase2.toml",
        "mediar_v.toml",
        "own_images.toml",
    ]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_config_loads_and_dumps_to_itself(path: Path) -> None:
    config = read_train_config(path)
    assert from_mapping(TrainConfig, to_mapping(config), where="dump") == config


def test_bundled_recipe_is_the_documented_one() -> None:
    config = read_train_config(ROOT / "configs" / "bundled.toml")
    assert config.task.classes == ("object",)
    assert config.task.field == "diffusion"
    assert config.task.preprocessing.diameter == 30.0
    assert (config.sampling.patch, config.batch, config.steps) == (224, 8, 7000)
