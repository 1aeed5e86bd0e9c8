"""Draw how a training window is turned, mirrored, sheared and scaled: one 2 x 2 matrix.

The matrix is all there is to a spatial augmentation: :mod:`pancyte.ops.warp` applies it to image
and labels in one gather, so that they cannot come apart and nothing is interpolated twice.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

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
    """Range of the magnification."""
    scale_probability: float = 1.0
    """Share of windows that are magnified; the others keep the image's scale."""
    scale_steps: Literal["logarithmic", "linear"] = "logarithmic"
    """On which of these scales the magnification is drawn uniformly."""
    wide_probability: float = 0.0
    """Share of windows whose magnification is drawn from ``wide_scale`` instead."""
    wide_scale: tuple[float, float] = (0.2, 4.0)
    """Range of a magnification drawn uniformly on a logarithmic scale, for a network that shall
    tell how large objects are of which it does not see the right size yet."""
    flip: bool = True
    """Whether to mirror windows."""
    flip_probability: float = 0.5
    """Share of windows that are mirrored, where ``flip`` is set."""
    flip_axis: Literal["x", "either"] = "x"
    """Whether to mirror left and right, or as often above and below. All eight turns and flips come
    equally often with ``x`` and the other defaults."""
    quarter_turns: bool = True
    """Whether to turn by multiples of 90 degrees, which costs no interpolation."""
    turn_probability: float = 0.75
    """Share of windows turned by 90, 180 or 270 degrees, where ``quarter_turns`` is set."""
    rotation_probability: float = 0.5
    """Share of windows turned by any angle in addition."""
    anisotropy: float = 1.15
    """Largest ratio by which one axis is stretched against the other; 1 is off."""
    shear: float = 0.1
    """Largest shear, as the tangent of its angle; 0 is off. Comes with the free rotation."""

    def __post_init__(self) -> None:
        for name in ("scale", "wide_scale"):
            low, high = getattr(self, name)
            if not 0.05 <= low <= high <= 20.0:
                msg = f"Expected {name} to be a range within 0.05 and 20, but got {(low, high)}"
                raise ValueError(msg)
        for name in ("scale", "wide", "flip", "turn", "rotation"):
            value = getattr(self, f"{name}_probability")
            if not 0.0 <= value <= 1.0:
                msg = f"Expected {name}_probability in 0 to 1, but got {value}"
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

MEDIAR_SPATIAL = SpatialAugmentation(
    scale=(0.25, 1.5),
    scale_probability=0.5,
    scale_steps="linear",
    flip_axis="either",
    turn_probability=0.5,
    rotation_probability=0.0,
    anisotropy=1.0,
    shear=0.0,
)
"""The geometry of MEDIAR and Mediar-V (arXiv:2212.03465): RandZoom 0.25 to 1.5 for half of the
windows, one flip for half and 1 to 3 quarter turns for half. Padding with zeros and cropping
anywhere are ``beyond="zeros"`` and ``object_probability=0`` of the sampling."""


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
    leaves the others as they were for the same generator. Where ``wide_probability`` is above 0,
    two more numbers are drawn.

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
        matrix = matrix @ np.asarray(_QUARTER_TURNS[_draw_turns(draws[4], settings)])
    if settings.flip and draws[5] < settings.flip_probability:
        # What is left of a number after a decision is uniform too, and decides on the axis.
        left_right = settings.flip_axis == "x" or draws[5] < settings.flip_probability / 2
        matrix = matrix @ np.diag([1.0, -1.0] if left_right else [-1.0, 1.0])
    wide = generator.random(2) if settings.wide_probability else np.ones(2)
    if wide[0] < settings.wide_probability:
        matrix = matrix / _between(wide[1], settings.wide_scale)
    elif draws[6] < settings.scale_probability:
        matrix = matrix / _draw_scale(draws[6] / settings.scale_probability, settings)
    return np.asarray(matrix + 0.0)


def _draw_turns(draw: float, settings: SpatialAugmentation) -> int:
    """Return the number of quarter turns, 0 to 3."""
    straight = 1.0 - settings.turn_probability
    if draw < straight or straight == 1.0:
        return 0
    return min(3, 1 + int(3.0 * (draw - straight) / settings.turn_probability))


def _draw_scale(draw: float, settings: SpatialAugmentation) -> float:
    low, high = settings.scale
    if settings.scale_steps == "linear":
        return low + (high - low) * draw
    return _between(draw, settings.scale)


def _between(draw: float, span: tuple[float, float]) -> float:
    """Return the value that lies that far within a range on a logarithmic scale."""
    low, high = span
    return math.exp(math.log(low) + (math.log(high) - math.log(low)) * draw)
