"""The seams of pancyte: ``Task``, which every segmentation method implements, and ``Tracker``.

A task is a frozen settings object with methods. Data, training and inference know only this
protocol; a new method is one module in :mod:`pancyte.tasks` and one entry in its union.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from pancyte.ops.preprocess import Preprocessing
    from pancyte.types import BoolArray, FloatArray, IntArray, Maps, Part, Segmentation

Targets = Mapping[str, npt.NDArray[Any]]
"""What a network is trained towards, for one sample: name to array with channels first."""


class Task(Protocol):
    """How one segmentation method builds, supervises, runs and decodes its network."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes, in the order of the label planes."""
        ...

    @property
    def ndim(self) -> int:
        """Number of spatial axes that the network sees, 2 or 3."""
        ...

    @property
    def context(self) -> int:
        """Odd number of slices that the network sees at once; 1 is plain 2D."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """Channels, normalization and object size that the network expects."""
        ...

    def network(self) -> nn.Module:
        """Return a new, untrained network; nothing is downloaded."""
        ...

    def encode(self, labels: IntArray, valid: BoolArray | None = None) -> Targets:
        """Turn labels (K, *space) into training targets; runs in the loader's workers."""
        ...

    def losses(
        self, network: nn.Module, images: Tensor, targets: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return named scalar loss terms of a batch (B, C, *space); their sum is minimized."""
        ...

    def infer(self, network: nn.Module, images: Tensor) -> Maps[Tensor]:
        """Run the network on a batch of tiles (B, C, *space); the maps stay on its device."""
        ...

    def decode(
        self, maps: Maps[FloatArray], *, scale: float = 1.0, part: Part | None = None
    ) -> Segmentation:
        """Find the objects in the maps of one image of any size, or of a part of it; pure numpy.

        ``scale`` is the size of a pixel of the maps in pixels of the network's input, below 1 where
        the maps were enlarged; sizes in the task's settings are in pixels of the network's input.
        Objects that reach an open side of a part are not judged by what is seen of them.
        """
        ...

    def relate(self, found: Segmentation) -> Segmentation:
        """Do what needs all objects of the whole image, such as linking classes, or the border.

        Called once the blocks of a large image were joined and labels have the size of the image,
        and again where objects were left out since; ids need not be those of ``decode``.
        """
        ...


class Tracker(Protocol):
    """Where the numbers of a training go: a CSV file, TensorBoard, or a service."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Record named values at a step."""
        ...

    def keep(self, folder: Path) -> None:
        """Store a finished model with the numbers, where there is a place for models."""
        ...

    def close(self) -> None:
        """Write what is pending and release files."""
        ...
