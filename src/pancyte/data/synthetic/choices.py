"""Settings of cells, tissues and nuclei drawn at random, as varied as what laboratories image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pancyte.data.synthetic.adherent import AdherentCells, BrightCells
from pancyte.data.synthetic.cells import SuspensionCells, Yeast
from pancyte.data.synthetic.histology import Histology
from pancyte.data.synthetic.membranes import Membranes
from pancyte.data.synthetic.negatives import Negative, Subject
from pancyte.data.synthetic.nuclei import HardNuclei
from pancyte.data.synthetic.scene import Scene

if TYPE_CHECKING:
    import numpy as np

    from pancyte.data.synthetic.optics import Contrast

_FORMS: tuple[Literal["spread", "spindle", "sheet"], ...] = ("spread", "spindle", "sheet")
_LARGEST_SIDE = 512
# An image shows this many objects side by side, at least and at most.
_ACROSS = (4.5, 20.0)


def any_scene(
    shape: tuple[int, int], generator: np.random.Generator, *, least: float, most: float
) -> tuple[tuple[int, int], float]:
    """Draw a diameter, log-uniform from least to most, and fit the image to it.

    Parameters
    ----------
    shape
        Height and width that are wanted, in pixels.
    generator
        Source of randomness.
    least, most
        Range of the diameter in pixels.

    Returns
    -------
    shape : (int, int)
        Not smaller than a few objects and not larger than many, and at most 512 pixels.
    diameter : float
    """
    diameter = least * (most / least) ** generator.random()
    low, high = (min(round(count * diameter), _LARGEST_SIDE) for count in _ACROSS)
    height, width = (min(max(side, low), high) for side in shape)
    return (height, width), diameter


def any_membranes(
    shape: tuple[int, int],
    generator: np.random.Generator,
    *,
    appearance: Literal["bright", "dark", "stained"],
) -> Membranes:
    """Draw settings of a tissue; parameters as of :func:`any_scene` and :class:`Membranes`."""
    shape, diameter = any_scene(shape, generator, least=11.0, most=100.0)
    part = generator.random() < 0.35
    return Membranes(
        scene=Scene(
            shape=shape,
            diameter=diameter,
            spread=generator.uniform(0.05, 0.35),
            cover=generator.uniform(0.2, 0.9) if part else 1.0,
        ),
        appearance=appearance,
    )


def any_suspension(
    shape: tuple[int, int], generator: np.random.Generator, *, contrast: Contrast
) -> SuspensionCells:
    """Draw settings of round cells; parameters as of :class:`SuspensionCells`."""
    shape, diameter = any_scene(shape, generator, least=8.0, most=100.0)
    return SuspensionCells(
        scene=Scene(
            shape=shape,
            diameter=diameter,
            spread=generator.uniform(0.03, 0.3),
            cover=0.03 * 20.0 ** generator.random(),
        ),
        contrast=contrast,
    )


def any_yeast(
    shape: tuple[int, int], generator: np.random.Generator, *, contrast: Contrast
) -> Yeast:
    """Draw settings of budding yeast; parameters as of :class:`Yeast`."""
    shape, diameter = any_scene(shape, generator, least=9.0, most=90.0)
    draw = generator.random()
    return Yeast(
        scene=Scene(
            shape=shape,
            diameter=diameter,
            spread=generator.uniform(0.03, 0.25),
            cover=0.03 * 20.0 ** generator.random(),
        ),
        contrast=contrast,
        device="traps" if draw < 0.2 else "walls" if draw < 0.3 else "none",
    )


def any_adherent(
    shape: tuple[int, int], generator: np.random.Generator, *, contrast: Contrast
) -> AdherentCells:
    """Draw settings of adherent cells; parameters as of :class:`AdherentCells`."""
    shape, diameter = any_scene(shape, generator, least=14.0, most=110.0)
    return AdherentCells(
        scene=Scene(
            shape=shape,
            diameter=diameter,
            spread=generator.uniform(0.1, 0.4),
            cover=generator.uniform(0.1, 0.9),
        ),
        contrast=contrast,
        form=_FORMS[int(generator.integers(3))],
    )


def any_bright(
    shape: tuple[int, int], generator: np.random.Generator, *, quantitative: bool
) -> BrightCells:
    """Draw settings of bright cells: quantitative phase, or stained with or without nuclei."""
    shape, diameter = any_scene(shape, generator, least=10.0, most=100.0)
    stain: Literal["stain", "stain-and-nuclei"] = (
        "stain" if generator.random() < 0.6 else "stain-and-nuclei"
    )
    return BrightCells(
        scene=Scene(
            shape=shape,
            diameter=diameter,
            spread=generator.uniform(0.1, 0.4),
            cover=generator.uniform(0.08, 0.9),
        ),
        appearance="quantitative" if quantitative else stain,
        form=_FORMS[int(generator.integers(3))],
    )


def any_nuclei(
    shape: tuple[int, int],
    generator: np.random.Generator,
    *,
    place: Literal["culture", "clusters", "tissue"],
) -> HardNuclei:
    """Draw settings of nuclei; parameters as of :class:`HardNuclei`."""
    shape, diameter = any_scene(shape, generator, least=7.0, most=100.0)
    return HardNuclei(
        scene=Scene(
            shape=shape,
            diameter=diameter,
            spread=generator.uniform(0.05, 0.4),
            cover=0.02 * 30.0 ** generator.random(),
        ),
        place=place,
        dim=bool(generator.random() < 0.25),
    )


def any_histology(shape: tuple[int, int], generator: np.random.Generator) -> Histology:
    """Draw settings of a stained section; parameters as of :func:`any_scene`."""
    shape, diameter = any_scene(shape, generator, least=9.0, most=70.0)
    return Histology(
        scene=Scene(
            shape=shape,
            diameter=diameter,
            spread=generator.uniform(0.1, 0.35),
            cover=0.06 * 8.0 ** generator.random(),
        ),
        epithelium=generator.random(),
        gray=bool(generator.random() < 0.15),
    )


def any_negative(
    shape: tuple[int, int], generator: np.random.Generator, *, subject: Subject
) -> Negative:
    """Draw settings of an image without objects; parameters as of :class:`Negative`."""
    return Negative(
        shape=shape,
        subject=subject,
        color=bool(generator.random() < 0.3),
        magnification=1.0 if generator.random() < 0.4 else 8.0 ** generator.random(),
    )
