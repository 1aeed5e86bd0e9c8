"""A task and networks simple enough that their results are known."""

from __future__ import annotations

from dataclasses import dataclass, field

import cc3d
import numpy as np
import torch
from torch import nn

from pancyte.inference.tiles import TiledMaps, Tiling
from pancyte.ops.preprocess import Preprocessing
from pancyte.types import Maps, ObjectTable, Segmentation


class BrightNetwork(nn.Module):
    """Returns the first channel of its input."""

    def forward(self, images):
        return images[:, :1]


class BandNetwork(nn.Module):
    """Sees only what is bright and neither too small nor too large, as a trained network does."""

    def __init__(self, low, high):
        super().__init__()
        self.low, self.high = low, high

    def forward(self, images):
        seen = np.zeros((*images.shape[:1], 1, *images.shape[2:]), np.float32)
        for image, out in zip(images[:, 0].numpy(), seen[:, 0], strict=True):
            components = cc3d.connected_components(image > 0.5, connectivity=4)
            area = np.bincount(components.ravel())
            diameter = np.sqrt(4 * area / np.pi)
            keep = (diameter >= self.low) & (diameter <= self.high)
            keep[0] = False
            out[:] = keep[components]
        return torch.from_numpy(seen)


class SizingNetwork(BandNetwork):
    """Tells how large bright objects are, within what it knows, and counts how often it is asked.

    Sizes are relative to ``reference`` and no further from it than a factor of ``reach``; nothing
    below ``least`` pixels is seen.
    """

    def __init__(self, low, high, *, reference=30.0, reach=4.0, least=4.0, wrong=1.0):
        super().__init__(low, high)
        self.reference, self.reach, self.least, self.wrong = reference, reach, least, wrong
        self.looks = []

    def estimate_sizes(self, images):
        self.looks.append(tuple(images.shape))
        probabilities, sizes = [], []
        for image in images[:, 0].numpy():
            components = cc3d.connected_components(image > 0.5, connectivity=4)
            diameter = np.sqrt(4 * np.bincount(components.ravel()) / np.pi)
            diameter[0] = 0
            told = np.log2(np.maximum(diameter, 1e-3) * self.wrong / self.reference)
            limit = np.log2(self.reach)
            cells = np.ix_(*(np.minimum(np.arange(0, n, 4) + 2, n - 1) for n in image.shape))
            seen = components[cells]
            probabilities.append((diameter >= self.least)[seen])
            sizes.append(np.clip(told, -limit, limit)[seen])
        return (
            torch.from_numpy(np.stack(probabilities)[:, None].astype(np.float32)),
            torch.from_numpy(np.stack(sizes)[:, None].astype(np.float32)),
        )


@dataclass(frozen=True)
class BrightTask:
    """Objects are what is connected and above one half."""

    preprocessing: Preprocessing = field(
        default_factory=lambda: Preprocessing(percentiles=(0.0, 100.0))
    )
    classes: tuple[str, ...] = ("object",)
    ndim: int = 2
    context: int = 1

    def infer(self, network, images):
        scalars = network(images)
        vectors = torch.stack([scalars, -scalars], dim=2)
        return Maps(scalars, vectors)

    def decode(self, maps, *, scale=1.0, part=None):
        plane = cc3d.connected_components(maps.scalars[0] > 0.5, connectivity=4).astype(np.int32)
        count = int(plane.max(initial=0))
        columns = {
            "class": np.repeat(np.asarray(self.classes), count),
            "label": np.arange(1, count + 1, dtype=np.int32),
            "score": np.linspace(1.0, 0.5, count, dtype=np.float32),
        }
        return Segmentation(plane[None], ObjectTable(columns), self.classes)

    def relate(self, found):
        return found


def whole_maps(predictor, view, **settings):
    """Return the maps of all of an image at once."""
    maps = TiledMaps(predictor, view, **{"tiling": Tiling()} | settings)
    return maps.read((slice(0, view.shape[0]), slice(0, view.shape[1])))


def image_of_discs(shape, diameter, *, spacing=2.0):
    """A dark image with bright discs on a regular grid."""
    step = diameter * spacing
    y, x = np.mgrid[: shape[0], : shape[1]]
    distance = np.hypot((y + 0.5) % step - step / 2, (x + 0.5) % step - step / 2)
    return np.where(distance < diameter / 2, 200, 10).astype(np.uint8)
