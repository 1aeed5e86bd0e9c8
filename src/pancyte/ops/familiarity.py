"""How far an image lies from those that a model knows, in numbers that describe its looks.

The descriptions x of known images are taken as one cloud around its mean m. With its covariance C,
the distance of an image is that of Mahalanobis::

    d(x) = sqrt((x - m)^T C^-1 (x - m))

There are more numbers than images, so that C is shrunk towards a sphere (Ledoit and Wolf), and kept
as its widest axes and one variance for all others.

An image of a new kind of cells lies far off as a photograph does. Where there are images without
objects to learn from (noise, writing, scenery), a logistic regression tells the looks of these from
those of images with objects, and knows others like them, also of kinds that it never saw::

    p(x) = 1 / (1 + exp(-(w^T x + b)))

References
----------
Ledoit, Wolf 2004, doi:10.1016/S0047-259X(03)00096-4; Lee et al. 2018, arXiv:1807.03888, for
Mahalanobis distances of features of a network; Hendrycks et al. 2019, arXiv:1812.04606, for
learning from examples of what is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = npt.NDArray[np.float64]

_AXES: Final = 64
_PREFIX: Final = "familiarity."
_EMPTY: Final = _PREFIX + "empty"
# How little the weights of the regression are kept small. Of 1, 10, 30 and 100 all told apart the
# images that it was tried on; from 10 on photographs too.
_LOOSENESS: Final = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class Familiarity:
    """The cloud of the images that a model knows."""

    mean: Array
    """(D,) its middle."""
    axes: Array
    """(r, D) its widest axes, orthonormal."""
    variances: Array
    """(r,) along these axes."""
    rest: float
    """Variance along all other axes."""
    limit: float = np.inf
    """Distance above which an image is not like those that are known."""
    empty: Array | None = None
    """(D + 1,) w and b of the regression; None where no images without objects were seen."""

    def distance(self, features: npt.NDArray[np.floating[Any]]) -> Array:
        """Return the distance of one or several descriptions (..., D) from the middle: (...)."""
        offset = np.asarray(features, np.float64) - self.mean
        along = offset @ self.axes.T
        beside = np.maximum((offset**2).sum(axis=-1) - (along**2).sum(axis=-1), 0.0)
        squares: Array = (along**2 / self.variances).sum(axis=-1) + beside / self.rest
        return np.sqrt(squares)

    def emptiness(self, features: npt.NDArray[np.floating[Any]]) -> Array:
        """Return how likely descriptions (..., D) are of images without objects: (...).

        As likely as others beforehand; 0 where no such images were seen.
        """
        values = np.asarray(features, np.float64)
        if self.empty is None:
            return np.zeros(values.shape[:-1])
        raw = values @ self.empty[:-1] + self.empty[-1]
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(raw, -60.0, 60.0))))

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return arrays by name, from which :func:`familiarity_of` makes the same again."""
        arrays = {
            _PREFIX + "mean": self.mean,
            _PREFIX + "axes": self.axes,
            _PREFIX + "variances": self.variances,
            _PREFIX + "rest_and_limit": np.array([self.rest, self.limit]),
        }
        return arrays if self.empty is None else {**arrays, _EMPTY: self.empty}


def familiarity_of(arrays: Mapping[str, npt.NDArray[Any]]) -> Familiarity | None:
    """Return what :meth:`Familiarity.to_arrays` stored among arrays; None where it is not there.

    Raises
    ------
    ValueError
        Parts are missing, do not fit together, or hold numbers that no fit gives.
    """
    if _PREFIX + "mean" not in arrays:
        return None
    names = ("mean", "axes", "variances", "rest_and_limit")
    missing = [name for name in names if _PREFIX + name not in arrays]
    if missing:
        raise ValueError(f"Expected {_PREFIX}{missing[0]}, but found nothing")
    mean, axes, variances, both = (np.asarray(arrays[_PREFIX + k], np.float64) for k in names)
    shapes = [array.shape for array in (mean, axes, variances, both)]
    if mean.ndim != 1 or shapes[1:] != [(len(variances), len(mean)), (len(variances),), (2,)]:
        msg = f"Expected familiarity of shapes (D,), (r, D), (r,) and (2,), but got {shapes}"
        raise ValueError(msg)
    is_finite = np.isfinite(mean).all() and np.isfinite(axes).all()
    # A limit that is infinite is that of a cloud without one.
    if not (is_finite and (variances > 0).all() and (both > 0).all()):
        msg = "Expected familiarity of finite numbers, with variances and a limit above 0"
        raise ValueError(msg)
    empty = arrays.get(_EMPTY)
    if empty is not None:
        empty = np.asarray(empty, np.float64)
        if empty.shape != (len(mean) + 1,) or not np.isfinite(empty).all():
            msg = f"Expected {_EMPTY} of {len(mean) + 1} finite numbers, but got {empty.shape}"
            raise ValueError(msg)
    return Familiarity(mean, axes, variances, float(both[0]), float(both[1]), empty)


def fit_familiarity(
    features: npt.NDArray[np.floating[Any]], empty: npt.NDArray[np.floating[Any]] | None = None
) -> Familiarity:
    """Describe the cloud of known images, and what tells images without objects from them.

    Parameters
    ----------
    features
        (n, D), one row for each of at least two images that differ.
    empty
        (m, D) of images without objects; None, or no rows, where there are none.

    Returns
    -------
    Familiarity
        Without a limit.

    Raises
    ------
    ValueError
        There are fewer than two rows, or all are the same.

    Examples
    --------
    >>> cloud = fit_familiarity(np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0], [2.0, 1.0]]))
    >>> cloud.mean, bool(cloud.distance(np.array([9.0, 0.5])) > 5)
    (array([1. , 0.5]), True)
    """
    values = np.asarray(features, np.float64)
    mean = values.mean(axis=0) if len(values) else values.sum(axis=0)
    offsets = values - mean
    if len(values) < 2 or not offsets.any():
        msg = f"Expected features of two or more different images, but got {len(values)}"
        raise ValueError(msg)
    count, width = values.shape
    _, scales, axes = np.linalg.svd(offsets, full_matrices=False)
    spread = scales**2 / count
    average = float(spread.sum()) / width
    shrinkage = _shrinkage(offsets, spread, average)
    variances = (1 - shrinkage) * spread + shrinkage * average
    kept = min(_AXES, len(variances), width)
    others = width - kept
    total = width * average - float(variances[:kept].sum())
    rest = total / others if others else average
    weights = None if empty is None or not len(empty) else _tell_apart(values, empty)
    return Familiarity(mean, axes[:kept], variances[:kept], rest, empty=weights)


def _tell_apart(known: Array, empty: npt.NDArray[np.floating[Any]]) -> Array:
    """Return the weights of a regression to which both kinds are as many."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - slow to import

    is_empty = np.repeat([0, 1], [len(known), len(empty)])
    regression = LogisticRegression(C=_LOOSENESS, class_weight="balanced", max_iter=10_000)
    regression.fit(np.concatenate([known, np.asarray(empty, np.float64)]), is_empty)
    return np.append(regression.coef_[0], regression.intercept_)


def _shrinkage(offsets: Array, spread: Array, average: float) -> float:
    """Return how much of the covariance is replaced by a sphere of the same volume, 0 to 1."""
    count, width = offsets.shape
    squares = float((spread**2).sum())
    distance = squares - width * average**2
    noise = (float(((offsets**2).sum(axis=1) ** 2).sum()) / count - squares) / count
    return 1.0 if distance <= 0 else min(max(noise / distance, 1e-3), 1.0)
