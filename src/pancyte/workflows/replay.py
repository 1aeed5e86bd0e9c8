"""Replay: a few patches of a second data set in every batch, so that what it taught is not lost.

MEDIAR fine-tunes on the images of a challenge with one public image in each batch of 8 (Lee et al.
2022, https://openreview.net/forum?id=b9LsSN1Ddz); its public labels are made free of thick
boundaries first.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from pancyte.augment.cell_aware import BoundaryExclusion, change_objects
from pancyte.augment.intensity import IntensityAugmentation, augment_intensity
from pancyte.augment.spatial import NO_SPATIAL, SpatialAugmentation, draw_matrix
from pancyte.data.datasets import PatchDataset, ReplayedDataset
from pancyte.data.folders import read_sources
from pancyte.data.records import TRAIN, DataSource, select_split
from pancyte.errors import ConfigError
from pancyte.params import params

if TYPE_CHECKING:
    import numpy as np

    from pancyte.types import FloatArray

_SEED: Final = 0x5E91A7
"""Added to the seed of a training for what it replays, so that the two share no random numbers."""


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
    exclude_boundaries: BoundaryExclusion | None = BoundaryExclusion()
    """Which boundary pixels of its objects become background; none takes none."""

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("Expected data to name at least one data set to replay, but got none")
        if self.samples < 1:
            raise ValueError(f"Expected samples of at least 1, but got {self.samples}")


def add_replay(dataset: PatchDataset, replay: Replay) -> ReplayedDataset:
    """Return a data set whose batches also hold patches of what is replayed.

    Parameters
    ----------
    dataset
        What is trained on; its task, seed and size of patches hold for the replayed ones too.
    replay
        What to replay, with absolute paths.

    Raises
    ------
    InputError
        A data set cannot be read.
    ConfigError
        It has no images to train on.
    """
    found = read_sources(replay.data)
    records = [r for r in select_split(found, "", TRAIN) if r.labels is not None and r.weight > 0]
    if not records:
        sources = ", ".join(str(source.path) for source in replay.data)
        msg = (
            f"replay.data: expected images of the split {TRAIN!r} (or none) with labels and a "
            f"weight above 0, but got none in {sources}. Look at the columns split, labels and "
            "weight."
        )
        raise ConfigError(msg)
    replayed = PatchDataset(
        records,
        dataset.task,
        # Every image comes before one comes again, and none is amplified.
        sampling=replace(dataset.sampling, amplify=None, order="epoch"),
        draw_matrix=partial(draw_matrix, replay.spatial),
        change_sample=partial(change_objects, exclude_boundaries=replay.exclude_boundaries),
        change_intensity=None
        if replay.intensity is None
        else partial(_change_intensity, replay.intensity),
        seed=dataset.seed + _SEED,
    )
    return ReplayedDataset(dataset, replayed, samples=replay.samples)


def _change_intensity(
    settings: IntensityAugmentation, pixels: FloatArray, generator: np.random.Generator
) -> FloatArray:
    return augment_intensity(pixels, settings, generator)
