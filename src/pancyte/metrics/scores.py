"""Scores of instance segmentation from the counts of a :class:`~pancyte.metrics.matching.Matching`.

With TP matched pairs, FP predicted and FN true objects without a match, at each threshold::

    precision = TP / (TP + FP)          F1 = 2 TP / (2 TP + FP + FN) = RQ
    recall    = TP / (TP + FN)          AP = TP / (TP + FP + FN)
    SQ = mean IoU of the matches        PQ = SQ RQ

Empty against empty is NaN: there is nothing to score, and a mean should leave it out and say so. In
every other case a ratio of nothing is 0: objects without any prediction have precision 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pancyte.metrics.matching import Matching

Scores = npt.NDArray[np.float64]


def precision(matching: Matching) -> Scores:
    """Return TP / (TP + FP): how much of the prediction is true.

    Parameters
    ----------
    matching
        Counts at T thresholds.

    Returns
    -------
    ndarray of shape (T,)
        0 to 1, NaN for empty against empty.

    Examples
    --------
    >>> from pancyte.metrics.matching import match
    >>> precision(match([[1, 0, 2]], [[1, 0, 0]], (0.5,)))
    array([1.])
    """
    return _ratio(matching, matching.tp, matching.tp + matching.fp)


def recall(matching: Matching) -> Scores:
    """Return TP / (TP + FN): how much of the truth was found.

    Parameters
    ----------
    matching
        Counts at T thresholds.

    Returns
    -------
    ndarray of shape (T,)
        0 to 1, NaN for empty against empty.

    Examples
    --------
    >>> from pancyte.metrics.matching import match
    >>> recall(match([[1, 0, 2]], [[1, 0, 0]], (0.5,)))
    array([0.5])
    """
    return _ratio(matching, matching.tp, matching.tp + matching.fn)


def f1(matching: Matching) -> Scores:
    """Return 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall.

    Parameters
    ----------
    matching
        Counts at T thresholds.

    Returns
    -------
    ndarray of shape (T,)
        0 to 1, NaN for empty against empty.

    Examples
    --------
    >>> from pancyte.metrics.matching import match
    >>> f1(match([[1, 0, 2]], [[1, 0, 0]], (0.5,))).round(3)
    array([0.667])
    """
    return _ratio(matching, 2 * matching.tp, 2 * matching.tp + matching.fp + matching.fn)


def average_precision(matching: Matching) -> Scores:
    """Return TP / (TP + FP + FN), the average precision of the Data Science Bowl and Cellpose.

    Parameters
    ----------
    matching
        Counts at T thresholds.

    Returns
    -------
    ndarray of shape (T,)
        0 to 1, NaN for empty against empty.

    Notes
    -----
    This is not the area under a precision and recall curve that COCO calls average precision.

    References
    ----------
    Caicedo et al., "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl",
    Nature Methods 2019, doi:10.1038/s41592-019-0612-7.

    Examples
    --------
    >>> from pancyte.metrics.matching import match
    >>> average_precision(match([[1, 0, 2]], [[1, 0, 0]], (0.5,)))
    array([0.5])
    """
    return _ratio(matching, matching.tp, matching.tp + matching.fp + matching.fn)


def segmentation_quality(matching: Matching) -> Scores:
    """Return the mean IoU of the matched pairs (SQ).

    Parameters
    ----------
    matching
        Counts at T thresholds.

    Returns
    -------
    ndarray of shape (T,)
        0 without a match, else the threshold to 1; NaN for empty against empty.

    Examples
    --------
    >>> from pancyte.metrics.matching import match
    >>> segmentation_quality(match([[1, 1, 1, 1]], [[1, 1, 1, 0]], (0.5,)))
    array([0.75])
    """
    return _ratio(matching, matching.iou_sum, matching.tp)


def recognition_quality(matching: Matching) -> Scores:
    """Return TP / (TP + FP / 2 + FN / 2) (RQ), which is F1 under its panoptic name.

    Parameters
    ----------
    matching
        Counts at T thresholds.

    Returns
    -------
    ndarray of shape (T,)
        0 to 1, NaN for empty against empty.

    Examples
    --------
    >>> from pancyte.metrics.matching import match
    >>> recognition_quality(match([[1, 0, 2]], [[1, 0, 0]], (0.5,))).round(3)
    array([0.667])
    """
    return f1(matching)


def panoptic_quality(matching: Matching) -> Scores:
    """Return the summed IoU of the matches over TP + FP / 2 + FN / 2 (PQ = SQ RQ).

    Parameters
    ----------
    matching
        Counts at T thresholds.

    Returns
    -------
    ndarray of shape (T,)
        0 to 1, NaN for empty against empty.

    References
    ----------
    Kirillov et al., "Panoptic Segmentation", CVPR 2019, arXiv:1801.00868.

    Examples
    --------
    >>> from pancyte.metrics.matching import match
    >>> panoptic_quality(match([[1, 1, 1, 1]], [[1, 1, 1, 0]], (0.5,)))
    array([0.75])
    """
    return _ratio(matching, matching.iou_sum, matching.tp + 0.5 * matching.fp + 0.5 * matching.fn)


def dice(matching: Matching) -> float:
    """Return 2 |T ∩ P| / (|T| + |P|) of the foreground pixels, whatever the ids.

    Parameters
    ----------
    matching
        Counts of one or several images.

    Returns
    -------
    float
        0 to 1, NaN for empty against empty.

    Examples
    --------
    >>> from pancyte.metrics.matching import match
    >>> dice(match([[1, 1, 2, 0]], [[5, 0, 0, 0]]))
    0.5
    """
    total = matching.truth_pixels + matching.prediction_pixels
    return 2 * matching.shared_pixels / total if total else float("nan")


def aji(matching: Matching) -> float:
    """Return the aggregated Jaccard index.

    Parameters
    ----------
    matching
        Counts of one or several images.

    Returns
    -------
    float
        0 to 1, NaN for empty against empty.

    References
    ----------
    Kumar et al., "A Dataset and a Technique for Generalized Nuclear Segmentation for Computational
    Pathology", IEEE TMI 2017, doi:10.1109/TMI.2017.2677499.

    Examples
    --------
    >>> from pancyte.metrics.matching import match
    >>> aji(match([[1, 1, 2, 0]], [[5, 5, 5, 0]]))
    0.5
    """
    union = matching.aji_union
    return matching.aji_intersection / union if union else float("nan")


def _ratio(
    matching: Matching, numerator: npt.NDArray[np.generic], denominator: npt.NDArray[np.generic]
) -> Scores:
    ratio: Scores = np.divide(
        numerator, denominator, out=np.zeros(len(matching.tp)), where=denominator != 0
    )
    ratio[matching.tp + matching.fp + matching.fn == 0] = np.nan
    return ratio
