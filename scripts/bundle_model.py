r"""Make the bundled model of a checkpoint: float16, with the licence of its weights.

    uv run pancyte train configs/bundled.toml
    uv run python scripts/bundle_model.py runs/bundled/checkpoints/best out/generalist
    uv run pancyte models calibrate out/generalist data/bundled/manifest.csv -o out/calibrated \
        --set min_score=0.5 --set also_known=data/generated/manifest.csv

The folder out/calibrated is what lies in src/pancyte/models/generalist, without the reports. How an
image of one channel alone is seen is taken from the recipe, which may have learned of it what no
training shows; all other preprocessing must be that of the training. A calibration that the
checkpoint has was measured before that, and is left out.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from pancyte.config import from_mapping, to_mapping
from pancyte.io.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from pancyte.ops.preprocess import Preprocessing
from pancyte.workflows.models import CALIBRATION
from pancyte.workflows.train_config import TrainConfig, read_train_config

RECIPE = Path(__file__).resolve().parents[1] / "configs" / "bundled.toml"
LICENSE = "BSD-3-Clause"


def differing_preprocessing(checkpoint: Checkpoint, wanted: Preprocessing) -> list[str]:
    """Return what differs between a checkpoint and a recipe, but for ``lone_channel``."""
    own = from_mapping(Preprocessing, checkpoint.manifest["task"]["preprocessing"], where="task")
    found, expected = to_mapping(own), to_mapping(wanted)
    return [
        f"{name} {found[name]} instead of {value}"
        for name, value in expected.items()
        if name != "lone_channel" and found[name] != value
    ]


def bundled(checkpoint: Checkpoint, recipe: TrainConfig) -> Checkpoint:
    """Return a checkpoint with the name, the preprocessing and the licence of the bundled model."""
    manifest = {name: value for name, value in checkpoint.manifest.items() if name != CALIBRATION}
    preprocessing = to_mapping(recipe.task.preprocessing)
    manifest["task"] = {**manifest["task"], "preprocessing": preprocessing}
    manifest["provenance"] = {**manifest["provenance"], "licence": LICENSE}
    manifest["name"] = recipe.name
    return replace(checkpoint, manifest=manifest, extras={})


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("checkpoint", type=Path, help="folder of a checkpoint")
    parser.add_argument("out", type=Path, help="folder to write")
    arguments = parser.parse_args()
    checkpoint = load_checkpoint(arguments.checkpoint)
    recipe = read_train_config(RECIPE)
    differing = differing_preprocessing(checkpoint, recipe.task.preprocessing)
    if differing:
        parser.error(
            f"{arguments.checkpoint}: was trained with another preprocessing than {RECIPE.name} "
            f"asks for: {', '.join(differing)}. Train it with that recipe."
        )
    save_checkpoint(arguments.out, bundled(checkpoint, recipe), half=True)
    size = sum(path.stat().st_size for path in arguments.out.iterdir()) / 1e6
    print(f"{arguments.out}: {size:.1f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
