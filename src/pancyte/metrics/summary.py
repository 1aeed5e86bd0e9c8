"""From the matching of each image and class to the numbers of a data set.

Four means answer four questions. *Micro* sums the counts of all images and classes: how good is an
average object. *Per class* sums over images, and *macro* is the mean of these: how good is an
average class. *Image-wise* sums over the classes of one image and takes the mean over images: how
good is an average image, with an interval that says how much hangs on which images there are.

A score is NaN where there is nothing to score. Such images and classes are left out of means, and
:class:`Summary` says how many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pancyte.metrics import scores
from pancyte.metrics.matching import THRESHOLDS, Matching

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Scores = Mapping[str, npt.NDArray[np.float64]]
"""Name of a score to its values: (T,) at thresholds, () for ``dice`` and ``aji``."""

AT_THRESHOLDS = (
    scores.precision,
    scores.recall,
    scores.f1,
    scores.average_precision,
    scores.panoptic_quality,
    scores.segmentation_quality,
    scores.recognition_quality,
)
OF_PIXELS = (scores.dice, scores.aji)


@dataclass(frozen=True, slots=True, eq=False)
class ImageMatching:
    """How one class of one image matched."""

    image: str
    """Name of the image, unique in the data set."""
    label_class: str
    """Name of the class."""
    matching: Matching


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """Scores of a data set; every group holds all scores."""

    thresholds: npt.NDArray[np.float64]
    """(T,) IoU thresholds."""
    num_images: int
    micro: Scores
    """From the counts of all images and classes together."""
    per_class: Mapping[str, Scores]
    """From the counts of each class over all images."""
    macro: Scores
    """Mean of ``per_class``."""
    image_wise: Scores
    """Mean over images, each with the counts of its classes together."""
    interval: Mapping[str, npt.NDArray[np.float64]]
    """(2, T) or (2,): 95 % bootstrap interval of ``image_wise``; NaN for a single image."""
    undefined_images: int
    """Images left out of ``image_wise``, because neither truth nor prediction has an object."""
    undefined_classes: int
    """Classes left out of ``macro``, for the same reason."""


def all_scores(matching: Matching, *, empty: float = float("nan")) -> Scores:
    """Return every score of one matching.

    Parameters
    ----------
    matching
        Counts at T thresholds.
    empty
        Score of empty against empty.

    Returns
    -------
    mapping of str to ndarray
        Values of shape (T,) at thresholds, and of shape () for ``dice`` and ``aji``.

    Examples
    --------
    >>> from pancyte.metrics.matching import match
    >>> values = all_scores(match([[1, 0, 2]], [[1, 0, 0]], (0.5,)))
    >>> values["average_precision"], float(values["aji"])
    (array([0.5]), 0.5)
    """
    values = {score.__name__: score(matching) for score in AT_THRESHOLDS}
    values |= {score.__name__: np.array(score(matching)) for score in OF_PIXELS}
    return {name: np.where(np.isnan(value), empty, value) for name, value in values.items()}


def summarize(
    rows: Sequence[ImageMatching],
    *,
    empty: float = float("nan"),
    rng: np.random.Generator | None = None,
    num_resamples: int = 2000,
) -> Summary:
    """Return the scores of a data set.

    Parameters
    ----------
    rows
        One for each class of each image, all at the same thresholds.
    empty
        Score of an image or class without any object in truth and prediction. NaN leaves it out of
        means; the NeurIPS challenge of 2022 counts it as 0.
    rng
        Source of the bootstrap's draws; None starts from seed 0, so that a summary can be repeated.
    num_resamples
        Number of bootstrap draws.

    Returns
    -------
    Summary
        All scores, micro, per class, macro and image-wise.

    Raises
    ------
    ValueError
        If there is no row, one image has a class twice, or thresholds differ.

    References
    ----------
    Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 1979,
    doi:10.1214/aos/1176344552.

    Examples
    --------
    >>> from pancyte.metrics.matching import match
    >>> rows = [
    ...     ImageMatching("a", "cell", match([[1, 2]], [[1, 2]], (0.5,))),
    ...     ImageMatching("b", "cell", match([[1, 0, 2, 0, 3, 4]], [[1, 0, 0, 0, 0, 0]], (0.5,))),
    ... ]
    >>> summary = summarize(rows)
    >>> summary.micro["average_precision"], summary.image_wise["average_precision"]
    (array([0.5]), array([0.625]))
    """
    if not rows:
        msg = "Expected at least one matched image, but got none"
        raise ValueError(msg)
    by_class: dict[str, list[Matching]] = {}
    by_image: dict[str, list[Matching]] = {}
    seen = set()
    for row in rows:
        if (row.image, row.label_class) in seen:
            msg = f"Expected one row per class, but got {row.image!r}, {row.label_class!r} twice"
            raise ValueError(msg)
        seen.add((row.image, row.label_class))
        by_class.setdefault(row.label_class, []).append(row.matching)
        by_image.setdefault(row.image, []).append(row.matching)
    per_class = {name: all_scores(_total(found), empty=empty) for name, found in by_class.items()}
    per_image = [all_scores(_total(found), empty=empty) for found in by_image.values()]
    macro, undefined_classes = _mean(per_class.values())
    image_wise, undefined_images = _mean(per_image)
    return Summary(
        thresholds=rows[0].matching.thresholds,
        num_images=len(by_image),
        micro=all_scores(_total(row.matching for row in rows), empty=empty),
        per_class=per_class,
        macro=macro,
        image_wise=image_wise,
        interval=_bootstrap(per_image, rng or np.random.default_rng(0), num_resamples),
        undefined_images=undefined_images,
        undefined_classes=undefined_classes,
    )


def threshold_mean(
    values: npt.NDArray[np.float64], thresholds: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the mean of a score over the thresholds 0.5:0.95.

    Parameters
    ----------
    values
        Values of shape (..., T).
    thresholds
        (T,), among them the ten of 0.5:0.95; others are left out.

    Returns
    -------
    ndarray of shape (...)
        The mean; NaN where a value is.

    Raises
    ------
    ValueError
        If one of the ten is missing.

    Examples
    --------
    >>> float(threshold_mean(np.linspace(0.9, 0.0, 10), np.array(THRESHOLDS)))
    0.45
    """
    near = np.isclose(np.asarray(thresholds)[:, None], THRESHOLDS).any(axis=1)
    if near.sum() != len(THRESHOLDS):
        msg = f"Expected the ten thresholds 0.5:0.95, but got {np.asarray(thresholds).tolist()}"
        raise ValueError(msg)
    return np.asarray(values[..., near].mean(axis=-1))


def _total(matchings: Iterable[Matching]) -> Matching:
    return reduce(add, matchings)


def _mean(groups: Iterable[Scores]) -> tuple[Scores, int]:
    """Return the mean of the groups with something to score, and how many had nothing."""
    groups = list(groups)
    defined = [group for group in groups if not np.isnan(group["f1"]).any()]
    if not defined:
        return groups[0], len(groups)
    means = {name: np.mean([group[name] for group in defined], axis=0) for name in defined[0]}
    return means, len(groups) - len(defined)


def _bootstrap(
    per_image: Sequence[Scores], rng: np.random.Generator, num_resamples: int
) -> dict[str, npt.NDArray[np.float64]]:
    defined = [group for group in per_image if not np.isnan(group["f1"]).any()]
    if len(defined) < 2:
        return {
            name: np.full((2, *np.shape(value)), np.nan) for name, value in per_image[0].items()
        }
    # How often each image is drawn, as shares; a resampled mean is then a product of matrices.
    count = len(defined)
    shares = rng.multinomial(count, np.full(count, 1 / count), size=num_resamples) / count
    return {
        name: np.percentile(shares @ np.stack([group[name] for group in defined]), (2.5, 97.5), 0)
        for name in defined[0]
    }
