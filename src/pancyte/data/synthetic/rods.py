"""Bacteria: colonies, scattered cells, filaments and cocci, as four microscopes see them.

Made of :mod:`arrangements` (where cells lie), :mod:`bodies` (which pixels they cover),
:mod:`bacterial_light` (what a microscope shows of them) and :mod:`camera`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from pancyte.data.synthetic.arrangements import ARRANGEMENTS
from pancyte.data.synthetic.bacterial_light import LOOKS
from pancyte.data.synthetic.bodies import objects_of, paint
from pancyte.data.synthetic.camera import camera, to_bits, uneven_light
from pancyte.data.synthetic.ranges import check_ranges
from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.types import IntArray

Arrangement = Literal["colony", "scattered", "filaments", "cocci"]
Look = Literal["phase", "negative-phase", "bright-field", "fluorescence"]


@params
class Rods:
    """Bacteria of one culture in one image."""

    shape: tuple[int, int] = (256, 256)
    """Height and width of the image in pixels; at least 16."""
    arrangement: Arrangement = "colony"
    """``colony``: grown from one cell, dense; ``scattered``: cells and pairs apart;
    ``filaments``: long, winding, crossing; ``cocci``: round, in chains or clusters."""
    look: Look = "phase"
    """Phase contrast with dark or with bright cells, bright field, or fluorescence."""
    count: int = 40
    """Cells, or as many as find room, 1 to 1000; of each of up to four colonies. Some may
    lie outside."""
    width: float = 10.0
    """Median width of a cell in pixels, 4 to 40."""
    aspect: float = 4.0
    """Mean length of a cell in widths, 1 to 40; cocci are always about round."""
    gap: float = 0.05
    """Room between touching cells in widths, -0.2 to 0.5; below 0 they press on each other."""
    curvature: float = 0.2
    """How much cells are bent: radians from end to end, about; 0 to 3."""
    bits: Literal[8, 16] = 16
    """Of a pixel: 8 as a picture that somebody stretched, 16 as the counts of a camera."""

    def __post_init__(self) -> None:
        check_ranges(
            {
                "shape": (min(self.shape), 16, math.inf),
                "count": (self.count, 1, 1000),
                "width": (self.width, 4, 40),
                "aspect": (self.aspect, 1, 40),
                "gap": (self.gap, -0.2, 0.5),
                "curvature": (self.curvature, 0, 3),
            }
        )


def draw_rods(
    settings: Rods, generator: np.random.Generator
) -> tuple[npt.NDArray[np.uint8 | np.uint16], IntArray]:
    """Draw an image of bacteria, of as many bits as the settings say, and its truth.

    A filament that another one crosses is two objects, as what lies below cannot be followed.

    Examples
    --------
    >>> image, labels = draw_rods(Rods(shape=(64, 80), count=5), np.random.default_rng(0))
    >>> image.shape, labels.shape
    ((1, 64, 80), (64, 80))
    """
    bodies = ARRANGEMENTS[settings.arrangement](settings, generator)
    relief = paint(bodies, settings.shape, layered=settings.arrangement == "filaments")
    light, photons = LOOKS[settings.look](relief, settings.width, generator)
    light = light * (1.0 + generator.random() * (uneven_light(settings.shape, generator) - 1.0))
    counts = camera(light[None].astype(np.float32), generator, photons=photons)
    return to_bits(counts, settings.bits, generator), objects_of(relief)


def any_rods(
    shape: tuple[int, int],
    generator: np.random.Generator,
    *,
    arrangement: Arrangement,
    look: Look,
) -> Rods:
    """Draw settings as varied as microscopes and cultures are.

    Parameters
    ----------
    shape
        Height and width of the image in pixels.
    generator
        Source of randomness.
    arrangement, look
        As in :class:`Rods`.
    """
    # Images of dense colonies come from narrow fields of large cells to wide ones of small cells.
    width = math.exp(generator.uniform(math.log(6.0), math.log(20.0)))
    aspect = math.exp(generator.uniform(math.log(2.2), math.log(6.0)))
    room = math.prod(shape) / (width**2 * aspect)
    count = {
        "colony": min(math.exp(generator.uniform(math.log(2.0), math.log(200.0))), 1.2 * room),
        "scattered": generator.uniform(0.02, 0.45) * room,
        "filaments": generator.uniform(1.0, 9.0),
        "cocci": min(math.exp(generator.uniform(math.log(4.0), math.log(150.0))), 2.0 * room),
    }[arrangement]
    if arrangement == "filaments":
        aspect = math.exp(generator.uniform(math.log(8.0), math.log(40.0)))
    curved = generator.random() < 0.2
    return Rods(
        shape=shape,
        arrangement=arrangement,
        look=look,
        count=max(1, round(count)),
        width=width,
        aspect=aspect,
        gap=generator.uniform(-0.15, 0.18),
        curvature=generator.uniform(0.6, 1.6) if curved else generator.uniform(0.0, 0.4),
        bits=8 if generator.random() < 0.5 else 16,
    )
