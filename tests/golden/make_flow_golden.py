"""Write flow.npz and flow.json: the field and the objects of the cellpose package on three planes.

Run in an environment that has cellpose (no GPU, no model needed):

    uv run --group benchmark python tests/golden/make_flow_golden.py

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

from tests.ops.flow_shapes import bar, ellipse, ring  # noqa: E402
from tests.strategies import consecutive, voronoi_cells  # noqa: E402

from pancyte.ops.flow import labels_to_flow  # noqa: E402 - pancyte may lie beside this file alone

SEED = 2021


def planes():
    """Touching cells of two sizes, then an ellipse, an arc and a bar apart from each other."""
    rng = np.random.default_rng(SEED)
    yield "touching", voronoi_cells((96, 96), 22, rng, gap=0.1)
    yield "small", voronoi_cells((72, 72), 12, rng, gap=0.3)
    apart = np.zeros((120, 160), np.int32)
    for k, (shape, y, x) in enumerate(
        ((ellipse(28, 9, 30), 0, 0), (ring(24, 14, 2.0), 50, 90), (bar(5, 60), 100, 5))
    ):
        window = apart[y : y + shape.shape[0], x : x + shape.shape[1]]
        window[shape[: window.shape[0], : window.shape[1]] > 0] = k + 1
    yield "apart", consecutive(apart)


def decode(labels, flow):
    """Cellpose's objects for a field and a foreground that are true."""
    logit = np.where(labels > 0, 6.0, -6.0).astype(np.float32)
    return dynamics.compute_masks(5 * flow, logit, flow_threshold=0.4, min_size=15)


def main():
    arrays = {}
    for name, labels in planes():
        flow = dynamics.masks_to_flows_gpu(labels)[0].astype(np.float32)
        arrays[f"{name}-labels"] = labels.astype(np.uint8)
        arrays[f"{name}-flow"] = np.round(flow[:, labels > 0] * 127).astype(np.int8)
        arrays[f"{name}-decoded"] = decode(labels, flow).astype(np.uint8)
        arrays[f"{name}-ours_decoded"] = decode(labels, labels_to_flow(labels)).astype(np.uint8)
    np.savez_compressed(HERE / "flow.npz", **arrays)
    origin = {
        "source": "cellpose.dynamics.masks_to_flows_gpu and compute_masks "
        "(https://github.com/MouseLand/cellpose), BSD-3-Clause",
        "cellpose": version("cellpose"),
        "torch": version("torch"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "command": "uv run --group benchmark python tests/golden/make_flow_golden.py",
        "arrays": {
            "labels": "(Y, X) ids",
            "flow": "(2, n) vectors y, x of the n foreground pixels in scan order, times 127",
            "decoded": "(Y, X) cellpose's objects for its own field",
            "ours_decoded": "(Y, X) cellpose's objects for the field of pancyte.ops.flow",
        },
        "tolerance": "95 % of vectors within 1 degree and 99 % within 5: the last iterations "
        "are a geometric sum and the stored vectors are rounded; objects at IoU 0.9",
    }
    (HERE / "flow.json").write_text(json.dumps(origin, indent=1) + "\n")


if __name__ == "__main__":
    main()
