"""Make the bundled model of a checkpoint: float16, calibrated, with the licence of its weights.

    uv run pancyte train configs/bundled.toml
    uv run python scripts/bundle_model.py runs/bundled/checkpoints/best out/generalist
    uv run pancyte models calibrate out/generalist data/bundled/manifest.csv -o out/calibrated

The folder out/calibrated is what lies in src/pancyte/models/generalist, without the reports. How
images are preprocessed is taken from the recipe, which may have learned of a kind of image that no
training shows.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from pancyte.config import to_mapping
from pancyte.io.checkpoint import load_checkpoint, save_checkpoint
from pancyte.workflows.train_config import read_train_config

RECIPE = Path(__file__).resolve().parents[1] / "configs" / "bundled.toml"
LICENSE = "BSD-3-Clause"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("checkpoint", type=Path, help="folder of a checkpoint")
    parser.add_argument("out", type=Path, help="folder to write")
    arguments = parser.parse_args()
    checkpoint = load_checkpoint(arguments.checkpoint)
    recipe = read_train_config(RECIPE)
    manifest = dict(checkpoint.manifest)
    manifest["task"] = dict(manifest["task"]) | {
        "preprocessing": to_mapping(recipe.task.preprocessing)
    }
    manifest["provenance"] = dict(manifest["provenance"]) | {"licence": LICENSE}
    manifest["name"] = recipe.name
    save_checkpoint(arguments.out, replace(checkpoint, manifest=manifest), half=True)
    size = sum(path.stat().st_size for path in arguments.out.iterdir()) / 1e6
    print(f"{arguments.out}: {size:.1f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
