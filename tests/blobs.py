"""A model that needs no training: bright spots on black are its objects.

Its network answers with the true foreground and flow of the bright spots in its input, so that
everything around a network can be tested with results that are known.
"""

from __future__ import annotations

from pathlib import Path

import cc3d
import numpy as np
import tifffile
import torch
from torch import Tensor, nn

from pancyte.inference.model import Model
from pancyte.ops.flow import labels_to_flow
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks.flow import FlowTask


class BrightSpots(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        bright = images.amax(dim=1).numpy() > 0.5
        flows = [
            labels_to_flow(cc3d.connected_components(plane, connectivity=4).astype(np.int32))
            for plane in bright
        ]
        return {
            "foreground": torch.from_numpy(np.where(bright, 9.0, -9.0).astype(np.float32))[:, None],
            "flow": torch.from_numpy(np.stack(flows)),
        }


def spot_model(*, diameter: float | None = None) -> Model:
    """Return the model; with a diameter it resizes images until spots have that size."""
    task = FlowTask(preprocessing=Preprocessing(diameter=diameter, percentiles=(0.0, 100.0)))
    manifest = {"weights_sha256": "0" * 64, "provenance": {"diameters": [8.0, 16.0, 32.0]}}
    return Model(task, BrightSpots(), name="spots", manifest=manifest)


def spots(
    shape: tuple[int, int] = (96, 128), *, radius: int = 8, brightness: int = 200
) -> np.ndarray:
    """Return an 8-bit image with a grid of round spots that do not touch."""
    step = 3 * radius
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = ((y % step) - step // 2) ** 2 + ((x % step) - step // 2) ** 2 <= radius**2
    whole = (y < shape[0] // step * step) & (x < shape[1] // step * step)
    return np.where(inside & whole, brightness, 0).astype(np.uint8)


def write_spots(path: Path, **options: int) -> Path:
    """Write an image with 4 x 5 = 20 spots, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, spots(**options))
    return path
