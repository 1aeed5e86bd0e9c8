"""Write matching.npz and matching.json: what the stardist package says about ten pairs of labels.

Run in an environment that has stardist (no GPU, no model needed):

    uv run --group benchmark python tests/golden/make_matching_golden.py

The arrays come from the generator in tests/strategies.py at the seed below, so the files change
only when one of the two is changed on purpose.
"""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from stardist.matching import matching

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.strategies import disturb, voronoi_cells  # noqa: E402 - found by the line above

SEED = 20181
THRESHOLDS = (0.1, 0.3, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
NAMES = (
    "tp", "fp", "fn", "precision", "recall", "f1", "accuracy", "panoptic_quality",
    "mean_matched_score",
)  # fmt: skip


def pairs():
    """Ten pairs: cells of eight sizes, shifted, merged and dropped; then one side empty."""
    rng = np.random.default_rng(SEED)
    for diameter in (6, 8, 10, 12, 16, 20, 24, 30):
        truth = voronoi_cells((112, 96), diameter, rng)
        yield truth, disturb(truth, rng)
    empty = np.zeros_like(truth)
    yield truth, empty
    yield empty, truth


def main():
    arrays, rows = {}, []
    for k, (truth, prediction) in enumerate(pairs()):
        arrays[f"truth-{k}"], arrays[f"prediction-{k}"] = truth, prediction
        for threshold in THRESHOLDS:
            theirs = matching(truth, prediction, thresh=threshold)._asdict()
            rows.append([k, threshold, *(float(theirs[name]) for name in NAMES)])
    np.savez_compressed(HERE / "matching.npz", **arrays)
    origin = {
        "source": "stardist.matching.matching (https://github.com/stardist/stardist), BSD-3-Clause",
        "stardist": version("stardist"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "command": "uv run --group benchmark python tests/golden/make_matching_golden.py",
        "tolerance": "counts equal; ratios to 1e-6, because stardist computes IoU in float32 steps",
        "columns": ["pair", "threshold", *NAMES],
    }
    head = json.dumps(origin, indent=1).removesuffix("\n}")
    lines = ",\n".join(json.dumps(row) for row in rows)
    (HERE / "matching.json").write_text(f'{head},\n "rows": [\n{lines}\n]\n}}\n')


if __name__ == "__main__":
    main()
