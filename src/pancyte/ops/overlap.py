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
_CHUNK = 8192  # pixels whose runs are found at once: their flags stay in the first cache
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
    i, j = (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32)
    truth_ids, truth_index, truth_areas = _index_by_id(i, counts)
    prediction_ids, prediction_index, prediction_areas = _index_by_id(j, counts)
    both = (i > 0) & (j > 0)  # pairs with background only carry area
    return OverlapTable(
        truth_ids=truth_ids,
        prediction_ids=prediction_ids,
        truth_areas=truth_areas,
        prediction_areas=prediction_areas,
        truth_index=truth_index[both],
        prediction_index=prediction_index[both],
        counts=counts[both],
    )


def _count_pairs(
    first: IntArray, second: IntArray
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the keys ``i << 32 | j``, ascending, and pixels of all pairs but (0, 0)."""
    keys, counts = _walk_runs(first, second)
    used = np.flatnonzero(keys > 0)
    order = used[np.argsort(keys[used])]
    return keys[order], counts[order]


def _index_by_id(
    ids: IntArray, counts: npt.NDArray[np.int64]
) -> tuple[IntArray, npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Return the ids of objects, the place of each pair's id among them, and their areas."""
    unique = np.unique(ids)
    index = np.searchsorted(unique, ids)
    areas = np.bincount(index, weights=counts, minlength=len(unique)).astype(np.int64)
    background = int(len(unique) > 0 and unique[0] == 0)
    return unique[background:], index - background, areas[background:]


@njit(cache=True, nogil=True)
def _walk_runs(
    first: IntArray, second: IntArray
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    # Ends of runs are found chunk by chunk, first as flags and then as places, each in a loop
    # without branches: a branch per pixel is guessed wrong at every end, and that costs the most.
    bits = 12
    keys = np.full(1 << bits, _EMPTY)
    counts = np.zeros(1 << bits, dtype=np.int64)
    flags = np.empty(_CHUNK, dtype=np.uint8)
    ends = np.empty(_CHUNK + 1, dtype=np.int32)
    held = 0
    start = 0
    for low in range(0, first.size, _CHUNK):
        high = min(low + _CHUNK, first.size)
        _flag_changes(first[low:high], second[low:high], flags)
        flags[high - low - 1] = 1  # a run ends with its chunk at the latest
        num_ends = _places(flags[: high - low], ends)
        while 2 * (held + num_ends) > keys.size:
            bits += 1
            keys, counts = _rehash(keys, counts, bits)
        for k in range(num_ends):
            end = low + ends[k]
            key = (np.int64(first[end]) << 32) | second[end]
            held += _add(keys, counts, bits, key, end + 1 - start)
            start = end + 1
    return keys, counts


@njit(cache=True, nogil=True)
def _flag_changes(first: IntArray, second: IntArray, flags: npt.NDArray[np.uint8]) -> None:
    for k in range(first.size - 1):
        flags[k] = (first[k] != first[k + 1]) | (second[k] != second[k + 1])


@njit(cache=True, nogil=True)
def _places(flags: npt.NDArray[np.uint8], places: IntArray) -> np.int64:
    count = np.int64(0)
    for k in range(flags.size):
        places[count] = k
        count += np.int64(flags[k])
    return count


@njit(cache=True, nogil=True)
def _rehash(
    keys: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], bits: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    larger_keys = np.full(1 << bits, _EMPTY)
    larger_counts = np.zeros(1 << bits, dtype=np.int64)
    for place in range(keys.size):
        if keys[place] != _EMPTY:
            _add(larger_keys, larger_counts, bits, keys[place], counts[place])
    return larger_keys, larger_counts


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
