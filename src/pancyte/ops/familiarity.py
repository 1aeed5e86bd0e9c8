"""How far an image lies from those that a model knows, in numbers that describe its looks.

The descriptions x of known images are taken as one cloud around its mean m. With its covariance C,
the distance of an image is that of Mahalanobis::

    d(x) = sqrt((x - m)^T C^-1 (x - m))

There are more numbers than images, so that C is shrunk towards a sphere (Ledoit and Wolf), and kept
as its widest axes and one variance for all others.

References
----------
Ledoit, Wolf 2004, doi:10.1016/S0047-259X(03)00096-4; Lee et al. 2018, arXiv:1807.03888, for
Mahalanobis distances of features of a network.
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

    def distance(self, features: npt.NDArray[np.floating[Any]]) -> Array:
        """Return the distance of one or several descriptions (..., D) from the middle: (...)."""
        offset = np.asarray(features, np.float64) - self.mean
        along = offset @ self.axes.T
        beside = np.maximum((offset**2).sum(axis=-1) - (along**2).sum(axis=-1), 0.0)
        squares: Array = (along**2 / self.variances).sum(axis=-1) + beside / self.rest
        return np.sqrt(squares)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return arrays by name, from which :func:`familiarity_of` makes the same again."""
        return {
            _PREFIX + "mean": self.mean,
            _PREFIX + "axes": self.axes,
            _PREFIX + "variances": self.variances,
            _PREFIX + "rest_and_limit": np.array([self.rest, self.limit]),
        }


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
    return Familiarity(mean, axes, variances, float(both[0]), float(both[1]))


def fit_familiarity(features: npt.NDArray[np.floating[Any]]) -> Familiarity:
    """Describe the cloud of known images.

    Parameters
    ----------
    features
        (n, D), one row for each of at least two images that differ.

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
    return Familiarity(mean, axes[:kept], variances[:kept], rest)


def _shrinkage(offsets: Array, spread: Array, average: float) -> float:
    """Return how much of the covariance is replaced by a sphere of the same volume, 0 to 1."""
    count, width = offsets.shape
    squares = float((spread**2).sum())
    distance = squares - width * average**2
    noise = (float(((offsets**2).sum(axis=1) ** 2).sum()) / count - squares) / count
    return 1.0 if distance <= 0 else min(max(noise / distance, 1e-3), 1.0)
