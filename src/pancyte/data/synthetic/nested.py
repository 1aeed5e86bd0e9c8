"""Cells with nuclei: for classes that lie inside each other, with matched ids.

A scene is made in three steps, each a function that other kinds of scene can use::

    outlines   crowd -> cells that touch;  nuclei_inside -> a nucleus in each
    light      what each channel would show without noise, 0 to about 1: APPEARANCES
    camera     photons and the noise of reading them out -> uint16

The scene is made larger than the image and then cut, so that objects at the border are cut there,
as a field of view cuts them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, find_objects, gaussian_filter

from pancyte.data.synthetic.camera import camera, per_object, texture, uneven_light
from pancyte.data.synthetic.outlines import crowd, star
from pancyte.data.synthetic.ranges import check_ranges
from pancyte.data.synthetic.scene import SMALLEST
from pancyte.ops.ids import map_ids
from pancyte.ops.labels import boundaries, fill_holes, keep_largest_component, remove_small
from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.types import FloatArray, IntArray

CLASSES: Final = ("nucleus", "cell")
"""The order of the label planes."""


@params
class NestedCells:
    """Cells that touch each other, each with a nucleus."""

    shape: tuple[int, int] = (256, 256)
    """Height and width of the image in pixels."""
    diameter: float = 36.0
    """Median diameter of a cell in pixels, as of a circle of equal area; at least 12."""
    spread: float = 0.2
    """Standard deviation of the natural logarithm of the diameter, 0 to 0.6."""
    cover: float = 0.7
    """Part of the image that cells cover, about; above 0, up to 0.85."""
    nucleus: tuple[float, float] = (0.45, 0.65)
    """Range of the diameter of a nucleus as a part of that of its cell, within 0.2 and 0.8."""
    orphans: float = 0.0
    """Part of the cells that lack a nucleus, and of the nuclei that lack a cell, each; up to
    0.5."""
    appearance: Literal["fluorescence", "phase"] = "fluorescence"
    """Two channels, stained nuclei and cell bodies, or one channel of phase contrast."""

    def __post_init__(self) -> None:
        low, high = self.nucleus
        ranges = {
            "shape": (min(self.shape), 16, math.inf),
            "diameter": (self.diameter, 12, math.inf),
            "spread": (self.spread, 0, 0.6),
            "cover": (self.cover, 0.01, 0.85),
            "nucleus[0]": (low, 0.2, high),
            "nucleus[1]": (high, low, 0.8),
            "orphans": (self.orphans, 0, 0.5),
        }
        check_ranges(ranges)


def draw_nested_cells(
    settings: NestedCells, generator: np.random.Generator
) -> tuple[npt.NDArray[np.uint16], IntArray]:
    """Draw an image of cells with nuclei, and its truth.

    Parameters
    ----------
    settings
        What to draw.
    generator
        Source of randomness; the same state gives the same image.

    Returns
    -------
    image : uint16 array of shape (2, Y, X) or (1, Y, X)
        Camera counts: nuclei and cell bodies in fluorescence, one channel in phase contrast.
    labels : IntArray of shape (2, Y, X)
        The planes of :data:`CLASSES`, ids 1..n over both. A nucleus has the id of its cell and
        lies inside of it; each object is one component. With ``orphans`` some ids are in one
        plane only; without, only cells whose nucleus lies beyond the border of the image are.

    Examples
    --------
    >>> image, labels = draw_nested_cells(NestedCells(shape=(64, 80)), np.random.default_rng(0))
    >>> image.shape, labels.shape
    ((2, 64, 80), (2, 64, 80))
    """
    margin = round(settings.diameter)
    height, width = settings.shape
    cells = crowd(
        (height + 2 * margin, width + 2 * margin),
        diameter=settings.diameter,
        spread=settings.spread,
        cover=settings.cover,
        generator=generator,
    )
    nuclei = nuclei_inside(cells, settings.nucleus, generator)
    cells, nuclei = _make_orphans(cells, nuclei, settings.orphans, generator)
    light = APPEARANCES[settings.appearance](cells, nuclei, generator)
    light *= uneven_light(light.shape[1:], generator)
    least, most = _PHOTONS[settings.appearance]
    image = camera(light, generator, photons=least * (most / least) ** generator.random())
    inside = slice(margin, margin + height), slice(margin, margin + width)
    labels = _cut(nuclei[inside], cells[inside])
    return np.ascontiguousarray(image[:, inside[0], inside[1]]), labels


# ---- outlines


def nuclei_inside(
    cells: IntArray, ratio: tuple[float, float], generator: np.random.Generator
) -> IntArray:
    """Draw a nucleus inside of each cell, with the id of the cell.

    Parameters
    ----------
    cells : IntArray of shape (Y, X)
        Where nuclei may lie; they keep a pixel away from the border of their cell.
    ratio
        Range of the diameter as a part of that of the cell.
    generator
        Source of randomness.
    """
    nuclei = np.zeros_like(cells)
    inner = np.where(boundaries(cells), 0, cells)
    room = np.asarray(distance_transform_edt(inner > 0))
    areas = np.bincount(cells.ravel())
    boxes = find_objects(inner)
    for label in np.flatnonzero(np.bincount(inner.ravel()))[1:]:
        box = boxes[label - 1]
        diameter = 2.0 * math.sqrt(areas[label] / math.pi) * generator.uniform(*ratio)
        y, x = np.nonzero(inner[box] == label)
        y, x = y + box[0].start, x + box[1].start
        # Anywhere in the cell where there is about as much room as at its best place.
        good = np.flatnonzero(room[y, x] >= 0.8 * room[y, x].max())
        chosen = good[generator.integers(len(good))]
        rows, columns, level = star(
            cells.shape, (y[chosen], x[chosen]), diameter, generator, roughness=0.03
        )
        nuclei[rows, columns][(level < 1.0) & (inner[rows, columns] == label)] = label
    return fill_holes(keep_largest_component(nuclei))


def _make_orphans(
    cells: IntArray, nuclei: IntArray, share: float, generator: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Take the nucleus from some cells, and the cell from some other nuclei."""
    table = np.arange(int(cells.max(initial=0)) + 1, dtype=np.int32)
    fate = generator.random(len(table))
    without_nucleus = np.where(fate < share, 0, table).astype(np.int32)
    without_cell = np.where((fate >= share) & (fate < 2 * share), 0, table).astype(np.int32)
    return map_ids(cells, without_cell), map_ids(nuclei, without_nucleus)


def _cut(nuclei: IntArray, cells: IntArray) -> IntArray:
    """Return both planes with ids 1..n, each object one component, without crumbs."""
    cells = remove_small(keep_largest_component(cells), SMALLEST)
    # What the border parts from its cell goes with the part that is dropped.
    has_cell = np.isin(nuclei, np.unique(cells))
    nuclei = np.where((nuclei == cells) | ~has_cell, nuclei, 0)
    nuclei = remove_small(keep_largest_component(nuclei), SMALLEST)
    labels = np.stack([nuclei, cells])
    present = np.unique(labels)
    return np.searchsorted(present[present > 0], labels, side="right").astype(np.int32)


# ---- light


def fluorescence_light(
    cells: IntArray, nuclei: IntArray, generator: np.random.Generator
) -> FloatArray:
    """Return stained nuclei and cell bodies, (2, Y, X): uneven, blurred, with light from beyond."""
    stained = per_object(nuclei, generator, spread=0.35) * (
        1.0 + 0.3 * texture(nuclei.shape, 1.5, generator)
    )
    rim = np.asarray(distance_transform_edt(~boundaries(cells)))
    # A body is thinner at its rim, and the nucleus takes some of its room.
    thickness = 0.45 + 0.55 * (1.0 - np.exp(-rim / 5.0))
    body = per_object(cells, generator, spread=0.3) * thickness * (1.0 - 0.35 * (nuclei > 0))
    body = body * (1.0 + 0.25 * texture(cells.shape, 2.0, generator))
    channels = []
    for signal, leak in ((stained, body), (body, stained)):
        mixed = 0.7 * signal + 0.08 * leak
        haze = gaussian_filter(mixed, 12.0)  # out of focus
        sharp = gaussian_filter(mixed, generator.uniform(0.7, 1.8))
        channels.append(0.05 + 0.85 * sharp + generator.uniform(0.1, 0.4) * haze)
    return np.maximum(np.stack(channels), 0.0).astype(np.float32)


def phase_light(cells: IntArray, nuclei: IntArray, generator: np.random.Generator) -> FloatArray:
    """Return phase contrast, (1, Y, X): dark bodies, bright halos, nuclei as faint rings."""
    inside = (cells > 0).astype(np.float64)
    touching = boundaries(cells) & (cells > 0)
    depth = inside * (0.7 + 0.3 * per_object(cells, generator, spread=0.25))
    depth += 0.15 * inside * texture(cells.shape, 1.5, generator)  # organelles
    depth -= generator.uniform(0.1, 0.3) * (nuclei > 0)
    depth += generator.uniform(0.3, 0.7) * (boundaries(nuclei) & (nuclei > 0))
    depth += _specks(nuclei, generator)  # nucleoli
    depth -= generator.uniform(0.2, 0.5) * touching
    depth = gaussian_filter(depth, generator.uniform(0.6, 1.2))
    # The ring of the objective passes fine detail and turns slow changes into halos.
    slow = gaussian_filter(depth, generator.uniform(5.0, 9.0))
    light = 0.5 - 0.25 * (depth - 0.7 * slow)
    light += 0.02 * texture(cells.shape, 3.0, generator)
    return np.maximum(light, 0.0)[None].astype(np.float32)


_PHOTONS: Final = {"fluorescence": (40.0, 400.0), "phase": (800.0, 4000.0)}
"""Range of the photoelectrons at the light 1; a lamp has more to give than a stain."""

Appearance = Callable[["IntArray", "IntArray", np.random.Generator], "FloatArray"]

APPEARANCES: Final[dict[str, Appearance]] = {
    "fluorescence": fluorescence_light,
    "phase": phase_light,
}
"""What cells and nuclei look like: from their labels to light (C, Y, X), 0 to about 1."""


def _specks(labels: IntArray, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return small spots, about one for every 120 pixels of objects."""
    spots = (generator.random(labels.shape) < 1 / 120) & (labels > 0)
    return np.asarray(gaussian_filter(spots.astype(np.float64), 1.2) * 9.0)
