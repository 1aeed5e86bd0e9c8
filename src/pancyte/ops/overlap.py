"""How many pixels each object of one label array shares with each object of another, sparsely.

::

    truth  1 1 1 0      counts   (1, 5): 2
    guess  0 5 5 5               (1, 0): 1   and   (0, 5): 1, which go into the areas

Both arrays are walked together in runs of equal pairs, and each run is added to a hash table with
open addressing and 64-bit keys. Time is one pass, memory is proportional to the pairs that touch;
there is no table of all objects against all objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numba import njit

from pancyte.ops.ids import as_labels

if TYPE_CHECKING:
    from pancyte.types import IntArray

_EMPTY = np.int64(-1)  # no pair of ids has this key
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: spreads neighboring keys


@dataclass(frozen=True, slots=True, eq=False)
class OverlapTable:
    """The objects of two label arrays with their areas, and the pairs of them that share pixels."""

    truth_ids: IntArray
    """(n,) ids of the first array, ascending, without 0."""
    prediction_ids: IntArray
    """(m,) ids of the second array, ascending, without 0."""
    truth_areas: npt.NDArray[np.int64]
    """(n,) pixels."""
    prediction_areas: npt.NDArray[np.int64]
    """(m,) pixels."""
    truth_index: npt.NDArray[np.int64]
    """(p,) position in ``truth_ids`` of each pair; pairs are sorted by it, then by the other."""
    prediction_index: npt.NDArray[np.int64]
    """(p,) position in ``prediction_ids`` of each pair."""
    counts: npt.NDArray[np.int64]
    """(p,) pixels that the pair shares, at least 1."""

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        """(p,) intersection over union of each pair."""
        areas = self.truth_areas[self.truth_index] + self.prediction_areas[self.prediction_index]
        return self.counts / (areas - self.counts)


def overlap_table(truth: npt.ArrayLike, prediction: npt.ArrayLike) -> OverlapTable:
    """Count the pixels that objects of two label arrays share.

    Parameters
    ----------
    truth, prediction
        Labels of the same shape, of any number of axes and any integer type. Several class planes
        are several calls: an id means one object of the whole array.

    Returns
    -------
    OverlapTable
        Ids, areas and touching pairs; all of length 0 for empty labels.

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If the shapes differ, or an id does not fit into int32.

    Examples
    --------
    >>> table = overlap_table(np.array([[1, 1, 1, 0]]), np.array([[0, 5, 5, 5]]))
    >>> table.truth_areas, table.prediction_areas, table.counts, table.iou
    (array([3]), array([3]), array([2]), array([0.5]))
    """
    first, second = as_labels(truth), as_labels(prediction)
    if first.shape != second.shape:
        msg = f"Expected truth and prediction of one shape, but got {first.shape}, {second.shape}"
        raise ValueError(msg)
    keys, counts = _count_pairs(first.ravel(), second.ravel())
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    i, j = (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32)
    truth_ids, truth_index = np.unique(i, return_inverse=True)
    prediction_ids, prediction_index = np.unique(j, return_inverse=True)
    truth_areas = np.bincount(truth_index, counts, len(truth_ids)).astype(np.int64)
    prediction_areas = np.bincount(prediction_index, counts, len(prediction_ids)).astype(np.int64)
    # Pairs with background only carry area; without them positions shift by one where 0 was an id.
    skip_truth = int(len(truth_ids) > 0 and truth_ids[0] == 0)
    skip_prediction = int(len(prediction_ids) > 0 and prediction_ids[0] == 0)
    both = (i > 0) & (j > 0)
    return OverlapTable(
        truth_ids=truth_ids[skip_truth:],
        prediction_ids=prediction_ids[skip_prediction:],
        truth_areas=truth_areas[skip_truth:],
        prediction_areas=prediction_areas[skip_prediction:],
        truth_index=truth_index[both] - skip_truth,
        prediction_index=prediction_index[both] - skip_prediction,
        counts=counts[both],
    )


def _count_pairs(
    first: IntArray, second: IntArray
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the key ``i << 32 | j`` and the number of pixels of each pair but (0, 0), unsorted."""
    keys, counts = _walk_runs(first, second)
    used = keys > 0
    return keys[used], counts[used]


@njit(cache=True, nogil=True)
def _walk_runs(
    first: IntArray, second: IntArray
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    bits = 12
    keys = np.full(1 << bits, _EMPTY)
    counts = np.zeros(1 << bits, dtype=np.int64)
    held = 0
    k = 0
    while k < first.size:
        i, j, start = first[k], second[k], k
        k += 1
        while k < first.size and first[k] == i and second[k] == j:
            k += 1
        held += _add(keys, counts, bits, (np.int64(i) << 32) | j, k - start)
        if 2 * held > keys.size:
            bits += 1
            larger_keys = np.full(1 << bits, _EMPTY)
            larger_counts = np.zeros(1 << bits, dtype=np.int64)
            for place in range(keys.size):
                if keys[place] != _EMPTY:
                    _add(larger_keys, larger_counts, bits, keys[place], counts[place])
            keys, counts = larger_keys, larger_counts
    return keys, counts


@njit(cache=True, nogil=True, inline="always")
def _add(
    keys: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    bits: int,
    key: np.int64,
    amount: int,
) -> int:
    """Add to the count of a key; return 1 if the key is new."""
    place = np.int64((np.uint64(key) * _SPREAD) >> np.uint64(64 - bits))
    while keys[place] != key:
        if keys[place] == _EMPTY:
            keys[place] = key
            counts[place] = amount
            return 1
        place = (place + 1) & (keys.size - 1)
    counts[place] += amount
    return 0
