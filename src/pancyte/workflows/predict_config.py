"""The settings of a prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

import numpy as np

from pancyte.inference.blocks import Blocks
from pancyte.inference.tiles import Tiling
from pancyte.ops.symmetry import Flips, choose_symmetries
from pancyte.params import params
from pancyte.runtime import PrecisionChoice
from pancyte.workflows.outputs import Wanted


@params
class PredictConfig:
    """How images are segmented; the defaults suit most."""

    model: str | tuple[str, ...] | None = None
    """Name of a model, or path of a model folder; None is the bundled model. The maps of several
    are averaged; they have the same classes and preprocessing."""
    diameter: float | None = None
    """Typical diameter of the objects in pixels of the image; None estimates it per image."""
    axes: str | None = None
    """Letters of the axes of the files, such as ``CYX``; None believes the files."""
    channels: str | tuple[int | str, ...] | None = None
    """Channels to use, by index or name, in the order for the network; None uses all."""
    spacing: tuple[float, float] | None = None
    """Micrometre per pixel along y and x; None believes the files."""
    min_score: float | None = None
    """Objects with a lower score are left out; 0 to 1, and None is what the model says itself, most
    often 0."""
    min_area: float = 0.0
    """Objects of fewer pixels of the image are left out."""
    device: str = "auto"
    """``cpu``, ``cuda``, ``cuda:1``; auto takes a GPU where there is one."""
    precision: PrecisionChoice = "auto"
    """auto takes bfloat16 where the device is faster with it."""
    threads: int | None = None
    """CPU threads; None takes all that this process may use."""
    tiling: Tiling = Tiling()
    """Size and overlap of the tiles that the network sees."""
    flips: Flips = 1
    """Flips and turns under which each tile is seen, whose maps are averaged: 3 (both flips), 4
    (and half a turn) or 8 (all), or names, such as ``["identity", "flip_x"]``. Time grows by as
    much; 1 is none."""
    blocks: Blocks = Blocks()
    """From which size on, and how, an image is decoded in blocks."""
    split: str | None = None
    """Split of a manifest to predict; None is all of its images."""
    only_masks: bool = False
    """Whether label images are all that is written, beside ``run.json``."""
    save_masks: bool = True
    """Whether label images are written."""
    save_pictures: bool = True
    """Whether pictures of the contours are written."""
    decoding: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the model's task for finding objects that differ from those of the model; those
    of one class are in a table of its name, such as ``decoding.nucleus.min_size``."""

    def __post_init__(self) -> None:
        if self.diameter is not None and not 0 < self.diameter < np.inf:
            msg = f"Expected diameter to be a positive number of pixels, but got {self.diameter}"
            raise ValueError(msg)
        if self.axes is not None and set(self.axes.strip().upper()) - set("TCZYXS"):
            msg = f"Expected axes of the letters TCZYXS, such as CYX or YXC, but got {self.axes!r}"
            raise ValueError(msg)
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise ValueError(f"Expected min_score to lie in 0 to 1, but got {self.min_score}")
        if not 0 <= self.min_area < np.inf:
            raise ValueError(f"Expected min_area to be 0 or more pixels, but got {self.min_area}")
        choose_symmetries(self.flips)
        if isinstance(self.model, tuple) and not self.model:
            raise ValueError("Expected model to name at least one model, but got none")
        if self.only_masks and not self.save_masks:
            msg = (
                "Expected only one of only_masks and not save_masks, since together they leave "
                "nothing to write. For the table alone, give --no-save-masks --set "
                "save_pictures=false."
            )
            raise ValueError(msg)

    @property
    def wanted(self) -> Wanted:
        """The kinds of results to write."""
        return Wanted(
            masks=self.save_masks,
            pictures=self.save_pictures and not self.only_masks,
            tables=not self.only_masks,
        )
