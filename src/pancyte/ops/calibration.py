"""From what is seen of an object to the probability that it is one: logistic regression.

::

    P(IoU with a true object of at least 0.5) = 1 / (1 + exp(-(b + c + w1 x1 + w2 x2 + ...)))

with one c for each class and, as x, the log odds of the mean foreground, the error of the flow,
the log of the diameter as the network sees it, its square, and whether the object reaches
the border of the image. :mod:`pancyte.metrics.calibration` fits b, c and w.

References
----------
Platt 1999, "Probabilistic outputs for support vector machines", for the logistic function of a
score; Niculescu-Mizil, Caruana 2005, doi:10.1145/1102351.1102430.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field
from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.types import FloatArray, ObjectTable

FEATURES: Final = ("foreground", "flow_error", "size", "size_squared", "border")
"""Names of the features, in their order."""
NEEDED: Final = ("foreground", "flow_error", "diameter", "touches_border")
"""Columns of a table of objects that features are made of."""

# Log odds are cut here: beyond, a network says no more than that it is sure.
_SUREST: Final = 1e-3

Features = Mapping[str, npt.NDArray[np.float64]]
"""Name to one value for each object."""


@params
class Calibration:
    """How the scores of one model become probabilities; stored with its weights."""

    intercept: float
    """Log odds of an object whose features are 0."""
    weights: Mapping[str, float]
    """Name of a feature to its weight."""
    limits: Mapping[str, tuple[float, float]]
    """Name of a feature to its least and largest value among the objects that this was fitted on;
    what lies outside is taken as if it lay on the edge."""
    middles: Mapping[str, float] = field(default_factory=dict)
    """Name of a feature to its median among these objects, which is taken where it is not known;
    the middle of its limits where none is named."""
    class_offsets: Mapping[str, float] = field(default_factory=dict)
    """Name of a class to what is added for it, where there are several."""
    min_score: float = 0.0
    """Objects with a lower score are left out where nothing else is asked for; 0 to 1."""
    objects: int = 0
    """Number of objects that this was fitted on."""
    images: int = 0
    """Number of images that they are from; one without any object does not count."""
    error: float | None = None
    """Expected calibration error on images that were left out in turn, 0 to 1."""

    def __post_init__(self) -> None:
        unknown = [name for name in (*self.weights, *self.limits) if name not in FEATURES]
        if unknown or self.weights.keys() != self.limits.keys():
            msg = (
                f"Expected weights and limits of the same features of {', '.join(FEATURES)}, but "
                f"got {', '.join(self.weights)} and {', '.join(self.limits)}"
            )
            raise ValueError(msg)
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"Expected min_score to lie in 0 to 1, but got {self.min_score}")
        self._check_numbers()

    def _check_numbers(self) -> None:
        if not self.middles.keys() <= self.weights.keys():
            msg = (
                f"Expected middles of {', '.join(self.weights)}, but got {', '.join(self.middles)}"
            )
            raise ValueError(msg)
        tables = ({"intercept": self.intercept}, self.weights, self.middles, self.class_offsets)
        for name, value in chain.from_iterable(table.items() for table in tables):
            if not math.isfinite(value):
                raise ValueError(f"Expected a finite number for {name}, but got {value}")
        for name, (low, high) in self.limits.items():
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                msg = f"Expected finite limits of {name}, the lower first, but got {low} and {high}"
                raise ValueError(msg)
        if self.error is not None and not 0 <= self.error <= 1:
            raise ValueError(f"Expected an error of 0 to 1, but got {self.error}")


def has_evidence(objects: ObjectTable) -> bool:
    """Return whether a table of objects has all columns that features are made of."""
    return all(name in objects for name in NEEDED)


def object_features(objects: ObjectTable, *, scale: float) -> Features:
    """Return what a calibration looks at.

    Parameters
    ----------
    objects
        Table with the columns ``foreground``, ``flow_error``, ``diameter`` and ``touches_border``.
    scale
        Factor by which the image was resized before the network saw it.

    Returns
    -------
    dict of str to float64 array of shape (n,)
        :data:`FEATURES` in their order; sizes are logarithms of pixels of the network's input,
        to base 2. What is not known of an object is NaN, such as the error of the flow of one
        that was put together from parts.

    Examples
    --------
    >>> from pancyte.types import ObjectTable
    >>> table = ObjectTable({"foreground": np.array([0.5]), "flow_error": np.array([0.04]),
    ...     "diameter": np.array([16.0]), "touches_border": np.array([True])})
    >>> {name: float(x[0].round(3)) for name, x in object_features(table, scale=0.5).items()}
    {'foreground': 0.0, 'flow_error': 0.04, 'size': 3.0, 'size_squared': 9.0, 'border': 1.0}
    """
    foreground = np.clip(np.asarray(objects["foreground"], np.float64), _SUREST, 1 - _SUREST)
    size = np.log2(np.maximum(np.asarray(objects["diameter"], np.float64) * scale, 1e-3))
    return {
        "foreground": np.log(foreground / (1 - foreground)),
        "flow_error": np.asarray(objects["flow_error"], np.float64),
        "size": size,
        "size_squared": size**2,
        "border": np.asarray(objects["touches_border"], np.float64),
    }


def calibrated_scores(
    calibration: Calibration, features: Features, classes: npt.NDArray[np.str_]
) -> FloatArray:
    """Return the probability that each object matches a true one at an IoU of at least 0.5.

    Parameters
    ----------
    calibration
        As it was fitted.
    features
        From :func:`object_features`; NaN is what is not known.
    classes
        (n,) name of the class of each object.

    Returns
    -------
    float32 array of shape (n,)
        0 to 1.

    Examples
    --------
    >>> calibration = Calibration(intercept=0.0, weights={"size": 1.0}, limits={"size": (2, 5)})
    >>> calibrated_scores(calibration, {"size": np.array([0.0, 9.0])}, np.array(["a", "a"]))
    array([0.8807971, 0.9933072], dtype=float32)
    """
    odds = np.full(len(classes), calibration.intercept, dtype=np.float64)
    for name, weight in calibration.weights.items():
        low, high = calibration.limits[name]
        usual = calibration.middles.get(name, (low + high) / 2)
        values = np.where(np.isnan(features[name]), usual, features[name])
        odds += weight * np.clip(values, low, high)
    for name, offset in calibration.class_offsets.items():
        odds += np.where(classes == name, offset, 0.0)
    return sigmoid(odds).astype(np.float32)


def sigmoid(odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the probabilities that log odds stand for, without overflow."""
    half: npt.NDArray[np.float64] = 0.5 * (1 + np.tanh(0.5 * odds))
    return half
