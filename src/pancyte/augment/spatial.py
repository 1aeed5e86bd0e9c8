"""Draw how a training window is turned, mirrored, sheared and scaled: one 2 x 2 matrix.

The matrix is all there is to a spatial augmentation: :mod:`pancyte.ops.warp` applies it to image
and labels in one gather, so that they cannot come apart and nothing is interpolated twice.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.ops.warp import Matrix

_QUARTER_TURNS = (
    ((1.0, 0.0), (0.0, 1.0)),
    ((0.0, 1.0), (-1.0, 0.0)),
    ((-1.0, 0.0), (0.0, -1.0)),
    ((0.0, -1.0), (1.0, 0.0)),
)


@params
class SpatialAugmentation:
    """How far windows are turned and deformed; the defaults suit images without an up and down."""

    scale: tuple[float, float] = (0.5, 2.0)
    """Range of the magnification, drawn uniformly on a logarithmic scale."""
    flip: bool = True
    """Mirror half of the windows."""
    quarter_turns: bool = True
    """Turn by 0, 90, 180 or 270 degrees, which costs no interpolation."""
    rotation_probability: float = 0.5
    """Share of windows turned by any angle in addition."""
    anisotropy: float = 1.15
    """Largest ratio by which one axis is stretched against the other; 1 is off."""
    shear: float = 0.1
    """Largest shear, as the tangent of its angle; 0 is off. Comes with the free rotation."""

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0.05 <= low <= high <= 20.0:
            msg = f"Expected scale to be a range within 0.05 and 20, but got {self.scale}"
            raise ValueError(msg)
        if not 0.0 <= self.rotation_probability <= 1.0:
            msg = f"Expected rotation_probability in 0 to 1, but got {self.rotation_probability}"
            raise ValueError(msg)
        if not 1.0 <= self.anisotropy <= 4.0 or not 0.0 <= self.shear <= 1.0:
            msg = (
                "Expected anisotropy in 1 to 4 and shear in 0 to 1, "
                f"but got {self.anisotropy} and {self.shear}"
            )
            raise ValueError(msg)


NO_SPATIAL = SpatialAugmentation(
    scale=(1.0, 1.0),
    flip=False,
    quarter_turns=False,
    rotation_probability=0.0,
    anisotropy=1.0,
    shear=0.0,
)
"""Leaves every window as it is."""


def draw_matrix(settings: SpatialAugmentation, generator: np.random.Generator) -> Matrix:
    """Draw the matrix that takes a step in the window to a step in the image.

    Parameters
    ----------
    settings
        What may be drawn.
    generator
        Source of randomness.

    Returns
    -------
    Matrix of shape (2, 2)
        A magnification of 2 shows in it as steps of a half. Without free rotation, anisotropy and
        scale it holds exact zeros and ones, so that pixels are copied.

    Notes
    -----
    The number of draws does not depend on their outcome, so that switching off one deformation
    leaves the others as they were for the same generator.

    Examples
    --------
    >>> draw_matrix(NO_SPATIAL, np.random.default_rng(0))
    array([[1., 0.],
           [0., 1.]])
    """
    draws = generator.random(7)
    matrix = np.eye(2)
    if draws[0] < settings.rotation_probability:
        angle = 2.0 * math.pi * draws[1]
        tangent = settings.shear * (2.0 * draws[2] - 1.0)
        cosine, sine = math.cos(angle), math.sin(angle)
        matrix = np.array([[cosine, sine], [-sine, cosine]])
        matrix = matrix @ np.array([[1.0, tangent], [0.0, 1.0]])
    if settings.anisotropy > 1.0:
        stretch = settings.anisotropy ** (draws[3] - 0.5)
        matrix = matrix @ np.diag([stretch, 1.0 / stretch])
    if settings.quarter_turns:
        matrix = matrix @ np.asarray(_QUARTER_TURNS[int(4.0 * draws[4])])
    if settings.flip and draws[5] < 0.5:
        matrix = matrix @ np.diag([1.0, -1.0])
    low, high = np.log(settings.scale)
    return np.asarray(matrix / math.exp(low + (high - low) * draws[6]) + 0.0)
