"""Write flow_volume.npz and flow_volume.json: the field of the cellpose package on two volumes.

Run in an environment that has cellpose (no GPU, no model needed):

    uv run --group benchmark python tests/golden/make_flow_volume_golden.py

The labels come from the generators named below at their seeds, so the files change only when one of
them is changed on purpose.
"""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from cellpose import dynamics

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.ops.flow_volumes import ellipsoid, in_one_volume, rod, tube  # noqa: E402
from tests.strategies import voronoi_volume  # noqa: E402

SEED = 2021


def volumes():
    """Touching cells; then a ball, an ellipsoid, a rod and a bent tube apart from each other."""
    rng = np.random.default_rng(SEED)
    yield "touching", voronoi_volume((20, 34, 34), 12, rng, gap=0.2)
    shapes = (ellipsoid((6, 6, 6)), ellipsoid((4, 5, 9)), rod(24, 2), tube(10, 2))
    yield "apart", in_one_volume(shapes)


def main():
    arrays = {}
    for name, labels in volumes():
        flow = dynamics.masks_to_flows_gpu_3d(labels).astype(np.float32)
        logit = np.where(labels > 0, 6.0, -6.0).astype(np.float32)
        decoded = dynamics.compute_masks(5 * flow, logit, do_3D=True, min_size=15)
        arrays[f"{name}-labels"] = labels.astype(np.uint8)
        arrays[f"{name}-flow"] = np.round(flow[:, labels > 0] * 127).astype(np.int8)
        arrays[f"{name}-decoded"] = decoded.astype(np.uint8)
    np.savez_compressed(HERE / "flow_volume.npz", **arrays)
    origin = {
        "source": "cellpose.dynamics.masks_to_flows_gpu_3d and compute_masks "
        "(https://github.com/MouseLand/cellpose), BSD-3-Clause",
        "cellpose": version("cellpose"),
        "torch": version("torch"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "command": "uv run --group benchmark python tests/golden/make_flow_volume_golden.py",
        "arrays": {
            "labels": "(Z, Y, X) ids",
            "flow": "(3, n) vectors z, y, x of the n foreground voxels in scan order, times 127",
            "decoded": "(Z, Y, X) cellpose's objects for its own field",
        },
        "tolerance": "95 % of vectors within 1 degree and 99 % within 5, away from the sinks: the "
        "last iterations are a geometric sum and the stored vectors are rounded",
    }
    (HERE / "flow_volume.json").write_text(json.dumps(origin, indent=1) + "\n")


if __name__ == "__main__":
    main()
