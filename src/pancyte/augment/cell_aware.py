"""Changes of a sample that need its objects: brighten some cells, leave out their boundaries.

- Diversification: some of the objects of a patch become brighter by one factor, so that the
  brightness of an object says less about what it is.
- Boundary exclusion: the outermost pixels of every large object become background, so that cells
  that touch in coarse annotations of public data sets are apart.

Both are MEDIAR's, built as they were meant: ids are those that are there, the objects of all
classes are one list, all channels change, and labels keep their ids.

References
----------
Lee, Kim, Kim, Yun 2023, MEDIAR, arXiv:2212.03465. Written from the description.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_dilation

from pancyte.ops.ids import compact_ids, map_ids
from pancyte.ops.labels import boundaries
from pancyte.params import params
from pancyte.types import Sample

if TYPE_CHECKING:
    from pancyte.types import BoolArray, IntArray


@params
class CellAware:
    """How objects become brighter; the defaults are what MEDIAR's code does."""

    probability: float = 1.0
    """Share of the patches that are changed. MEDIAR's text says 0.25, its code 1."""
    ratio: float = 0.4
    """Share of a patch's objects that become brighter, rounded down to whole objects."""
    factor: tuple[float, float] = (0.0, 0.7)
    """Range of the relative gain, drawn once for all chosen objects of a patch."""

    def __post_init__(self) -> None:
        for name in ("probability", "ratio"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"Expected {name} in 0 to 1, but got {getattr(self, name)}")
        if not 0.0 <= self.factor[0] <= self.factor[1]:
            msg = f"Expected factor to be a range of at least 0, but got {self.factor}"
            raise ValueError(msg)


@params
class BoundaryExclusion:
    """Which pixels of objects become background; the defaults are MEDIAR's."""

    min_size: int = 196
    """Objects with fewer pixels in the patch than this (14 x 14) stay whole."""
    border: int = 2
    """Pixels this near to the border of the patch, of the image, or of what is annotated, stay: an
    object that is cut there has no boundary there."""

    def __post_init__(self) -> None:
        for name in ("min_size", "border"):
            if getattr(self, name) < 0:
                raise ValueError(f"Expected {name} of at least 0, but got {getattr(self, name)}")


def change_objects(
    sample: Sample,
    generator: np.random.Generator,
    *,
    cell_aware: CellAware | None = None,
    exclude_boundaries: BoundaryExclusion | None = None,
) -> Sample:
    """Apply what is not None of both changes, to whole objects first.

    Parameters
    ----------
    sample
        A patch after its geometry has been drawn.
    generator
        Source of randomness.
    cell_aware
        How to brighten objects.
    exclude_boundaries
        Which pixels to take from objects.

    Returns
    -------
    Sample
        The sample itself where nothing was asked for.
    """
    if cell_aware is not None:
        sample = diversify_cells(sample, cell_aware, generator)
    return sample if exclude_boundaries is None else clear_boundaries(sample, exclude_boundaries)


def diversify_cells(sample: Sample, settings: CellAware, generator: np.random.Generator) -> Sample:
    """Make some objects brighter: v becomes v * (1 + s) on their pixels, in every channel.

    Parameters
    ----------
    sample
        Labels of any number of classes and an image of any number of channels.
    settings
        How many objects, and by how much.
    generator
        Source of randomness.

    Returns
    -------
    Sample
        With the same labels. Values may exceed 1; negative ones stay.

    Notes
    -----
    The objects of all classes are one list, out of which ``floor(ratio * n)`` are chosen without
    replacement. A pixel in two of them, such as a nucleus and its cell, is brightened once.

    Examples
    --------
    >>> sample = Sample(np.ones((1, 1, 4), np.float32), np.array([[[7, 7, 0, 9]]], np.int32))
    >>> settings = CellAware(ratio=1.0, factor=(0.5, 0.5))
    >>> diversify_cells(sample, settings, np.random.default_rng(0)).image
    array([[[1.5, 1.5, 1. , 1.5]]], dtype=float32)
    """
    occurs, share = generator.random(2)
    if occurs >= settings.probability:
        return sample
    low, high = settings.factor
    chosen = _choose_objects(sample.labels, settings.ratio, generator)
    gain = np.float32(low + (high - low) * share) * chosen.astype(np.float32)
    brighter = sample.image + gain * np.maximum(sample.image, 0)
    return Sample(brighter, sample.labels, sample.valid)


def clear_boundaries(sample: Sample, settings: BoundaryExclusion) -> Sample:
    """Set the boundary pixels of large objects to background.

    Parameters
    ----------
    sample
        Labels of any number of classes.
    settings
        What stays.

    Returns
    -------
    Sample
        With the same image. A pixel is on the boundary if one of its four neighbors has another
        id; no other pixel changes, and none gets another id.

    Examples
    --------
    >>> labels = np.array([[[3, 3, 3, 5, 5, 5]] * 3], np.int32)
    >>> sample = Sample(np.zeros((1, 3, 6), np.float32), labels)
    >>> clear_boundaries(sample, BoundaryExclusion(min_size=0, border=0)).labels[0, 0]
    array([3, 3, 0, 0, 5, 5], dtype=int32)
    """
    labels = sample.labels
    excluded = boundaries(labels) & _is_large(labels, settings.min_size)
    excluded &= ~_near_unknown(sample, settings.border)
    return Sample(sample.image, np.where(excluded, np.int32(0), labels), sample.valid)


def _choose_objects(labels: IntArray, ratio: float, generator: np.random.Generator) -> BoolArray:
    """Return the pixels (Y, X) of the objects that were chosen among those of all planes."""
    planes = [compact_ids(plane) for plane in labels]
    counts = [len(ids) - 1 for _, ids in planes]
    total = sum(counts)
    # The product of 0.1 and 30 is a little below 3.
    number = int(ratio * total + 1e-9)
    is_chosen = np.zeros(total, dtype=np.int32)
    is_chosen[generator.permutation(total)[:number]] = 1
    chosen = np.zeros(labels.shape[1:], dtype=np.bool_)
    for (compact, _), flags in zip(
        planes, np.split(is_chosen, np.cumsum(counts)[:-1]), strict=True
    ):
        chosen |= map_ids(compact, np.concatenate([[0], flags]).astype(np.int32)) > 0
    return chosen


def _is_large(labels: IntArray, min_size: int) -> BoolArray:
    large = np.empty(labels.shape, dtype=np.bool_)
    for plane, out in zip(labels, large, strict=True):
        compact, ids = compact_ids(plane)
        sizes = np.bincount(compact.ravel(), minlength=len(ids))
        out[...] = map_ids(compact, (sizes >= min_size).astype(np.int32)) > 0
    return large


def _near_unknown(sample: Sample, border: int) -> BoolArray:
    """Mark the pixels whose neighborhood is not seen or not annotated; (K, Y, X)."""
    if border == 0 and sample.valid is None:
        return np.zeros(sample.labels.shape, dtype=np.bool_)
    size = 2 * border + 1
    unknown = np.ones(
        (len(sample.labels), *(side + 2 for side in sample.labels.shape[1:])), dtype=np.bool_
    )
    unknown[:, 1:-1, 1:-1] = False if sample.valid is None else ~sample.valid
    near = binary_dilation(unknown, np.ones((1, size, size), dtype=np.bool_))
    return np.asarray(near[:, 1:-1, 1:-1], dtype=np.bool_)
