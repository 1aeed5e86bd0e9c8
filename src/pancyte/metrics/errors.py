"""Where a prediction is right and where it is wrong, pixel by pixel, given which objects match.

::

    truth       1 1 1 0 2 2      codes   M T T F B B     T true, F false, M missed, B both: the
    prediction  0 5 5 5 6 6                              pixel of a missed and of a false object
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pancyte.metrics.matching import matched_pairs
from pancyte.ops.ids import compact_ids, map_ids
from pancyte.ops.overlap import overlap_table

if TYPE_CHECKING:
    from pancyte.types import BoolArray, IntArray

TRUE: Final = 1
FALSE: Final = 2
MISSED: Final = 3
BOTH: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class ErrorMap:
    """What is right and wrong in one class plane."""

    codes: npt.NDArray[np.uint8]
    """Of the shape of the labels, or of their every n-th pixel: 0 background in both; ``TRUE``: an
    object and its match overlap; ``FALSE``: predicted only; ``MISSED``: annotated only; ``BOTH``:
    in an annotated object and in a predicted one that do not match."""
    matched_truth: BoolArray
    """Likewise: pixels of annotated objects that have a match."""
    matched_prediction: BoolArray
    """Likewise, of predicted objects."""
    tp: int
    """Matched pairs of objects."""
    fp: int
    """Predicted objects without a match."""
    fn: int
    """Annotated objects without a match."""


def error_map(
    truth: npt.ArrayLike, prediction: npt.ArrayLike, *, threshold: float = 0.5, step: int = 1
) -> ErrorMap:
    """Compare two label arrays of one class pixel by pixel.

    Parameters
    ----------
    truth, prediction
        Labels of the same shape, of any number of axes and any integer type.
    threshold
        Smallest IoU of a match, in (0, 1].
    step
        The maps have every n-th pixel along each axis; objects are matched by all their pixels.

    Returns
    -------
    ErrorMap
        All zero for empty against empty.

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If the shapes differ, or the threshold lies outside (0, 1].

    Examples
    --------
    >>> found = error_map(np.array([[1, 1, 1, 0, 2, 2]]), np.array([[0, 5, 5, 5, 6, 0]]))
    >>> found.codes, found.tp, found.fp, found.fn
    (array([[3, 1, 1, 2, 1, 3]], dtype=uint8), 2, 0, 0)
    """
    table = overlap_table(truth, prediction)
    pairs = matched_pairs(table, threshold)
    true = _places(truth, table.truth_ids, step)
    found = _places(prediction, table.prediction_ids, step)
    # Place of the partner among the predicted objects, 1..m; 0 has none, and -1 is no id.
    partner = np.zeros(len(table.truth_ids) + 1, np.int32)
    partner[table.truth_index[pairs] + 1] = table.prediction_index[pairs] + 1
    is_partner = np.zeros(len(table.prediction_ids) + 1, np.bool_)
    is_partner[partner] = True
    is_partner[0] = False
    codes = np.zeros(true.shape, np.uint8)
    codes[found > 0] = FALSE
    codes[true > 0] = MISSED
    overlapping = (true > 0) & (found > 0)
    codes[overlapping] = np.where(partner[true[overlapping]] == found[overlapping], TRUE, BOTH)
    return ErrorMap(
        codes=codes,
        matched_truth=(partner > 0)[true],
        matched_prediction=is_partner[found],
        tp=len(pairs),
        fp=len(table.prediction_ids) - len(pairs),
        fn=len(table.truth_ids) - len(pairs),
    )


def _places(labels: npt.ArrayLike, ids: IntArray, step: int) -> IntArray:
    """Return every n-th pixel of labels, as the place 1..n of its object among all ids."""
    array = np.asarray(labels)
    compact, shown = compact_ids(array[(slice(None, None, step),) * array.ndim])
    # Small objects may lie between the pixels that are shown.
    return map_ids(compact, np.searchsorted(np.append(0, ids), shown).astype(np.int32))
