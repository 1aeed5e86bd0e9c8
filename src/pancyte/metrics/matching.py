"""Which predicted object is which true object: the counts from which every score is computed.

A match is a pair of objects, one to one, whose intersection over union (IoU) reaches a threshold.
From 0.5 upward a pair can be looked up, because two disjoint objects cannot both cover more than
half of the same one. Below 0.5 objects compete, and an assignment is solved in each group of
objects that candidate pairs connect: as many matches as possible, then the largest summed IoU.

Counts add up over images, ratios do not: :class:`Matching` holds sums and is added with ``+``;
:mod:`pancyte.metrics.scores` divides last.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

from pancyte.ops.overlap import overlap_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pancyte.ops.overlap import OverlapTable

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""The IoU thresholds 0.5:0.95 of which means are reported."""


@dataclass(frozen=True, slots=True, eq=False)
class Matching:
    """Sums over one or several images of one class, for each of T thresholds."""

    thresholds: npt.NDArray[np.float64]
    """(T,) smallest IoU of a match."""
    tp: npt.NDArray[np.int64]
    """(T,) matched pairs."""
    fp: npt.NDArray[np.int64]
    """(T,) predicted objects without a match."""
    fn: npt.NDArray[np.int64]
    """(T,) true objects without a match."""
    iou_sum: npt.NDArray[np.float64]
    """(T,) summed IoU of the matched pairs."""
    truth_pixels: int
    """Foreground pixels of the truth."""
    prediction_pixels: int
    """Foreground pixels of the prediction."""
    shared_pixels: int
    """Pixels that are foreground in both, whatever the ids."""
    aji_intersection: int
    """Numerator of the aggregated Jaccard index."""
    aji_union: int
    """Denominator of the aggregated Jaccard index."""

    def __add__(self, other: Matching) -> Matching:
        """Return the sums over both.

        Raises
        ------
        ValueError
            If the thresholds differ.
        """
        if not np.array_equal(self.thresholds, other.thresholds):
            msg = (
                "Expected two matchings at the same thresholds, but got "
                f"{self.thresholds.tolist()} and {other.thresholds.tolist()}"
            )
            raise ValueError(msg)
        sums = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in fields(self)
            if field.name != "thresholds"
        }
        return Matching(thresholds=self.thresholds, **sums)


def match(
    truth: npt.ArrayLike, prediction: npt.ArrayLike, thresholds: Sequence[float] = THRESHOLDS
) -> Matching:
    """Match the objects of two label arrays of one class at several thresholds.

    Parameters
    ----------
    truth, prediction
        Labels of the same shape, of any integer type. Class planes are matched one by one.
    thresholds
        T values in (0, 1]; a match has an IoU of at least the threshold.

    Returns
    -------
    Matching
        The counts; all zero where neither holds an object.

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If the shapes differ, or a threshold lies outside (0, 1].

    Notes
    -----
    All thresholds come from one sparse table, in one pass over the pixels. Where two objects are
    the halves of a third (IoU 0.5 twice), one of them matches. The sums of the aggregated Jaccard
    index follow Kumar et al.: each true object takes the predicted one of largest IoU (of equal
    ones the lowest id), which may be taken several times; what nobody took counts as union.

    References
    ----------
    Kumar et al., "A Dataset and a Technique for Generalized Nuclear Segmentation for Computational
    Pathology", IEEE TMI 2017, doi:10.1109/TMI.2017.2677499.

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 2, 2, 2]])
    >>> prediction = np.array([[1, 1, 1, 0, 2, 2]])
    >>> result = match(truth, prediction, thresholds=(0.5, 0.75))
    >>> result.tp, result.fp, result.fn
    (array([2, 0]), array([0, 2]), array([0, 2]))
    """
    levels = _check_thresholds(thresholds)
    table = overlap_table(truth, prediction)
    iou = table.iou
    # Above 0.5 a match has no rival, so it is among the matches at 0.5 already.
    at_half = matched_pairs(table, 0.5)
    matches = [
        at_half[iou[at_half] >= level] if level >= 0.5 else matched_pairs(table, float(level))
        for level in levels
    ]
    tp = np.array([len(pairs) for pairs in matches], dtype=np.int64)
    intersection, union = _aggregated_jaccard(table)
    return Matching(
        thresholds=levels,
        tp=tp,
        fp=len(table.prediction_ids) - tp,
        fn=len(table.truth_ids) - tp,
        iou_sum=np.array([iou[pairs].sum() for pairs in matches], dtype=np.float64),
        truth_pixels=int(table.truth_areas.sum()),
        prediction_pixels=int(table.prediction_areas.sum()),
        shared_pixels=int(table.counts.sum()),
        aji_intersection=intersection,
        aji_union=union,
    )


def matched_pairs(table: OverlapTable, threshold: float) -> npt.NDArray[np.intp]:
    """Return which pairs of an overlap table are matches, one to one.

    Parameters
    ----------
    table
        From :func:`pancyte.ops.overlap.overlap_table`.
    threshold
        Smallest IoU of a match, in (0, 1].

    Returns
    -------
    ndarray of shape (num_matches,)
        Positions of the matches among the table's pairs, ascending.

    Raises
    ------
    ValueError
        If the threshold lies outside (0, 1].

    Examples
    --------
    >>> from pancyte.ops.overlap import overlap_table
    >>> table = overlap_table(np.array([[4, 4, 0]]), np.array([[7, 7, 7]]))
    >>> pairs = matched_pairs(table, 0.5)
    >>> table.truth_ids[table.truth_index[pairs]]
    array([4], dtype=int32)
    """
    _check_thresholds((threshold,))
    iou = table.iou
    candidates = np.flatnonzero(iou >= threshold)
    rows, columns = table.truth_index[candidates], table.prediction_index[candidates]
    if threshold >= 0.5:
        # Only exact halves can compete here: two of them on one object, each with no other partner.
        _, first = np.unique(rows, return_index=True)
        _, second = np.unique(columns[first], return_index=True)
        return np.sort(candidates[first[second]])
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    contested = np.flatnonzero(~alone)
    chosen = _assign_groups(rows[contested], columns[contested], iou[candidates[contested]])
    return np.sort(np.concatenate([candidates[alone], candidates[contested[chosen]]]))


def _check_thresholds(thresholds: Sequence[float]) -> npt.NDArray[np.float64]:
    levels = np.asarray(thresholds, dtype=np.float64)
    if levels.ndim != 1 or not np.all((levels > 0) & (levels <= 1)):
        msg = f"Expected IoU thresholds above 0 and up to 1, but got {thresholds}"
        raise ValueError(msg)
    return levels


def _assign_groups(
    rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], iou: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """Return the positions of the best assignment, solved in each connected group of pairs."""
    if len(iou) == 0:
        return np.zeros(0, dtype=np.intp)
    _, rows = np.unique(rows, return_inverse=True)
    _, columns = np.unique(columns, return_inverse=True)
    num_rows, num_columns = int(rows.max()) + 1, int(columns.max()) + 1
    size = num_rows + num_columns
    graph = coo_array((np.ones(len(iou)), (rows, num_rows + columns)), shape=(size, size))
    group = connected_components(graph, directed=False)[1][rows]
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order])) + 1
    return np.concatenate(
        [part[_assign(rows[part], columns[part], iou[part])] for part in np.split(order, starts)]
    )


def _assign(
    rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], iou: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    _, rows = np.unique(rows, return_inverse=True)
    _, columns = np.unique(columns, return_inverse=True)
    num_rows, num_columns = int(rows.max()) + 1, int(columns.max()) + 1
    # One match more always outweighs all IoU together, which is at most half. Each row may instead
    # take a column of its own at a higher price, so that a full assignment exists.
    gain = 1.0 + iou / (2 * min(num_rows, num_columns))
    spare = np.arange(num_rows)
    costs = coo_array(
        (
            np.concatenate([2.0 - gain, np.full(num_rows, 2.0)]),
            (np.concatenate([rows, spare]), np.concatenate([columns, num_columns + spare])),
        ),
        shape=(num_rows, num_columns + num_rows),
    )
    taken = min_weight_full_bipartite_matching(costs.tocsr())[1]
    return np.flatnonzero(taken[rows] == columns)


def _aggregated_jaccard(table: OverlapTable) -> tuple[int, int]:
    if len(table.counts) == 0:
        return 0, int(table.truth_areas.sum() + table.prediction_areas.sum())
    # Pairs are sorted by true object, then by predicted one: the first maximum has the lowest id.
    iou = table.iou
    starts = np.flatnonzero(np.diff(table.truth_index, prepend=-1))
    largest = np.maximum.reduceat(iou, starts)
    is_best = np.flatnonzero(iou == np.repeat(largest, np.diff(starts, append=len(iou))))
    _, first = np.unique(table.truth_index[is_best], return_index=True)
    best = is_best[first]
    taken = table.prediction_index[best]
    intersection = int(table.counts[best].sum())
    union = int(table.truth_areas.sum()) + int(table.prediction_areas[taken].sum()) - intersection
    spare = np.ones(len(table.prediction_ids), dtype=bool)
    spare[taken] = False
    return intersection, union + int(table.prediction_areas[spare].sum())
