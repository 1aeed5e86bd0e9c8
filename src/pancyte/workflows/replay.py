"""Replay: a few patches of a second data set in every batch, so that what it taught is not lost.

MEDIAR fine-tunes on the images of a challenge with one public image in each batch of 8 (Lee et al.
2022, https://openreview.net/forum?id=b9LsSN1Ddz); its public labels are made free of thick
boundaries first.
"""

from __future__ import annotations

from dataclasses import replace

from pancyte.augment.intensity import IntensityAugmentation
from pancyte.augment.spatial import NO_SPATIAL, SpatialAugmentation
from pancyte.data.records import DataSource
from pancyte.params import params


@params
class Replay:
    """A second data set, of which each batch holds some patches too."""

    data: tuple[DataSource, ...]
    """Data sets to replay; their images of the split ``train``, and those without a split."""
    samples: int = 1
    """Patches of it in each batch, in addition to ``batch``."""
    spatial: SpatialAugmentation = replace(NO_SPATIAL, flip=True, quarter_turns=True)
    """Random geometry of its patches."""
    intensity: IntensityAugmentation | None = None
    """Random intensities of its patches; none leaves them as they are."""
    exclude_boundaries: bool = True
    """Whether the boundary pixels of its objects become background."""

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("Expected data to name at least one data set to replay, but got none")
        if self.samples < 1:
            raise ValueError(f"Expected samples of at least 1, but got {self.samples}")
