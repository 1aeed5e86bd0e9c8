"""Settings of cells, tissues and nuclei drawn at random, as varied as what laboratories image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

from pancyte.data.synthetic.adherent import AdherentCells, Form, QuantitativeCells, StainedCells
from pancyte.data.synthetic.cells import SuspensionCells, Yeast
from pancyte.data.synthetic.histology import Histology
from pancyte.data.synthetic.membranes import Membranes
from pancyte.data.synthetic.negatives import Negative, Subject
from pancyte.data.synthetic.nuclei import HardNuclei
from pancyte.data.synthetic.scene import Scene

if TYPE_CHECKING:
    import numpy as np

    from pancyte.data.synthetic.optics import Contrast

_FORMS: tuple[Form, ...] = get_args(Form)
_LARGEST_SIDE = 512
# An image shows this many objects side by side, at least and at most.
_ACROSS = (4.5, 20.0)


def any_scene(
    shape: tuple[int, int],
    generator: np.random.Generator,
    *,
    least: float,
    most: float,
    spread: tuple[float, float],
) -> Scene:
    """Draw a scene whose size fits its objects.

    Parameters
    ----------
    shape
        Height and width that are wanted, in pixels.
    generator
        Source of randomness.
    least, most
        Range of the diameter in pixels, drawn log-uniformly.
    spread
        Range of the spread of diameters.

    Returns
    -------
    Scene
        Not smaller than a few objects and not larger than many, and at most 512 pixels; the cover
        is left as it is by default.
    """
    diameter = least * (most / least) ** generator.random()
    low, high = (min(round(count * diameter), _LARGEST_SIDE) for count in _ACROSS)
    height, width = (min(max(side, low), high) for side in shape)
    return Scene(shape=(height, width), diameter=diameter, spread=generator.uniform(*spread))


def any_membranes(
    shape: tuple[int, int],
    generator: np.random.Generator,
    *,
    appearance: Literal["bright", "dark", "stained"],
) -> Membranes:
    """Draw settings of a tissue that fills the image or a part of it."""
    scene = any_scene(shape, generator, least=11.0, most=100.0, spread=(0.05, 0.35))
    cover = generator.uniform(0.2, 0.9) if generator.random() < 0.35 else 1.0
    return Membranes(scene=replace(scene, cover=cover), appearance=appearance)


def any_suspension(
    shape: tuple[int, int], generator: np.random.Generator, *, contrast: Contrast
) -> SuspensionCells:
    """Draw settings of round cells."""
    scene = any_scene(shape, generator, least=8.0, most=100.0, spread=(0.03, 0.3))
    scene = replace(scene, cover=0.03 * 20.0 ** generator.random())
    return SuspensionCells(scene=scene, contrast=contrast)


def any_yeast(
    shape: tuple[int, int], generator: np.random.Generator, *, contrast: Contrast
) -> Yeast:
    """Draw settings of budding yeast, three in ten of them in a device."""
    scene = any_scene(shape, generator, least=9.0, most=90.0, spread=(0.03, 0.25))
    scene = replace(scene, cover=0.03 * 20.0 ** generator.random())
    draw = generator.random()
    device: Literal["traps", "walls", "none"] = (
        "traps" if draw < 0.2 else "walls" if draw < 0.3 else "none"
    )
    return Yeast(scene=scene, contrast=contrast, device=device)


def any_adherent(
    shape: tuple[int, int], generator: np.random.Generator, *, contrast: Contrast
) -> AdherentCells:
    """Draw settings of adherent cells."""
    scene = any_scene(shape, generator, least=14.0, most=110.0, spread=(0.1, 0.4))
    scene = replace(scene, cover=generator.uniform(0.1, 0.9))
    return AdherentCells(scene=scene, contrast=contrast, form=_any_form(generator))


def any_quantitative(shape: tuple[int, int], generator: np.random.Generator) -> QuantitativeCells:
    """Draw settings of cells in quantitative phase."""
    return QuantitativeCells(scene=_any_bright(shape, generator), form=_any_form(generator))


def any_stained(shape: tuple[int, int], generator: np.random.Generator) -> StainedCells:
    """Draw settings of stained cells, four in ten of them with nuclei in a second channel."""
    scene, nuclei = _any_bright(shape, generator), bool(generator.random() < 0.4)
    return StainedCells(scene=scene, nuclei=nuclei, form=_any_form(generator))


def any_nuclei(
    shape: tuple[int, int],
    generator: np.random.Generator,
    *,
    place: Literal["culture", "clusters", "tissue"],
) -> HardNuclei:
    """Draw settings of nuclei, a quarter of them with little light."""
    scene = any_scene(shape, generator, least=7.0, most=100.0, spread=(0.05, 0.4))
    scene = replace(scene, cover=0.02 * 30.0 ** generator.random())
    return HardNuclei(scene=scene, place=place, dim=bool(generator.random() < 0.25))


def any_histology(shape: tuple[int, int], generator: np.random.Generator) -> Histology:
    """Draw settings of a stained section."""
    scene = any_scene(shape, generator, least=9.0, most=70.0, spread=(0.1, 0.35))
    scene = replace(scene, cover=0.06 * 8.0 ** generator.random())
    gray = bool(generator.random() < 0.15)
    return Histology(scene=scene, epithelium=generator.random(), gray=gray)


def any_negative(
    shape: tuple[int, int], generator: np.random.Generator, *, subject: Subject
) -> Negative:
    """Draw settings of an image without objects."""
    return Negative(
        shape=shape,
        subject=subject,
        color=bool(generator.random() < 0.3),
        magnification=1.0 if generator.random() < 0.4 else 8.0 ** generator.random(),
    )


def _any_bright(shape: tuple[int, int], generator: np.random.Generator) -> Scene:
    scene = any_scene(shape, generator, least=10.0, most=100.0, spread=(0.1, 0.4))
    return replace(scene, cover=generator.uniform(0.08, 0.9))


def _any_form(generator: np.random.Generator) -> Form:
    return _FORMS[int(generator.integers(len(_FORMS)))]
