"""Generated images of cells with nuclei, with a truth that is exact.

For what real sets lack: classes that lie inside each other, with matched ids. A scene is made in
three steps, each a function that other kinds of scene can use::

    outlines   crowd -> cells that touch;  nuclei_inside -> a nucleus in each
    light      what each channel would show without noise, 0 to about 1: APPEARANCES
    camera     photons and the noise of reading them out -> uint16

The scene is made larger than the image and then cut, so that objects at the border are cut there,
as a field of view cuts them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, find_objects, gaussian_filter

from pancyte.ops.ids import map_ids
from pancyte.ops.labels import boundaries, fill_holes, keep_largest_component, remove_small
from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.types import FloatArray, IntArray

CLASSES: Final = ("nucleus", "cell")
"""The order of the label planes."""

_SMALLEST: Final = 15
_WAVES: Final = 4
# Centers of cells are this far apart at least, and cells this much larger before neighbors part
# them, both relative to the diameter that they end with.
_APART: Final = 0.8
_OVERLAP: Final = 1.1


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
        for name, (value, least, most) in ranges.items():
            if not least <= value <= most:
                raise ValueError(f"Expected {name} from {least} to {most}, but got {value}")


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


def crowd(
    shape: tuple[int, int],
    *,
    diameter: float,
    spread: float,
    cover: float,
    generator: np.random.Generator,
) -> IntArray:
    """Draw blobs that crowd together and share borders where they meet.

    Parameters
    ----------
    shape : (int, int)
        Height and width.
    diameter, spread
        Median diameter in pixels, and standard deviation of its natural logarithm.
    cover
        Part of the area that the blobs cover, about.
    generator
        Source of randomness.

    Returns
    -------
    IntArray of shape (Y, X)
        Ids 1..n of single components without holes; an id may be missing.

    Notes
    -----
    A blob is a star-shaped curve: an ellipse whose radius is changed by a few random waves. A pixel
    that lies in several belongs to the one in which it lies deepest, relative to the radius.
    """
    labels = np.zeros(shape, dtype=np.int32)
    depth = np.ones(shape)
    covered = 0
    most = math.ceil(4.0 * math.prod(shape) / diameter**2)
    points = _scatter(shape, most, _APART * diameter, generator)
    for label, point in enumerate(points, start=1):
        size = diameter * math.exp(spread * generator.standard_normal())
        rows, columns, level = _star(shape, point, _OVERLAP * size, generator, roughness=0.06)
        window = depth[rows, columns]
        deeper = level < window
        covered += int(np.count_nonzero(deeper & (window == 1.0)))
        window[deeper] = level[deeper]
        labels[rows, columns][deeper] = label
        if covered >= cover * depth.size:
            break
    return remove_small(fill_holes(keep_largest_component(labels)), _SMALLEST)


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
        rows, columns, level = _star(
            cells.shape, (y[chosen], x[chosen]), diameter, generator, roughness=0.03
        )
        nuclei[rows, columns][(level < 1.0) & (inner[rows, columns] == label)] = label
    return fill_holes(keep_largest_component(nuclei))


def _scatter(
    shape: tuple[int, int], most: int, distance: float, generator: np.random.Generator
) -> Iterator[npt.NDArray[np.float64]]:
    """Yield points (y, x) that keep a distance, most of them in groups."""
    points = np.zeros((0, 2))
    for _ in range(20 * most):
        point = generator.random(2) * shape
        if len(points) and generator.random() < 0.85:
            angle = 2.0 * math.pi * generator.random()
            step = distance * generator.uniform(1.0, 1.3)
            near = points[generator.integers(len(points))]
            point = near + step * np.array([math.sin(angle), math.cos(angle)])
        outside = (point < 0).any() or (point >= shape).any()
        if not outside and (((points - point) ** 2).sum(axis=1) >= distance**2).all():
            points = np.vstack([points, point])
            yield point


def _star(
    shape: tuple[int, ...],
    center: tuple[float, float] | npt.NDArray[np.float64],
    diameter: float,
    generator: np.random.Generator,
    *,
    roughness: float,
) -> tuple[slice, slice, npt.NDArray[np.float64]]:
    """Return a window about a random blob, and how deep each of its pixels lies: 1 is its rim."""
    reach = math.ceil(0.9 * diameter) + 1
    first = [max(0, int(c) - reach) for c in center]
    last = [min(size, int(c) + reach + 1) for c, size in zip(center, shape, strict=True)]
    y, x = np.mgrid[first[0] : last[0], first[1] : last[1]]
    dy, dx = y - center[0], x - center[1]
    turn = 2.0 * math.pi * generator.random()
    stretch = generator.uniform(1.0, 1.25)
    along = (dx * math.cos(turn) + dy * math.sin(turn)) / stretch
    across = (dy * math.cos(turn) - dx * math.sin(turn)) * stretch
    angle = np.arctan2(across, along)
    radius = np.full(angle.shape, diameter / 2.0)
    for wave in range(2, 2 + _WAVES):
        height = roughness * generator.standard_normal() * 2.0 / wave
        radius *= 1.0 + np.clip(height, -0.2, 0.2) * np.cos(
            wave * angle + 6.28 * generator.random()
        )
    level = np.hypot(along, across) / radius
    return slice(first[0], last[0]), slice(first[1], last[1]), level


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
    cells = remove_small(keep_largest_component(cells), _SMALLEST)
    # What the border parts from its cell goes with the part that is dropped.
    has_cell = np.isin(nuclei, np.unique(cells))
    nuclei = np.where((nuclei == cells) | ~has_cell, nuclei, 0)
    nuclei = remove_small(keep_largest_component(nuclei), _SMALLEST)
    labels = np.stack([nuclei, cells])
    present = np.unique(labels)
    return np.searchsorted(present[present > 0], labels, side="right").astype(np.int32)


# ---- light


def fluorescence_light(
    cells: IntArray, nuclei: IntArray, generator: np.random.Generator
) -> FloatArray:
    """Return stained nuclei and cell bodies, (2, Y, X): uneven, blurred, with light from beyond."""
    stained = _per_object(nuclei, generator, spread=0.35) * (
        1.0 + 0.3 * texture(nuclei.shape, 1.5, generator)
    )
    rim = np.asarray(distance_transform_edt(~boundaries(cells)))
    # A body is thinner at its rim, and the nucleus takes some of its room.
    thickness = 0.45 + 0.55 * (1.0 - np.exp(-rim / 5.0))
    body = _per_object(cells, generator, spread=0.3) * thickness * (1.0 - 0.35 * (nuclei > 0))
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
    depth = inside * (0.7 + 0.3 * _per_object(cells, generator, spread=0.25))
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


def texture(
    shape: tuple[int, ...], grain: float, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return smooth noise of mean 0 and standard deviation 1; ``grain`` is its size in pixels."""
    noise = gaussian_filter(generator.standard_normal(shape), grain, mode="wrap")
    return np.asarray(noise / noise.std())


def uneven_light(shape: tuple[int, ...], generator: np.random.Generator) -> FloatArray:
    """Return a factor (Y, X) of mean 1: a slope, and less light away from some point."""
    y, x = (np.linspace(-1.0, 1.0, size) for size in shape)
    slope = generator.uniform(-0.2, 0.2, 2)
    center = generator.uniform(-0.5, 0.5, 2)
    fall = generator.uniform(0.0, 0.2)
    distance = (y[:, None] - center[0]) ** 2 + (x - center[1]) ** 2
    light = 1.0 + slope[0] * y[:, None] + slope[1] * x - fall * distance
    light = np.maximum(light, 0.2)
    return np.asarray(light / light.mean(), dtype=np.float32)


def _per_object(
    labels: IntArray, generator: np.random.Generator, *, spread: float
) -> npt.NDArray[np.float64]:
    """Return a brightness for each object, log-normal with median 1; 0 outside."""
    values = np.exp(spread * generator.standard_normal(int(labels.max(initial=0)) + 1))
    values[0] = 0.0
    return np.asarray(values[labels])


def _specks(labels: IntArray, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return small spots, about one for every 120 pixels of objects."""
    spots = (generator.random(labels.shape) < 1 / 120) & (labels > 0)
    return np.asarray(gaussian_filter(spots.astype(np.float64), 1.2) * 9.0)


# ---- camera


def camera(
    light: FloatArray, generator: np.random.Generator, *, photons: float
) -> npt.NDArray[np.uint16]:
    """Count photons as a scientific camera does.

    Parameters
    ----------
    light : FloatArray of shape (C, Y, X)
        At least 0.
    generator
        Source of randomness.
    photons
        Mean number of photoelectrons at the light 1.

    Returns
    -------
    uint16 array of shape (C, Y, X)
        Poisson counts, read noise of 2 electrons, a gain of 2 counts an electron and an offset of
        100 counts; so the variance of a pixel is 4 * (electrons + 4).

    References
    ----------
    Janesick, Photon Transfer, SPIE 2007, doi:10.1117/3.725073.
    """
    electrons = generator.poisson(light * photons) + 2.0 * generator.standard_normal(light.shape)
    counts = np.clip(np.rint(2.0 * electrons + 100.0), 0, np.iinfo(np.uint16).max)
    return np.asarray(counts, dtype=np.uint16)
