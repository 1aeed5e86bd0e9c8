"""Scores that are probabilities: how to fit them, and how well they keep what they say.

Of all objects with a score of 0.8, eight of ten should match a true one. The reliability curve
draws that share over the score; the expected calibration error is its mean distance from the
diagonal, by the number of objects::

    ECE = sum over bins b of  n_b / n * | share of right ones in b - mean score in b |

References
----------
Guo, Pleiss, Sun, Weinberger 2017, arXiv:1706.04599, for the error with bins of equal width;
Niculescu-Mizil, Caruana 2005, doi:10.1145/1102351.1102430, for the curve; Platt 1999,
"Probabilistic outputs for support vector machines", for the targets that keep a fit finite;
Wilson 1927, doi:10.1080/01621459.1927.10502953, for the intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from pancyte.ops.calibration import Calibration, Features, calibrated_scores, sigmoid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pancyte.types import BoolArray

Array = npt.NDArray[np.float64]
Bins = Literal["width", "mass"]
"""Bins of equal width, or of about as many objects each."""

_STEPS: Final = 100
_Z95: Final = 1.959964


@dataclass(frozen=True, slots=True, eq=False)
class ReliabilityCurve:
    """Scores against what became of them, in the bins that hold an object."""

    low: Array
    """(b,) lower edge of each bin; with bins of equal mass, the lowest score."""
    high: Array
    """(b,) upper edge; with bins of equal mass, the highest score."""
    score: Array
    """(b,) mean score."""
    correct: Array
    """(b,) share of right objects."""
    count: npt.NDArray[np.int64]
    """(b,) number of objects."""

    @property
    def error(self) -> float:
        """Expected calibration error, 0 to 1; 0 without any object."""
        gaps = np.abs(self.correct - self.score)
        return float((self.count * gaps).sum() / max(self.count.sum(), 1))

    @property
    def interval(self) -> tuple[Array, Array]:
        """Wilson's 95 % interval (b,), (b,) of each share."""
        n, share = self.count, self.correct
        middle = share + _Z95**2 / (2 * n)
        half = _Z95 * np.sqrt(share * (1 - share) / n + _Z95**2 / (4 * n**2))
        scale = 1 + _Z95**2 / n
        low, high = (middle - half) / scale, (middle + half) / scale
        return np.maximum(low, 0.0), np.minimum(high, 1.0)


def reliability_curve(
    scores: npt.ArrayLike, correct: npt.ArrayLike, *, bins: int = 15, by: Bins = "width"
) -> ReliabilityCurve:
    """Compare scores with the share of right objects.

    Parameters
    ----------
    scores
        (n,) 0 to 1.
    correct
        (n,) whether each object is right.
    bins
        Number of bins, at least 1.
    by
        ``width`` divides 0 to 1 evenly, ``mass`` the objects in the order of their scores.

    Raises
    ------
    ValueError
        The lengths differ, a score lies outside of 0 to 1, or there is no bin.

    Examples
    --------
    >>> curve = reliability_curve([0.1, 0.9, 0.9, 0.8], [False, True, True, False], bins=2)
    >>> curve.score.round(3), curve.correct.round(3), round(curve.error, 3)
    (array([0.1  , 0.867]), array([0.   , 0.667]), 0.175)
    """
    values, right = _check(scores, correct, bins)
    if by == "width":
        index = np.minimum((values * bins).astype(np.int64), bins - 1)
    else:
        index = np.zeros(len(values), np.int64)
        order = np.argsort(values, kind="stable")
        index[order] = np.arange(len(values)) * bins // max(len(values), 1)
    count = np.bincount(index, minlength=bins)
    used = count > 0
    score = np.bincount(index, values, bins)[used] / count[used]
    share = np.bincount(index, right, bins)[used] / count[used]
    if by == "width":
        low = np.flatnonzero(used) / bins
        high = (np.flatnonzero(used) + 1) / bins
    else:
        low = np.array([values[index == k].min() for k in np.flatnonzero(used)])
        high = np.array([values[index == k].max() for k in np.flatnonzero(used)])
    return ReliabilityCurve(low, high, score, share, count[used])


def expected_calibration_error(
    scores: npt.ArrayLike, correct: npt.ArrayLike, *, bins: int = 15, by: Bins = "width"
) -> float:
    """Return the expected calibration error; see :func:`reliability_curve`.

    Examples
    --------
    >>> expected_calibration_error([0.75] * 4, [True, True, True, False])
    0.0
    """
    return reliability_curve(scores, correct, bins=bins, by=by).error


def fit_calibration(
    features: Features,
    classes: npt.NDArray[np.str_],
    correct: BoolArray,
    groups: npt.NDArray[np.int64] | None = None,
    *,
    penalty: float = 1.0,
) -> Calibration:
    """Fit the probability that an object is right.

    Parameters
    ----------
    features
        Name to (n,) values, from :func:`pancyte.ops.calibration.object_features`. NaN, for what is
        not known, counts as the median of the others.
    classes
        (n,) name of the class of each object.
    correct
        (n,) whether each object matches a true one.
    groups
        (n,) number of the image, or of the group of images, that each object is from. The objects
        of a group count together as one; None lets each object count as one.
    penalty
        Weight of the ridge, above 0: the larger, the more alike all scores are.

    Returns
    -------
    Calibration
        With ``objects``, but not the number of images, nor the error, which only objects can tell
        that were not fitted on.

    Raises
    ------
    ValueError
        There is no object, the lengths differ, or the penalty is not positive.

    Notes
    -----
    Maximum likelihood with a ridge on the standardized features, by Newton's method. An image with
    a thousand objects tells of one kind of image, and does not rule. Classes share their
    weights; each of several has an offset, which the ridge keeps small where it has few objects.
    The targets are Platt's, (n+ + 1) / (n+ + 2) and 1 / (n- + 2), so that the fit is finite even
    where all objects are right.

    Examples
    --------
    >>> size = np.repeat([2.0, 4.0], 50)
    >>> right = np.arange(100) % 10 < np.repeat([2, 9], 50)
    >>> found = fit_calibration({"size": size}, np.repeat(["cell"], 100), right)
    >>> calibrated_scores(found, {"size": np.array([2.0, 4.0])}, np.array(["cell"] * 2)).round(1)
    array([0.2, 0.9], dtype=float32)
    """
    if not penalty > 0:
        raise ValueError(f"Expected a penalty above 0, but got {penalty}")
    right = np.asarray(correct, np.bool_)
    if len(right) == 0 or any(len(v) != len(right) for v in (classes, *features.values())):
        lengths = [len(v) for v in (classes, *features.values())]
        msg = f"Expected as many classes and features as {len(right)} objects, but got {lengths}"
        raise ValueError(msg)
    names = list(features)
    kinds = list(dict.fromkeys(classes.tolist()))
    raw = np.stack([np.asarray(features[name], np.float64) for name in names], axis=1)
    middles = [_median_of_known(values) for values in raw.T]
    raw = np.where(np.isnan(raw), middles, raw)
    mean, spread = raw.mean(axis=0), raw.std(axis=0)
    spread[spread < 1e-9] = np.inf  # what never varies says nothing
    one_hot = [(classes == kind).astype(np.float64) for kind in kinds] if len(kinds) > 1 else []
    design = np.column_stack([np.ones(len(right)), (raw - mean) / spread, *one_hot])
    shares = _shares(groups, len(right))
    solution = _logistic_regression(design, _platt_targets(right), shares, penalty)
    weights = solution[1 : 1 + len(names)] / spread
    offsets = solution[1 + len(names) :]
    return Calibration(
        intercept=float(solution[0] - weights @ mean),
        weights=dict(zip(names, weights.tolist(), strict=True)),
        limits={
            name: (float(values.min()), float(values.max()))
            for name, values in zip(names, raw.T, strict=True)
        },
        middles=dict(zip(names, middles, strict=True)),
        class_offsets=dict(zip(kinds, offsets.tolist(), strict=True)) if one_hot else {},
        objects=len(right),
    )


def divide_groups(
    groups: npt.NDArray[np.int64], folds: int, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Divide groups of objects into parts, each of which is left out in turn.

    Parameters
    ----------
    groups
        (n,) number of the group of each object.
    folds
        Number of parts, at least 2; fewer where there are fewer groups.
    rng
        Divides them.

    Raises
    ------
    ValueError
        There are fewer than two groups or folds.

    Examples
    --------
    >>> parts = divide_groups(np.array([0, 0, 1, 2, 2, 3]), 2, np.random.default_rng(0))
    >>> sorted(np.concatenate(parts).tolist()), len(parts)
    ([0, 1, 2, 3], 2)
    """
    present = np.unique(groups)
    if len(present) < 2 or folds < 2:
        msg = f"Expected two or more groups and folds, but got {len(present)} and {folds}"
        raise ValueError(msg)
    return np.array_split(rng.permutation(present), min(folds, len(present)))


def cross_validated_scores(
    features: Features,
    classes: npt.NDArray[np.str_],
    correct: BoolArray,
    groups: npt.NDArray[np.int64],
    *,
    parts: Sequence[npt.NDArray[np.int64]],
    penalty: float = 1.0,
) -> Array:
    """Return the score of each object by a calibration that saw no object of its part.

    Parameters
    ----------
    features, classes, correct, groups, penalty
        As for :func:`fit_calibration`.
    parts
        Groups that are left out together, from :func:`divide_groups`.
    """
    scores = np.zeros(len(correct))
    for part in parts:
        left_out = np.isin(groups, part)
        seen = {name: values[~left_out] for name, values in features.items()}
        fitted = fit_calibration(
            seen, classes[~left_out], correct[~left_out], groups[~left_out], penalty=penalty
        )
        unseen = {name: values[left_out] for name, values in features.items()}
        scores[left_out] = calibrated_scores(fitted, unseen, classes[left_out])
    return scores


def log_losses(
    scores: npt.ArrayLike, correct: npt.ArrayLike, groups: npt.NDArray[np.int64]
) -> Array:
    """Return the mean surprise about the objects of each group: of a sure and wrong score, 14.

    Parameters
    ----------
    scores
        (n,) 0 to 1.
    correct
        (n,) whether each object is right.
    groups
        (n,) number of the image, or of the group of images, that each object is from.

    Returns
    -------
    float64 array of shape (g,)
        Of the groups in the order of their numbers.

    Raises
    ------
    ValueError
        The lengths differ, or a score lies outside of 0 to 1.

    Examples
    --------
    >>> log_losses([0.5, 0.5, 1.0], [True, False, True], np.array([0, 0, 1])).round(3)
    array([0.693, 0.   ])
    """
    values, right = _check(scores, correct, 1)
    chance = np.clip(np.where(right > 0, values, 1 - values), 1e-6, 1.0)
    group, counts = _members(groups, len(chance))
    sums = np.bincount(group, weights=-np.log(chance), minlength=len(counts))
    return np.asarray(sums / counts)


def choose_penalty(losses: Mapping[float, Array]) -> float:
    """Return the largest penalty whose mean loss is within one standard error of the least.

    The least itself is often due to a few images, and a looser fit is surer than it may be of
    images that are not like these.

    Parameters
    ----------
    losses
        For each penalty, the loss of each group as :func:`log_losses` returns it.

    References
    ----------
    Breiman, Friedman, Olshen, Stone, Classification and Regression Trees, 1984, section 3.4.3,
    doi:10.1201/9781315139470.
    """
    best = min(losses.values(), key=lambda values: float(values.mean()))
    most = float(best.mean() + best.std() / np.sqrt(len(best)))
    return max(penalty for penalty, values in losses.items() if float(values.mean()) <= most)


def _check(scores: npt.ArrayLike, correct: npt.ArrayLike, bins: int) -> tuple[Array, Array]:
    values, right = np.asarray(scores, np.float64), np.asarray(correct, np.float64)
    if values.ndim != 1 or values.shape != right.shape:
        msg = f"Expected scores and correct of one length, but got {values.shape}, {right.shape}"
        raise ValueError(msg)
    if bins < 1:
        raise ValueError(f"Expected at least 1 bin, but got {bins}")
    if len(values) and not (values.min() >= 0 and values.max() <= 1):
        msg = f"Expected scores in 0 to 1, but got {values.min():g} to {values.max():g}"
        raise ValueError(msg)
    return values, right


def _shares(groups: npt.NDArray[np.int64] | None, count: int) -> Array:
    """Return what each object counts, so that the objects of a group count together as one."""
    if groups is None:
        return np.ones(count)
    group, counts = _members(groups, count)
    shares: Array = 1 / counts[group]
    return shares


def _members(
    groups: npt.NDArray[np.int64], count: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the place of each object's group among all groups, and how many objects each has."""
    if len(groups) != count:
        raise ValueError(f"Expected a group for each of {count} objects, but got {len(groups)}")
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return group, counts


def _median_of_known(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else 0.0


def _platt_targets(right: BoolArray) -> Array:
    count = int(right.sum())
    return np.where(right, (count + 1) / (count + 2), 1 / (len(right) - count + 2))


def _logistic_regression(design: Array, targets: Array, shares: Array, penalty: float) -> Array:
    """Return the weights of the columns; all but the first are kept small."""
    ridge = np.full(design.shape[1], penalty)
    ridge[0] = 0.0

    def loss(weights: Array) -> float:
        odds = design @ weights
        misfit = shares @ (np.logaddexp(0, odds) - targets * odds)
        return float(misfit + 0.5 * (ridge * weights**2).sum())

    weights = np.zeros(design.shape[1])
    average = shares @ targets / shares.sum()
    weights[0] = np.log(average / (1 - average))
    current = loss(weights)
    for _ in range(_STEPS):
        chance = sigmoid(design @ weights)
        gradient = design.T @ (shares * (chance - targets)) + ridge * weights
        slope = shares * chance * (1 - chance)
        curvature = (design * slope[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(curvature + 1e-12 * np.eye(len(weights)), gradient)
        size = 1.0
        while size > 1e-6 and loss(weights - size * step) > current:
            size /= 2
        weights = weights - size * step
        before, current = current, loss(weights)
        if before - current < 1e-10 * (1 + abs(current)):
            break
    return weights
